/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the server's programs share with user space: maps, their values, and the outcomes that are counted.
 * src/server/serving.rs and src/server/outcome.rs hold the same, and the tests compare them. docs/kernel-path.md explains
 * the whole.
 */
#ifndef TEREDO_SERVER_H
#define TEREDO_SERVER_H

#include "kernel.h"

/* struct xdp_md of linux/bpf.h, up to the last field that is read. */
struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
};

#define XDP_DROP 1
/* The stack and user space decide. */
#define XDP_PASS 2
/* The frame leaves by the interface that it came in by. */
#define XDP_TX 3

/* User space maps the memory of the array. */
#define BPF_F_MMAPABLE 0x400

static long (*adjust_head)(struct xdp_md *frame, int delta) = (void *)44;
/* Linux 5.18. */
static __u64 (*frame_len)(struct xdp_md *frame) = (void *)188;
static long (*load_frame)(struct xdp_md *frame, __u32 offset, void *to, __u32 len) = (void *)189;
static long (*store_frame)(struct xdp_md *frame, __u32 offset, const void *from, __u32 len) = (void *)190;

/* The outcome of a datagram to a port of the server; each is an element of `outcomes`. */
enum outcome {
	ANSWERED = 0,
	/* Left to user space: */
	CLOSED = 1,
	UNPROVEN = 2,
	SAMPLE = 3,
	NOT_HERE = 4,
	NOT_SOLICITATION = 5,
	CHECKSUM = 6,
	SOURCE = 7,
	NO_SECONDARY = 8,
	LIMITED = 9,
	NO_ROOM = 10,
	OUTCOMES = 11,
};

/* `answer` runs in the driver, on frames and not on the stack's packets. */
#define NATIVE 1

struct hardware {
	__u8 byte[6];
};

/*
 * An address of the server: 64 bytes. User space writes an entry as a whole. An address whose solicitations are user
 * space's is here, too, with interface 0: nothing is sent to it.
 */
struct serving {
	/* The pair's other address, from which a client with the cone bit is answered; 0 if there is none. */
	__u32 other;
	/* Where the address is, and the interface's own address. */
	__u32 interface;
	/* The place of the pair in `advertisements`. */
	__u32 pair;
	struct hardware hardware;
	__u8 ttl;
	__u8 flags;
	__u8 padding[12];
	/* Written by the programs: when the stack was last seen to let a solicitation in and an answer out, and last asked. */
	/* 32 */ __u64 let_in;
	__u64 let_out;
	__u64 asked_in;
	__u64 asked_out;
};
_Static_assert(sizeof(struct serving) == 64, "src/server/serving.rs has the same layout");

/* The advertisement of a pair: a whole IPv6 packet, without destination and checksum. */
#define ADVERTISEMENT_WORDS 24
struct advertisement {
	__u32 word[ADVERTISEMENT_WORDS];
};

struct network {
	__u32 len;
	__u32 address;
};

/* The elements of `control`. Times are of CLOCK_BOOTTIME in nanoseconds. */
enum control {
	/* Proofs of the stack from before this time are void; 0 closes the path. */
	SINCE = 0,
	/* The time between two solicitations of an address that ask the stack again. */
	INTERVAL = 1,
	/* The limit of advertisements to one address: the time for one, 0 without a limit; the time to fill a bucket. */
	TOKEN = 2,
	DEPTH = 3,
	/* The factor of the hash that finds a bucket. */
	FACTOR = 4,
	CONTROLS = 5,
};

/* A proof is good for so many intervals, so that a lost packet or three do no harm. */
#define LEASE 4

#define PAIRS 128
/* The buckets that the limit is kept in, by a hash of this many bits. User space takes tokens from the same ones. */
#define BUCKET_BITS 16

/* All addresses of the server. */
struct {
	int (*type)[BPF_MAP_TYPE_HASH];
	int (*max_entries)[2 * PAIRS];
	int (*map_flags)[BPF_F_NO_PREALLOC];
	__u32 *key;
	struct serving *value;
} addresses SEC(".maps");

struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	int (*max_entries)[PAIRS];
	__u32 *key;
	struct advertisement *value;
} advertisements SEC(".maps");

/*
 * The interface by which the way to a source leaves; 0 if the source is refused, or the way is not of a kind that a frame
 * can take at once.
 */
struct {
	int (*type)[BPF_MAP_TYPE_LPM_TRIE];
	int (*max_entries)[4096];
	int (*map_flags)[BPF_F_NO_PREALLOC];
	struct network *key;
	__u32 *value;
} sources SEC(".maps");

struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	int (*max_entries)[CONTROLS];
	__u32 *key;
	__u64 *value;
} control SEC(".maps");

/* The times when the buckets will be full, as in crates/teredo/src/server/limiter.rs. */
struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	int (*max_entries)[1 << BUCKET_BITS];
	int (*map_flags)[BPF_F_MMAPABLE];
	__u32 *key;
	__u64 *value;
} buckets SEC(".maps");

/* The answers of a pair: without and with an authentication element. */
struct {
	int (*type)[BPF_MAP_TYPE_PERCPU_ARRAY];
	int (*max_entries)[2 * PAIRS];
	__u32 *key;
	__u64 *value;
} answers SEC(".maps");

struct {
	int (*type)[BPF_MAP_TYPE_PERCPU_ARRAY];
	int (*max_entries)[OUTCOMES];
	__u32 *key;
	__u64 *value;
} outcomes SEC(".maps");

#endif
