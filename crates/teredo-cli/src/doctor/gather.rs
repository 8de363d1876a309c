//! Looks at this host. Nothing here judges, and nothing here changes anything.

mod access;
mod command;
mod host;
mod path;
mod processes;
mod service;
mod units;
mod way;
mod ways;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use caps::{CapSet, Capability};
use teredo::ServerAddress;
use teredo_node::ServerName;
use teredo_notify::types::{Peer, PeerState, Role};
use teredo_tunnel::net::{Decisions, local_address, passes_reverse_path, path_limit};

use super::rules::legacy::Legacy;
use super::rules::packet::{Link, STRANGER};
use super::rules::ruleset::Ruleset;
use super::rules::walk::Rules;
use super::seen::{
    Process, Seen, Server, Service, Settings, Unanswered, Ways, has_answered, instance_of,
    is_asked_native,
};
use crate::args::DEFAULT_CONFIG;
use crate::fleet::{self, report::PERIMETER_SOCKET};
use crate::secret;
use crate::server::is_own;
use crate::settings::SERVER_SOCKET;

#[cfg(test)]
pub(crate) use units::parse as parse_units;

/// As long as `teredo probe` takes.
const PATIENCE: Duration = Duration::from_millis(1800);

/// How the node was started, or will be, to which a socket belongs.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    pub(crate) config: Option<PathBuf>,
    pub(crate) interface: Option<String>,
    /// The settings of the agent, if they are in another file.
    pub(crate) agent: Option<PathBuf>,
}

/// Finds the process that has the socket, or the unit that will have it.
pub(crate) fn manner(socket: &Path, socket_is_default: bool) -> Manner {
    manner_of(&processes::all(), socket, socket_is_default)
}

fn manner_of(processes: &[Process], socket: &Path, socket_is_default: bool) -> Manner {
    let is_agent = |process: &&Process| process.command() == Some("firewall");
    let here = processes
        .iter()
        .filter(|process| process.here != Some(false));
    let agent = here.clone().find(is_agent);
    let agent = agent.map(|process| process.option("--config").unwrap_or(DEFAULT_CONFIG).into());
    let nodes = here.filter(|process| !is_agent(process));
    Manner {
        agent,
        ..manner_of_node(nodes, socket, socket_is_default)
    }
}

/// Without the agent.
fn manner_of_node<'a>(
    mut nodes: impl Iterator<Item = &'a Process>,
    socket: &Path,
    socket_is_default: bool,
) -> Manner {
    let has_socket = |process: &&Process| match process.option("--socket") {
        Some(own) => Path::new(own) == socket,
        None => socket_is_default && matches!(process.command(), Some("client" | "relay")),
    };
    if let Some(process) = nodes.find(has_socket) {
        return Manner {
            config: process.option("--config").map(PathBuf::from),
            interface: process.option("--interface").map(str::to_owned),
            ..Manner::default()
        };
    }
    if socket_is_default {
        return Manner::default();
    }
    const FOLDERS: [&str; 3] = [
        "/etc/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ];
    let has_template = || {
        let mut files = FOLDERS
            .into_iter()
            .map(|folder| Path::new(folder).join("teredo-client@.service"));
        files.any(|file| file.exists())
    };
    match instance_of(socket) {
        Some(name) if has_template() => Manner {
            config: Some(format!("/etc/teredo/{name}.toml").into()),
            interface: Some(format!("teredo-{name}")),
            ..Manner::default()
        },
        _ => Manner::default(),
    }
}

/// Gathers everything. `chosen` is the file of `--config`, `socket` that of the service.
pub(crate) fn gather(mut settings: Settings, socket: &Path, socket_is_default: bool) -> Seen {
    let root = caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_ADMIN).unwrap_or(false);
    let mut service = service::look(socket, socket_is_default);
    let instance = (!socket_is_default).then(|| instance_of(socket)).flatten();
    let processes = processes::all();
    for process in daemons(&processes, &service) {
        settings.merge(process);
    }
    let (server, units, rules) = thread::scope(|scope| {
        // The server takes the longest to answer.
        let server = scope.spawn(|| look_at_server(&settings, &service));
        let units = units::all(instance);
        let rules = rules();
        let server = server.join().unwrap_or_default();
        (server, units, rules)
    });
    // A start or a change of the port takes a moment; the server's answers have taken longer.
    let runs_agent = processes
        .iter()
        .any(|process| process.command() == Some("firewall"));
    if service.is_in_motion(runs_agent) {
        service = service::look(socket, socket_is_default);
    }
    let interface = service
        .status
        .as_ref()
        .ok()
        .and_then(|status| status.interface.clone());
    let interface = interface.unwrap_or_else(|| settings.client.interface.clone());
    let host = host::look(&processes, &interface);
    let mut seen = Seen {
        root,
        settings,
        host,
        service,
        processes,
        units,
        closed: Vec::new(),
        server,
        ways: Ways::default(),
        perimeter: fleet::report::ask(Path::new(PERIMETER_SOCKET))
            .map(fleet::report::Report::into_json),
        rules,
    };
    let roles = seen.roles();
    let is_missing = seen.service.status == Err(Unanswered::Missing);
    if socket_is_default && is_missing && roles.server && !roles.client && !roles.relay {
        let of_server = service::look(&socket.with_file_name(SERVER_SOCKET), true);
        if of_server.status.is_ok() {
            seen.service = of_server;
        }
    }
    seen.closed = access::look(&seen);
    seen.service.peers = peers(&seen);
    let (present, absent) = seen
        .serves()
        .into_iter()
        .partition(|&address| is_own(address));
    seen.host.absent = absent;
    seen.host.secrets = seen.settings.server_secrets.as_deref().and_then(secrets);
    if let Ok(decisions) = Decisions::open() {
        seen.ways = ways::look(&seen, &decisions);
        look_outside(&mut seen, &present, &decisions);
    }
    seen.host.outside = seen.host.outside.or_else(host::any_outside);
    seen
}

