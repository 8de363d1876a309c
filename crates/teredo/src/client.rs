//! The client (RFC 4380 §5.2, as amended by RFC 5991).
//!
//! ```text
//!            start                       both advertisements, one mapping
//!  Stopped ─────────> Starting ─────────────────────────────────────────> Qualified
//!     ^                │   ^ ^                                             │  │  ^
//!     │ stop           │   │ │  the server is silent, the local address    │  │  │ advertisement:
//!     │ (from          │   │ └───── or mapping changed, a rebind ──────────┘  │  │ same mapping
//!     │  anywhere)     │   │                                                  │  │
//!     │                │   │ the pause is over,            refresh interval   │  │
//!     │                v   │ the network changed           over: solicit      └──┘
//!     └────────────── Waiting
//!          no server answered, or the NAT is symmetric
//! ```
//!
//! Users see [`State`] instead: `Stopped` and `Waiting` are *offline*, `Starting` is *probe*. If the host has native
//! IPv6, [`sleep`](Client::sleep) stops the client and makes it *dormant* (§5.5).
//!
//! | file | RFC 4380 |
//! |---|---|
//! | `qualify` | §5.2.1: solicitations to both addresses of every server at once (RFC 5991 §3.2: no cone phase); §5.2.2: nonces and shared secrets |
//! | `maintain` | §5.2.5: the randomised refresh |
//! | `receive` | §5.2.3: what a datagram means |
//! | `send` | §5.2.4: where a packet goes |
//! | `contact` | §5.2.4, §5.2.6, §5.2.9: bubbles and connectivity tests, repeated by timers |
//! | `opening` | §5.2.4: the time to live of direct bubbles |
//! | `peers` | §5.2: the list of recent peers |
//! | `budget` | §7.3, §7.4: how much strangers can make a client send |
//! | `discovery` | §5.2.8: clients on the same link |
//! | `traversal` | RFC 6081 §5.2: peers behind symmetric NATs |
//! | `hairpin` | RFC 6081 §5.6: peers behind the same NAT |
//! | `random_port` | RFC 6081 §5.4: a further port for a peer, whose external port is foreseen |
//! | `birthday` | beyond RFC 6081: many ports for a peer, whose external ports cannot be foreseen |
//! | `echo_test` | RFC 6081 §5.5: the external port of a NAT that counts |
//! | `upnp` | RFC 6081 §5.3: NATs that open the service port on request |
//! | `early_data` | the first packet for a peer, sent as the peer's NAT opens, by an eager client |
//! | `round_trip` | repetitions by the measured round trip, for an eager client |
//! | `standby` | another server in time, for an eager client |
//! | `idle` | RFC 6081 §5.7: peers that were silent for a while |
//! | `reachability` | RFC 6081 §5.2: peers that we hear, and that may not hear us |
//! | `paths` | the paths that packets may take without the client |
//! | `interval` | §5.2.7: the search for a longer refresh interval |

mod birthday;
mod budget;
mod config;
mod contact;
mod discovery;
mod early_data;
mod echo_test;
mod event;
mod hairpin;
mod idle;
mod interval;
mod link;
mod maintain;
mod opening;
mod paths;
mod peers;
mod qualify;
mod random_port;
mod reachability;
mod receive;
mod resume;
mod round_trip;
mod send;
mod standby;
mod traversal;
mod upnp;

pub use birthday::PORT_BLOCK;
pub use config::{ClientConfig, ServerAddress};
pub use discovery::LocalSubnet;
pub use event::{Event, Nat, Reason, State, Status};
pub use peers::{PeerState, PeerStatus, PeerTraffic};
pub use random_port::{RANDOM_PORT_RANGE, RANDOM_PORTS, RandomPortAnswer};
pub use resume::Resumption;
pub use traversal::{NatTraversal, ParseNatTraversalError};

use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::limit::RateLimit;
use crate::outbox::Outbox;
use crate::policy::DestinationPolicy;
use crate::slots::{Bounds, SipKeys};
use crate::wire::{Flags, MTU, TeredoAddress};
use crate::{
    DropCounters, DropReason, IcmpError, Instant, Keyring, Node, PathChange, Reception, Submission,
    Timer, Transmit,
};
use birthday::Birthday;
use budget::Budget;
use discovery::Discovery;
use early_data::EarlyData;
use interval::Determination;
use link::Links;
use maintain::Service;
use opening::Opening;
use peers::Peers;
use qualify::Qualification;
use random_port::RandomPorts;
use round_trip::RoundTrip;
use traversal::AnsweredRelays;

