//! `teredo.status/1`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use serde::{Deserialize, Deserializer, Serialize};

/// The name and version of the contract that [`Status`] follows.
pub const STATUS_SCHEMA: &str = "teredo.status/1";

/// The status of a Teredo node: `teredo status --json`.
///
/// Set the fields that apply, and leave the rest to the default:
///
/// ```
/// use teredo_notify::types::{Phase, Status};
///
/// let status = Status { state: Phase::Probe, server: Some("192.0.2.1".into()), ..Status::default() };
/// let json = serde_json::to_value(&status).unwrap();
/// assert_eq!(json["schema"], "teredo.status/1");
/// assert_eq!(json["state"], "probe");
/// assert_eq!(json["port"], 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Always [`STATUS_SCHEMA`] from this version.
    pub schema: String,
    /// The version of the program.
    pub version: String,
    /// The node's role.
    pub role: Role,
    /// Its state.
    pub state: Phase,
    /// The problems that need attention, the most urgent first, each with the next step.
    pub problems: Vec<String>,
    /// Whether unsolicited traffic that comes in by [`interface`](Self::interface) is dropped; none: not known.
    pub protected: Option<bool>,
    /// Why it is not qualified, or what limits it.
    pub reason: Option<String>,
    /// When it entered `state`: RFC 3339, UTC.
    pub since: Option<String>,
    /// How long the program has run, in milliseconds.
    pub uptime_ms: u64,
    /// The UDP port in use; 0: none.
    pub port: u16,
    /// How many random ports are open besides it (RFC 6081 §3.3 and §3.4).
    pub random_ports: u64,
    /// How often a block of random ports was opened for a peer that could not be reached otherwise.
    pub port_blocks: u64,
    /// How many bursts of bubbles looked for such a block of a peer.
    pub bubble_bursts: u64,
    /// The UDP port in the configuration; none: the system chooses.
    pub configured_port: Option<u16>,
    /// The number of the port's state; the `sequence` of the last port event.
    pub sequence: u64,
    /// The Teredo address.
    pub address: Option<Ipv6Addr>,
    /// The tunnel interface.
    pub interface: Option<String>,
    /// The server in the configuration.
    pub server: Option<String>,
    /// The server's resolved address.
    pub server_address: Option<Ipv4Addr>,
    /// The local end of the UDP socket.
    pub local: Option<SocketAddrV4>,
    /// The NAT's mapping of the local end, as the server sees it.
    pub mapped: Option<SocketAddrV4>,
    /// The kind of NAT in front of this host, if known.
    pub nat: Option<String>,
    /// How that NAT behaves, as far as the client has seen it.
    pub nat_behaviour: Option<NatBehaviour>,
    /// How the client gets through NATs: `rfc4380`, `rfc6081` or `eager`.
    pub nat_traversal: Option<String>,
    /// The mapping that the client asks the router for; none: it asks for none.
    pub gateway: Option<GatewayStatus>,
    /// The interval of the mapping's refreshes, in milliseconds.
    pub refresh_ms: Option<u64>,
    /// The table of peers.
    pub peers: Peers,
    /// Traffic through the tunnel; of a server, all of its traffic.
    pub counters: Counters,
    /// The share of each lane of a relay, or of each worker of a server.
    pub lanes: Vec<Lane>,
    /// The addresses of a server.
    pub pairs: Vec<Pair>,
    /// The destinations that a server's limits have refused most; empty for who may not control the node.
    pub limited: Vec<Limited>,
    /// The clients of which a server has a secret; none: it has no list of secrets (RFC 4380 §5.2.2).
    pub known_clients: Option<u64>,
    /// Who carries the packets, and every counter of the data path.
    pub data_path: DataPath,
    /// Packets dropped, by reason.
    pub drops: BTreeMap<String, u64>,
    /// The gates: the firewalls that follow the port.
    pub firewall: Vec<FirewallStatus>,
    /// The notifications of the port.
    pub notifications: Notifications,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            schema: STATUS_SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: Role::default(),
            state: Phase::default(),
            problems: Vec::new(),
            protected: None,
            reason: None,
            since: None,
            uptime_ms: 0,
            port: 0,
            random_ports: 0,
            port_blocks: 0,
            bubble_bursts: 0,
            configured_port: None,
            sequence: 0,
            address: None,
            interface: None,
            server: None,
            server_address: None,
            local: None,
            mapped: None,
            nat: None,
            nat_behaviour: None,
            nat_traversal: None,
            gateway: None,
            refresh_ms: None,
            peers: Peers::default(),
            counters: Counters::default(),
            lanes: Vec::new(),
            pairs: Vec::new(),
            limited: Vec::new(),
            known_clients: None,
            data_path: DataPath::default(),
            drops: BTreeMap::new(),
            firewall: Vec::new(),
            notifications: Notifications::default(),
        }
    }
}

