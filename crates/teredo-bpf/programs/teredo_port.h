/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The UDP port of this host's Teredo client or relay, for eBPF programs: XDP, tc, cgroup. A firewall that asks here follows
 * the port without a process of its own.
 *
 * The map is pinned at TEREDO_PORT_PATH. A loader takes the pinned one in place of a new one:
 *
 *   bpftool prog load firewall.o /sys/fs/bpf/firewall map name teredo_port pinned /sys/fs/bpf/teredo/port
 *
 * With libbpf that is bpf_map__set_pin_path(map, TEREDO_PORT_PATH), with aya EbpfLoader::map_pin_path("teredo_port", ...).
 * The node makes the map at its first start, and each later node takes it over, so a program keeps it until the next boot.
 * Programs can only read it. The header needs no other one, Linux 5.8, and no licence of the program.
 */
#ifndef TEREDO_PORT_H
#define TEREDO_PORT_H

#define TEREDO_PORT_PATH "/sys/fs/bpf/teredo/port"

/* The value. The node replaces it as a whole, and removes it when it has no port. */
struct teredo_port {
	/*
	 * It counts until then (CLOCK_MONOTONIC, in ns). The node renews it every 5 s for 15 s; a killed node does not. The clock
	 * stands still while the machine sleeps, as the node does.
	 */
	unsigned long long valid_until;
	/* The number of the announcement, as subscribers of the service get it. It grows as long as one node lives. */
	unsigned long long sequence;
	/* The index of the tunnel interface. */
	unsigned int interface;
	/* The UDP port in host byte order. */
	unsigned short port;
	unsigned short reserved;
};
_Static_assert(sizeof(struct teredo_port) == 24, "the layout is fixed");

struct {
	int (*type)[1]; /* BPF_MAP_TYPE_HASH */
	int (*max_entries)[1];
	int (*map_flags)[0x81]; /* BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG */
	unsigned int *key;
	struct teredo_port *value;
} teredo_port __attribute__((section(".maps"), used));

/* The port now, in host byte order; 0 if there is none. */
static inline __attribute__((always_inline)) unsigned short teredo_port_now(void)
{
	void *(*const map_lookup)(void *, const void *) = (void *)1;
	unsigned long long (*const ktime_ns)(void) = (void *)5;
	const unsigned int key = 0;
	const struct teredo_port *found = map_lookup(&teredo_port, &key);

	return found && ktime_ns() < found->valid_until ? found->port : 0;
}

/* Whether a UDP header with this destination, in network byte order, is for the port. */
static inline __attribute__((always_inline)) int teredo_is_for_port(unsigned short destination)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	destination = __builtin_bswap16(destination);
#endif
	return destination && destination == teredo_port_now();
}

#endif