/// A Teredo client without its sockets. [`Node`] describes how to drive it.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    rng: ChaCha12Rng,
    phase: Phase,
    local: SocketAddrV4,
    /// In the order in which they are asked: the last one that worked comes first.
    servers: Vec<ServerAddress>,
    /// The address on the interface, or the last one that was there. It is reused while its mapping lasts
    /// (R5991-3.1-03).
    held: Option<Held>,
    nat: Nat,
    /// The servers that declared our key invalid.
    retired_keys: BTreeSet<Ipv4Addr>,
    /// Consecutive failed qualifications.
    failures: u32,
    early_data: EarlyData,
    /// The round trip to the server that answered last.
    round_trip: RoundTrip,
    measured_to: Option<ServerAddress>,
    peers: Peers,
    /// The entry of the last packet of the host that had a path.
    last_sent_to: Option<u32>,
    answered_relays: AnsweredRelays,
    random_ports: RandomPorts,
    birthday: Birthday,
    /// The mapping of a symmetric NAT towards the server's secondary address.
    seen_by_secondary: Option<SocketAddrV4>,
    /// The external address of the service port, by an Internet Gateway Device.
    upnp: Option<SocketAddrV4>,
    discovery: Discovery,
    links: Links,
    determination: Determination,
    opening: Opening,
    outbox: Outbox,
    events: VecDeque<Event>,
    drops: DropCounters,
    /// Limits what strangers provoke.
    budget: Budget,
    /// Limits ICMPv6 errors to the host (RFC 4443 §2.4 f).
    icmpv6_errors: RateLimit,
}

#[derive(Debug)]
enum Phase {
    Stopped,
    /// Stopped while the host has native IPv6, such as this address.
    Dormant {
        native: Ipv6Addr,
    },
    Waiting {
        since: Instant,
        until: Instant,
        reason: Reason,
    },
    Starting {
        qualification: Qualification,
        reason: Option<Reason>,
    },
    Qualified(Service),
}

#[derive(Clone, Copy, Debug)]
struct Held {
    address: TeredoAddress,
    server: ServerAddress,
    /// Whether the last event put it on the interface.
    up: bool,
}

impl Client {
    /// A stopped client. The seed must be unpredictable to others, because nonces and the random bits of the address
    /// come from it (R5991-4-01).
    pub fn new(config: ClientConfig, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let keys = std::array::from_fn(|_| rng.next_u64());
        let budget = SipKeys(keys[1], keys[2]);
        let bounds = Bounds {
            peers: config.max_peers,
            queue_bytes: config.max_queue_bytes,
            total_queue_bytes: config.max_total_queue_bytes,
        };
        let determination = Determination::new(config.refresh_interval);
        Self {
            config,
            rng,
            phase: Phase::Stopped,
            local: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            servers: Vec::new(),
            held: None,
            nat: Nat::Unknown,
            retired_keys: BTreeSet::new(),
            failures: 0,
            early_data: EarlyData::default(),
            round_trip: RoundTrip::default(),
            measured_to: None,
            peers: Peers::new(bounds, keys),
            last_sent_to: None,
            answered_relays: AnsweredRelays::new(budget),
            random_ports: RandomPorts::default(),
            birthday: Birthday::default(),
            seen_by_secondary: None,
            upnp: None,
            discovery: Discovery::new(now),
            links: Links::default(),
            determination,
            opening: Opening::default(),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            drops: DropCounters::default(),
            budget: Budget::new(budget),
            icmpv6_errors: RateLimit::new(32, Duration::from_millis(100)),
        }
    }

    /// Qualifies from a newly bound service port: at the start and after a rebind.
    ///
    /// `local` is the port's address on this host. It is `0.0.0.0` while there is no route; call
    /// [`handle_network_change`](Self::handle_network_change) when there is one. Unsent datagrams of an earlier port
    /// are discarded. If the mapping turns out to be different, so are the peers, whose NATs know only the earlier
    /// mapping.
    pub fn start(&mut self, now: Instant, local: SocketAddrV4, servers: &[ServerAddress]) {
        let moved = self.local != local;
        self.local = local;
        if moved {
            self.close_random_ports();
            self.forget_round_trip();
        }
        self.adopt_servers(servers);
        self.failures = 0;
        let reason = match self.phase {
            Phase::Stopped | Phase::Dormant { .. } => None,
            _ if moved => Some(Reason::NetworkChanged),
            _ => self.lasting_reason(),
        };
        self.begin_qualification(now, reason);
    }

