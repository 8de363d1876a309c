/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A server's router solicitations, answered where they arrive (RFC 4380 section 5.3.2). docs/kernel-path.md explains why
 * that is sound.
 *
 *   world ──> interface: answer ──┬── plain solicitation ──> advertisement ──> back by the same interface
 *                                 │ any doubt
 *                                 v
 *                             the stack ──> filter: saw_in ──> UDP socket: user space ──> the stack ──> egress: saw_out
 *
 * Only the plainest form is answered: all lengths agree, no options, no fragment, no trailers, from a link-local address to
 * all routers, either bare or behind an authentication element that holds a nonce alone. The answer is that of user space,
 * byte for byte, and takes a token from the same bucket. Each program has a fixed number of steps and allocates nothing.
 */
#include "server.h"

#define PORT 3544

#define ROUTER_SOLICITATION 133
#define HOP_LIMIT 255
#define ICMPV6_LEN 8
/* Behind the IPv6 header of the advertisement. */
#define ADVERTISEMENT_LEN 56

struct ethernet {
	struct hardware destination;
	struct hardware source;
	__u16 protocol;
} __attribute__((packed));

struct headers {
	struct ethernet ethernet;
	struct ipv4 ipv4;
	struct udp udp;
} __attribute__((packed));

struct solicitation {
	/* Version, class, flow label. */
	__u8 version;
	__u8 flow[3];
	__u16 payload_len;
	__u8 next_header;
	__u8 hop_limit;
	__u32 source[4];
	__u32 destination[4];
	__u8 type;
	__u8 code;
	__u16 checksum;
	__u32 reserved;
};
_Static_assert(sizeof(struct solicitation) == 48, "RFC 4861 section 4.1, without options");

/* RFC 4380 section 5.1.1: type, lengths of identifier and value, nonce, confirmation. */
#define AUTHENTICATION_LEN 13
/* The first word of an authentication element that holds a nonce alone. */
#define NONCE_ALONE 0x00010000

struct authentication {
	__u32 begin;
	__u32 nonce[2];
	__u32 confirmation;
};

/* RFC 4380 section 5.1.1: port and address, with each bit inverted. */
struct origin {
	__u16 type;
	__u16 port;
	__u32 address;
};

/* What follows an authentication element, or nothing. */
struct answer {
	struct origin origin;
	struct advertisement advertisement;
};
#define ANSWER_LEN 104
_Static_assert(sizeof(struct answer) == ANSWER_LEN, "of 4 byte words alone");

/* How much longer an answer is than its question. */
#define GROWTH (ANSWER_LEN - 48)

#define htonl(value) ((__u32)__builtin_bswap32(value))

char LICENSE[] SEC("license") = "MIT OR Apache-2.0";

INLINE int leave(enum outcome outcome)
{
	__u32 key = outcome;
	__u64 *counter = map_lookup(&outcomes, &key);
	if (counter)
		*counter += 1;
	return XDP_PASS;
}

INLINE __u64 setting(enum control which)
{
	__u32 key = which;
	__u64 *value = map_lookup(&control, &key);
	return value ? ONCE(*value) : 0;
}

/* The sum of 32-bit words, as 16-bit words (RFC 1071). */
INLINE __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

#define sum_words(words, count)                    \
	({                                         \
		const __u32 *word_ = (words);      \
		__u64 sum_ = 0;                    \
		_Pragma("clang loop unroll(full)") \
		for (int i = 0; i < (count); i++)  \
			sum_ += word_[i];          \
		sum_;                              \
	})

/* The sum of bytes that begin at an odd place. */
INLINE __u16 at_odd(__u64 sum)
{
	return __builtin_bswap16(fold(sum));
}

/* The sum of the pseudo header of UDP (RFC 768). */
INLINE __u64 pseudo_sum(__u32 source, __u32 destination, __u16 len)
{
	return (__u64)source + destination + htons(PROTOCOL_UDP) + len;
}

INLINE __u16 ipv4_sum(const struct ipv4 *ipv4)
{
	const __u16 *word = (const __u16 *)ipv4;
	return fold((__u64)word[0] + word[1] + word[2] + word[3] + word[4] + word[5] + word[6] + word[7] + word[8] + word[9]);
}

