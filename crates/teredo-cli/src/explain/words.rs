//! The words of `teredo status`, each with its meaning and the next step.

/// A word, what it says, and what to do.
pub(super) struct Word {
    pub(super) name: &'static str,
    /// The line of the status that it stands in.
    pub(super) place: &'static str,
    pub(super) meaning: &'static str,
    pub(super) next_step: &'static str,
}

const NOTHING: &str = "nothing";
const REASON: &str = "read the line 'Reason'; 'teredo monitor' shows each change";

const fn word(
    name: &'static str,
    place: &'static str,
    meaning: &'static str,
    next_step: &'static str,
) -> Word {
    Word {
        name,
        place,
        meaning,
        next_step,
    }
}

/// Every word, in the order of the status.
pub(super) const WORDS: &[Word] = &[
    word(
        "qualified",
        "state",
        "the client has an address, and works",
        NOTHING,
    ),
    word("relaying", "state", "the relay works", NOTHING),
    word("serving", "state", "the server works", NOTHING),
    word(
        "probe",
        "state",
        "the client asks its servers, and has no address yet (RFC 4380 §5.2.1)",
        REASON,
    ),
    word(
        "dormant",
        "state",
        "this host has native IPv6, so the client rests until that is gone (RFC 4380 §5.5)",
        "nothing; with native_ipv6 = \"ignore\" the client works beside it",
    ),
    word(
        "offline",
        "state",
        "the node is stopped or cannot work",
        REASON,
    ),
    word(
        "restricted",
        "NAT",
        "the NAT uses one mapping for all destinations: cone, restricted or port-restricted. Which of them does not matter \
         to Teredo",
        NOTHING,
    ),
    word(
        "symmetric",
        "NAT",
        "the NAT uses another mapping for each destination. Peers without a NAT and behind cone and address-restricted \
         ones are reached (RFC 6081), others if this NAT keeps port numbers or counts them, and native hosts through \
         relays of this program",
        "see the NAT's settings (endpoint-independent mapping, full cone), or use a VPN",
    ),
    word(
        "none",
        "NAT",
        "the mapped address is this host's own: there is no NAT",
        NOTHING,
    ),
    word("unknown", "NAT", "no server has answered yet", REASON),
    word(
        "problem",
        "line",
        "a thing that needs attention now, with the next step in the same line",
        "do what the line says",
    ),
    word(
        "reason",
        "line",
        "why the node does not work, or what limits it",
        REASON,
    ),
    word(
        "address",
        "line",
        "the Teredo address; 'teredo address ADDR' shows its parts",
        NOTHING,
    ),
    word(
        "mapped",
        "line",
        "the address and port that others see: the NAT's mapping of the local port",
        NOTHING,
    ),
    word(
        "random_ports",
        "line",
        "how many ports the client uses besides its own, each for one peer behind a symmetric NAT that keeps port numbers \
         (RFC 6081 §5.4); firewalls open them, and programs that follow the port hear nothing of them",
        NOTHING,
    ),
    word(
        "no_random_ports",
        "firewall",
        "the firewall opens no random ports, for the reason that follows, so the client does without: peers behind some \
         symmetric NATs are not reached",
        "restart an agent of an earlier version; a program that only watches the port should not gate (TEREDO_GATE=0)",
    ),
    word(
        "router",
        "line",
        "the mapping that the router gave on request, by PCP, NAT-PMP or UPnP ('igd'). Behind another NAT, the world sees \
         another one, and only neighbours use this",
        "if it is not mapped, allow UPnP or PCP in the router's settings, or leave 'igd' off: the client works without",
    ),
    word(
        "refresh",
        "line",
        "how often the client talks to its server at least, which keeps the NAT's mapping",
        "'refresh_interval' changes it",
    ),
    word(
        "peers",
        "line",
        "the hosts that were talked to recently; 'teredo status --peers' lists those of a client",
        NOTHING,
    ),
    word(
        "drops",
        "line",
        "packets that were refused, by reason",
        "'teredo explain REASON' explains each",
    ),
    word(
        "lanes",
        "line",
        "the threads of a relay, each with its share of the clients",
        NOTHING,
    ),
    word(
        "workers",
        "line",
        "the threads of a server, each with its share of the senders",
        NOTHING,
    ),
    word(
        "limited",
        "line",
        "the destinations to which a server refused most packets, because the limits were reached",
        "'relay_rate' and 'advertisement_rate' change the limits; many refusals to one address are an attack on it",
    ),
    word(
        "in_sync",
        "firewall",
        "the firewall has opened the port that is in use, and has seen that in the kernel",
        NOTHING,
    ),
    word(
        "not_in_sync",
        "firewall",
        "the firewall has told a trouble, which stands in the line 'Problem'",
        "do what that line says",
    ),
    word(
        "behind",
        "firewall",
        "the firewall has not confirmed the port that is in use, so its old rule may still stand",
        "look at the agent's log: journalctl -u teredo-firewall",
    ),
    word(
        "missed",
        "firewall",
        "how often the firewall did not confirm within the deadline of 250 ms; the client then goes on",
        "look at the agent's log, and at the load of this host",
    ),
    word(
        "trusted",
        "peer",
        "the path to the peer is proven, and was used within 30 s",
        NOTHING,
    ),
    word(
        "probing",
        "peer",
        "the path to the peer is being proven",
        NOTHING,
    ),
    word(
        "silent",
        "peer",
        "the path to the peer has expired, or none was found; the next packet looks for it",
        NOTHING,
    ),
];