    /// Replaces the servers, for instance after a name was resolved again. A client that is waiting or has no server
    /// yet tries at once; a qualified client stays with its server as long as it answers.
    pub fn set_servers(&mut self, now: Instant, servers: &[ServerAddress]) {
        let before = self.servers.clone();
        self.adopt_servers(servers);
        let changed =
            before.len() != self.servers.len() || before.iter().any(|s| !self.servers.contains(s));
        match self.phase {
            Phase::Waiting { .. } | Phase::Starting { .. } if changed => {
                self.failures = 0;
                self.begin_qualification(now, self.lasting_reason());
            }
            _ => {}
        }
    }

    /// Replaces the identifiers and secrets. The next solicitation and the next advertisement use them.
    pub fn set_keyring(&mut self, keyring: Keyring) {
        self.retired_keys
            .retain(|&server| keyring.get(server).is_some());
        self.config.keyring = keyring;
    }

    /// Ends the service. Nothing is sent until [`start`](Self::start) (R6169-2.1-01).
    pub fn stop(&mut self, _now: Instant) {
        self.end(Phase::Stopped);
    }

    /// Stops because the host has native IPv6: a `native` address and a route to the IPv6 Internet. It then must not
    /// act as a client (R4380-5.5-01). The state is [`State::Dormant`] until [`start`](Self::start).
    pub fn sleep(&mut self, _now: Instant, native: Ipv6Addr) {
        self.end(Phase::Dormant { native });
    }

    fn end(&mut self, phase: Phase) {
        self.enter(phase);
        self.take_address_down();
        self.nat = Nat::Unknown;
        self.forget_peers();
        self.outbox.clear();
    }

    /// Reacts to a changed address, route or interface (R4380-MS-05). If the local address is the same, the client
    /// verifies the mapping at once while the service goes on (R6081-5.1.1-03), and asks again at once if it asks or
    /// waits; otherwise it qualifies again. A server that is being asked is given up at the same time as without the
    /// change.
    pub fn handle_network_change(&mut self, now: Instant, local: SocketAddrV4) {
        let moved = self.local != local;
        self.local = local;
        self.failures = 0;
        if moved {
            self.close_random_ports();
            self.forget_round_trip();
        }
        match &self.phase {
            Phase::Stopped | Phase::Dormant { .. } => {}
            Phase::Qualified(_) if !moved => self.solicit_refresh(now),
            Phase::Starting { .. } if !moved => self.hurry_qualification(now),
            Phase::Waiting { since, .. } if !moved => self.retry_soon(now, *since),
            Phase::Qualified(_) | Phase::Waiting { .. } | Phase::Starting { .. } => {
                self.begin_qualification(now, Some(Reason::NetworkChanged));
            }
        }
    }

    /// The peers that were used last, those with a path first; at most `most`.
    pub fn peers(&self, now: Instant, most: usize) -> Vec<PeerStatus> {
        self.peers.recent(now, most)
    }

    /// The current status.
    pub fn status(&self) -> Status {
        let (state, reason) = self.visible_state();
        let service = match &self.phase {
            Phase::Qualified(service) => Some(service),
            _ => None,
        };
        Status {
            state,
            reason,
            address: service.map(|s| s.address.to_ipv6()),
            server: service
                .map(|s| s.server)
                .or_else(|| self.servers.first().copied()),
            local: (!matches!(self.phase, Phase::Stopped | Phase::Dormant { .. }))
                .then_some(self.local),
            mapped: service.map(|s| s.address.mapped),
            nat: self.nat,
            key_retired: service.is_some_and(|s| self.retired_keys.contains(&s.server.primary)),
            refresh_interval: self.determination.refresh,
            peers: self.peers.len(),
            trusted_peers: self.peers.trusted_len(),
            port_blocks: self.birthday.blocks,
            bubble_bursts: self.birthday.bursts,
            neighbours: self.discovery.neighbours(),
        }
    }
}

