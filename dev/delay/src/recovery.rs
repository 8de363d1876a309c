//! After a rebinding or the death of a server, and the bytes of an idle client.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use teredo::client::NatTraversal;
use teredo::{ClientConfig, Instant};
use teredo_sim::{CaptureMode, ClientId, Fate, HostId, NatBehaviour, World};

use crate::event::Event;
use crate::model::Model;
use crate::place::{Place, SERVERS, address};
use crate::table::milliseconds;

/// How long a client is without service after it can notice why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// `rebinding`: the NAT has another address. `dead-server`: the server answers no more, and there is another.
    pub after: String,
    /// Between every two sites, in milliseconds.
    pub delay_ms: u64,
    /// Two round trips and 50 ms, in milliseconds.
    pub target_ms: f64,
    /// From the moment at which it can be noticed, in milliseconds: a rebinding when the next solicitation leaves, a dead
    /// server when the answer to it is overdue.
    pub took_ms: f64,
    /// The same for an eager client.
    pub eager_ms: f64,
    /// The same for the model of miredo; `None` if it does not recover.
    pub miredo_ms: Option<f64>,
}

/// The traffic of an idle client in an hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Keepalive {
    /// How it chooses its refresh interval.
    pub interval: String,
    /// The interval in force at the end, in seconds.
    pub seconds: u64,
    /// Bytes of IPv4 packets in an hour, once it knows the interval.
    pub bytes: u64,
    /// And in the first hour.
    pub first_hour_bytes: u64,
}

/// A client notices nothing before its next refresh.
const PATIENCE: Duration = Duration::from_secs(120);
const HOUR: Duration = Duration::from_secs(3_600);
/// The program's `refresh_interval`, in seconds.
const DEFAULT_INTERVAL: u64 = 8;
/// The usual client, and the eager one.
const MODES: [NatTraversal; 2] = [NatTraversal::Rfc6081, NatTraversal::Eager];

impl Recovery {
    /// After a rebinding.
    pub(crate) fn from_rebinding(delay_ms: u64) -> Self {
        let delay = Duration::from_millis(delay_ms);
        let [took, eager] = MODES.map(|mode| {
            let mut place = Place::new(1, delay, mode, true);
            let (client, nat, earlier) = place.settle(1);
            place.world.renumber_nat(nat, [203, 0, 113, 99]);
            let mut world = place.world;
            let noticed = next_sent(&mut world, client);
            until_moved(&mut world, client, earlier) - noticed
        });
        // miredo qualifies anew.
        let miredo = Model::Miredo.time(Event::Cold, delay, 0.0, 1);
        Self::new("rebinding", delay, took, eager, miredo)
    }

    /// After the death of a server.
    pub(crate) fn from_dead_server(delay_ms: u64) -> Self {
        let delay = Duration::from_millis(delay_ms);
        let [took, eager] = MODES.map(|mode| {
            let mut place = Place::new(1, delay, mode, true);
            let (client, _, earlier) = place.settle(1);
            let mut world = place.world;
            world.set_silent(SERVERS[0].primary, true);
            world.set_silent(SERVERS[0].secondary, true);
            let overdue = next_sent(&mut world, client) + delay * 2;
            until_moved(&mut world, client, earlier) - overdue
        });
        // miredo has one server.
        Self::new("dead-server", delay, took, eager, None)
    }

    fn new(
        after: &str,
        delay: Duration,
        took: Duration,
        eager: Duration,
        miredo: Option<Duration>,
    ) -> Self {
        Self {
            after: after.into(),
            delay_ms: delay.as_millis() as u64,
            target_ms: milliseconds(delay * 4 + Duration::from_millis(50)),
            took_ms: milliseconds(took),
            eager_ms: milliseconds(eager),
            miredo_ms: miredo.map(milliseconds),
        }
    }
}

/// When the client sends its next datagram.
fn next_sent(world: &mut World, client: ClientId) -> Instant {
    world.capture_mut().set_mode(CaptureMode::All);
    world.capture_mut().clear();
    let sent = world.run_until(PATIENCE, |world| {
        world.capture().sent_by(client).next().is_some()
    });
    assert!(sent, "an idle client refreshes its mapping");
    world.now()
}

