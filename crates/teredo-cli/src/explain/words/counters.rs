//! The counters of user space, as `data_path.counters` of the status and the metric `teredo_data_path_total` have them.

use super::{NOTHING, Word, word};

const PLACE: &str = "data_path";

/// Calls show how well packets are joined.
const FEWER: &str = "nothing: far fewer calls than packets mean that the offloads work";

pub(super) const WORDS: &[Word] = &[
    word(
        "rx_datagrams",
        PLACE,
        "UDP datagrams that the program received: those that the kernel's path did not take",
        NOTHING,
    ),
    word(
        "rx_calls",
        PLACE,
        "system calls that received datagrams; one takes many",
        FEWER,
    ),
    word(
        "tx_datagrams",
        PLACE,
        "UDP datagrams that the program sent: those that the kernel's path did not send",
        NOTHING,
    ),
    word(
        "tx_calls",
        PLACE,
        "system calls that sent datagrams; one sends many of one flow",
        FEWER,
    ),
    word(
        "tun_rx_packets",
        PLACE,
        "packets that the program took from this host, to send them through the tunnel",
        NOTHING,
    ),
    word(
        "tun_rx_calls",
        PLACE,
        "system calls that took packets from this host: one for each super-packet",
        FEWER,
    ),
    word(
        "tun_tx_packets",
        PLACE,
        "packets out of the tunnel that the program delivered to this host",
        NOTHING,
    ),
    word(
        "tun_tx_calls",
        PLACE,
        "system calls that delivered packets to this host: one for each super-packet",
        FEWER,
    ),
    word(
        "carried_packets",
        PLACE,
        "packets that user space carried between this host and peers, both ways, without the node's own",
        "'data_path.packets' has those of the kernel beside them",
    ),
    word(
        "icmp_errors",
        PLACE,
        "ICMP errors about datagrams from the service port: a router on the way objected, or somebody forged one",
        NOTHING,
    ),
    word(
        "settle_misses",
        PLACE,
        "changes of the port that a firewall did not confirm in time",
        "if it grows, look at the firewall agent: 'teredo status', 'journalctl -u teredo-firewall'",
    ),
    word(
        "other_interface",
        PLACE,
        "solicitations that came to the server by another interface than that of its address: the kernel answers none there",
        "nothing: user space answers them; put the address on the interface that clients come in by, and the kernel can",
    ),
    word(
        "native_packets",
        PLACE,
        "packets that the server sent to the IPv6 Internet",
        NOTHING,
    ),
    word(
        "advertisements",
        PLACE,
        "solicitations of clients that the server's user space answered",
        NOTHING,
    ),
    word(
        "echo_replies",
        PLACE,
        "echo requests to the server itself that it answered",
        NOTHING,
    ),
    word(
        "forwarded",
        PLACE,
        "bubbles and packets that the server passed on to clients",
        NOTHING,
    ),
    word(
        "to_native",
        PLACE,
        "packets of clients that the server took for the IPv6 Internet",
        NOTHING,
    ),
];
