//! Everything that the doctor has looked at, before it judges.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use teredo::wire::is_teredo;
use teredo::{Prefix, ServerAddress};
use teredo_notify::types::{FirewallStatus, Peer, PeerState, Phase, Role, Status};

use teredo_tunnel::net::Decision;

use super::rules::packet::Link;
use super::rules::walk::Rules;
use crate::config::{Config, EmptySecrets};
use crate::probe::Report;
use crate::probe::finding::Finding;
use crate::settings::{ClientSettings, FirewallSettings};

/// The findings on this host.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Whether this process may read the ruleset and other users' processes.
    pub(crate) root: bool,
    pub(crate) settings: Settings,
    pub(crate) host: Host,
    pub(crate) service: Service,
    pub(crate) processes: Vec<Process>,
    pub(crate) units: Units,
    /// Files that the users of the units need, and may not open.
    pub(crate) closed: Vec<Closed>,
    pub(crate) server: Server,
    pub(crate) ways: Ways,
    /// The report of the firewall at the perimeter of a fleet, if this host is one.
    pub(crate) perimeter: Option<serde_json::Value>,
    /// The ruleset; none: not permitted, or not readable for the reason.
    pub(crate) rules: Result<Rules, String>,
}

/// A file that a unit needs, and that its user may not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) unit: String,
    /// The user and the group that the unit runs as.
    pub(crate) user: String,
    pub(crate) group: String,
    pub(crate) file: PathBuf,
    pub(crate) kind: FileKind,
    /// The file, or the folder above it that is closed, and its permission bits and owner.
    pub(crate) at: PathBuf,
    pub(crate) mode: u32,
    pub(crate) owner: String,
}

/// The purpose of a file that a unit needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Settings,
    Secrets,
    Tun,
}

/// The configuration: the files, and the options of the daemons that run.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The files alone.
    pub(crate) files: Config,
    /// The file of `--config`, if one was named.
    pub(crate) chosen: Option<PathBuf>,
    /// Each mistake in one line, with its place, and the mend if there is one.
    pub(crate) mistakes: Vec<(String, Option<String>)>,
    /// The files of secrets among them that have no secret.
    pub(crate) empty_secrets: Vec<EmptySecrets>,
    pub(crate) doubts: Vec<String>,
    /// Whether a section sets anything.
    pub(crate) has: Roles,
    pub(crate) client: ClientSettings,
    pub(crate) firewall: FirewallSettings,
    /// The file and the line of 'servers', if a drop-in sets it.
    pub(crate) servers_place: Option<String>,
    /// The addresses that the settings give to this host's server, the second ones included.
    pub(crate) serves: Vec<Ipv4Addr>,
    /// The networks of 'serve', of a relay and of a server.
    pub(crate) relay_serve: Vec<Prefix>,
    pub(crate) server_serve: Vec<Prefix>,
    /// The server's file of secrets.
    pub(crate) server_secrets: Option<PathBuf>,
    /// Whether the relay of this host serves it alone.
    pub(crate) host_relay: bool,
}

/// Roles that this host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    pub(crate) client: bool,
    pub(crate) server: bool,
    pub(crate) relay: bool,
    pub(crate) firewall: bool,
}