impl Node for Client {
    type Event = Event;

    fn handle_udp<'a>(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        local: Ipv4Addr,
        datagram: &'a [u8],
    ) -> Reception<'a> {
        match self.receive(now, from, local, datagram) {
            Ok(Some(packet)) => Reception::Deliver(packet),
            Ok(None) => Reception::Consumed,
            Err(reason) => Reception::Drop(self.drop(reason)),
        }
    }

    fn handle_tun(&mut self, now: Instant, packet: &[u8]) -> Submission {
        let submission = self.submit(now, packet);
        if let Submission::Drop(reason) = submission {
            self.drop(reason);
        }
        submission
    }

    fn count_sent(&mut self, packets: u64, bytes: u64) {
        if let Some(slot) = self.last_sent_to.take() {
            self.peers.count_sent(slot, packets, bytes);
        }
    }

    fn handle_icmp_error(&mut self, now: Instant, error: &IcmpError<'_>) {
        if let Err(reason) = self.take_icmp_error(now, error) {
            self.drop(reason);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &self.phase {
            Phase::Waiting { until, reason, .. } if *until <= now => {
                let reason = *reason;
                self.begin_qualification(now, Some(reason));
            }
            Phase::Starting { .. } => self.drive_qualification(now),
            Phase::Qualified(_) => {
                self.drive_maintenance(now);
                self.drive_discovery(now);
                self.drive_determination(now);
            }
            Phase::Waiting { .. } | Phase::Stopped | Phase::Dormant { .. } => {}
        }
        self.drive_contacts(now);
        self.drive_early_data(now);
        self.peers.age(now);
        self.drive_random_ports(now);
        self.drive_birthday(now);
    }

    fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.outbox.pop(buf)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let phase = match &self.phase {
            Phase::Stopped | Phase::Dormant { .. } => None,
            Phase::Waiting { until, .. } => Some((*until, Timer::Backoff)),
            Phase::Starting { qualification, .. } => qualification
                .next_deadline()
                .map(|at| (at, Timer::Solicitation)),
            Phase::Qualified(service) => Some(service.next_deadline()),
        };
        let early = self.early_data.next_deadline();
        let contact = self.peers.next_deadline().into_iter().chain(early).min();
        let contact = contact.map(|at| (at, Timer::Contact));
        let ports = self.random_ports.next_deadline();
        let port = ports.into_iter().chain(self.birthday.next_deadline()).min();
        let port = port.map(|at| (at, Timer::RandomPort));
        let serving = matches!(self.phase, Phase::Qualified(_));
        let discovery = self.discovery.next_deadline();
        let discovery = discovery.map(|at| (at, Timer::Discovery));
        let interval = self.determination.next_deadline();
        let interval = interval.map(|at| (at, Timer::Interval));
        let optional = discovery.into_iter().chain(interval);
        let optional = optional.filter(|_| serving);
        let all = phase.into_iter().chain(contact).chain(port);
        all.chain(optional).min()
    }

    fn set_destinations(&mut self, destinations: DestinationPolicy) {
        self.config.destinations = destinations;
        let (policy, discovery) = (&self.config.destinations, &self.discovery);
        let own = match &self.phase {
            Phase::Qualified(service) => Some(*service.address.mapped.ip()),
            _ => None,
        };
        let lost = self.peers.retain(|address, mapping| {
            let target = TeredoAddress::from_ipv6(address);
            let shares_nat = target.is_some_and(|target| Some(*target.mapped.ip()) == own);
            let permits = |to: SocketAddrV4| {
                let is_near = discovery.reaches(to) || shares_nat;
                policy.permits(to) || is_near && policy.permits_neighbour(*to.ip())
            };
            target.is_none_or(|target| contact::permits(policy, target))
                && mapping.is_none_or(permits)
        });
        self.drops.add(DropReason::RefusedDestination, lost as u64);
        self.close_orphans();
    }

    fn report_paths(&mut self, wanted: bool) {
        self.peers.report_paths(wanted);
    }

    fn poll_path(&mut self) -> Option<PathChange> {
        self.peers.poll_path()
    }

    fn drops(&self) -> &DropCounters {
        &self.drops
    }

    fn count_drop(&mut self, reason: DropReason, packets: u64) {
        self.drops.add(reason, packets);
    }
}

