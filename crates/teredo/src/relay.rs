//! The relay (RFC 4380 §5.4) and the host-specific relay (§5.5), between Teredo clients and the IPv6 Internet.
//!
//! ```text
//!  IPv6 Internet ──> handle_tun ── trusted? ──yes──────────────────────────────> the client's mapping
//!                                     │ no                                            ^
//!                                     │ queue; bubble to the client's server          │ queue, in order
//!                                     v                                               │
//!                                  under way ── the client's packet or bubble ────> trusted
//!                                     │                                               │
//!                                     │ 4 bubbles in 8 s                              │ 30 s of silence
//!                                     v                                               v
//!                           ICMPv6 unreachable                                     forgotten
//!
//!  IPv6 Internet <── handle_udp ── from the mapping in its source, if that is a trusted peer
//! ```
//!
//! The relay asks every client for a bubble first, whatever the cone bit in its address (case 3 of §5.4.1; RFC 5991
//! §3.2). The answer proves that the host at the mapping wants the packets. A relay sends data only to proven mappings.
//! For a mere address, which anybody can invent, it sends a single bubble to the server in it.
//!
//! A client that the relay has not sent to must also answer a bubble before its packets pass (§5.4 permits a relay to
//! accept packets only from clients that it has sent to). Bubbles come from a random address, which the answer must
//! contain, so a forger of IPv4 sources cannot answer. Its first packets wait for the answer, so a client loses nothing
//! when another relay takes over the address of its relay, or when its relay restarts: it waits a round trip.
//!
//! The router to which the relay is attached decrements hop limits, once in each direction.
//!
//! | file | RFC 4380 |
//! |---|---|
//! | `forward` | §5.4.1: where a packet goes; §5.4.2: what a datagram means |
//! | `contact` | §5.4.1 case 3: bubbles, repeated by timers |
//! | `admission` | §7.3.5, §7.4: how many bubbles and errors others can cause |
//! | `peers` | §5.4: the list of peers |
//! | `elsewhere` | clients behind symmetric NATs, which RFC 6081 leaves out |
//! | `natives` | the native networks of packets that need not visit the relay |

mod admission;
mod config;
mod contact;
mod elsewhere;
mod forward;
mod natives;
mod peers;

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::ops::AddAssign;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

pub use config::{RelayConfig, Served};

pub use crate::prefix::{Prefix, PrefixError};

use crate::outbox::Outbox;
use crate::policy::DestinationPolicy;
use crate::slots::{Bounds, SipKeys};
use crate::wire::TeredoAddress;
use crate::{
    DropCounters, DropReason, Instant, Node, PathChange, Reception, Submission, Timer, Transmit,
};
use admission::{Admission, Fair};
use elsewhere::Elsewhere;
use peers::{Key, Table, Tick, Underway};

/// How often a part of the table is searched for silent peers.
const SWEEP: Duration = Duration::from_secs(1);

