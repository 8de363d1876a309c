/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the programs share with user space: maps, their values, and the outcomes that are counted. src/entry.rs and
 * src/outcome.rs hold the same, and the tests compare them. docs/kernel-path.md explains the whole.
 */
#ifndef TEREDO_PATH_H
#define TEREDO_PATH_H

#include "kernel.h"

/* The outcome of a packet of a peer in the map; each is an element of `outcomes`. */
enum outcome {
	ENCAPSULATED = 0,
	ENCAPSULATED_BYTES = 1,
	DECAPSULATED = 2,
	DECAPSULATED_BYTES = 3,
	/* Left to user space: */
	CLOSED = 4,
	UNPROVEN = 5,
	SAMPLE = 6,
	SILENT = 7,
	WRONG_INTERFACE = 8,
	WRONG_MAPPING = 9,
	WRONG_ADDRESS = 10,
	NOT_SERVED = 11,
	WRONG_LENGTH = 12,
	TOO_LONG = 13,
	NEXT_HEADER = 14,
	ICMPV6_TYPE = 15,
	TCP_SYN = 16,
	UDP_SEGMENTS = 17,
	HOP_LIMIT = 18,
	CHECKSUM = 19,
	CONGESTION = 20,
	NO_ROOM = 21,
	/* Dropped, because the packet was changed already: */
	LOST = 22,
	/* Left to user space: */
	NO_CHECKSUM = 23,
	BEHIND = 24,
	OUTCOMES = 25,
};

struct address {
	__u32 word[4];
};

/* The end of the relay's side is decided by `natives`, and not by `own`. */
#define IS_RELAY 1
/*
 * The link hands on packets without the checksums that hardware fills in, to a peer that may not know what they lack. Unless
 * the peer has shown lately that it has these programs (`bare`), the checksum is completed, and a super-packet goes by user
 * space.
 */
#define NEEDS_CHECKSUMS 2

/*
 * A peer: 192 bytes. User space writes an entry as a whole, and the kernel replaces it as a whole, so no program ever sees a
 * part of one. Everything that a packet is compared with is in here, so no program combines two decisions of user space.
 */
struct peer {
	struct address own;
	__u32 local;
	__u32 remote;
	__u16 local_port;
	__u16 remote_port;
	/* The longest inner packet. */
	__u16 longest;
	__u8 ttl;
	__u8 flags;
	__u32 underlay;
	__u32 overlay;
	/* Written by the programs. Times are of CLOCK_BOOTTIME in nanoseconds. */
	/* 40 */ __u64 heard;
	__u64 sent;
	/* When the stack was last seen to let the peer's datagrams in and out, and when it was last asked. */
	/* 56 */ __u64 let_in;
	__u64 let_out;
	__u64 asked_in;
	__u64 asked_out;
	/* 88 */ __u64 packets_in;
	__u64 bytes_in;
	__u64 packets_out;
	__u64 bytes_out;
	/* When the peer last sent a datagram without a UDP checksum, or 0; kept with NEEDS_CHECKSUMS alone. */
	/* 120 */ __u64 bare;
	/*
	 * The packets that were left to user space and those that it has passed on, since when they differ, and when the last one
	 * was left.
	 */
	/* 128 */ __u64 since_in;
	__u64 since_out;
	__u64 last_in;
	__u64 last_out;
	__u32 left_in;
	__u32 seen_in;
	__u32 left_out;
	__u32 seen_out;
	/* When it was added, or 0. It waits until its lane's queues were empty later: packets from before may be in them. */
	/* 176 */ __u64 added;
	/* 184 */ __u8 lane;
	__u8 unused;
	/* The packets that were ahead when the lane's queues had been empty since the last one was left, or 0. */
	__u8 lost_in;
	__u8 lost_out;
	/* Of those that were left since `since`, the packets that the kernel never carries. */
	/* 188 */ __u16 mixed_in;
	__u16 mixed_out;
};
_Static_assert(sizeof(struct peer) == 192, "src/entry.rs has the same layout");

struct prefix {
	__u32 len;
	struct address address;
};

/* The elements of `control`. */
enum control {
	/* Proofs of the stack from before this time are void; 0 closes the path. */
	SINCE = 0,
	/* The time between two packets of a peer that ask the stack again, in nanoseconds. */
	INTERVAL = 1,
	/* So long at most packets follow others through user space, in nanoseconds. */
	PATIENCE = 2,
	/* For each lane, when its queues were last found empty. */
	EMPTY = 3,
	LANES = 64,
	/* The priority of what `encapsulate` has carried, until `watch_out` takes it off. Other nodes of the host have others. */
	PRIORITY = EMPTY + LANES,
	CONTROLS = PRIORITY + 1,
};

/* A proof is good for so many intervals, so that a lost packet or three do no harm. */
#define LEASE 4

/* A packet waits behind so many in user space at most, and until none was left to it for a part of the time. */
#define MOST_AHEAD 256
#define QUIET_PART 8

/*
 * If so many of those ahead are packets that the kernel never carries, the flow has more of them. It waits behind any number, and
 * so much longer: whatever went ahead would only be the first of many to overtake.
 */
#define MIXED 16
#define MIXED_PATIENCE 8

/* How long a peer is sent to after it was heard (RFC 4380 section 5.2.4). */
#define VALIDITY 30000000000ULL

/* How long a peer is taken to have these programs after it has shown them. */
#define SHOWN 30000000000ULL

/* Peers by their IPv6 address. The number of entries is set when the object is loaded; one takes memory when it is added. */
struct {
	int (*type)[BPF_MAP_TYPE_HASH];
	int (*max_entries)[1];
	int (*map_flags)[BPF_F_NO_PREALLOC];
	struct address *key;
	struct peer *value;
} peers SEC(".maps");

/* For a relay: the native networks that it carries packets of (1), and those within them that it does not (0). */
struct {
	int (*type)[BPF_MAP_TYPE_LPM_TRIE];
	int (*max_entries)[256];
	int (*map_flags)[BPF_F_NO_PREALLOC];
	struct prefix *key;
	__u32 *value;
} natives SEC(".maps");

struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	int (*max_entries)[CONTROLS];
	__u32 *key;
	__u64 *value;
} control SEC(".maps");

struct {
	int (*type)[BPF_MAP_TYPE_PERCPU_ARRAY];
	int (*max_entries)[OUTCOMES];
	__u32 *key;
	__u64 *value;
} outcomes SEC(".maps");

#endif