/// When the client is in service with another address.
fn until_moved(world: &mut World, client: ClientId, earlier: std::net::Ipv6Addr) -> Instant {
    let moved = world.run_until(PATIENCE, |world| {
        address(world, client).is_some_and(|address| address != earlier)
    });
    assert!(moved, "the client finds its way back");
    world.now()
}

impl Keepalive {
    /// The refresh of RFC 4380, the program's own, and the one with a learned interval, behind a NAT that keeps a mapping for
    /// three minutes and hairpins; and the fixed refresh every 30 s, with the same datagrams.
    pub(crate) fn all() -> Vec<Self> {
        let [open, closed] = [NatBehaviour::cone(), NatBehaviour::port_restricted()];
        let every = |seconds| ClientConfig {
            refresh_interval: Duration::from_secs(seconds),
            ..ClientConfig::default()
        };
        let learns = ClientConfig {
            determine_refresh_interval: true,
            ..every(30)
        };
        let usual = "75 to 100 % of 30 s, as RFC 4380 has it";
        let (usual, sent) = Self::measure(usual, open, every(30));
        let default = "75 to 100 % of 8 s, the program's default";
        let (default, _) = Self::measure(default, open, every(DEFAULT_INTERVAL));
        let learned = "learned, behind a cone NAT (§5.2.7)";
        let (learned, _) = Self::measure(learned, open, learns.clone());
        let filtered = "learned, behind a port-restricted NAT";
        let (filtered, _) = Self::measure(filtered, closed, learns.clone());
        let symmetric = NatBehaviour::symmetric_random();
        let (symmetric, _) = Self::measure("learned, behind a symmetric NAT", symmetric, learns);
        // A solicitation and its answer.
        let exchange = usual.bytes as f64 / sent.max(1) as f64;
        let hourly = (exchange * HOUR.as_secs_f64() / 30.0).round() as u64;
        let fixed = Self {
            interval: "every 30 s, as miredo has it".into(),
            seconds: 30,
            bytes: hourly,
            first_hour_bytes: hourly,
        };
        vec![fixed, usual, default, learned, filtered, symmetric]
    }

    /// And the datagrams that the client sent in the hour of `bytes`.
    fn measure(interval: &str, nat: NatBehaviour, config: ClientConfig) -> (Self, u64) {
        let mode = NatTraversal::Rfc6081;
        let mut place = Place::new(1, Duration::from_millis(10), mode, true);
        let nat = NatBehaviour {
            hairpin: true,
            lifetime: Duration::from_secs(180),
            ..nat
        };
        let (client, _) = place.add_client(1, nat, config);
        let mut world = place.world;
        world.capture_mut().set_mode(CaptureMode::All);
        world.start(client, &SERVERS[..1]);
        world.run_for(HOUR);
        let (first_hour_bytes, _) = traffic(&world, client);
        // The search takes some hours.
        world.run_for(HOUR * 5);
        world.capture_mut().clear();
        world.run_for(HOUR);
        let (bytes, sent) = traffic(&world, client);
        let status = world.client(client).client().status();
        let keepalive = Self {
            interval: interval.into(),
            seconds: status.refresh_interval.as_secs(),
            bytes,
            first_hour_bytes,
        };
        (keepalive, sent)
    }
}

/// The bytes that a client has sent and received, and the datagrams that it has sent.
fn traffic(world: &World, client: ClientId) -> (u64, u64) {
    const HEADERS: usize = 28;
    let is_client = |host: HostId| host == HostId::from(client);
    let (mut bytes, mut sent) = (0, 0);
    for record in world.capture().iter() {
        let arrived = matches!(record.fate, Fate::Delivered { host, .. } if is_client(host));
        let left = is_client(record.sender);
        sent += u64::from(left);
        // A bubble through the NAT and back counts twice.
        bytes += (u64::from(left) + u64::from(arrived)) * (HEADERS + record.payload().len()) as u64;
    }
    (bytes, sent)
}