/// A Teredo relay without its sockets (R4380-5.4-03). [`Node`] describes how to drive it.
///
/// ```
/// use std::net::Ipv4Addr;
/// use teredo::relay::Served;
/// use teredo::wire::{emit_bubble, emit_echo_request};
/// use teredo::{Destination, Instant, Node, Relay, RelayConfig, Submission};
///
/// let now = Instant::from_nanos(0);
/// let config = RelayConfig::new("198.51.100.9:4545".parse()?, Served::Networks(vec!["2001:db8::/32".parse()?]));
/// let mut relay = Relay::new(config, [7; 32]);
///
/// let native = "2001:db8::1".parse()?;
/// let client = "2001:0:cb00:7178:0:efff:3fff:fdfe".parse()?; // 192.0.2.1:4096, by the server 203.0.113.120
/// let mut packet = Vec::new();
/// emit_echo_request(native, client, 64, 1, 2, b"hello", &mut packet);
/// assert_eq!(relay.handle_tun(now, &packet), Submission::Queued);
///
/// // A bubble, by way of the client's server,
/// let mut bytes = Vec::new();
/// let bubble = relay.poll_transmit(&mut bytes).expect("a bubble");
/// assert_eq!(bubble.destination, Destination::Udp("203.0.113.120:3544".parse()?));
///
/// // which the client answers, and what waited is released.
/// let mut answer = Vec::new();
/// emit_bubble(client, native, 255, &mut answer);
/// let _ = relay.handle_udp(now, "192.0.2.1:4096".parse()?, Ipv4Addr::new(198, 51, 100, 9), &answer);
/// bytes.clear();
/// let released = relay.poll_transmit(&mut bytes).expect("the packet");
/// assert_eq!((released.destination, bytes), (Destination::Udp("192.0.2.1:4096".parse()?), packet));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Relay {
    config: RelayConfig,
    rng: ChaCha12Rng,
    trusted: Table,
    underway: Underway,
    elsewhere: Elsewhere,
    admission: Admission,
    /// Limits the bubbles that strangers provoke (weakness W-04), by their IPv4 addresses.
    provoked: Fair,
    /// Limits ICMPv6 errors (RFC 4443 §2.4 f), by the networks that they go to.
    icmpv6_errors: Fair,
    /// When the table is searched next; `None` while it is empty.
    sweep: Option<Instant>,
    outbox: Outbox,
    counters: RelayCounters,
    drops: DropCounters,
}

/// The counters of a relay's work. [`Node::drops`] counts the refusals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounters {
    /// Packets from the IPv6 Internet to clients, including those that had to wait.
    pub to_clients: u64,
    /// Packets from clients to the IPv6 Internet.
    pub to_native: u64,
    /// Bubbles sent to servers; the direct bubbles of [`RelayConfig::direct_bubbles`] are not counted separately.
    pub bubbles: u64,
    /// Bubbles of clients.
    pub bubbles_received: u64,
}

/// The status of a relay at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayStatus {
    /// Clients that have proven their mapping. Expired entries count for up to half a minute more.
    pub trusted_peers: usize,
    /// Clients that were asked for a bubble and have not answered yet.
    pub underway: usize,
    /// Clients that were found at another mapping than that in their address.
    pub elsewhere: usize,
    /// The most trusted peers that fit.
    pub capacity: usize,
    /// The bytes of all packets that wait for clients.
    pub queued_bytes: usize,
    /// The memory of the list of trusted peers, in bytes.
    pub table_bytes: usize,
}

/// Adds up several relays that share the work.
impl AddAssign for RelayCounters {
    fn add_assign(&mut self, other: Self) {
        let Self {
            to_clients,
            to_native,
            bubbles,
            bubbles_received,
        } = other;
        self.to_clients += to_clients;
        self.to_native += to_native;
        self.bubbles += bubbles;
        self.bubbles_received += bubbles_received;
    }
}

/// Adds up several relays that share the work.
impl AddAssign for RelayStatus {
    fn add_assign(&mut self, other: Self) {
        let Self {
            trusted_peers,
            underway,
            elsewhere,
            capacity,
            queued_bytes,
            table_bytes,
        } = other;
        self.trusted_peers += trusted_peers;
        self.underway += underway;
        self.elsewhere += elsewhere;
        self.capacity += capacity;
        self.queued_bytes += queued_bytes;
        self.table_bytes += table_bytes;
    }
}

impl Relay {
    /// A relay that serves at once. The seed must be unpredictable to others, so that they cannot aim at places in the
    /// tables.
    pub fn new(config: RelayConfig, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut keys = || SipKeys(rng.next_u64(), rng.next_u64());
        let bounds = Bounds {
            peers: config.max_underway,
            queue_bytes: config.max_queue_bytes,
            total_queue_bytes: config.max_total_queue_bytes,
        };
        let [table, underway, admission, elsewhere] = std::array::from_fn(|_| keys());
        let unsolicited = || Fair::new(config.unsolicited_per_second, admission);
        Self {
            rng,
            trusted: Table::new(config.max_peers, table),
            underway: Underway::new(bounds, underway),
            elsewhere: Elsewhere::new(elsewhere),
            admission: Admission::new(
                config.bubbles_per_server,
                config.bubbles_per_second,
                admission,
            ),
            provoked: unsolicited(),
            icmpv6_errors: unsolicited(),
            sweep: None,
            outbox: Outbox::default(),
            counters: RelayCounters::default(),
            drops: DropCounters::default(),
            config,
        }
    }

