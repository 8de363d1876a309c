//! The words that the commands print, in text and JSON, each with its meaning and the next step.

mod counters;
mod fields;
mod fleet;
mod kernel;
mod lab;
mod probe;
mod settings;
mod trace;

/// Every word, by the command or file that has it.
pub(super) const SOURCES: [(&str, &[Word]); 9] = [
    ("'teredo status'", WORDS),
    ("'teredo status'", fields::WORDS),
    ("'teredo status'", counters::WORDS),
    ("'teredo status'", kernel::WORDS),
    ("'teredo status'", fleet::WORDS),
    ("'teredo probe'", probe::WORDS),
    ("'teredo trace'", trace::WORDS),
    ("'teredo lab'", lab::WORDS),
    ("the settings", settings::WORDS),
];

/// A word, its meaning, and what to do.
pub(super) struct Word {
    pub(super) name: &'static str,
    /// The line or object that it stands in.
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

/// Most words of the status: those of the text in its order, then those of the JSON alone.
const WORDS: &[Word] = &[
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
        "the NAT uses one mapping for all destinations: it is a cone, restricted or port-restricted one. The client does not \
         ask which (RFC 5991). Towards peers behind symmetric NATs it matters: the stricter this NAT, the fewer are reached \
         (RFC 6081, figure 1)",
        "'teredo probe SERVER' finds out which",
    ),
    word(
        "symmetric",
        "NAT",
        "the NAT uses another mapping for each destination. By RFC 6081, peers are reached that have no NAT, a cone or \
         address-restricted one, or a port of their router ('igd'); if this NAT keeps port numbers or counts them up, those \
         behind port-restricted NATs, too; and native hosts through relays of this program. Not reached: most peers behind \
         other symmetric NATs, peers with miredo, and, if this NAT's ports are random, those behind port-restricted NATs, \
         which most home routers are. By RFC 4380 alone the client has no address",
        "see the NAT's settings (endpoint-independent mapping, full cone), set nat_traversal = \"eager\" at both ends, or use a \
         VPN",
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
        "the firewall has reported a trouble, which stands in the line 'Problem'",
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
    word(
        "gateway",
        "JSON",
        "the mapping that the client asks its router for ('igd'): its state, protocol, router, end outside and lifetime; null \
         without 'igd'",
        "the line 'Router' has the same in words",
    ),
    word(
        "nat_behaviour",
        "JSON",
        "how the NAT behaves, as far as the client has seen it, in the words of RFC 4787: mapping, port_assignment, igd",
        NOTHING,
    ),
    word(
        "nat_traversal",
        "JSON",
        "how the client gets through NATs: 'rfc4380', 'rfc6081' or 'eager'",
        "the setting of that name",
    ),
    word(
        "reach",
        "JSON",
        "who is reached from behind a symmetric NAT: peers by the kind of their NAT, and native hosts; 'yes', 'perhaps' or \
         'no'",
        "the lines 'Reached', 'Perhaps' and 'Not reached' have the same in words",
    ),
    word(
        "mapping",
        "JSON, nat_behaviour",
        "whether another destination sees another mapping (RFC 4787 §4.1): 'endpoint-independent' or \
         'address-and-port-dependent'",
        NOTHING,
    ),
    word(
        "endpoint-independent",
        "NAT",
        "all destinations see one mapping of the port, or everybody may send to it (RFC 4787 §4.1 and §5)",
        NOTHING,
    ),
    word(
        "address-dependent",
        "NAT",
        "only the addresses that were sent to may send to the mapping, from any port (RFC 4787 §5)",
        NOTHING,
    ),
    word(
        "address-and-port-dependent",
        "NAT",
        "each destination sees another mapping of the port, which is a symmetric NAT; or only the ends that were sent to may \
         send to the mapping (RFC 4787 §4.1 and §5)",
        "of the mapping, see 'teredo explain symmetric'; of the filter, nothing",
    ),
    word(
        "port_assignment",
        "JSON, nat_behaviour",
        "whether the external port is the local one (RFC 4787 §4.2.1): 'preserving' or 'other'",
        NOTHING,
    ),
    word(
        "preserving",
        "JSON, port_assignment",
        "the NAT keeps the number of the port",
        NOTHING,
    ),
    word(
        "other",
        "JSON, port_assignment",
        "the NAT changes the number of the port",
        NOTHING,
    ),
    word(
        "igd",
        "JSON, nat_behaviour",
        "whether the router has given the port on request ('igd = true'), by UPnP, PCP or NAT-PMP",
        "'igd = true' or '--igd' makes the client ask; the line 'Router' shows the answer",
    ),
    word(
        "idle",
        "JSON, gateway",
        "no mapping is wanted, because the client has no port or the router is not known yet",
        NOTHING,
    ),
    word(
        "asking",
        "JSON, gateway",
        "the router is being asked",
        NOTHING,
    ),
    word(
        "mapped",
        "JSON, gateway",
        "the router has given a mapping",
        NOTHING,
    ),
    word(
        "refused",
        "JSON, gateway",
        "the router gives no mapping, for the reason beside it",
        "allow UPnP or PCP in the router's settings, or leave 'igd' off: the client works without",
    ),
    word(
        "protocol",
        "JSON, gateway",
        "the protocol that gave the mapping: 'pcp', 'nat-pmp' or 'upnp'",
        NOTHING,
    ),
    word(
        "pcp",
        "JSON, gateway",
        "the Port Control Protocol, by which the router gave the mapping (RFC 6887)",
        NOTHING,
    ),
    word(
        "nat-pmp",
        "JSON, gateway",
        "the NAT Port Mapping Protocol, by which the router gave the mapping (RFC 6886)",
        NOTHING,
    ),
    word(
        "upnp",
        "JSON, gateway",
        "UPnP's Internet Gateway Device, by which the router gave the mapping",
        NOTHING,
    ),
    word(
        "external",
        "JSON, gateway",
        "the end outside of the mapping that the router gave",
        NOTHING,
    ),
    word(
        "lifetime",
        "JSON, gateway",
        "how long the router keeps the mapping without a renewal, in seconds; null: until it is taken back",
        NOTHING,
    ),
    word(
        "nested",
        "JSON, gateway",
        "whether the server sees another mapping than the router gave: behind the router is another NAT",
        NOTHING,
    ),
    word(
        "random_trouble",
        "JSON, firewall",
        "why the firewall opens no random ports, so that the client does without: peers behind some symmetric NATs are not \
         reached",
        "restart an agent of an earlier version; a program that only watches the port should not gate (TEREDO_GATE=0)",
    ),
    word(
        "trouble",
        "JSON, firewall",
        "why the firewall is not in sync, although it has confirmed the port",
        "the line 'Problem' has the next step",
    ),
    word(
        "port_blocks",
        "JSON",
        "how often a block of random ports was opened for a peer that could not be reached otherwise ('nat_traversal = \
         \"eager\"')",
        NOTHING,
    ),
    word(
        "bubble_bursts",
        "JSON",
        "how many bursts of bubbles looked for such a block of a peer ('nat_traversal = \"eager\"')",
        NOTHING,
    ),
    word(
        "settle_us",
        "JSON, firewall",
        "how long the firewall took to confirm the port after it was announced, in microseconds",
        NOTHING,
    ),
    word(
        "protects",
        "JSON, firewall",
        "the tunnel interfaces from which the firewall drops traffic that nobody asked for",
        NOTHING,
    ),
    word(
        "backend",
        "JSON, firewall",
        "the program by which the firewall opens the port, such as firewalld; null if it does so itself",
        NOTHING,
    ),
    word(
        "subscription",
        "JSON, firewall",
        "the number of the firewall's subscription",
        NOTHING,
    ),
    word("pid", "JSON, firewall", "the firewall's process", NOTHING),
    word(
        "command",
        "JSON, firewall",
        "the name of the firewall's process",
        NOTHING,
    ),
    word(
        "problems",
        "JSON",
        "the things that need attention, the most urgent first, each with the next step",
        "do what they say",
    ),
    word(
        "protected",
        "JSON",
        "whether traffic that nobody asked for is dropped if it comes out of the tunnel; null if that is not known",
        "if it is false, run 'teredo firewall', or a firewall of your own for the tunnel interface",
    ),
    word(
        "schema",
        "JSON",
        "the name and version of the object",
        NOTHING,
    ),
    word("version", "JSON", "the version of the program", NOTHING),
    word("role", "JSON", "client, server or relay", NOTHING),
    word(
        "state",
        "JSON",
        "whether the node works: 'qualified', 'probe', 'dormant' or 'offline'; of a gateway 'idle', 'asking', 'mapped' or \
         'refused'",
        "explain that word",
    ),
    word(
        "since",
        "JSON",
        "when the state began (RFC 3339, UTC)",
        NOTHING,
    ),
    word(
        "uptime_ms",
        "JSON",
        "how long the program has run, in milliseconds",
        NOTHING,
    ),
    word(
        "port",
        "JSON",
        "the UDP port in use; 0 if there is none",
        NOTHING,
    ),
    word(
        "configured_port",
        "JSON",
        "the UDP port of the settings; null if the system chooses",
        NOTHING,
    ),
    word(
        "sequence",
        "JSON",
        "the number of the last announcement of the port; of a firewall, of the last one that it confirmed",
        NOTHING,
    ),
    word("interface", "JSON", "the tunnel interface", NOTHING),
    word("server", "JSON", "the server of the settings", NOTHING),
    word(
        "server_address",
        "JSON",
        "the address of the server in use",
        NOTHING,
    ),
    word("local", "JSON", "the local end of the UDP socket", NOTHING),
    word(
        "nat",
        "JSON",
        "the kind of NAT: 'none', 'restricted', 'symmetric' or 'unknown'",
        "explain that word",
    ),
    word(
        "refresh_ms",
        "JSON",
        "how often the client talks to its server at least, in milliseconds",
        "'refresh_interval' changes it",
    ),
    word(
        "counters",
        "JSON",
        "packets and bytes through the tunnel; rx came in from the IPv4 side, tx went out",
        NOTHING,
    ),
    word(
        "pairs",
        "JSON",
        "the addresses of a server, by twos",
        NOTHING,
    ),
    word(
        "known_clients",
        "JSON",
        "how many clients the server has a secret of; null if it has no list of secrets",
        NOTHING,
    ),
    word(
        "data_path",
        "JSON",
        "who carries the packets of known peers, and every counter of the data path by its name: those of the kernel's path begin \
         with 'kernel_'",
        "'teredo doctor' says what the kernel's path lacks",
    ),
    word(
        "notifications",
        "JSON",
        "how often the port has changed, and how many listen to that",
        NOTHING,
    ),
    word(
        "firewall",
        "JSON",
        "the gates: the firewalls that follow the port",
        NOTHING,
    ),
];