/// The kernel and the network.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) tun: Tun,
    pub(crate) ipv6: Ipv6,
    /// The tracked connections, and the most that there may be; none: they are not tracked.
    pub(crate) connections: Option<[u64; 2]>,
    /// Whether a process of this host can have CAP_NET_ADMIN at all.
    pub(crate) net_admin: bool,
    /// Whether IPv6 packets are forwarded.
    pub(crate) forwards: bool,
    pub(crate) native: Option<(Ipv6Addr, String)>,
    /// Addresses that this host's server is to have, and that the host does not have.
    pub(crate) absent: Vec<Ipv4Addr>,
    /// The interface that can have them, and by which strangers reach this host.
    pub(crate) outside: Option<String>,
    /// The addresses of this host's server, and the interfaces by which strangers reach them.
    pub(crate) doors: Vec<(Ipv4Addr, Link)>,
    /// The native addresses of this host.
    pub(crate) addresses: Vec<Ipv6Addr>,
    /// Interfaces with a Teredo address.
    pub(crate) teredo_links: Vec<(String, Ipv6Addr)>,
    /// Interfaces that are down.
    pub(crate) down: Vec<String>,
    /// The names of all interfaces.
    pub(crate) links: Vec<Link>,
    /// The interfaces of TUN devices and the processes that hold them.
    pub(crate) tun_holders: Vec<(String, Program)>,
    /// The UDP ports in use, and the processes that have them if they may be seen.
    pub(crate) udp: Vec<(u16, Option<Program>)>,
    /// /etc/gai.conf, if there is one.
    pub(crate) gai: Option<String>,
    pub(crate) now: SystemTime,
    /// Whether the kernel takes UDP_SEGMENT, and UDP_GRO.
    pub(crate) offload: [bool; 2],
    /// The version of Linux.
    pub(crate) linux: Option<(u32, u32)>,
    /// Whether the kernel compiles BPF programs; none: this user may not see it.
    pub(crate) jit: Option<bool>,
    pub(crate) group_exists: bool,
    /// The routers of the IPv4 default routes.
    pub(crate) gateways: Vec<Ipv4Addr>,
    /// The routers of default routes and of routes to single hosts, with their interfaces; default routes come first.
    pub(crate) routers: Vec<(Ipv4Addr, String)>,
    /// Interfaces of a VPN.
    pub(crate) vpns: Vec<String>,
    /// The IPv4 addresses of all interfaces, with the length of their networks.
    pub(crate) own: Vec<(Ipv4Addr, u8)>,
    /// Whether /proc/sys is mounted read-only.
    pub(crate) sysctl_is_fixed: bool,
    /// The group of the client that this user is in, and this session is not, because it is older.
    pub(crate) stale_group: Option<String>,
    /// Addresses of this host's server at which the kernel drops packets of strangers (rp_filter = 1): the address, its
    /// interface, and the interface by which answers leave.
    pub(crate) strict: Vec<(Ipv4Addr, String, String)>,
    /// The number of clients in the server's file of secrets.
    pub(crate) secrets: Option<u64>,
    /// Programs that mends may name, and that are here.
    pub(crate) tools: Vec<String>,
}

/// A process by name and number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// Its systemd unit.
    pub(crate) unit: Option<String>,
}

impl Program {
    /// Whether it is the manager of this host, which keeps descriptors for its units.
    pub(crate) fn is_manager(&self) -> bool {
        self.pid == 1
    }

    /// The command that ends it, by its unit if it has one. If it is the manager of this host, `own` is the unit.
    pub(crate) fn end(&self, own: &str) -> String {
        let unit = if self.is_manager() {
            Some(own)
        } else {
            self.unit.as_deref()
        };
        match unit {
            Some(unit) => format!("systemctl stop {}", super::shell::quote(short(unit))),
            None => format!("kill {}", self.pid),
        }
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", crate::text::plain(&self.name), self.pid)
    }
}

/// The TUN device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tun {
    Usable,
    Missing,
    /// It is there, and cannot be opened.
    Unusable(String),
    /// Nobody but root may open it, which is none of this user's business.
    Unseen,
}

/// IPv6 in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    Usable,
    Absent,
    /// These settings turn it off.
    Disabled(Vec<String>),
}

/// The local service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) socket: PathBuf,
    /// Whether the socket was named on the command line or in the environment.
    pub(crate) socket_is_default: bool,
    pub(crate) file: SocketFile,
    pub(crate) status: Result<Box<Status>, Unanswered>,
    /// The process behind the socket.
    pub(crate) pid: Option<u32>,
    pub(crate) uid: Option<u32>,
    /// The peers of a client; none: this user may not ask, or there is no client.
    pub(crate) peers: Option<Vec<Peer>>,
    /// The part of the socket's file system that is used up, as `df` names it.
    pub(crate) full: Option<Full>,
}

/// The two ways in which a file system can be full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Space,
    Inodes,
}

impl Service {
    /// Whether another look may show something else: a client asks its server, or a firewall has to connect or confirm.
    pub(crate) fn is_in_motion(&self, runs_agent: bool) -> bool {
        self.status.as_ref().is_ok_and(|status| {
            let unsettled = |gate: &FirewallStatus| !gate.in_sync && gate.trouble.is_none();
            let asking = is_asking(status);
            let joining = runs_agent && status.firewall.is_empty();
            asking || joining || status.firewall.iter().any(unsettled)
        })
    }
}

/// Whether a client has asked its server, and nothing has failed: after a start, or a change of its network.
pub(crate) fn is_asking(status: &Status) -> bool {
    let changed = teredo::client::Reason::NetworkChanged.to_string();
    let reason = status.reason.as_deref();
    status.state == Phase::Probe
        && reason.is_none_or(|reason| reason.is_empty() || reason == changed)
}