    /// The settings.
    pub fn config(&self) -> &RelayConfig {
        &self.config
    }

    /// The current status.
    pub fn status(&self) -> RelayStatus {
        RelayStatus {
            trusted_peers: self.trusted.len(),
            underway: self.underway.len(),
            elsewhere: self.elsewhere.len(),
            capacity: self.trusted.capacity(),
            queued_bytes: self.underway.queued_bytes(),
            table_bytes: self.trusted.bytes(),
        }
    }

    /// The counters of the relay's work.
    pub fn counters(&self) -> &RelayCounters {
        &self.counters
    }

    /// Replaces what is served, for instance when the host of a host-specific relay has a new address.
    /// [`Node::poll_path`] then takes all paths back, and the caller reads [`natives`](Self::natives) again.
    pub fn set_served(&mut self, served: Served) {
        self.config.served = served;
        self.trusted.withdraw_all();
    }

    /// Replaces the source address of ICMPv6 errors.
    pub fn set_error_source(&mut self, source: Option<Ipv6Addr>) {
        self.config.error_source = source;
    }
}

impl Node for Relay {
    type Event = Infallible;

    fn handle_udp<'a>(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        local: Ipv4Addr,
        datagram: &'a [u8],
    ) -> Reception<'a> {
        match self.receive(now, from, local, datagram) {
            Ok(Some(packet)) => {
                self.counters.to_native += 1;
                Reception::Deliver(packet)
            }
            Ok(None) => Reception::Consumed,
            Err(reason) => Reception::Drop(self.drops.count(reason)),
        }
    }

    fn handle_tun(&mut self, now: Instant, packet: &[u8]) -> Submission {
        match self.submit(now, packet) {
            Ok(submission) => submission,
            Err(reason) => Submission::Drop(self.drops.count(reason)),
        }
    }

    /// Repeats bubbles, gives up clients that do not answer, and forgets silent ones.
    fn handle_timeout(&mut self, now: Instant) {
        self.drive_contacts(now);
        self.count_evictions();
        if self.sweep.is_some_and(|at| at <= now) {
            self.trusted.sweep(Tick::at(now));
            self.sweep = (self.trusted.len() > 0).then_some(now + SWEEP);
        }
    }

    fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.outbox.pop(buf)
    }

    fn poll_event(&mut self) -> Option<Infallible> {
        None
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let contact = self.underway.next_deadline().map(|at| (at, Timer::Contact));
        let sweep = self.sweep.map(|at| (at, Timer::Sweep));
        contact.into_iter().chain(sweep).min()
    }

    fn set_destinations(&mut self, destinations: DestinationPolicy) {
        self.config.destinations = destinations;
        let config = &self.config;
        let keep = |key: Key| contact::check(config, TeredoAddress::from(key)).is_ok();
        self.trusted.retain(keep);
        self.underway.retain(keep);
        let keep = |key, mapping| keep(key) && config.destinations.permits(mapping);
        self.elsewhere
            .retain(keep, &mut |moved| self.trusted.withdraw(moved));
        self.count_evictions();
    }

    fn report_paths(&mut self, wanted: bool) {
        self.trusted.report_paths(wanted);
    }

    fn poll_path(&mut self) -> Option<PathChange> {
        self.trusted.poll_path()
    }

    fn drops(&self) -> &DropCounters {
        &self.drops
    }

    fn count_drop(&mut self, reason: DropReason, packets: u64) {
        self.drops.add(reason, packets);
    }
}

impl Relay {
    fn count_evictions(&mut self) {
        let lost = self.underway.take_evicted_packets();
        self.drops.add(DropReason::QueueFull, lost as u64);
        let unproven = self.underway.take_unproven_packets();
        self.drops
            .add(DropReason::UnverifiedSource, unproven as u64);
    }
}

#[cfg(test)]
mod tests;
