/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The part of the kernel's interface to its programs that path.c and server.c use: the layout of linux/bpf.h, with numbers
 * that never change, and the headers of IPv4 and UDP. No header of the system is included, so that the objects depend on
 * nothing but these files and the compiler.
 */
#ifndef TEREDO_KERNEL_H
#define TEREDO_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef int __s32;
typedef long long __s64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define ONCE(field) (*(volatile __typeof__(field) *)&(field))

#define htons(value) ((__u16)__builtin_bswap16(value))
#define ntohs(value) ((__u16)__builtin_bswap16(value))

/* struct __sk_buff, up to the last field that is read. */
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
	__u32 hash;
	__u32 tc_classid;
	__u32 data;
	__u32 data_end;
	__u32 napi_id;
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 data_meta;
	__u64 flow_keys;
	__u64 tstamp;
	__u32 wire_len;
	__u32 gso_segs;
	__u64 sk;
	__u32 gso_size;
};

/* The packet is dropped. */
#define TC_ACT_SHOT 2
/* The next program, the next filter, and then the stack decide. TC_ACT_OK would end the list of an administrator. */
#define TC_ACT_UNSPEC (-1)

#define PACKET_HOST 0
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMPV6 58

/* RFC 791 section 3.1. */
struct ipv4 {
	__u8 version_ihl;
	__u8 tos;
	__u16 len;
	__u16 id;
	__u16 fragment;
	__u8 ttl;
	__u8 protocol;
	__u16 checksum;
	__u32 source;
	__u32 destination;
} __attribute__((packed));

/* RFC 768. */
struct udp {
	__u16 source;
	__u16 destination;
	__u16 len;
	__u16 checksum;
} __attribute__((packed));

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LPM_TRIE 11
#define BPF_F_NO_PREALLOC 1

#define BPF_F_RECOMPUTE_CSUM 1
#define BPF_F_INGRESS 1
#define BPF_HDR_START_NET 1
#define BPF_ADJ_ROOM_MAC 1
#define BPF_F_ADJ_ROOM_FIXED_GSO 0x1
#define BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 0x2
#define BPF_F_ADJ_ROOM_ENCAP_L4_UDP 0x10
/* Linux 6.3. */
#define BPF_F_ADJ_ROOM_DECAP_L3_IPV4 0x80
#define BPF_F_ADJ_ROOM_DECAP_L3_IPV6 0x100

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static __u32 (*random_u32)(void) = (void *)7;
static long (*store_bytes)(struct __sk_buff *skb, __u32 offset, const void *from, __u32 len, __u64 flags) = (void *)9;
static long (*redirect)(__u32 interface, __u64 flags) = (void *)23;
static long (*load_bytes)(const void *skb, __u32 offset, void *to, __u32 len) = (void *)26;
static __s64 (*csum_diff)(const void *from, __u32 from_len, const void *to, __u32 to_len, __u32 seed) = (void *)28;
static long (*change_head)(struct __sk_buff *skb, __u32 len, __u64 flags) = (void *)43;
static long (*adjust_room)(struct __sk_buff *skb, int len, __u32 mode, __u64 flags) = (void *)50;
static long (*load_bytes_relative)(const void *skb, __u32 offset, void *to, __u32 len, __u32 start) = (void *)68;
/* Of CLOCK_BOOTTIME, the clock of the data path. */
static __u64 (*now_ns)(void) = (void *)125;
static long (*redirect_neigh)(__u32 interface, void *next_hop, int len, __u64 flags) = (void *)152;

#endif
