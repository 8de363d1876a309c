//! Every metric. The names never change once published; docs/metrics.md is made from this list.

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use Daemon::{Client, Firewall, Perimeter, Relay, Server};

/// A program that serves metrics.
#[derive(Clone, Copy, Debug)]
pub(super) enum Daemon {
    Client,
    Server,
    Relay,
    Firewall,
    /// `teredo firewall --fleet`.
    Perimeter,
}

/// A family of samples.
#[derive(Debug)]
pub(super) struct Metric {
    /// Without the suffixes of unit and type, which the format prescribes.
    pub(super) name: &'static str,
    pub(super) kind: MetricType,
    pub(super) unit: Option<Unit>,
    /// Each label, and its values.
    pub(super) labels: &'static [(&'static str, &'static str)],
    /// The daemons that have it.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the reference lists them"))]
    pub(super) of: &'static [Daemon],
    pub(super) help: &'static str,
}

impl Metric {
    /// The name as it stands in the text.
    pub(super) fn full_name(&self) -> String {
        let unit = self.unit.as_ref();
        let unit = unit.map_or_else(String::new, |unit| format!("_{}", unit.as_str()));
        let suffix = match self.kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            _ => "",
        };
        format!("{}{unit}{suffix}", self.name)
    }
}

const EVERY_DAEMON: &[Daemon] = &[Client, Server, Relay, Firewall, Perimeter];
const NODES_AND_SERVER: &[Daemon] = &[Client, Server, Relay];
const NODES: &[Daemon] = &[Client, Relay];
const NO_LABELS: &[(&str, &str)] = &[];
const DIRECTION: (&str, &str) = (
    "direction",
    "`rx` from the IPv4 side, `tx` to the IPv4 side",
);

const COUNTER: MetricType = MetricType::Counter;
const GAUGE: MetricType = MetricType::Gauge;

macro_rules! catalogue {
    ($($name:ident = $text:literal, $kind:expr, $unit:expr, $labels:expr, $of:expr, $help:literal;)+) => {
        $(pub(super) static $name: Metric = Metric {
            name: $text,
            kind: $kind,
            unit: $unit,
            labels: $labels,
            of: $of,
            help: $help,
        };)+

        /// All of them, in the order of the reference.
        pub(super) static ALL: &[&Metric] = &[$(&$name,)+];
    };
}