/// Whether the client asked a native host, which answers through the relay nearest to it (RFC 4380 §5.2.9). Another client
/// needs no relay, and a host that began the contact has one.
pub(crate) fn is_asked_native(peer: &Peer) -> bool {
    !peer.began && !is_teredo(&peer.address)
}

/// Whether anything came from the peer.
pub(crate) fn has_answered(peer: &Peer) -> bool {
    peer.state == PeerState::Trusted || peer.heard_ms.is_some()
}

/// The socket in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SocketFile {
    NoFolder,
    Missing,
    NotASocket,
    /// This user may not look.
    Hidden,
    Socket {
        /// The permission bits of the socket and of its folder.
        mode: u32,
        folder: u32,
    },
}

/// Why there is no status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Nobody listens.
    Refused,
    Missing,
    NotPermitted,
    /// Somebody listens, and does not answer.
    Silent,
    Other(String),
}

/// A process of this program or of miredo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    /// Whether its program was replaced since it started.
    pub(crate) replaced: bool,
    /// Whether it is stopped by a signal.
    pub(crate) stopped: bool,
    /// Whether it is in this network namespace; none: it cannot be told.
    pub(crate) here: Option<bool>,
    /// Its network namespace, as the kernel names it.
    pub(crate) namespace: Option<String>,
    /// The unit that started it.
    pub(crate) unit: Option<String>,
    /// Its effective capabilities.
    pub(crate) capabilities: Option<u64>,
}

impl Process {
    /// The command of this program that it runs. The firewall of a fleet, which is none of this host's port, is a `perimeter`.
    pub(crate) fn command(&self) -> Option<&str> {
        const COMMANDS: [&str; 5] = ["client", "server", "relay", "firewall", "publish"];
        let mut arguments = self.arguments.iter().skip(1).map(String::as_str);
        (self.name == "teredo").then_some(())?;
        let command = arguments.find(|argument| COMMANDS.contains(argument))?;
        let is_perimeter = command == "firewall" && self.option("--fleet").is_some();
        Some(if is_perimeter { "perimeter" } else { command })
    }

    /// The value of an option.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}=");
        let arguments = &self.arguments;
        arguments.iter().enumerate().find_map(|(index, argument)| {
            if argument == name {
                arguments.get(index + 1).map(String::as_str)
            } else {
                argument.strip_prefix(&prefix)
            }
        })
    }

    pub(crate) fn program(&self) -> Program {
        Program {
            name: self.name.clone(),
            pid: self.pid,
            unit: self.unit.clone(),
        }
    }
}

/// The service manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Units {
    /// systemd does not run here.
    NoManager,
    /// It did not answer.
    Unknown(String),
    Known(Vec<Unit>),
}

/// A unit as `systemctl show` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) name: String,
    pub(crate) loaded: String,
    pub(crate) active: String,
    pub(crate) file: String,
    pub(crate) result: String,
    /// The exit code of its main process.
    pub(crate) code: String,
    /// How often it was started again without an order.
    pub(crate) restarts: String,
    /// `no`: a condition of its file did not hold at the last start, or there was no start.
    pub(crate) condition: String,
    /// Whether there was a start since this host started.
    pub(crate) was_tried: bool,
    /// Why its file cannot be used.
    pub(crate) load_error: String,
    /// The line of `systemd-analyze verify` about it then.
    pub(crate) complaint: Option<String>,
    /// The address families and capabilities in force, in small letters. With a `~` at the head, all others are.
    pub(crate) families: Option<String>,
    pub(crate) capabilities: Option<String>,
    /// The capabilities that it has in effect although it does not run as root, divided by spaces.
    pub(crate) ambient: String,
    /// The user and the group that it runs as; empty: root.
    pub(crate) user: String,
    pub(crate) group: String,
    /// Further groups, divided by spaces.
    pub(crate) groups: String,
    /// Whether it has a network of its own.
    pub(crate) private_network: bool,
    /// The program that it starts.
    pub(crate) program: String,
    /// Whether there is no such file. Between two starts, the exit status of the last one is not to be had.
    pub(crate) lacks_program: bool,
    /// The files of the administrator that change it, and the text of each.
    pub(crate) drop_ins: Vec<(String, String)>,
    /// Units that it needs, and that do not exist.
    pub(crate) missing: Vec<String>,
}

/// The name of a unit as it is typed: without `.service`, which systemctl adds.
pub(crate) fn short(unit: &str) -> &str {
    unit.trim_end_matches(".service")
}

impl Unit {
    /// Its name as it is typed.
    pub(crate) fn short(&self) -> &str {
        short(&self.name)
    }