/// The interfaces by which strangers reach this host, at the addresses of its server and that of its client.
fn look_outside(seen: &mut Seen, serves: &[Ipv4Addr], decisions: &Decisions) {
    let mut strict = Vec::new();
    let mut doors = Vec::new();
    for &address in serves {
        let Some(way) = Inwards::find(seen, address, decisions) else {
            continue;
        };
        strict.extend(way.strict(seen));
        doors.push((address, way.link));
    }
    let to_strangers = || decisions.decide(STRANGER.into(), None).ok()?.link;
    let used = seen.status().and_then(|status| status.local);
    let of_client = || Inwards::find(seen, *used?.ip(), decisions);
    let outside = (doors.first().map(|(_, link)| link.name.clone()))
        .or_else(|| Some(of_client()?.link.name))
        .or_else(|| name_of(seen, to_strangers()?));
    seen.host.strict = strict;
    seen.host.doors = doors;
    seen.host.outside = outside;
}

/// The peers of the client. Hosts that it asks only now get a moment to answer.
fn peers(seen: &Seen) -> Option<Vec<Peer>> {
    let status = seen.status().filter(|_| seen.is_qualified())?;
    if status.role != Role::Client || status.peers.total == 0 {
        return Some(Vec::new());
    }
    let socket = &seen.service.socket;
    let peers = service::peers(socket)?;
    if !awaits_answer(&peers) {
        return Some(peers);
    }
    thread::sleep(PATIENCE);
    service::peers(socket)
}

/// Whether a moment may bring the first answer of a native host.
fn awaits_answer(peers: &[Peer]) -> bool {
    let mut asked = peers.iter().filter(|peer| is_asked_native(peer));
    !asked.clone().any(has_answered) && asked.any(|peer| peer.state == PeerState::Probing)
}

/// How strangers reach an address of this host.
struct Inwards {
    address: Ipv4Addr,
    /// The interface that has the address, or else, as for one of 'lo' or of a dummy, that of the answers.
    link: Link,
    has_address: bool,
    /// The interface by which the answers leave.
    answers: Option<u32>,
}

impl Inwards {
    fn find(seen: &Seen, address: Ipv4Addr, decisions: &Decisions) -> Option<Self> {
        let has_it = host::link_of(&[address]).filter(host::is_outside);
        let answers = decisions.decide(STRANGER.into(), Some(address.into()));
        let answers = answers.ok().and_then(|way| way.link);
        let has_address = has_it.is_some();
        let name = match has_it {
            Some(link) => link.interface_name,
            None if is_own(address) => name_of(seen, answers?)?,
            None => return None,
        };
        Some(Self {
            address,
            link: host::link(&name, 1),
            has_address,
            answers,
        })
    }

    /// The address, its interface and that of the answers, if the kernel takes no packets of strangers because both differ.
    fn strict(&self, seen: &Seen) -> Option<(Ipv4Addr, String, String)> {
        // Any interface may lead to an address of 'lo' or of a dummy.
        self.has_address.then_some(())?;
        let (index, name) = (self.link.index, &self.link.name);
        let out = self.answers.filter(|out| *out != index)?;
        let passes = || passes_reverse_path(index, STRANGER, self.address).unwrap_or(true);
        let is_dropped = host::filters_strictly(name) && !passes();
        is_dropped.then_some(())?;
        Some((self.address, name.clone(), name_of(seen, out)?))
    }
}