/// Who carries the packets of known peers, and the counters of the data path.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DataPath {
    /// Who carries them now.
    pub in_use: Carrier,
    /// Since when: RFC 3339, UTC.
    pub since: Option<String>,
    /// Why not the kernel; none if it does.
    pub reason: Option<String>,
    /// How many packets each has carried, both ways.
    pub packets: CarriedPackets,
    /// Every counter, by name.
    #[serde(flatten, deserialize_with = "numbers")]
    pub counters: BTreeMap<String, u64>,
}

/// Who carries the packets of known peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// The program, all of them.
    #[default]
    User,
    /// Programs in the kernel, as far as they can.
    Kernel,
    /// One of a later version.
    #[serde(other)]
    Unknown,
}

impl Carrier {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Kernel => "kernel",
            Self::Unknown => "unknown",
        }
    }
}

/// The packets that each carrier has carried since the program started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CarriedPackets {
    /// By programs in the kernel.
    pub kernel: u64,
    /// By user space.
    pub user: u64,
}

/// A later version may have other fields beside the counters.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u64>, D::Error> {
    let fields = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
    let counters = fields.into_iter();
    Ok(counters
        .filter_map(|(name, value)| Some((name, value.as_u64()?)))
        .collect())
}

/// The role of a Teredo node (RFC 4380 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A host behind a NAT that gets a Teredo address.
    #[default]
    Client,
    /// Helps clients find their address and each other.
    Server,
    /// Carries traffic between clients and the native IPv6 Internet.
    Relay,
    /// A role of a later version.
    #[serde(other)]
    Unknown,
}

impl Role {
    /// The group of the tunnel interfaces of this role (`ip link show group 3544`), by which the firewall knows one under
    /// any name; 0 if the role has no interface.
    #[must_use]
    pub const fn interface_group(self) -> u32 {
        match self {
            Self::Client => 3544,
            Self::Relay => 3545,
            Self::Server | Self::Unknown => 0,
        }
    }
}

/// The state of a node on its way to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It has stopped or cannot work; [`Status::reason`] says why.
    #[default]
    Offline,
    /// It tries to qualify (RFC 4380 §5.2.1).
    Probe,
    /// The host has IPv6 by other means; the node rests until that ends (RFC 4380 §5.5).
    Dormant,
    /// It has an address and works.
    Qualified,
    /// A state of a later version.
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Probe => "probe",
            Self::Dormant => "dormant",
            Self::Qualified => "qualified",
            Self::Unknown => "unknown",
        }
    }
}

/// The use of the table of peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Peers {
    /// Entries in use.
    pub total: u64,
    /// How many of them are trusted (RFC 4380 §5.2).
    pub trusted: u64,
    /// The most entries.
    pub capacity: u64,
}

/// Traffic through the tunnel. `rx` is traffic from the IPv4 side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
}

/// The share of a thread of the data path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lane {
    /// Its peers; none of a server, which keeps no list.
    pub peers: Option<u64>,
    /// Its traffic.
    pub counters: Counters,
}