INLINE int same(const struct hardware *a, const struct hardware *b)
{
	return a->byte[0] == b->byte[0] && a->byte[1] == b->byte[1] && a->byte[2] == b->byte[2] && a->byte[3] == b->byte[3] &&
	       a->byte[4] == b->byte[4] && a->byte[5] == b->byte[5];
}

/* Takes a token of a destination; the same as `Advertisements::allow` in crates/teredo/src/server/limiter.rs. */
INLINE int allows(__u64 now, __u32 to)
{
	__u64 token = setting(TOKEN), depth = setting(DEPTH);
	if (token == 0)
		return 1;
	__u32 bucket = (htonl(to) * setting(FACTOR)) >> (64 - BUCKET_BITS);
	__u64 *place = map_lookup(&buckets, &bucket);
	if (!place)
		return 0;
	/* Another processor may be faster; so often in turn hardly. */
	for (int i = 0; i < 8; i++) {
		__u64 seen = ONCE(*place);
		__u64 full_at = (seen > now ? seen : now) + token;
		if (full_at - now > depth)
			return 0;
		if (__sync_val_compare_and_swap(place, seen, full_at) == seen)
			return 1;
	}
	return 0;
}

/* Whether the solicitation is one that every server answers, and not a packet to judge. */
INLINE int is_plain(const struct solicitation *packet)
{
	const __u32 *word = (const __u32 *)packet;
	if (packet->version >> 4 != 6 || packet->payload_len != htons(ICMPV6_LEN) || packet->next_header != PROTOCOL_ICMPV6 ||
	    packet->hop_limit != HOP_LIMIT || packet->type != ROUTER_SOLICITATION || packet->code != 0)
		return 0;
	/* From fe80::/10 to ff02::2. */
	if ((packet->source[0] & htonl(0xffc00000)) != htonl(0xfe800000) || packet->destination[0] != htonl(0xff020000) ||
	    packet->destination[1] != 0 || packet->destination[2] != 0 || packet->destination[3] != htonl(2))
		return 0;
	/* RFC 8200 section 8.1. */
	return fold(sum_words(word + 2, 10) + htonl(ICMPV6_LEN) + htonl(PROTOCOL_ICMPV6)) == 0xffff;
}

/*
 * Whether the stack was seen to let solicitations to `in` pass, and answers from `out`, so lately that it need not be asked
 * again. Real solicitations ask.
 */
INLINE int is_let_pass(__u64 now, struct serving *in, struct serving *out, enum outcome *why)
{
	__u64 since = setting(SINCE), interval = setting(INTERVAL), let_in = ONCE(in->let_in), let_out = ONCE(out->let_out);
	*why = CLOSED;
	if (since == 0)
		return 0;
	*why = UNPROVEN;
	return let_in >= since && let_out >= since && (__s64)(now - let_in) < (__s64)(LEASE * interval) &&
	       (__s64)(now - let_out) < (__s64)(LEASE * interval);
}

/* Whether this solicitation asks. Two processors may both ask; that is one packet more. */
INLINE int asks_stack(__u64 now, struct serving *in, struct serving *out)
{
	__s64 interval = setting(INTERVAL);
	int of_in = (__s64)(now - ONCE(in->let_in)) >= interval && (__s64)(now - ONCE(in->asked_in)) >= interval;
	int of_out = (__s64)(now - ONCE(out->let_out)) >= interval && (__s64)(now - ONCE(out->asked_out)) >= interval;
	if (!of_in && !of_out)
		return 0;
	ONCE(in->asked_in) = now;
	ONCE(out->asked_out) = now;
	return 1;
}

