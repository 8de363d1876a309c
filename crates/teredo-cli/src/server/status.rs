//! The status of a server, for its local service.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Instant, SystemTime};

use teredo::ServerAddress;
use teredo::server::{Limited as Destination, Security, ServerCounters};
use teredo::wire::PORT;
use teredo_notify::service::{Control, ControlFuture};
use teredo_notify::types::{
    CarriedPackets, Carrier, Counters, DataPath, Lane, Limited, Pair, Phase, Role, Status, rfc3339,
};
use teredo_tunnel::server::{PathStatus, ServerHandle, ServerStatus, ServerTraffic};

use super::is_own;

/// An address that only a route to the whole IPv6 Internet leads to.
const ELSEWHERE: Ipv6Addr = Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 1);

/// Answers for the server in force, across reloads.
#[derive(Clone, Debug)]
pub(super) struct ServerControl {
    started: Instant,
    current: Arc<Mutex<Option<Current>>>,
}

#[derive(Clone, Debug)]
struct Current {
    handle: Weak<ServerHandle>,
    pairs: Vec<ServerAddress>,
    known_clients: Option<u64>,
    since: SystemTime,
}

impl ServerControl {
    /// There is no server yet.
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            current: Arc::default(),
        }
    }

    /// This server serves from now on.
    pub(super) fn serve(
        &self,
        handle: &Arc<ServerHandle>,
        pairs: &[ServerAddress],
        security: &Security,
    ) {
        let current = Current {
            handle: Arc::downgrade(handle),
            pairs: pairs.to_vec(),
            known_clients: known_clients(security),
            since: SystemTime::now(),
        };
        *self.current() = Some(current);
    }

    /// It has other secrets now.
    pub(super) fn set_security(&self, security: &Security) {
        if let Some(current) = &mut *self.current() {
            current.known_clients = known_clients(security);
        }
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn describe(&self) -> Status {
        let current = self.current().clone();
        let uptime = self.started.elapsed().as_millis();
        let offline = Status {
            role: Role::Server,
            uptime_ms: u64::try_from(uptime).unwrap_or(u64::MAX),
            ..Status::default()
        };
        let Some(current) = current else {
            return offline;
        };
        // The handle must not be held any longer: its end is the server's.
        let asked = current.handle.upgrade().map(|handle| handle.status());
        let path = match asked {
            Some(asked) => asked.await,
            None => None,
        };
        match path {
            Some(path) => current.describe(&path, offline),
            None => Status {
                reason: Some(String::from("the server has ended")),
                ..offline
            },
        }
    }
}

impl Control for ServerControl {
    fn status(&self) -> ControlFuture<'_, Status> {
        Box::pin(self.describe())
    }
}

/// The counter of solicitations that came by another interface than that of the server's address.
pub(crate) const OTHER_INTERFACE: &str = "other_interface";

/// The work of user space, by name.
pub(crate) fn work(served: &ServerCounters) -> [(&'static str, u64); 4] {
    [
        ("advertisements", served.advertisements),
        ("echo_replies", served.echo_replies),
        ("forwarded", served.forwarded),
        ("to_native", served.to_native),
    ]
}

/// Who answers solicitations.
fn data_path(path: &PathStatus) -> DataPath {
    DataPath {
        in_use: if path.in_kernel {
            Carrier::Kernel
        } else {
            Carrier::User
        },
        since: path.since.map(rfc3339),
        reason: path.reason.clone(),
        packets: CarriedPackets {
            kernel: path.kernel_packets,
            user: path.user_packets,
        },
        ..DataPath::default()
    }
}

impl Current {
    /// Addresses that the host has no more.
    fn absent(&self) -> impl Iterator<Item = Ipv4Addr> {
        let pairs = self.pairs.iter();
        let addresses = pairs.flat_map(|pair| [pair.primary, pair.secondary]);
        addresses.filter(|&address| !is_own(address))
    }

    fn describe(&self, path: &ServerStatus, rest: Status) -> Status {
        let work = work(&path.served);
        let pairs = self.pairs.iter();
        let drops = path.drops.iter();
        let calls = path.traffic.iter();
        Status {
            state: Phase::Qualified,
            reason: no_way_out(path.has_native_path),
            problems: self.absent().map(without_address).collect(),
            since: Some(rfc3339(self.since)),
            server_address: self.pairs.first().map(|pair| pair.primary),
            local: (self.pairs.first()).map(|pair| SocketAddrV4::new(pair.primary, PORT)),
            pairs: pairs
                .map(|&ServerAddress { primary, secondary }| Pair { primary, secondary })
                .collect(),
            known_clients: self.known_clients,
            counters: counters(&path.traffic),
            lanes: path
                .workers
                .iter()
                .map(|worker| Lane {
                    peers: None,
                    counters: counters(worker),
                })
                .collect(),
            data_path: DataPath {
                counters: calls
                    .chain(work)
                    .chain(
                        path.data_path
                            .other_interface
                            .map(|count| (OTHER_INTERFACE, count)),
                    )
                    .map(|(name, count)| (name.to_owned(), count))
                    .collect(),
                ..data_path(&path.data_path)
            },
            limited: path.limited.iter().map(limited).collect(),
            drops: drops
                .map(|(reason, count)| (reason.name().to_owned(), count))
                .collect(),
            ..rest
        }
    }
}

fn known_clients(security: &Security) -> Option<u64> {
    match security {
        Security::Optional(clients) | Security::Required(clients) => Some(clients.len() as u64),
        _ => None,
    }
}

fn counters(traffic: &ServerTraffic) -> Counters {
    Counters {
        rx_packets: traffic.udp.rx_datagrams,
        rx_bytes: traffic.udp.rx_bytes,
        tx_packets: traffic.udp.tx_datagrams,
        tx_bytes: traffic.udp.tx_bytes,
    }
}

fn limited(&(destination, refused): &(Destination, u64)) -> Limited {
    let destination = match destination {
        Destination::Client(address) => address.to_string(),
        Destination::Network(network) => format!("{network}/64"),
    };
    Limited {
        destination,
        refused,
    }
}

fn without_address(address: Ipv4Addr) -> String {
    format!(
        "{address} is no address of this host any more, so no client qualifies with this server: \
         'ip address add {address}/32 dev INTERFACE'"
    )
}

/// Why packets for the IPv6 Internet go nowhere: then clients' tests of native hosts fail, and with them all that is
/// relayed (RFC 4380 §5.2.9).
fn no_way_out(has_socket: bool) -> Option<String> {
    // Connecting looks the route up, and sends nothing.
    let routed = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
        .is_ok_and(|socket| socket.connect((ELSEWHERE, PORT)).is_ok());
    let missing = match (has_socket, routed) {
        (true, true) => return None,
        (false, _) => "no raw socket, which takes CAP_NET_RAW",
        (true, false) => "this host has no route to it",
    };
    Some(format!(
        "clients reach each other, but no native IPv6 host: the server cannot send to the IPv6 Internet ({missing})"
    ))
}
