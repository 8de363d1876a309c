/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The path of known peers in the kernel: five programs around one map. docs/kernel-path.md explains why they are sound.
 *
 *   host ──> TUN egress: encapsulate ──────────────> underlay
 *               │ any doubt                            ^  egress: watch_out
 *               v                                      │
 *            user space ──> UDP socket ──> the stack ──┘
 *            │  ^              ^ filter: watch_in
 *            v  └──────────────┴── the stack <──┐ any doubt
 *   host <── TUN ingress: watch_delivered <── underlay ingress: decapsulate
 *
 * Each program has a fixed number of steps, allocates nothing, and in doubt leaves the packet as it is to what comes next
 * (TC_ACT_UNSPEC), and so in the end to user space, which is complete.
 */
#include "path.h"

#define HEADERS_LEN (sizeof(struct ipv4) + sizeof(struct udp))

#define NO_NEXT_HEADER 59

/* The mark of a packet that `decapsulate` has carried, until `watch_delivered` has seen it. */
#define CARRIED 0x7e7ed0

#define TCP_OFFSET 12
#define TCP_FLAGS 13
#define TCP_CHECKSUM 16
#define TCP_FLAG_SYN 0x02
#define UDP_CHECKSUM 6

#define ECN_MASK 3
#define ECN_ECT1 1
#define ECN_ECT0 2
#define ECN_CE 3
/* The position of the two bits in the second byte of an IPv6 header. */
#define ECN_SHIFT 4

struct ethernet {
	__u8 destination[6];
	__u8 source[6];
	__u16 protocol;
} __attribute__((packed));

struct ipv6 {
	__u8 version_class;
	__u8 class_flow;
	__u16 flow;
	__u16 payload_len;
	__u8 next_header;
	__u8 hop_limit;
	struct address source;
	struct address destination;
} __attribute__((packed));

struct outer {
	struct ipv4 ipv4;
	struct udp udp;
} __attribute__((packed));

struct frame {
	struct ethernet ethernet;
	struct outer outer;
	struct ipv6 inner;
} __attribute__((packed));

/* So much of an inner packet without its checksum is cut off: its header and the first bytes of the upper layer's. */
#define SUM_START_LEN (sizeof(struct ipv6) + 4)
/* A checksum is computed in parts of so many bytes. */
#define SUM_PART_LEN 128
#define SUM_PARTS (1280 / SUM_PART_LEN)

/* What is written in front of a packet whose checksum was completed. */
struct completed {
	struct outer outer;
	__u8 start[SUM_START_LEN];
} __attribute__((packed));

/* So much of the inner header is cut off with the outer ones, to cut behind the link's header at more than the UDP header. */
#define SUM_PLACE_LEN 8
_Static_assert(HEADERS_LEN + SUM_PLACE_LEN > sizeof(struct ethernet) + sizeof(struct ipv4), "the place is cut off");

char LICENSE[] SEC("license") = "MIT OR Apache-2.0";

INLINE void add(__u32 outcome, __u64 number)
{
	__u64 *counter = map_lookup(&outcomes, &outcome);
	if (counter)
		*counter += number;
}

/* A packet of a peer in the map is left to what comes next. */
INLINE int leave(enum outcome outcome)
{
	add(outcome, 1);
	return TC_ACT_UNSPEC;
}

INLINE int lost(void)
{
	add(LOST, 1);
	return TC_ACT_SHOT;
}

INLINE __u64 setting(__u32 index)
{
	__u64 *value = map_lookup(&control, &index);
	return value ? ONCE(*value) : 0;
}

/* One direction of a peer. */
struct way {
	/* When the stack was last seen to let a datagram pass, and when it was last asked. */
	__u64 *let;
	__u64 *asked;
	/* The packets that were left to user space, those that it has passed on, since when they differ, and the last one's time. */
	__u64 *since;
	__u64 *last;
	__u32 *left;
	__u32 *seen;
	__u8 *lost;
	__u16 *mixed;
};