SEC("xdp.frags")
int answer(struct xdp_md *frame)
{
	void *data = (void *)(long)frame->data, *end = (void *)(long)frame->data_end;
	struct headers *question = data;
	if (data + sizeof(*question) > end)
		return XDP_PASS;
	struct headers headers = *question;
	struct ipv4 *ipv4 = &headers.ipv4;
	struct udp *udp = &headers.udp;

	/* Most frames of a host end here. */
	if (headers.ethernet.protocol != htons(ETH_P_IP) || ipv4->protocol != PROTOCOL_UDP || udp->destination != htons(PORT))
		return XDP_PASS;
	__u32 local = ipv4->destination, to = ipv4->source;
	struct serving *serving = map_lookup(&addresses, &local);
	if (!serving)
		return XDP_PASS;
	if (serving->interface == 0 || serving->interface != frame->ingress_ifindex ||
	    !same(&headers.ethernet.destination, &serving->hardware) || headers.ethernet.source.byte[0] & 1)
		return leave(NOT_HERE);

	struct solicitation packet;
	struct authentication authentication = {};
	__u32 element = 0;
	switch (ntohs(udp->len)) {
	case sizeof(struct udp) + sizeof(packet):
		break;
	case sizeof(struct udp) + AUTHENTICATION_LEN + sizeof(packet):
		element = AUTHENTICATION_LEN;
		break;
	default:
		return leave(NOT_SOLICITATION);
	}
	/* Without options; all lengths agree, so no train that the kernel has joined, and no padding. */
	__u32 len = sizeof(*ipv4) + ntohs(udp->len);
	if (ipv4->version_ihl != 0x45 || ipv4->fragment & htons(0x3fff) || ntohs(ipv4->len) != len ||
	    frame_len(frame) != sizeof(struct ethernet) + len)
		return leave(NOT_SOLICITATION);
	__u64 sum = 0;
	if (element) {
		if (load_frame(frame, sizeof(headers), &authentication, AUTHENTICATION_LEN) ||
		    load_frame(frame, sizeof(headers) + AUTHENTICATION_LEN, &packet, sizeof(packet)) ||
		    authentication.begin != htonl(NONCE_ALONE))
			return leave(NOT_SOLICITATION);
		sum = sum_words((__u32 *)&authentication, 4) + at_odd(sum_words((__u32 *)&packet, 12));
	} else {
		if (load_frame(frame, sizeof(headers), &packet, sizeof(packet)))
			return leave(NOT_SOLICITATION);
		sum = sum_words((__u32 *)&packet, 12);
	}
	if (!is_plain(&packet))
		return leave(NOT_SOLICITATION);
	if (ipv4_sum(ipv4) != 0xffff)
		return leave(CHECKSUM);
	/*
	 * No checksum, a right one, or the half that a virtual link hands on: the sum of the pseudo header alone. In generic mode
	 * the kernel would complete the half at its old place, in the middle of the answer, even if the half is right by chance.
	 */
	__u64 pseudo = pseudo_sum(to, local, udp->len);
	if (udp->checksum == fold(pseudo)) {
		if (!(serving->flags & NATIVE))
			return leave(CHECKSUM);
	} else if (udp->checksum != 0 &&
		   fold(pseudo + sum + udp->source + udp->destination + udp->len + udp->checksum) != 0xffff) {
		return leave(CHECKSUM);
	}

	/* Refused networks, networks behind another interface, and the server itself (RFC 4380 section 5.3.1). */
	struct network network = { .len = 32, .address = to };
	__u32 *interface = map_lookup(&sources, &network);
	if (!interface || *interface != serving->interface || udp->source == 0 || map_lookup(&addresses, &to))
		return leave(SOURCE);
	struct serving *other = serving;
	if (packet.source[2] & htonl(0x80000000)) {
		local = serving->other;
		other = map_lookup(&addresses, &local);
		if (!other || local == ipv4->destination || other->interface != serving->interface)
			return leave(NO_SECONDARY);
	}
	__u32 pair = serving->pair;
	struct advertisement *advertisement = map_lookup(&advertisements, &pair);
	if (!advertisement)
		return leave(NOT_HERE);
	__u64 now = now_ns();
	enum outcome why;
	if (!is_let_pass(now, serving, other, &why))
		return leave(why);
	if (!allows(now, to))
		return leave(LIMITED);
	if (asks_stack(now, serving, other))
		return leave(SAMPLE);

	/* The answer. Nothing of the frame is changed before there is room for it. */
	struct answer answer;
	answer.origin.type = 0;
	answer.origin.port = ~udp->source;
	answer.origin.address = ~to;
#pragma unroll
	for (int i = 0; i < ADVERTISEMENT_WORDS; i++)
		answer.advertisement.word[i] = advertisement->word[i];
#pragma unroll
	for (int i = 0; i < 4; i++)
		answer.advertisement.word[6 + i] = packet.source[i];
	/* RFC 8200 section 8.1; the checksum is the second half of the word, which is zero so far. */
	__u16 checksum = ~fold(sum_words(answer.advertisement.word + 2, 22) + htonl(ADVERTISEMENT_LEN) + htonl(PROTOCOL_ICMPV6));
	answer.advertisement.word[10] |= (__u32)checksum << 16;

	__u8 ttl = serving->ttl;
	if (adjust_head(frame, -GROWTH))
		return leave(NO_ROOM);
	struct hardware own = headers.ethernet.destination;
	headers.ethernet.destination = headers.ethernet.source;
	headers.ethernet.source = own;
	/* Not-ECT (RFC 9601 section 6.1.3); may be fragmented, as user space's datagrams. */
	ipv4->tos = 0;
	ipv4->len = htons(len + GROWTH);
	ipv4->id = random_u32();
	ipv4->fragment = 0;
	ipv4->ttl = ttl;
	ipv4->source = local;
	ipv4->destination = to;
	ipv4->checksum = 0;
	ipv4->checksum = ~ipv4_sum(ipv4);
	udp->destination = udp->source;
	udp->source = htons(PORT);
	udp->len = htons(len + GROWTH - sizeof(*ipv4));
	sum = sum_words((__u32 *)&answer, ANSWER_LEN / 4);
	if (element) {
		authentication.confirmation = 0;
		sum = sum_words((__u32 *)&authentication, 4) + at_odd(sum);
	}
	checksum = ~fold(pseudo_sum(local, to, udp->len) + sum + udp->source + udp->destination + udp->len);
	udp->checksum = checksum ? checksum : 0xffff;
	if (store_frame(frame, 0, &headers, sizeof(headers)) ||
	    (element && store_frame(frame, sizeof(headers), &authentication, AUTHENTICATION_LEN)) ||
	    store_frame(frame, sizeof(headers) + element, &answer, sizeof(answer)))
		return XDP_DROP;
	pair = 2 * pair + (element != 0);
	__u64 *counter = map_lookup(&answers, &pair);
	if (counter)
		*counter += 1;
	leave(ANSWERED);
	return XDP_TX;
}

