//! The counters of the path in the kernel (docs/kernel-path.md): what its programs did with each packet of a known peer.

use super::{NOTHING, Word, word};

const PLACE: &str = "data_path";

/// Packets that user space carries instead cost speed alone.
const SPEED: &str = "nothing: user space carries them";

pub(super) const WORDS: &[Word] = &[
    word(
        "kernel_encapsulated",
        PLACE,
        "packets that the kernel sent to peers; a super-packet counts as the packets in it",
        NOTHING,
    ),
    word(
        "kernel_encapsulated_bytes",
        PLACE,
        "the bytes of the packets that the kernel sent to peers",
        NOTHING,
    ),
    word(
        "kernel_decapsulated",
        PLACE,
        "packets of peers that the kernel delivered to the host",
        NOTHING,
    ),
    word(
        "kernel_decapsulated_bytes",
        PLACE,
        "the bytes of the packets that the kernel delivered to the host",
        NOTHING,
    ),
    word(
        "kernel_closed",
        PLACE,
        "packets that came while the kernel's path was closed, and went to user space",
        "the line 'Data path' of 'teredo status' has the reason",
    ),
    word(
        "kernel_unproven",
        PLACE,
        "packets of peers whose datagrams the IPv4 rules of this host were not seen to let pass lately; user space has them, and \
         so they meet the rules",
        "if it grows with each packet, a rule, a NAT or a policy route of this host drops or changes the datagrams",
    ),
    word(
        "kernel_sample",
        PLACE,
        "packets that went to user space to ask the rules of this host again: one of each peer and direction every two seconds",
        NOTHING,
    ),
    word(
        "kernel_silent",
        PLACE,
        "packets for peers that were not heard for 30 s; user space asks them first",
        NOTHING,
    ),
    word(
        "kernel_wrong_interface",
        PLACE,
        "packets on another interface than that of the peer's path",
        "if it grows, the way to the peer has changed: look at 'ip route get' for its IPv4 address",
    ),
    word(
        "kernel_wrong_mapping",
        PLACE,
        "datagrams from or to another IPv4 address or port than those of the peer's path; user space judges them",
        NOTHING,
    ),
    word(
        "kernel_wrong_address",
        PLACE,
        "packets from or to another IPv6 address of this host than the tunnel's; user space judges them",
        NOTHING,
    ),
    word(
        "kernel_not_served",
        PLACE,
        "packets of native addresses that the relay does not carry in the kernel; user space judges them",
        "'serve' has the networks of the relay",
    ),
    word(
        "kernel_wrong_length",
        PLACE,
        "datagrams with lengths that do not agree, with trailers, or joined by the host",
        SPEED,
    ),
    word(
        "kernel_too_long",
        PLACE,
        "packets that are longer than the way to the peer takes",
        SPEED,
    ),
    word(
        "kernel_next_header",
        PLACE,
        "bubbles, and packets with extension headers or of other protocols than TCP, UDP and ICMPv6",
        SPEED,
    ),
    word(
        "kernel_icmpv6_type",
        PLACE,
        "ICMPv6 messages that are neither errors nor echoes",
        SPEED,
    ),
    word(
        "kernel_tcp_syn",
        PLACE,
        "the first packets of TCP connections, whose segment size user space limits",
        NOTHING,
    ),
    word(
        "kernel_udp_segments",
        PLACE,
        "super-packets of UDP, which the kernel cannot encapsulate",
        SPEED,
    ),
    word(
        "kernel_hop_limit",
        PLACE,
        "packets whose hop limit has run out; user space answers them",
        NOTHING,
    ),
    word(
        "kernel_checksum",
        PLACE,
        "datagrams with a wrong checksum in the IPv4 header",
        NOTHING,
    ),
    word(
        "kernel_congestion",
        PLACE,
        "packets that met congestion and whose sender does not support ECN (RFC 6040 §4.2); user space drops them",
        NOTHING,
    ),
    word(
        "kernel_no_room",
        PLACE,
        "packets that the kernel had no memory for; user space has them",
        "if it grows, the host is short of memory",
    ),
    word(
        "kernel_lost",
        PLACE,
        "packets that were dropped: the kernel had no memory, and the packet was changed already",
        "if it grows, the host is short of memory",
    ),
    word(
        "kernel_no_checksum",
        PLACE,
        "super-packets, and packets of less than 64 bytes, without a finished checksum, for a peer that is not known to finish it, on a virtual link",
        SPEED,
    ),
    word(
        "kernel_behind",
        PLACE,
        "packets that followed others through user space, which they would have overtaken",
        NOTHING,
    ),
];