INLINE struct way way_in(struct peer *peer)
{
	struct way way = { &peer->let_in,  &peer->asked_in, &peer->since_in, &peer->last_in,
			   &peer->left_in, &peer->seen_in,  &peer->lost_in,  &peer->mixed_in };
	return way;
}

INLINE struct way way_out(struct peer *peer)
{
	struct way way = { &peer->let_out,  &peer->asked_out, &peer->since_out, &peer->last_out,
			   &peer->left_out, &peer->seen_out,  &peer->lost_out,  &peer->mixed_out };
	return way;
}

/* Packets of a path are left to user space: the next ones must not overtake them. */
INLINE int leave_behind(const struct way *way, __u64 now, __u32 packets, enum outcome outcome)
{
	__u32 left = ONCE(*way->left);
	/* User space may have passed on more than it was left: packets from before the entry. */
	if ((__s32)(left - ONCE(*way->seen)) <= 0) {
		ONCE(*way->seen) = left;
		ONCE(*way->since) = now;
		ONCE(*way->lost) = 0;
		ONCE(*way->mixed) = 0;
	}
	/* As late as may be: the packet is in no queue before. */
	ONCE(*way->last) = now_ns();
	__sync_fetch_and_add(way->left, packets);
	return leave(outcome);
}

/* The same for a packet that the kernel never carries. */
INLINE int leave_always(const struct way *way, __u64 now, __u32 packets, enum outcome outcome)
{
	int action = leave_behind(way, now, packets, outcome);
	__u16 mixed = ONCE(*way->mixed);
	if (mixed < MIXED)
		ONCE(*way->mixed) = mixed + 1;
	return action;
}

/*
 * Whether packets before this one are still in user space. Some never leave it, so there is an end to waiting: none is there
 * any more if its queues were empty since the last one was left (`empty`), and all others have left if none has come for a
 * while. More than a few are a flow that user space is too slow for, unless the kernel cannot carry it as a whole.
 *
 * That the queues were empty later is no proof yet. A packet gets into one only behind this program: into the TUN's at once,
 * into the socket's when the stack has judged it, or when an interrupt or a hypervisor lets this processor go on. A lane that
 * takes its time and finds the queue empty in between says so with a time behind `last`, and no margin is both long enough for
 * that and shorter than the time between two packets of a fast flow. So it must be true for two packets in a row, and no more
 * of them ahead the second time. A packet that was lost is ahead of both. One that was late is in the queue by the time that
 * the next one of its flow comes, as the flow's packets come one after the other; to be taken for lost, the latter would have
 * to be late, too. And between two times that it finds its queues empty, a lane has taken packets.
 */
INLINE int is_behind(const struct way *way, __u64 now, __u64 empty)
{
	__u32 left = ONCE(*way->left), ahead = left - ONCE(*way->seen);
	if (ahead == 0)
		return 0;
	/* If user space has passed on more than it was left, `ahead` is huge. */
	__u64 last = ONCE(*way->last);
	__s64 patience = setting(PATIENCE), quiet = (__u64)patience / QUIET_PART;
	int mixed = ONCE(*way->mixed) >= MIXED;
	if (mixed)
		patience *= MIXED_PATIENCE;
	if ((ahead <= MOST_AHEAD || mixed) && (__s64)(now - ONCE(*way->since)) < patience && (__s64)(now - last) < quiet) {
		__u8 lost = empty > last && ahead <= 0xff ? ahead : 0, before = ONCE(*way->lost);
		if (lost == 0 || before == 0 || lost > before) {
			if (lost != before)
				ONCE(*way->lost) = lost;
			return 1;
		}
	}
	ONCE(*way->seen) = left;
	return 0;
}

INLINE int same(const struct address *a, const struct address *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] &&
	       a->word[3] == b->word[3];
}

/*
 * Whether the stack must decide about this packet. If not, it lets the peer's datagrams pass as far as is known: its last
 * proof is young enough, and no packet is due to ask it again. Two processors may both ask; that is one packet more.
 */