catalogue! {
    BUILD = "teredo_build", MetricType::Info, None,
        &[("role", "`client`, `server`, `relay`, `firewall`, `perimeter`"), ("version", "that of the program")], EVERY_DAEMON,
        "The daemon behind these metrics.";
    UPTIME = "teredo_uptime", GAUGE, Some(Unit::Seconds), NO_LABELS, EVERY_DAEMON,
        "How long the daemon has run.";
    STATE = "teredo_state", GAUGE, None, &[("state", "`offline`, `probe`, `dormant`, `qualified`")], NODES_AND_SERVER,
        "1 for the present state, 0 for the others.";
    PROBLEMS = "teredo_problems", GAUGE, None, NO_LABELS, NODES_AND_SERVER,
        "Problems that need attention; 'teredo status' names them.";
    LIMITED = "teredo_limited", GAUGE, None, NO_LABELS, NODES_AND_SERVER,
        "1 if something keeps the node from being qualified, or limits it; 'teredo status' gives the reason.";
    PROTECTED = "teredo_protected", GAUGE, None, NO_LABELS, NODES,
        "1 if unsolicited traffic out of the tunnel is dropped, 0 if the inside of the tunnel is open.";
    LOCAL_PORT = "teredo_local_port", GAUGE, None, NO_LABELS, NODES,
        "The UDP port in use; 0: none.";
    MAPPED_PORT = "teredo_mapped_port", GAUGE, None, NO_LABELS, &[Client],
        "The port of the NAT's mapping, as the server sees it; 0: none.";
    RANDOM_PORTS = "teredo_random_ports", GAUGE, None, NO_LABELS, &[Client],
        "The UDP ports in use besides it, each for one peer behind a symmetric NAT.";
    PORT_BLOCKS = "teredo_port_blocks", COUNTER, None, NO_LABELS, &[Client],
        "Blocks of 256 such ports that were opened for a peer that could not be reached otherwise.";
    BUBBLE_BURSTS = "teredo_bubble_bursts", COUNTER, None, NO_LABELS, &[Client],
        "Bursts of 1,024 bubbles that looked for such a block of a peer.";
    PORT_SEQUENCE = "teredo_port_sequence", GAUGE, None, NO_LABELS, NODES,
        "The number of the port's state, which grows with each change.";
    PORT_CHANGES = "teredo_port_changes", COUNTER, None,
        &[("kind", "`add`, `change`, `delete`")], NODES,
        "Changes of the port: from none, from another one, to none.";
    REFRESH = "teredo_refresh_interval", GAUGE, Some(Unit::Seconds), NO_LABELS, &[Client],
        "The interval of the refreshes of the NAT's mapping.";
    PEERS = "teredo_peers", GAUGE, None, &[("state", "`trusted`, `other`: not heard from yet, or not lately")], NODES,
        "Entries in the table of peers.";
    PEERS_LIMIT = "teredo_peers_limit", GAUGE, None, NO_LABELS, NODES,
        "The most entries in the table of peers.";
    DATAGRAMS = "teredo_udp_datagrams", COUNTER, None, &[DIRECTION], NODES_AND_SERVER,
        "UDP datagrams.";
    BYTES = "teredo_udp", COUNTER, Some(Unit::Bytes), &[DIRECTION], NODES_AND_SERVER,
        "Payload of the UDP datagrams.";
    LANE_DATAGRAMS = "teredo_lane_datagrams", COUNTER, None, &[("lane", "its number, from 0"), DIRECTION],
        &[Server, Relay],
        "UDP datagrams of each thread of the data path.";
    LANE_PEERS = "teredo_lane_peers", GAUGE, None, &[("lane", "its number, from 0")], &[Relay],
        "Peers of each thread of the data path.";
    DATA_PATH = "teredo_data_path", COUNTER, None, &[("counter", "a name in `data_path` of `teredo status --json`")],
        NODES_AND_SERVER,
        "Every counter of the data path.";
    DATA_PATH_IN_USE = "teredo_data_path_in_use", GAUGE, None,
        &[("path", "`kernel`: eBPF programs, `user`: the daemon")], NODES_AND_SERVER,
        "1 for the path that packets of known peers take, or that answers solicitations; 'teredo status' says why.";
    DATA_PATH_PACKETS = "teredo_data_path_packets", COUNTER, None,
        &[("path", "`kernel`, `user`")], NODES_AND_SERVER,
        "Packets that each path has carried, both ways.";
    DROPS = "teredo_drops", COUNTER, None, &[("reason", "a drop reason; `teredo explain REASON` describes it")],
        NODES_AND_SERVER,
        "Packets dropped; every known reason is there, most with 0.";
    SUBSCRIBERS = "teredo_subscribers", GAUGE, None, NO_LABELS, NODES,
        "Listeners to the port over the local service: programs and gates.";
    GATES = "teredo_gates", GAUGE, None,
        &[("state", "`in_sync`, `behind`: it has not confirmed the port, or has withdrawn that, or hangs")], NODES,
        "Gates, the firewalls that the node waits for.";
    GATE_MISSES = "teredo_gate_misses", COUNTER, None, NO_LABELS, NODES,
        "Deadlines that gates have missed: the node went on without them.";
    GATE_SETTLE = "teredo_gate_settle", GAUGE, Some(Unit::Seconds), NO_LABELS, NODES,
        "How long the slowest gate took to confirm the last change; absent before that.";
    DEPARTED = "teredo_firewall_departed", GAUGE, None, NO_LABELS, NODES,
        "1 if the last firewall agent has ended and no other one follows the port.";
    SERVER_REPLIES = "teredo_server_replies", COUNTER, None,
        &[("kind", "`advertisement`: a solicitation was answered, `echo_reply`")], &[Server],
        "Answers of the server itself.";
    SERVER_FORWARDED = "teredo_server_forwarded", COUNTER, None,
        &[("to", "`client`: bubbles, and ICMPv6 of native hosts, `internet`: echo requests of clients")], &[Server],
        "Packets that the server forwarded.";
    SERVER_CLIENTS = "teredo_server_known_clients", GAUGE, None, NO_LABELS, &[Server],
        "Clients with a secret; absent if the server has no list of secrets.";
    FW_IN_STEP = "teredo_fw_in_step", GAUGE, None, NO_LABELS, &[Firewall],
        "1 if the open ports are those of the nodes.";
    FW_TROUBLE = "teredo_fw_trouble", GAUGE, None, NO_LABELS, &[Firewall],
        "1 if a port may not be open although the kernel has its exception; the log says why.";
    FW_PORT = "teredo_fw_port", GAUGE, None, NO_LABELS, &[Firewall],
        "The open port, with several nodes the lowest; 0: none.";
    FW_LEASES = "teredo_fw_leases", GAUGE, None, NO_LABELS, &[Firewall],
        "Open ports, each a lease that closes by itself if the agent dies.";
    FW_LEASE = "teredo_fw_lease", GAUGE, Some(Unit::Seconds), NO_LABELS, &[Firewall],
        "The length of a lease.";
    FW_CONFIRMED = "teredo_fw_confirmation_age", GAUGE, Some(Unit::Seconds), NO_LABELS, &[Firewall],
        "The time since the kernel last confirmed the rules; absent before that.";
    FW_SWAPS = "teredo_fw_swaps", COUNTER, None, NO_LABELS, &[Firewall],
        "Changes of the open port.";
    FW_SYNC = "teredo_fw_sync", GAUGE, Some(Unit::Seconds), NO_LABELS, &[Firewall],
        "How long the last change took, from the news to the kernel's confirmation; absent before that.";
    FW_RESYNCS = "teredo_fw_resyncs", COUNTER, None,
        &[("cause", "`start`, `flush`: another program changed the agent's rules, `enobufs`: reports were lost")],
        &[Firewall],
        "Readings of the whole ruleset.";
    FW_REFUSALS = "teredo_fw_refusals", COUNTER, None, NO_LABELS, &[Firewall],
        "Changes that the kernel refused.";
    FW_RANDOM_REFUSALS = "teredo_fw_random_refusals", COUNTER, None, NO_LABELS, &[Firewall],
        "Random ports that no client draws, and that were not opened; the client may have been taken over.";
    FLEET_FOLLOWING = "teredo_fleet_following", GAUGE, None, NO_LABELS, &[Perimeter],
        "1 if a server is connected and the entries of the bucket are complete; if not, what is open ends with its lease.";
    FLEET_IN_STEP = "teredo_fleet_in_step", GAUGE, None, NO_LABELS, &[Perimeter],
        "1 if the set holds what the entries say.";
    FLEET_TROUBLE = "teredo_fleet_trouble", GAUGE, None, NO_LABELS, &[Perimeter],
        "1 if there is a trouble; 'teredo status' names it.";
    FLEET_HOSTS = "teredo_fleet_hosts", GAUGE, None, NO_LABELS, &[Perimeter],
        "Hosts with an open endpoint.";
    FLEET_ENDPOINTS = "teredo_fleet_endpoints", GAUGE, None, NO_LABELS, &[Perimeter],
        "Endpoints in the set, each a lease that closes by itself if the perimeter dies.";
    FLEET_LEASE = "teredo_fleet_lease", GAUGE, Some(Unit::Seconds), NO_LABELS, &[Perimeter],
        "The length of a lease, as the bucket has it; absent before the bucket is known.";
    FLEET_REPAIRS = "teredo_fleet_repairs", COUNTER, None, NO_LABELS, &[Perimeter],
        "How often another program changed the set, and it was put right.";
    FLEET_REFUSALS = "teredo_fleet_refusals", COUNTER, None, NO_LABELS, &[Perimeter],
        "Changes that the kernel refused.";
    FLEET_REFUSED = "teredo_fleet_refused_entries", COUNTER, None,
        &[("reason", "as `refused` in `teredo status --json`; `teredo explain REASON` describes it")], &[Perimeter],
        "Entries that counted for nothing; every known reason is there, most with 0.";
}
