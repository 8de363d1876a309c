/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An example: an XDP firewall of a host that expects no UDP but Teredo. It admits the datagrams to the Teredo port, follows
 * that port by itself, and leaves all that is not UDP over IPv4 to the rules behind it. A real firewall adds its own rules,
 * for the answers of name servers before all.
 *
 *   clang -target bpf -O2 -g -I/usr/include/$(uname -m)-linux-gnu -I/usr/include/teredo -c admit.c -o admit.o
 *   bpftool prog load admit.o /sys/fs/bpf/admit map name teredo_port pinned /sys/fs/bpf/teredo/port
 *   bpftool net attach xdp pinned /sys/fs/bpf/admit dev eth0
 */
#include <asm/byteorder.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include "teredo_port.h"

/* "More fragments", and the offset. */
#define FRAGMENT 0x3fff

__attribute__((section("xdp"), used)) int admit(struct xdp_md *packet)
{
	void *end = (void *)(long)packet->data_end;
	struct ethhdr *link = (void *)(long)packet->data;
	struct iphdr *ip = (void *)(link + 1);
	struct udphdr *udp;

	if ((void *)(ip + 1) > end || link->h_proto != __constant_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	/* Only the first fragment has ports, and Teredo sends none. */
	if (ip->frag_off & __constant_htons(FRAGMENT))
		return XDP_DROP;
	udp = (void *)ip + ip->ihl * 4;
	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	return teredo_is_for_port(udp->dest) ? XDP_PASS : XDP_DROP;
}