INLINE int asks_stack(__u64 now, const struct peer *peer, const struct way *way, int may_ask, enum outcome *why)
{
	__u64 since = setting(SINCE), interval = setting(INTERVAL), proof = ONCE(*way->let);
	if (since == 0) {
		*why = CLOSED;
		return 1;
	}
	/* A proof of another processor may be some nanoseconds younger than `now`. */
	if (proof < since || (__s64)(now - proof) >= (__s64)(LEASE * interval)) {
		*why = UNPROVEN;
		return 1;
	}
	__u64 empty = setting(EMPTY + peer->lane % LANES);
	if (peer->added > empty || is_behind(way, now, empty)) {
		*why = BEHIND;
		return 1;
	}
	if (may_ask && (__s64)(now - proof) >= (__s64)interval && (__s64)(now - ONCE(*way->asked)) >= (__s64)interval) {
		ONCE(*way->asked) = now;
		*why = SAMPLE;
		return 1;
	}
	return 0;
}

/* Whether a relay carries packets of this native address. */
INLINE int is_served(const struct address *native)
{
	struct prefix key = { .len = 128, .address = *native };
	__u32 *verdict = map_lookup(&natives, &key);
	return verdict && *verdict;
}

/* The packets that a super-packet stands for, and their bytes. */
struct load {
	__u32 packets;
	__u32 bytes;
};

/* The packets that a super-packet stands for. */
INLINE __u32 packets_in(struct __sk_buff *skb, __u32 offset, const struct ipv6 *inner)
{
	__u32 len = sizeof(*inner) + ntohs(inner->payload_len), headers = sizeof(*inner) + sizeof(struct udp);
	__u32 segment = skb->gso_size, packets = skb->gso_segs;
	__u8 byte = 0;
	if (segment == 0)
		return 1;
	if (packets != 0)
		return packets;
	/* The kernel does not believe the number of a TUN interface. */
	if (inner->next_header == PROTOCOL_TCP && !load_bytes(skb, offset + sizeof(*inner) + TCP_OFFSET, &byte, 1))
		headers = sizeof(*inner) + (byte >> 4) * 4;
	return len <= headers ? 1 : (len - headers + segment - 1) / segment;
}

/*
 * Whether the packet's upper layer needs user space. `offset` is that of the IPv6 header. Only the three usual protocols
 * pass, and only without extension headers: no routing header, no fragment, no bubble.
 */
INLINE int needs_user_space(struct __sk_buff *skb, __u32 offset, const struct ipv6 *inner, __u16 longest, struct load *load,
			    enum outcome *why)
{
	__u32 len = sizeof(*inner) + ntohs(inner->payload_len);
	__u8 byte = 0;
	switch (inner->next_header) {
	case PROTOCOL_TCP:
		if (load_bytes(skb, offset + sizeof(*inner) + TCP_FLAGS, &byte, 1)) {
			*why = WRONG_LENGTH;
			return 1;
		}
		/* User space limits the segments of a new flow to the path's MTU. */
		if (byte & TCP_FLAG_SYN) {
			*why = TCP_SYN;
			return 1;
		}
		if (skb->gso_size != 0) {
			if (load_bytes(skb, offset + sizeof(*inner) + TCP_OFFSET, &byte, 1)) {
				*why = WRONG_LENGTH;
				return 1;
			}
			__u32 headers = sizeof(*inner) + (byte >> 4) * 4, segment = skb->gso_size;
			if (len <= headers) {
				*why = WRONG_LENGTH;
				return 1;
			}
			load->bytes += (load->packets - 1) * headers;
			len = headers + segment;
		}
		break;
	case PROTOCOL_UDP:
		/* The kernel loses all of them after encapsulation. */
		if (skb->gso_size != 0) {
			*why = UDP_SEGMENTS;
			return 1;
		}
		break;
	case PROTOCOL_ICMPV6:
		/* Errors (1 to 4), echo requests and replies (128, 129); neighbours and routers are no business of a tunnel. */
		if (load_bytes(skb, offset + sizeof(*inner), &byte, 1) || byte == 0 || (byte > 4 && byte != 128 && byte != 129)) {
			*why = ICMPV6_TYPE;
			return 1;
		}
		break;
	default:
		*why = NEXT_HEADER;
		return 1;
	}
	if (len > longest) {
		*why = TOO_LONG;
		return 1;
	}
	return 0;
}

