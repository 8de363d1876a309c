//! `--diagram`: the lab draws the exchange that it has captured on both sides of the NATs.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use teredo::wire::PORT;
use teredo_lab::{Capture, Discards, Home, HomeNat, Host, Internet, NatKind};
use teredo_trace::{KnownNat, Ladder, Limits, Observation, RouterMessage, Tracer};

use super::journey::{Journey, Place, Router, Sighting, journeys};
use super::port_request::{self, PCP_PORT};
use crate::failure::{Exit, Failure};
use crate::text::plain;

/// Captures all nodes of the lab, until it draws.
pub(super) struct Recorder {
    path: PathBuf,
    watched: Vec<Watched>,
}

/// A node, with the captures on both sides of its routers.
struct Watched {
    name: String,
    own: Vec<Ipv4Addr>,
    /// The router's address on the home network.
    gateway: Option<Ipv4Addr>,
    inside: Capture,
    /// From the node to the Internet.
    routers: Vec<WatchedRouter>,
}

struct WatchedRouter {
    addresses: Vec<Ipv4Addr>,
    /// The NAT in words; `None` if there is none.
    nat: Option<String>,
    outside: Capture,
    discards: Discards,
}

impl Recorder {
    /// A recorder that will draw into this file, which exists from now on: the lab takes seconds, and should not run in
    /// vain.
    pub(super) fn new(path: PathBuf) -> Result<Self, Failure> {
        let recorder = Self {
            path,
            watched: Vec::new(),
        };
        recorder.write(String::new())?;
        Ok(recorder)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts to capture.
    pub(super) fn watch(
        &mut self,
        internet: &Internet,
        server: &Host,
        homes: [(&Home, &Host); 2],
    ) -> anyhow::Result<()> {
        let start = |host: &Host| {
            Capture::start(host.namespace(), host.interface())
                .with_context(|| format!("cannot capture on {}", host.name()))
        };
        for (home, host) in homes {
            let own = addresses(host);
            let mut routers = Vec::new();
            if home.carrier().is_some() {
                let outside = Capture::start(home.router(), "uplink");
                routers.push(WatchedRouter {
                    addresses: home.addresses(),
                    nat: Some(title(NatKind::PortRestricted.into())),
                    outside: outside.context("cannot capture on the carrier's network")?,
                    discards: Discards::default(),
                });
            }
            let uplink = format!("to-{}", home.name());
            let outside = Capture::start(internet.core(), &uplink);
            let publics = home.publics();
            routers.push(WatchedRouter {
                nat: (own != publics).then(|| title(home.nat())),
                addresses: publics,
                outside: outside.context("cannot capture on the core")?,
                discards: home.discards(),
            });
            self.watched.push(Watched {
                name: host.name().to_owned(),
                own,
                gateway: Some(home.gateway()),
                inside: start(host)?,
                routers,
            });
        }
        self.watched.push(Watched {
            name: server.name().to_owned(),
            own: addresses(server),
            gateway: None,
            inside: start(server)?,
            routers: Vec::new(),
        });
        Ok(())
    }

    /// Draws what was captured so far.
    pub(super) fn draw(&self) -> Result<(), Failure> {
        self.write(self.picture())
    }

    fn write(&self, picture: String) -> Result<(), Failure> {
        fs::write(&self.path, picture).map_err(|error| {
            let what = format!("cannot write {}", plain(&self.path.display().to_string()));
            Failure::new(Exit::Failed, what).because(error)
        })
    }

    fn picture(&self) -> String {
        let places: Vec<Place> = self.watched.iter().map(Watched::place).collect();
        let mut tracer = Tracer::new(Limits::default());
        for watched in &self.watched {
            let known = watched.routers.iter().filter_map(|router| {
                Some(KnownNat {
                    name: router.nat.clone()?,
                    addresses: router.addresses.clone(),
                })
            });
            tracer.name_nats(known.collect());
        }
        for (watched, place) in self.watched.iter().zip(&places) {
            for message in watched.router_messages(place) {
                tracer.router_message(message);
            }
        }
        let mut journeys = journeys(&places);
        journeys.retain(|journey| {
            let is_router = |node: &Watched| node.gateway == Some(*journey.start.to.ip());
            !self.watched.iter().any(is_router)
        });
        self.name_ends(&journeys, &mut tracer);
        for (number, journey) in (1..).zip(journeys) {
            let start = journey.start;
            tracer.observe(&Observation {
                frame: number,
                time: since_epoch(start.time),
                source: start.from,
                destination: start.to,
                public_source: journey.public_source,
                inner_destination: journey.inner_destination,
                ttl: start.ttl,
                payload: &start.payload,
                cut: false,
                fate: journey.fate,
            });
        }
        Ladder::new(&tracer.finish()).svg()
    }

    /// Names all ends. The first one of a node that talks with a server is its service port, and stands in the head.
    fn name_ends(&self, journeys: &[Journey], tracer: &mut Tracer) {
        let (to_servers, others): (Vec<_>, Vec<_>) =
            (journeys.iter()).partition(|journey| journey.start.to.port() == PORT);
        for journey in to_servers.into_iter().chain(others) {
            // Also a port of its NAT that has no mapping, which a peer has foreseen wrongly, is the node's.
            for end in [journey.start.from, journey.start.to] {
                let mut nodes = self.watched.iter();
                if let Some(node) = nodes.find(|node| node.has(*end.ip())) {
                    tracer.name(end, node.name.clone());
                }
            }
        }
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO)
}

impl Watched {
    /// Whether an address is its own, or that of its outermost NAT.
    fn has(&self, ip: Ipv4Addr) -> bool {
        let outermost = self.routers.last();
        self.own.contains(&ip) || outermost.is_some_and(|router| router.addresses.contains(&ip))
    }

    /// Its requests for ports, and the answers of its router.
    fn router_messages(&self, place: &Place) -> Vec<RouterMessage> {
        let message = |seen: &Sighting| {
            let end = |end: SocketAddrV4| Some(*end.ip()) == self.gateway && end.port() == PCP_PORT;
            let from_router = end(seen.from);
            (from_router || end(seen.to)).then_some(())?;
            Some(RouterMessage {
                at: since_epoch(seen.time),
                node: self.name.clone(),
                from_router,
                text: port_request::words(&seen.payload)?,
            })
        };
        place.inside.iter().filter_map(message).collect()
    }

    fn place(&self) -> Place {
        let seen = |capture: &Capture| -> Vec<Sighting> {
            let frames = capture.frames();
            frames.iter().flat_map(Sighting::all).collect()
        };
        let routers = self.routers.iter().map(|router| Router {
            addresses: router.addresses.clone(),
            outside: seen(&router.outside),
            discards: router.discards.list(),
        });
        Place {
            own: self.own.clone(),
            inside: seen(&self.inside),
            routers: routers.collect(),
        }
    }
}

/// The NAT in a few words.
fn title(nat: HomeNat) -> String {
    match nat {
        HomeNat::Kind(kind) => format!("{kind} NAT"),
        HomeNat::Properties(behaviour) => behaviour.words().to_owned(),
    }
}

fn addresses(host: &Host) -> Vec<Ipv4Addr> {
    let all = host.addresses().into_iter();
    all.filter_map(|ip| match ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    })
    .collect()
}