    pub(crate) fn is_masked(&self) -> bool {
        self.loaded == "masked" || self.file.starts_with("masked")
    }

    /// The last line of the drop-ins whose key and value are such, and its file.
    pub(crate) fn set_by(&self, is_such: impl Fn(&str, &str) -> bool) -> Option<(&str, &str)> {
        let mut files = self.drop_ins.iter().rev();
        files.find_map(|(path, text)| {
            let mut lines = text.lines().rev().map(str::trim);
            let line = lines.find(|line| {
                let set = line.split_once('=');
                set.is_some_and(|(key, value)| is_such(key.trim(), value.trim()))
            });
            line.map(|line| (path.as_str(), line))
        })
    }
}

/// Where the kernel sends IPv6 packets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ways {
    /// To a native host and to another client, before a source address is chosen.
    pub(crate) native: Option<Decision>,
    pub(crate) teredo: Option<Decision>,
    /// The same from the client's own address.
    pub(crate) native_own: Option<Decision>,
    pub(crate) teredo_own: Option<Decision>,
    /// Networks of 'serve' that a route of this host other than a default one leads to, or an address of it is in.
    pub(crate) served: Vec<Prefix>,
    /// Interfaces that take no default route of a router, because this host forwards (accept_ra = 1).
    pub(crate) deaf: Vec<String>,
}

/// A fault of a neighbour on the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Neighbour {
    /// It does not say where it is (ARP).
    Deaf,
    /// Its hardware address was set by hand, to this one.
    Fixed(String),
}

/// The server and the way there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    /// The server that is in use, or the first one of the settings.
    pub(crate) name: Option<String>,
    pub(crate) address: Option<ServerAddress>,
    /// The answers of the server, and the NAT.
    pub(crate) probe: Option<Report>,
    /// The address that this host sends from.
    pub(crate) local: Option<Result<Ipv4Addr, String>>,
    pub(crate) outside: Option<Link>,
    /// The route that the kernel takes to it.
    pub(crate) way: Option<Decision>,
    /// The route to its second address.
    pub(crate) second_way: Option<Decision>,
    /// The router on that way, or the server itself, if there is a fault about it on the link.
    pub(crate) neighbour: Option<(Ipv4Addr, Neighbour)>,
    /// Whether /etc/hosts has its name.
    pub(crate) in_hosts: bool,
    /// The fault of /etc/resolv.conf.
    pub(crate) resolver: Option<String>,
    /// The line of /etc/nsswitch.conf that keeps names from the DNS.
    pub(crate) without_dns: Option<String>,
    /// The longest tunnel packet that travels in one piece, if it is shorter than 1280 bytes.
    pub(crate) path_limit: Option<u16>,
    /// The same for the first link.
    pub(crate) link_limit: Option<u16>,
}

impl Server {
    /// A finding of the probe.
    pub(crate) fn found(&self, id: &str) -> Option<&Finding> {
        let findings = self.probe.as_ref().map_or(&[][..], |probe| &probe.findings);
        findings.iter().find(|finding| finding.id == id)
    }

    /// The round trips to both addresses, if both answer.
    pub(crate) fn round_trips(&self) -> Option<[Duration; 2]> {
        let probe = self.probe.as_ref()?;
        let [one, other] = [probe.primary?.rtt_us?, probe.secondary?.rtt_us?];
        Some([one, other].map(Duration::from_micros))
    }

    /// The address that does not answer while the other one does.
    pub(crate) fn silent_half(&self) -> Option<Ipv4Addr> {
        let probe = self.probe.as_ref()?;
        let (primary, secondary) = (probe.primary?, probe.secondary?);
        match (primary.rtt_us, secondary.rtt_us) {
            (Some(_), None) => Some(secondary.address),
            (None, Some(_)) => Some(primary.address),
            _ => None,
        }
    }
}

/// The instance of the client's unit that has this socket.
pub(crate) fn instance_of(socket: &Path) -> Option<&str> {
    const OTHERS: [&str; 2] = ["teredo", "server"];
    let name = socket.file_stem()?.to_str()?;
    let usual = socket.parent() == Some(Path::new("/run/teredo")) && socket.extension()? == "sock";
    (usual && !OTHERS.contains(&name)).then_some(name)
}

impl Seen {
    pub(crate) fn status(&self) -> Option<&Status> {
        self.service.status.as_deref().ok()
    }

    /// Whether a service may be there that this user may not ask.
    pub(crate) fn is_hidden(&self) -> bool {
        matches!(self.service.status, Err(Unanswered::NotPermitted))
            || self.service.file == SocketFile::Hidden
    }