/* An address of the server, if the datagram is on its interface. */
INLINE struct serving *find(struct __sk_buff *skb, __u32 address)
{
	struct serving *serving = map_lookup(&addresses, &address);
	return serving && serving->interface == skb->ifindex ? serving : 0;
}

/* The payload of a datagram, or of each datagram of a train. */
INLINE __u32 payload_len(struct __sk_buff *skb, const struct udp *udp)
{
	return skb->gso_size ? skb->gso_size : ntohs(udp->len) - sizeof(*udp);
}

/*
 * Watches the sockets of user space: a solicitation that arrives here has passed the stack's rules for the way in. Takes every
 * datagram whole.
 */
SEC("socket/saw_in")
int saw_in(struct __sk_buff *skb)
{
	struct ipv4 ipv4;
	struct udp udp;
	if (load_bytes_relative(skb, 0, &ipv4, sizeof(ipv4), BPF_HDR_START_NET) || ipv4.version_ihl >> 4 != 4 ||
	    load_bytes(skb, 0, &udp, sizeof(udp)))
		return -1;
	struct serving *serving = find(skb, ipv4.destination);
	__u32 len = payload_len(skb, &udp);
	if (serving && (len == sizeof(struct solicitation) || len == AUTHENTICATION_LEN + sizeof(struct solicitation)))
		ONCE(serving->let_in) = now_ns();
	return -1;
}

/*
 * Watches what leaves by the interface: an answer of user space that leaves here as it should has passed the stack's rules for
 * the way out. Those of `answer` do not come here.
 */
SEC("classifier/saw_out")
int saw_out(struct __sk_buff *skb)
{
	struct headers headers;
	struct ipv4 *ipv4 = &headers.ipv4;
	if (skb->protocol != htons(ETH_P_IP) || skb->vlan_present || load_bytes(skb, 0, &headers, sizeof(headers)) ||
	    ipv4->protocol != PROTOCOL_UDP || headers.udp.source != htons(PORT) || ipv4->version_ihl != 0x45 || ipv4->tos != 0 ||
	    ipv4->fragment & htons(0x3fff))
		return TC_ACT_UNSPEC;
	struct serving *serving = find(skb, ipv4->source);
	__u32 len = payload_len(skb, &headers.udp);
	if (serving && (len == ANSWER_LEN || len == AUTHENTICATION_LEN + ANSWER_LEN))
		ONCE(serving->let_out) = now_ns();
	return TC_ACT_UNSPEC;
}
