//! The words of `teredo trace` and of the pictures: datagrams, NATs, and why a datagram did not arrive.

use super::{NOTHING, Word, word};

pub(super) const WORDS: &[Word] = &[
    word(
        "solicitation",
        "datagram",
        "a client asks a server for its mapping (router solicitation, RFC 4380 §5.2.1)",
        NOTHING,
    ),
    word(
        "advertisement",
        "datagram",
        "the server's answer: the address and port that it sees (router advertisement)",
        NOTHING,
    ),
    word(
        "bubble",
        "datagram",
        "an empty packet from node to node, which opens the sender's NAT for the answer (RFC 4380 §2.8)",
        NOTHING,
    ),
    word(
        "indirect-bubble",
        "datagram",
        "a bubble by way of the receiver's server, which gets through the receiver's NAT and asks for a direct bubble (RFC 4380 \
         §5.2.6)",
        NOTHING,
    ),
    word(
        "discovery-bubble",
        "datagram",
        "a bubble to 224.0.0.253, by which clients on one link find each other (RFC 4380 §5.2.8)",
        "'local_discovery = false' turns it off",
    ),
    word(
        "ping-request",
        "datagram",
        "the echo request of a ping test: by way of the client's server, it asks a native host, and the answer shows the relay \
         that serves it (RFC 4380 §5.2.9)",
        NOTHING,
    ),
    word(
        "ping test",
        "datagram",
        "the same as 'ping-request': a client looks for the relay of a native host (RFC 4380 §5.2.9)",
        NOTHING,
    ),
    word(
        "ping-reply",
        "datagram",
        "the native host's answer to a ping test, by way of its relay",
        NOTHING,
    ),
    word("data", "datagram", "any other IPv6 packet", NOTHING),
    word(
        "malformed",
        "datagram",
        "a datagram to or from a Teredo server that holds no Teredo packet",
        "look at it with tcpdump or Wireshark: other programs may use the port",
    ),
    word(
        "train",
        "datagram",
        "how many IPv6 packets a captured datagram holds: the kernel cuts such a train only behind the place of the capture \
         (UDP_SEGMENT)",
        NOTHING,
    ),
    word(
        "cone bit",
        "datagram",
        "a bit in the source of a solicitation: the server answers from another address, which shows a cone NAT (RFC 4380 \
         §5.2.1). Newer clients do without (RFC 5991)",
        NOTHING,
    ),
    word(
        "nonce",
        "trailer",
        "four random bytes behind an indirect bubble, which the direct answer repeats: so a peer behind a symmetric NAT is told \
         from a stranger (RFC 6081 §4.2)",
        NOTHING,
    ),
    word(
        "alternate-address",
        "trailer",
        "the local addresses of a client, for a peer behind the same NAT (RFC 6081 §4.3)",
        NOTHING,
    ),
    word(
        "neighbor-discovery",
        "trailer",
        "a question to an idle peer whether the path still works, or its answer, without the server (RFC 6081 §4.4)",
        NOTHING,
    ),
    word(
        "random-port",
        "trailer",
        "the number of a further port of the client, for this peer alone (RFC 6081 §4.5)",
        NOTHING,
    ),
    word(
        "time to live",
        "datagram",
        "how many routers a datagram may pass. Some bubbles are to end behind the sender's own NAT: they open it, and an early \
         one would do harm at the other NAT",
        NOTHING,
    ),
    word(
        "filtered",
        "picture",
        "a NAT dropped the datagram: the mapping exists, but does not admit this sender",
        NOTHING,
    ),
    word(
        "no mapping",
        "picture",
        "a NAT dropped the datagram: no host inside has sent anything from that port, or too long ago",
        NOTHING,
    ),
    word(
        "no free port",
        "picture",
        "a NAT dropped the datagram of a host inside: it has no port left for it",
        NOTHING,
    ),
    word(
        "no hairpinning",
        "picture",
        "a NAT dropped the datagram of a host inside to the NAT's own public address (RFC 4787 §6)",
        NOTHING,
    ),
    word(
        "none",
        "NAT",
        "the server sees the client's own address: there is no NAT",
        NOTHING,
    ),
    word(
        "cone",
        "NAT",
        "one mapping for all destinations, and an end that was not sent to got through to it",
        NOTHING,
    ),
    word(
        "restricted",
        "NAT",
        "one mapping for all destinations, and it does not admit everybody: address-restricted or port-restricted. Datagrams \
         of Teredo do not show which",
        NOTHING,
    ),
    word(
        "symmetric",
        "NAT",
        "two mappings of one port were alive at a time: each destination sees another one",
        NOTHING,
    ),
    word(
        "client",
        "node",
        "a node with a Teredo address, or one that asks for one",
        NOTHING,
    ),
    word(
        "server",
        "node",
        "a node that answers solicitations, or that Teredo addresses name as their server",
        NOTHING,
    ),
    word(
        "relay",
        "node",
        "a node that sends the packets of native IPv6 hosts",
        NOTHING,
    ),
    word(
        "group",
        "node",
        "224.0.0.253, to which discovery bubbles go (RFC 4380 §5.2.8)",
        NOTHING,
    ),
    word(
        "unknown",
        "node",
        "an end that was sent to, and from which nothing was seen",
        NOTHING,
    ),
    word(
        "unknown",
        "trailer",
        "a trailer of a type that RFC 6081 does not have",
        NOTHING,
    ),
    word(
        "stall",
        "line",
        "a question of a node that has no answer in the capture, so that the exchange does not go on",
        "the text beside it names the likely reason",
    ),
];
