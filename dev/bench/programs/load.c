/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests for a server from within the kernel, each from another address, and its answers, counted.
 *
 *   generate ──> to-server ════ eth0 ──> the server: sockets, its XDP program, or `bounce`
 *   count_frames or count_packets <── to-server ════ eth0 <──┘
 *
 * `generate` is run by BPF_PROG_TEST_RUN with live frames. Never more requests are under way than the window takes, so
 * that a server that is slow loses nothing.
 */
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef long long __s64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define ONCE(field) (*(volatile __typeof__(field) *)&(field))
#define htons(value) ((__u16)__builtin_bswap16(value))
#define htonl(value) ((__u32)__builtin_bswap32(value))

#define XDP_ABORTED 0
#define XDP_DROP 1
#define XDP_PASS 2
#define XDP_TX 3
#define TC_ACT_UNSPEC (-1)
#define TC_ACT_SHOT 2
#define BPF_MAP_TYPE_ARRAY 2
#define ETH_P_IP 0x0800
#define PROTOCOL_UDP 17

struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

/* Only the length is read. */
struct __sk_buff {
	__u32 len;
};

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*redirect)(__u32 interface, __u64 flags) = (void *)23;
static long (*load_bytes)(const void *skb, __u32 offset, void *to, __u32 len) = (void *)26;

struct ethernet {
	__u8 destination[6];
	__u8 source[6];
	__u16 protocol;
} __attribute__((packed));

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

struct udp {
	__u16 source;
	__u16 destination;
	__u16 len;
	__u16 checksum;
} __attribute__((packed));

struct frame {
	struct ethernet ethernet;
	struct ipv4 ipv4;
	struct udp udp;
} __attribute__((packed));

/* A bubble's destination: the last four bytes are the client's address, inverted (RFC 4380 section 4). */
struct bubble {
	struct frame frame;
	__u8 header[24];
	__u8 server_and_port[12];
	__u32 client;
} __attribute__((packed));

/* The elements of `settings`, which user space writes. */
enum setting {
	INTERFACE = 0,
	WINDOW = 1,
	/* Requests that were given up. */
	LOST = 2,
	/* The first of 65,536 addresses that ask. */
	ASKING = 3,
	/* The first of 65,536 clients that bubbles are for; 0 for solicitations. */
	CLIENTS = 4,
	/* What makes a datagram an answer: this byte of the frame has this value. */
	ANSWER_AT = 5,
	ANSWER_IS = 6,
	SETTINGS = 7,
};

/* The elements of `progress`, which one program each writes. */
enum progress {
	SENT = 0,
	ANSWERED = 1,
	PROGRESS = 2,
};

#define REQUEST_WORDS 16

struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	int (*max_entries)[SETTINGS];
	__u32 *key;
	__u64 *value;
} settings SEC(".maps");

struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	int (*max_entries)[PROGRESS];
	__u32 *key;
	__u64 *value;
} progress SEC(".maps");

/* The request. A frame is used again when its answer has come, with the answer in it. */
struct request {
	__u64 words[REQUEST_WORDS];
};

struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	int (*max_entries)[1];
	__u32 *key;
	struct request *value;
} request SEC(".maps");

char LICENSE[] SEC("license") = "MIT OR Apache-2.0";

INLINE __u64 setting(__u32 index)
{
	__u64 *value = map_lookup(&settings, &index);
	return value ? ONCE(*value) : 0;
}

INLINE __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

INLINE __u16 sum_of(const struct ipv4 *header)
{
	const __u16 *word = (const __u16 *)header;
	__u32 sum = word[0] + word[1] + word[2] + word[3] + word[4] + word[5] + word[6] + word[7] + word[8] + word[9];
	return fold(sum);
}

/* The next request, if the window has room. */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct frame *frame = data;
	__u32 index = SENT;
	__u64 *sent = map_lookup(&progress, &index);
	index = ANSWERED;
	__u64 *answered = map_lookup(&progress, &index);

	if (!sent || !answered || (void *)(frame + 1) > end)
		return XDP_ABORTED;
	__u64 number = *sent;
	if ((__s64)(number - ONCE(*answered) - setting(LOST)) >= (__s64)setting(WINDOW))
		return XDP_DROP;
	index = 0;
	struct request *whole = map_lookup(&request, &index);
	if (!whole)
		return XDP_ABORTED;
	for (int word = 0; word < REQUEST_WORDS; word++) {
		__u8 *to = data + word * sizeof(__u64), *from = (__u8 *)&whole->words[word];
		if ((void *)(to + sizeof(__u64)) <= end) {
			*(__u64 *)to = whole->words[word];
			continue;
		}
		for (int byte = 0; byte < 7; byte++)
			if ((void *)(to + byte + 1) <= end)
				to[byte] = from[byte];
		break;
	}
	frame->ipv4.source = htonl((__u32)setting(ASKING) + (number & 0xffff));
	__u32 clients = setting(CLIENTS);
	if (clients) {
		struct bubble *bubble = data;
		if ((void *)(bubble + 1) > end)
			return XDP_ABORTED;
		bubble->client = ~htonl(clients + (number & 0xffff));
	}
	frame->ipv4.checksum = 0;
	frame->ipv4.checksum = ~sum_of(&frame->ipv4);
	ONCE(*sent) = number + 1;
	return redirect(setting(INTERFACE), 0);
}

INLINE void count(void)
{
	__u32 index = ANSWERED;
	__u64 *answered = map_lookup(&progress, &index);
	if (answered)
		__sync_fetch_and_add(answered, 1);
}

/* The answers of a server that is an XDP program: it can only send to an interface that has one as well. */
SEC("xdp")
int count_frames(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct frame *frame = data;
	if ((void *)(frame + 1) > end || frame->ethernet.protocol != htons(ETH_P_IP) || frame->ipv4.protocol != PROTOCOL_UDP)
		return XDP_PASS;
	__u8 *byte = data + (setting(ANSWER_AT) & 0xff);
	if ((void *)(byte + 1) > end || *byte != setting(ANSWER_IS))
		return XDP_PASS;
	count();
	return XDP_DROP;
}

/* Those of a server that is a program with sockets; an XDP program would copy its packets. */
SEC("classifier/count_packets")
int count_packets(struct __sk_buff *skb)
{
	struct frame frame;
	__u8 byte;
	if (load_bytes(skb, 0, &frame, sizeof(frame)) || frame.ethernet.protocol != htons(ETH_P_IP) ||
	    frame.ipv4.protocol != PROTOCOL_UDP)
		return TC_ACT_UNSPEC;
	if (load_bytes(skb, setting(ANSWER_AT) & 0xff, &byte, 1) || byte != setting(ANSWER_IS))
		return TC_ACT_UNSPEC;
	count();
	return TC_ACT_SHOT;
}

/* Sends every datagram back: the least that a server in XDP does. */
SEC("xdp")
int bounce(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct frame *frame = data;
	if ((void *)(frame + 1) > end || frame->ethernet.protocol != htons(ETH_P_IP) || frame->ipv4.protocol != PROTOCOL_UDP)
		return XDP_PASS;
	struct ethernet ethernet = frame->ethernet;
	__builtin_memcpy(frame->ethernet.destination, ethernet.source, 6);
	__builtin_memcpy(frame->ethernet.source, ethernet.destination, 6);
	/* The checksums stay right. */
	__u32 source = frame->ipv4.source;
	frame->ipv4.source = frame->ipv4.destination;
	frame->ipv4.destination = source;
	__u16 port = frame->udp.source;
	frame->udp.source = frame->udp.destination;
	frame->udp.destination = port;
	return XDP_TX;
}