impl Client {
    fn visible_state(&self) -> (State, Option<Reason>) {
        match &self.phase {
            Phase::Stopped => (State::Offline, Some(Reason::Stopped)),
            Phase::Dormant { native } => (State::Dormant, Some(Reason::NativeIpv6(*native))),
            Phase::Waiting { reason, .. } => (State::Offline, Some(*reason)),
            Phase::Starting { reason, .. } => (State::Probe, *reason),
            Phase::Qualified(_) => (State::Qualified, None),
        }
    }

    /// The reason that still holds when the client tries again with the same local address. That there was no usable
    /// server is known at once, so it is not said while one is being asked.
    fn lasting_reason(&self) -> Option<Reason> {
        let (_, reason) = self.visible_state();
        let is_lasting = |reason: &Reason| {
            !matches!(
                reason,
                Reason::NoServer | Reason::ServerRefused(_) | Reason::ServerDenied(_)
            )
        };
        reason.filter(is_lasting)
    }

    /// Changes the phase, and reports it if the visible state or reason differs.
    fn enter(&mut self, phase: Phase) {
        let (before, own) = (self.visible_state(), self.own_address());
        self.phase = phase;
        if self.own_address() != own {
            self.peers.withdraw_all();
        }
        let (state, reason) = self.visible_state();
        if (state, reason) != before {
            self.events.push_back(Event::StateChanged { state, reason });
        }
    }

    /// Takes a new list of servers and keeps the learned order of those that stay.
    fn adopt_servers(&mut self, servers: &[ServerAddress]) {
        let mut adopted: Vec<_> = self
            .servers
            .iter()
            .copied()
            .filter(|s| servers.contains(s))
            .collect();
        for server in servers {
            if !adopted.contains(server) {
                adopted.push(*server);
            }
        }
        self.servers = adopted;
    }

    /// Puts the address for this mapping into service: the held address if nothing changed, else a new one.
    fn bring_address_up(
        &mut self,
        now: Instant,
        server: ServerAddress,
        mapped: SocketAddrV4,
    ) -> TeredoAddress {
        let unchanged = self
            .held
            .filter(|held| held.server == server && held.address.mapped == mapped);
        let address = match unchanged {
            Some(held) => held.address,
            // RFC 5991 §3.1: twelve random bits; §3.2: the cone bit stays clear, as in the solicitation.
            // R5991-3.1-01, R6169-5.1-01, R4380-4-08, R4380-5.2.1-13.
            None => {
                let flags = Flags::from_random(self.rng.next_u32() as u16);
                TeredoAddress {
                    server: server.primary,
                    flags,
                    mapped,
                }
            }
        };
        if unchanged.is_none_or(|held| !held.up) {
            self.events.push_back(Event::AddressUp {
                address: address.to_ipv6(),
                mapped,
                server,
                mtu: MTU as u32,
            });
            self.restart_discovery(now);
            self.restart_determination();
        }
        if unchanged.is_none() {
            // The NATs of the peers expect the old mapping, and queued packets carry the old source.
            self.forget_peers();
        }
        self.held = Some(Held {
            address,
            server,
            up: true,
        });
        address
    }

    /// Takes the address off the interface, but keeps its random bits in case the mapping comes back.
    fn take_address_down(&mut self) {
        self.end_determination();
        if let Some(held) = &mut self.held
            && held.up
        {
            held.up = false;
            self.events.push_back(Event::AddressDown {
                address: held.address.to_ipv6(),
            });
        }
    }

    fn forget_peers(&mut self) {
        self.opening = Opening::default();
        self.answered_relays.clear();
        self.early_data.clear();
        self.close_random_ports();
        let lost = self.peers.clear();
        self.drops.add(DropReason::NotQualified, lost as u64);
    }

    fn drop(&mut self, reason: DropReason) -> DropReason {
        self.drops.count(reason)
    }

    /// A random point in 75 % to 100 % of the refresh interval (R4380-5.2-08).
    fn randomised_refresh(&mut self) -> Duration {
        let span = self.determination.refresh / 4;
        let part = (u128::from(self.rng.next_u32()) * span.as_nanos()) >> 32;
        self.determination.refresh - span + Duration::from_nanos(part as u64)
    }
}

#[cfg(test)]
mod tests;