/// The daemons that the checks are about: the node behind the socket, the server and the agent.
fn daemons<'a>(
    processes: &'a [Process],
    service: &'a Service,
) -> impl Iterator<Item = &'a Process> {
    let here = processes
        .iter()
        .filter(|process| process.here != Some(false));
    let is_meant = |process: &&Process| match (process.command(), service.pid) {
        (Some("client" | "relay"), Some(pid)) => process.pid == pid,
        (Some("client" | "relay"), None) => match process.option("--socket") {
            Some(socket) => Path::new(socket) == service.socket,
            None => service.socket_is_default,
        },
        (Some("server" | "firewall"), _) => true,
        _ => false,
    };
    let mut known = Vec::new();
    here.filter(is_meant).filter(move |process| {
        let is_first = !known.contains(&process.command());
        known.push(process.command());
        is_first
    })
}

/// The name of an interface.
fn name_of(seen: &Seen, index: u32) -> Option<String> {
    let mut links = seen.host.links.iter();
    let link = links.find(|link| link.index == index)?;
    Some(link.name.clone())
}

/// The number of clients in a file of secrets, if it can be read.
fn secrets(file: &Path) -> Option<u64> {
    let entries = secret::read(file).ok()?;
    u64::try_from(entries.len()).ok()
}

fn look_at_server(settings: &Settings, service: &Service) -> Server {
    let status = service.status.as_deref().ok();
    let configured = settings.client.servers.first().cloned();
    let name = status
        .and_then(|status| status.server.clone())
        .or(configured);
    let Some(name) = name else {
        return Server::default();
    };
    // A name may have several servers; this is the one in use.
    let in_use = status.and_then(|status| status.server_address);
    let asked = match in_use {
        Some(primary) => match ServerName::from(name.as_str()).address() {
            Some(address) if address.primary == primary => ServerName::from(address),
            _ => ServerName::from(ServerAddress::adjacent(primary)),
        },
        None => ServerName::from(name.as_str()),
    };
    if let Some(address) = asked.address() {
        path::measure(address.primary);
    }
    let probe = crate::probe::run_for(&asked, PATIENCE).ok();
    let address = asked.address().or_else(|| {
        let probe = probe.as_ref()?;
        Some(ServerAddress {
            primary: probe.primary?.address,
            secondary: probe.secondary?.address,
        })
    });
    let mut server = Server {
        in_hosts: way::is_in_hosts(&name),
        without_dns: way::without_dns(),
        resolver: way::resolver(),
        name: Some(name),
        address,
        probe,
        ..Server::default()
    };
    let Some(address) = address else {
        return server;
    };
    let local = local_address(address.primary).map_err(|error| error.to_string());
    server.outside = local.as_ref().ok().and_then(|local| {
        let link = host::link_of(&[*local])?;
        Some(host::link(&link.interface_name, 1))
    });
    if let Ok(decisions) = Decisions::open() {
        let way = |to| way::to_server(&decisions, to, service.uid);
        (server.way, server.second_way) = (way(address.primary), way(address.secondary));
    }
    if let (Some(way), Some(link)) = (&server.way, &server.outside) {
        server.neighbour = way::neighbour(way, address.primary, &link.name);
    }
    // A neighbour, by whose address the kernel tells the link's own MTU.
    let neighbour = local
        .as_ref()
        .ok()
        .map(|local| Ipv4Addr::from_bits(local.to_bits() ^ 1));
    server.local = Some(local);
    if let Some(neighbour) = neighbour {
        server.link_limit = path_limit(neighbour).ok().flatten();
        server.path_limit = path_limit(address.primary).ok().flatten();
    }
    server
}

fn rules() -> Result<Rules, String> {
    let nftables = Ruleset::read().map_err(|error| error.to_string())?;
    let legacy = host::legacy_rules()?
        .map_or_else(Legacy::default, |[ipv4, ipv6]| Legacy::parse(&ipv4, &ipv6));
    Ok(Rules { nftables, legacy })
}

/// An interface that stands for the one outside if there is no route.
pub(crate) fn any_link() -> Link {
    Link {
        name: "eth0".to_owned(),
        index: 2,
        group: 0,
        kind: 1,
    }
}

#[cfg(test)]
mod tests;