/// The two addresses of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pair {
    /// The address that clients are configured with.
    pub primary: Ipv4Addr,
    /// The address for the tests of NATs.
    pub secondary: Ipv4Addr,
}

/// The behaviour of a NAT, in the words of RFC 4787.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct NatBehaviour {
    /// `endpoint-independent`, or `address-and-port-dependent` if another destination sees another mapping (§4.1).
    pub mapping: String,
    /// `preserving` if the external port is the local one, else `other` (§4.2.1).
    pub port_assignment: String,
    /// Whether a gateway has given a mapping on request.
    pub igd: bool,
}

impl NatBehaviour {
    /// A behaviour that was seen.
    #[must_use]
    pub fn new(mapping: impl Into<String>, port_assignment: impl Into<String>) -> Self {
        Self {
            mapping: mapping.into(),
            port_assignment: port_assignment.into(),
            igd: false,
        }
    }
}

/// The mapping that a client asks its router for (RFC 6081 §5.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayStatus {
    /// `idle`, `asking`, `mapped` or `refused`.
    pub state: String,
    /// The protocol that gave the mapping: `pcp`, `nat-pmp` or `upnp`.
    pub protocol: Option<String>,
    /// The router.
    pub router: Option<Ipv4Addr>,
    /// The end outside.
    pub external: Option<SocketAddrV4>,
    /// The mapping's lifetime in seconds, which renewals extend; none: until it is taken back.
    pub lifetime: Option<u64>,
    /// Whether the server sees another mapping: behind the router is another NAT.
    pub nested: Option<bool>,
    /// Why there is no mapping.
    pub reason: Option<String>,
}

/// A destination that a server's limits refuse.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limited {
    /// An IPv4 address, or a network of the IPv6 Internet such as `2001:db8:0:1::/64`.
    pub destination: String,
    /// The packets that were refused, at most.
    pub refused: u64,
}

/// The notifications of the port since the program started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Notifications {
    /// How often the port has changed.
    pub changes: PortChanges,
    /// How many listen over the local service: programs and gates.
    pub subscribers: u64,
    /// How many deadlines gates have missed, over all gates that ever existed.
    pub missed: u64,
    /// Whether the last firewall agent has ended, and no other one follows the port.
    pub departed: bool,
}

/// How often the port has changed, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PortChanges {
    /// From no port to one.
    pub add: u64,
    /// From one port to another.
    pub change: u64,
    /// From a port to none.
    pub delete: u64,
}

/// A gate, typically a firewall agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FirewallStatus {
    /// The number of the subscription.
    pub subscription: u64,
    /// The process; none if the kernel did not tell.
    pub pid: Option<u32>,
    /// The process' name.
    pub command: Option<String>,
    /// Whether it has settled the current state.
    pub in_sync: bool,
    /// The last state that it has settled; none: none yet.
    pub sequence: Option<u64>,
    /// How long it took to settle, from the announcement, in microseconds.
    pub settle_us: Option<u64>,
    /// How many announcements it did not settle before the deadline.
    pub missed: u64,
    /// Why it is not in sync although it has settled: it has withdrawn its confirmation, or hangs.
    pub trouble: Option<String>,
    /// The interfaces from which it drops unsolicited traffic.
    pub protects: Vec<String>,
    /// The program by which it opens the port, such as firewalld; none: it does so itself.
    pub backend: Option<String>,
    /// Why it opens no random ports, so that the client does without; none: it opens them.
    pub random_trouble: Option<String>,
}

/// The [backend](FirewallStatus::backend) of the publisher of a fleet: firewalls on other hosts open the port.
pub const FLEET_BACKEND: &str = "the fleet's perimeters";

impl FirewallStatus {
    /// Whether it is the publisher of a fleet, which opens no port of this host.
    #[must_use]
    pub fn is_of_fleet(&self) -> bool {
        self.backend.as_deref() == Some(FLEET_BACKEND)
    }
}