    /// The process of the service that was asked.
    pub(crate) fn asked(&self) -> Option<&Process> {
        let pid = self.service.pid?;
        self.processes.iter().find(|process| process.pid == pid)
    }

    /// Whether the service that was asked is in another network namespace than this program.
    pub(crate) fn is_elsewhere(&self) -> bool {
        let private = || {
            let asked = self.unit(&self.unit_of("client"));
            asked.is_some_and(|unit| unit.private_network && unit.active == "active")
        };
        self.status().is_some()
            && match self.asked().and_then(|process| process.here) {
                Some(here) => !here,
                None => private(),
            }
    }

    /// The name of the client's instance whose socket was asked (`teredo-client@NAME`).
    pub(crate) fn instance(&self) -> Option<&str> {
        let socket = &self.service.socket;
        (!self.service.socket_is_default).then_some(())?;
        instance_of(socket)
    }

    /// Whether the process is the one whose socket was asked, or would be.
    pub(crate) fn is_asked(&self, process: &Process) -> bool {
        match (self.service.pid, process.option("--socket")) {
            (Some(pid), _) => process.pid == pid,
            (None, Some(socket)) => Path::new(socket) == self.service.socket,
            (None, None) => self.instance().is_none(),
        }
    }

    /// Processes of one command that are in this network namespace, as far as can be told.
    pub(crate) fn running<'a>(&'a self, command: &'a str) -> impl Iterator<Item = &'a Process> {
        let known = self.service.pid;
        self.processes.iter().filter(move |process| {
            let here = process.here.unwrap_or_else(|| known == Some(process.pid));
            here && process.command() == Some(command)
        })
    }

    /// The roles of this host, by what runs, by its settings and by its units. A host without any is to be a client, unless
    /// it is the perimeter of a fleet.
    pub(crate) fn roles(&self) -> Roles {
        let role = self.status().map(|status| status.role);
        let enabled = |name: &str| match &self.units {
            Units::Known(units) => units.iter().any(|unit| {
                unit.name.starts_with(name)
                    && (unit.file == "enabled" || matches!(&*unit.active, "active" | "failed"))
            }),
            _ => false,
        };
        let has = self.settings.has;
        let runs = |command| self.running(command).next().is_some();
        let mut roles = Roles {
            client: role == Some(Role::Client) || has.client || enabled("teredo-client"),
            server: has.server || runs("server") || enabled("teredo-server"),
            relay: role == Some(Role::Relay)
                || has.relay
                || runs("relay")
                || enabled("teredo-relay"),
            firewall: has.firewall || runs("firewall") || enabled("teredo-firewall"),
        };
        roles.client |= runs("client");
        if !roles.server && !roles.relay && !super::fleet::is_perimeter(self) {
            roles.client = true;
        }
        roles
    }

    /// The addresses of this host's server: those in use, or those that it is to have.
    pub(crate) fn serves(&self) -> Vec<Ipv4Addr> {
        let in_use = self.status().filter(|status| !status.pairs.is_empty());
        if let Some(status) = in_use {
            let pairs = status.pairs.iter();
            return pairs
                .flat_map(|pair| [pair.primary, pair.secondary])
                .collect();
        }
        self.settings.serves.clone()
    }

    /// Whether this host's relay serves the host alone, and forwards nothing.
    pub(crate) fn relays_alone(&self) -> bool {
        self.settings.host_relay
    }

    /// The networks that the service which was asked serves; all if there is none.
    pub(crate) fn networks(&self) -> &[Prefix] {
        match self.status().map(|status| status.role) {
            Some(Role::Relay) => &self.settings.relay_serve,
            Some(Role::Server) => &self.settings.server_serve,
            _ => &[],
        }
    }

    pub(crate) fn is_qualified(&self) -> bool {
        self.status()
            .is_some_and(|status| status.state == Phase::Qualified)
    }

    /// The name of the tunnel's interface.
    pub(crate) fn interface(&self) -> &str {
        let status = self.status().and_then(|status| status.interface.as_deref());
        status.unwrap_or(&self.settings.client.interface)
    }

    /// The port to judge the rules with: that in use, or the configured one, or one that stands for any.
    pub(crate) fn port(&self) -> Option<u16> {
        let in_use = self.status().map(|status| status.port);
        let configured = self.settings.client.port.map(std::num::NonZeroU16::get);
        in_use.filter(|&port| port != 0).or(configured)
    }
}
