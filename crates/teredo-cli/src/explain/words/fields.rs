//! The further words of `teredo status`: columns of the peers, and fields inside the objects of its JSON.

use super::{NOTHING, Word, word};

pub(super) const WORDS: &[Word] = &[
    word(
        "local_port",
        "line",
        "the UDP port of the client or relay on this host, which a firewall has to open",
        "'teredo port' prints it alone",
    ),
    word(
        "reached",
        "line",
        "who is always reached from behind this symmetric NAT: peers by the kind of their NAT, as 'teredo lab' names them, and \
         native hosts",
        NOTHING,
    ),
    word(
        "perhaps",
        "line",
        "who is reached from behind this symmetric NAT under the condition that follows",
        NOTHING,
    ),
    word(
        "not_reached",
        "line",
        "who is never reached from behind this symmetric NAT",
        "'teredo explain symmetric' has the ways out",
    ),
    word(
        "rx",
        "line",
        "what came in from the IPv4 side, in bytes; with '--watch' also per second",
        NOTHING,
    ),
    word(
        "tx",
        "line",
        "what went out on the IPv4 side, in bytes; with '--watch' also per second",
        NOTHING,
    ),
    word(
        "addresses",
        "line",
        "the two addresses of a server",
        NOTHING,
    ),
    word(
        "answered",
        "line",
        "the solicitations and echo requests that a server answered",
        NOTHING,
    ),
    word(
        "forwarded",
        "line",
        "the packets that a server passed on: to clients, and ICMPv6 to the IPv6 Internet",
        NOTHING,
    ),
    word(
        "traffic",
        "line",
        "all bytes that a server received (Rx) and sent (Tx)",
        NOTHING,
    ),
    word(
        "in_use",
        "data_path",
        "who carries the packets of known peers now: 'kernel' or 'user'",
        "explain those words",
    ),
    word(
        "kernel",
        "data_path",
        "eBPF programs carry the packets of known peers, and user space the rest and one packet of each peer an interval; they \
         bypass the IPv4 stack",
        NOTHING,
    ),
    word(
        "user",
        "data_path",
        "the daemon itself carries all packets",
        "'reason' says why the kernel does not",
    ),
    word(
        "packets",
        "data_path",
        "how many packets each has carried since the daemon started, both ways",
        NOTHING,
    ),
    word("peer", "column", "the IPv6 address of the peer", NOTHING),
    word(
        "path",
        "column",
        "the IPv4 address and port that packets for the peer go to: the mapping of a client, or the relay of a native host; \
         '-' or null if none was found",
        NOTHING,
    ),
    word(
        "heard",
        "column",
        "when the last packet of the peer came in over its path",
        NOTHING,
    ),
    word(
        "sent",
        "column",
        "when the last packet for the peer left",
        NOTHING,
    ),
    word(
        "heard_ms",
        "JSON, peer",
        "how long ago the last packet of the peer came in over its path, in milliseconds",
        NOTHING,
    ),
    word(
        "sent_ms",
        "JSON, peer",
        "how long ago the last packet for the peer left, in milliseconds",
        NOTHING,
    ),
    word(
        "began",
        "JSON, peer",
        "whether the peer spoke first, and not this host",
        NOTHING,
    ),
    word(
        "client",
        "role",
        "a host that has a Teredo address (RFC 4380 §2.1)",
        NOTHING,
    ),
    word(
        "relay",
        "role",
        "a node that carries packets between clients and hosts with native IPv6 (RFC 4380 §2.4)",
        NOTHING,
    ),
    word(
        "server",
        "role",
        "a node that tells clients their address and introduces them to each other; it carries no data (RFC 4380 §2.3)",
        NOTHING,
    ),
    word(
        "total",
        "JSON, peers",
        "how many peers are in the list",
        NOTHING,
    ),
    word(
        "capacity",
        "JSON, peers",
        "how many peers the list can hold",
        NOTHING,
    ),
    word(
        "rx_packets",
        "JSON, counters",
        "packets that came in from the IPv4 side",
        NOTHING,
    ),
    word(
        "rx_bytes",
        "JSON, counters",
        "bytes that came in from the IPv4 side",
        NOTHING,
    ),
    word(
        "tx_packets",
        "JSON, counters",
        "packets that went out on the IPv4 side",
        NOTHING,
    ),
    word(
        "tx_bytes",
        "JSON, counters",
        "bytes that went out on the IPv4 side",
        NOTHING,
    ),
    word(
        "primary",
        "JSON, pairs",
        "the address of a server that clients are configured with",
        NOTHING,
    ),
    word(
        "secondary",
        "JSON, pairs",
        "the other address of a server, by which clients notice a symmetric NAT (RFC 4380 §5.2.1)",
        NOTHING,
    ),
    word(
        "destination",
        "JSON, limited",
        "an IPv4 address, or a network of the IPv6 Internet, to which the server's limits refuse packets",
        NOTHING,
    ),
    word(
        "changes",
        "JSON, notifications",
        "how often the port was added, changed and deleted",
        NOTHING,
    ),
    word("add", "JSON, changes", "from no port to one", NOTHING),
    word(
        "change",
        "JSON, changes",
        "from one port to another",
        NOTHING,
    ),
    word("delete", "JSON, changes", "from a port to none", NOTHING),
    word(
        "subscribers",
        "JSON, notifications",
        "how many programs and firewalls are notified of the port",
        NOTHING,
    ),
    word(
        "departed",
        "JSON, notifications",
        "whether the last firewall agent has ended, and no other follows the port",
        "systemctl status teredo-firewall",
    ),
];