INLINE __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The sum of the header's words; 0xffff if it is right (RFC 1071). */
INLINE __u16 sum_of(const struct ipv4 *header)
{
	const __u16 *word = (const __u16 *)header;
	__u32 sum = word[0] + word[1] + word[2] + word[3] + word[4] + word[5] + word[6] + word[7] + word[8] + word[9];
	return fold(sum);
}

/* The offset of the upper layer's checksum. */
INLINE __u32 checksum_offset(const struct ipv6 *inner)
{
	return sizeof(*inner) + (inner->next_header == PROTOCOL_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
}

/*
 * Whether the kernel has left the packet's checksum to the hardware: the field holds the sum of the pseudo header alone
 * (RFC 8200 section 8.1). A right checksum has that value once in 65,536 packets, and is the same if it is computed again.
 */
INLINE int lacks_checksum(struct __sk_buff *skb, const struct ipv6 *inner)
{
	struct address a = inner->source, b = inner->destination;
	__u32 sum = inner->payload_len + htons(inner->next_header);
	__u16 field = 0;
	if (skb->gso_size != 0)
		return 1;
	if (inner->next_header != PROTOCOL_TCP && inner->next_header != PROTOCOL_UDP)
		return 0;
	load_bytes(skb, checksum_offset(inner), &field, sizeof(field));
	sum += (a.word[0] & 0xffff) + (a.word[0] >> 16) + (a.word[1] & 0xffff) + (a.word[1] >> 16);
	sum += (a.word[2] & 0xffff) + (a.word[2] >> 16) + (a.word[3] & 0xffff) + (a.word[3] >> 16);
	sum += (b.word[0] & 0xffff) + (b.word[0] >> 16) + (b.word[1] & 0xffff) + (b.word[1] >> 16);
	sum += (b.word[2] & 0xffff) + (b.word[2] >> 16) + (b.word[3] & 0xffff) + (b.word[3] >> 16);
	return fold(sum) == field;
}

/* The checksum of a packet that lacks it: the field already holds the sum of the pseudo header. 0 if the packet is too long. */
INLINE __u16 whole_checksum(struct __sk_buff *skb, const struct ipv6 *inner)
{
	__u32 offset = sizeof(*inner), rest = ntohs(inner->payload_len), sum = 0;
	for (int i = 0; i < SUM_PARTS && rest != 0; i++) {
		__u64 part[SUM_PART_LEN / sizeof(__u64)] = {};
		__u32 len = rest < SUM_PART_LEN ? rest : SUM_PART_LEN;
		/* The verifier forgets that it is not 0. */
		__asm__ volatile("" : "+r"(len));
		len = ((len - 1) & (SUM_PART_LEN - 1)) + 1;
		if (load_bytes(skb, offset, part, len))
			return 0;
		sum = csum_diff(0, 0, part, SUM_PART_LEN, sum);
		offset += len;
		rest -= len;
	}
	if (rest != 0)
		return 0;
	__u16 checksum = ~fold(sum);
	/* RFC 8200 section 8.1: 0 is no checksum. TCP takes this value, too (RFC 1624 section 3). */
	return checksum ? checksum : 0xffff;
}

/*
 * Whether the peer takes packets that lack a checksum. `encapsulate` alone sends datagrams without a UDP checksum (RFC 768),
 * and so does the user space behind it now and then, which completes such packets. Others do not (RFC 1122 section 4.1.3.4).
 */
INLINE int takes_bare(const struct peer *peer, __u64 now)
{
	__u64 bare = ONCE(peer->bare);
	return bare != 0 && (__s64)(now - bare) < (__s64)SHOWN;
}

INLINE void note_bare(struct peer *peer, const struct udp *udp, __u64 now)
{
	if (peer->flags & NEEDS_CHECKSUMS && udp->checksum == 0)
		ONCE(peer->bare) = now;
}

/*
 * Puts the outer headers in front of a packet that lacks its checksum, and completes it. The kernel would compute the
 * checksum again in hardware. It forgets the place that is cut off.
 */
INLINE enum outcome complete(struct __sk_buff *skb, const struct ipv6 *inner, const struct outer *outer)
{
	struct completed head = { .outer = *outer };
	__u16 checksum = whole_checksum(skb, inner);
	__u32 offset = sizeof(head.outer) + checksum_offset(inner);
	if (checksum == 0 || load_bytes(skb, 0, head.start, sizeof(head.start)))
		return NO_CHECKSUM;
	/* The packet becomes one of IPv4 at once. */
	if (adjust_room(skb, -(int)SUM_START_LEN, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_DECAP_L3_IPV4))
		return NO_ROOM;
	if (adjust_room(skb, sizeof(head), BPF_ADJ_ROOM_MAC, 0) || store_bytes(skb, 0, &head, sizeof(head), 0) ||
	    store_bytes(skb, offset, &checksum, sizeof(checksum), 0))
		return LOST;
	return ENCAPSULATED;
}

/* Packets of the host for a peer, at the TUN's egress. */
SEC("classifier/encapsulate")
int encapsulate(struct __sk_buff *skb)
{
	enum outcome why = CLOSED;
	__u32 len = skb->len;
	struct ipv6 inner;

	if (skb->protocol != htons(ETH_P_IPV6) || load_bytes(skb, 0, &inner, sizeof(inner)))
		return TC_ACT_UNSPEC;
	struct address destination = inner.destination;
	struct peer *peer = map_lookup(&peers, &destination);
	if (!peer)
		return TC_ACT_UNSPEC;
	if (skb->ifindex != peer->overlay)
		return leave(WRONG_INTERFACE);
	struct address source = inner.source;
	if (peer->flags & IS_RELAY) {
		if (!is_served(&source))
			return leave(NOT_SERVED);
	} else if (!same(&source, &peer->own)) {
		return leave(WRONG_ADDRESS);
	}
	if (inner.version_class >> 4 != 6 || len != sizeof(inner) + ntohs(inner.payload_len))
		return leave(WRONG_LENGTH);
	if (len + HEADERS_LEN > 0xffff)
		return leave(TOO_LONG);
	__u64 now = now_ns();
	struct way way = way_out(peer);
	struct load load = { .packets = packets_in(skb, 0, &inner), .bytes = len };
	if (needs_user_space(skb, 0, &inner, peer->longest, &load, &why))
		return leave_always(&way, now, load.packets, why);
	int completes = peer->flags & NEEDS_CHECKSUMS && !takes_bare(peer, now) && lacks_checksum(skb, &inner);
	if (completes && (skb->gso_size != 0 || len < SUM_START_LEN + sizeof(struct ipv4)))
		return leave_always(&way, now, load.packets, NO_CHECKSUM);
	if ((__s64)(now - ONCE(peer->heard)) >= (__s64)VALIDITY)
		return leave_behind(&way, now, load.packets, SILENT);
	if (asks_stack(now, peer, &way, 1, &why))
		return leave_behind(&way, now, load.packets, why);

	/* Not-ECT outside (RFC 9601 section 6.1.3); may be fragmented, as user space's datagrams. */
	struct outer outer = {
		.ipv4 = {
			.version_ihl = 0x45,
			.len = htons(len + HEADERS_LEN),
			.id = (__u16)random_u32(),
			.ttl = peer->ttl,
			.protocol = PROTOCOL_UDP,
			.source = peer->local,
			.destination = peer->remote,
		},
		.udp = {
			.source = peer->local_port,
			.destination = peer->remote_port,
			.len = htons(len + sizeof(struct udp)),
			/* None (RFC 768): the inner checksums protect all but hop limit and flow label. */
			.checksum = 0,
		},
	};
	outer.ipv4.checksum = ~sum_of(&outer.ipv4);
	__u32 underlay = peer->underlay;

	if (completes) {
		enum outcome outcome = complete(skb, &inner, &outer);
		if (outcome == LOST)
			return lost();
		if (outcome != ENCAPSULATED)
			return leave_behind(&way, now, load.packets, outcome);
	} else {
		if (adjust_room(skb, HEADERS_LEN, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP))
			return leave_behind(&way, now, load.packets, NO_ROOM);
		if (store_bytes(skb, 0, &outer, sizeof(outer), 0))
			return lost();
	}
	/* Without room for the link's header, the kernel drops the packet in silence. */
	if (change_head(skb, sizeof(struct ethernet), 0))
		return lost();
	/* A rule for the inner packet may have set it, and it would choose another route than that of user space's datagrams. */
	skb->mark = 0;
	/* For watch_out. That of user space's datagrams is 0. */
	skb->priority = setting(PRIORITY);
	ONCE(peer->sent) = now;
	__sync_fetch_and_add(&peer->packets_out, load.packets);
	__sync_fetch_and_add(&peer->bytes_out, load.bytes);
	add(ENCAPSULATED, load.packets);
	add(ENCAPSULATED_BYTES, load.bytes);
	return redirect_neigh(underlay, 0, 0, 0);
}

/*
 * Whether a virtual link has handed on the datagram without its checksum: the field holds the sum of the pseudo header alone.
 * A right checksum that has this value by chance is taken for one, which costs time only.
 */
INLINE int lacks_outer_checksum(const struct outer *outer)
{
	__u32 a = outer->ipv4.source, b = outer->ipv4.destination;
	__u32 sum = (a & 0xffff) + (a >> 16) + (b & 0xffff) + (b >> 16) + htons(PROTOCOL_UDP) + outer->udp.len;
	return outer->udp.checksum == fold(sum);
}

/* Datagrams of a peer, at the underlay's ingress. */
SEC("classifier/decapsulate")
int decapsulate(struct __sk_buff *skb)
{
	enum outcome why = CLOSED;
	struct frame frame;
	struct ipv4 *ipv4 = &frame.outer.ipv4;
	struct udp *udp = &frame.outer.udp;
	struct ipv6 *inner = &frame.inner;

	if (skb->protocol != htons(ETH_P_IP) || skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return TC_ACT_UNSPEC;
	/* Most packets of a host are not UDP. */
	if (load_bytes(skb, 0, &frame, sizeof(frame)) || ipv4->protocol != PROTOCOL_UDP || ipv4->version_ihl != 0x45 ||
	    ipv4->fragment & htons(0x3fff) || inner->version_class >> 4 != 6)
		return TC_ACT_UNSPEC;
	struct address source = inner->source;
	struct peer *peer = map_lookup(&peers, &source);
	if (!peer)
		return TC_ACT_UNSPEC;
	if (skb->ifindex != peer->underlay)
		return leave(WRONG_INTERFACE);
	if (ipv4->source != peer->remote || udp->source != peer->remote_port || ipv4->destination != peer->local ||
	    udp->destination != peer->local_port)
		return leave(WRONG_MAPPING);
	__u64 now = now_ns();
	struct way way = way_in(peer);
	struct load load = { .packets = packets_in(skb, sizeof(struct ethernet) + HEADERS_LEN, inner) };
	/* Trailers, or a train that the kernel has joined. */
	__u32 len = sizeof(*inner) + ntohs(inner->payload_len);
	if (skb->len != sizeof(struct ethernet) + HEADERS_LEN + len || ntohs(ipv4->len) != HEADERS_LEN + len ||
	    ntohs(udp->len) != sizeof(*udp) + len)
		return inner->next_header == NO_NEXT_HEADER ? leave(WRONG_LENGTH) :
							      leave_always(&way, now, load.packets, WRONG_LENGTH);
	if (sum_of(ipv4) != 0xffff)
		return leave(CHECKSUM);
	struct address destination = inner->destination;
	if (peer->flags & IS_RELAY) {
		if (!is_served(&destination))
			return leave(NOT_SERVED);
	} else if (!same(&destination, &peer->own)) {
		return leave(WRONG_ADDRESS);
	}
	if (inner->hop_limit == 0)
		return leave(HOP_LIMIT);
	load.bytes = len;
	if (needs_user_space(skb, sizeof(struct ethernet) + HEADERS_LEN, inner, peer->longest, &load, &why))
		return inner->next_header == NO_NEXT_HEADER ? leave(why) : leave_always(&way, now, load.packets, why);

	/* RFC 6040 section 4.2. */
	__u8 outer_ecn = ipv4->tos & ECN_MASK, inner_ecn = inner->class_flow >> ECN_SHIFT & ECN_MASK, ecn = inner_ecn;
	if (outer_ecn == ECN_CE) {
		if (inner_ecn == 0)
			return leave(CONGESTION);
		ecn = ECN_CE;
	} else if (outer_ecn == ECN_ECT1 && inner_ecn == ECN_ECT0) {
		ecn = ECN_ECT1;
	}

	/* Not with a super-packet, which user space would have to copy. One that is not proven renews the proof all the same. */
	if (asks_stack(now, peer, &way, skb->gso_size == 0, &why))
		return leave_behind(&way, now, load.packets, why);

	__u32 overlay = peer->overlay;
	if (ecn != inner_ecn) {
		__u8 byte = (inner->class_flow & ~(ECN_MASK << ECN_SHIFT)) | ecn << ECN_SHIFT;
		__u32 offset = sizeof(struct ethernet) + HEADERS_LEN + 1;
		if (store_bytes(skb, offset, &byte, 1, BPF_F_RECOMPUTE_CSUM))
			return leave(NO_ROOM);
	}
	/*
	 * The kernel remembers the place of a checksum that is missing, and would fill it in when the packet is forwarded: in the
	 * header of its frame. It forgets a place that is cut off, so some of the inner header is, and comes back.
	 */
	int again = skb->gso_size == 0 && lacks_outer_checksum(&frame.outer) ? SUM_PLACE_LEN : 0;
	if (adjust_room(skb, -(int)HEADERS_LEN - again, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_DECAP_L3_IPV6))
		return leave(NO_ROOM);
	if (again) {
		inner->class_flow = (inner->class_flow & ~(ECN_MASK << ECN_SHIFT)) | ecn << ECN_SHIFT;
		if (adjust_room(skb, SUM_PLACE_LEN, BPF_ADJ_ROOM_MAC, 0) ||
		    store_bytes(skb, sizeof(struct ethernet), inner, SUM_PLACE_LEN, BPF_F_RECOMPUTE_CSUM))
			return lost();
	}
	__u16 protocol = htons(ETH_P_IPV6);
	if (store_bytes(skb, 12, &protocol, sizeof(protocol), 0))
		return lost();
	/* For watch_delivered. That of user space's packets is 0. */
	skb->mark = CARRIED;
	ONCE(peer->heard) = now;
	note_bare(peer, udp, now);
	__sync_fetch_and_add(&peer->packets_in, load.packets);
	__sync_fetch_and_add(&peer->bytes_in, load.bytes);
	add(DECAPSULATED, load.packets);
	add(DECAPSULATED_BYTES, load.bytes);
	return redirect(overlay, BPF_F_INGRESS);
}

/* The entry that a datagram belongs to, if it goes from this address and port to the peer's, or back. */
INLINE int is_between(const struct peer *peer, __u32 local, __u16 local_port, __u32 remote, __u16 remote_port)
{
	return peer->local == local && peer->local_port == local_port && peer->remote == remote &&
	       peer->remote_port == remote_port;
}

/*
 * Watches the underlay's egress: a datagram of user space for a peer that leaves here as it should has passed the stack's
 * rules for the way out. Those of `encapsulate` prove nothing.
 */
SEC("classifier/watch_out")
int watch_out(struct __sk_buff *skb)
{
	struct frame frame;
	struct ipv4 *ipv4 = &frame.outer.ipv4;
	struct udp *udp = &frame.outer.udp;

	if (skb->priority == setting(PRIORITY)) {
		/* The programs of another node that come later know their own ones. */
		skb->priority = 0;
		return TC_ACT_UNSPEC;
	}
	if (skb->protocol != htons(ETH_P_IP) || skb->vlan_present)
		return TC_ACT_UNSPEC;
	if (load_bytes(skb, 0, &frame, sizeof(frame)) || ipv4->protocol != PROTOCOL_UDP || ipv4->version_ihl != 0x45 ||
	    ipv4->tos != 0 || ipv4->fragment & htons(0x3fff) || frame.inner.version_class >> 4 != 6)
		return TC_ACT_UNSPEC;
	struct address destination = frame.inner.destination;
	struct peer *peer = map_lookup(&peers, &destination);
	if (peer && skb->ifindex == peer->underlay &&
	    is_between(peer, ipv4->source, udp->source, ipv4->destination, udp->destination)) {
		/*
		 * A rule that has marked it, chosen its class or its time to live would do so to all: a filter or queue behind
		 * this place, or a router, tells it from those of `encapsulate`.
		 */
		if (skb->mark == 0 && skb->priority == 0 && ipv4->ttl == peer->ttl)
			ONCE(peer->let_out) = now_ns();
		if (frame.inner.next_header != NO_NEXT_HEADER)
			__sync_fetch_and_add(&peer->seen_out, skb->gso_segs ? skb->gso_segs : 1);
	}
	return TC_ACT_UNSPEC;
}

/* Watches the TUN's ingress: user space has passed on a packet of a peer. */
SEC("classifier/watch_delivered")
int watch_delivered(struct __sk_buff *skb)
{
	struct ipv6 inner;

	if (skb->mark == CARRIED) {
		skb->mark = 0;
		return TC_ACT_UNSPEC;
	}
	if (skb->protocol != htons(ETH_P_IPV6) || load_bytes(skb, 0, &inner, sizeof(inner)))
		return TC_ACT_UNSPEC;
	struct address source = inner.source;
	struct peer *peer = map_lookup(&peers, &source);
	if (peer && skb->ifindex == peer->overlay)
		__sync_fetch_and_add(&peer->seen_in, packets_in(skb, 0, &inner));
	return TC_ACT_UNSPEC;
}

/*
 * Watches the service port's socket: a datagram of a peer that arrives here has passed the stack's rules for the way in.
 * Takes every datagram whole.
 */
SEC("socket/watch_in")
int watch_in(struct __sk_buff *skb)
{
	struct ipv4 ipv4;
	struct udp udp;
	struct ipv6 inner;

	if (load_bytes_relative(skb, 0, &ipv4, sizeof(ipv4), BPF_HDR_START_NET) || ipv4.version_ihl >> 4 != 4 ||
	    load_bytes(skb, 0, &udp, sizeof(udp)) || load_bytes(skb, sizeof(udp), &inner, sizeof(inner)) ||
	    inner.version_class >> 4 != 6)
		return -1;
	struct address source = inner.source;
	struct peer *peer = map_lookup(&peers, &source);
	if (peer && skb->ifindex == peer->underlay &&
	    is_between(peer, ipv4.destination, udp.destination, ipv4.source, udp.source)) {
		__u64 now = now_ns();
		ONCE(peer->let_in) = now;
		note_bare(peer, &udp, now);
	}
	return -1;
}
