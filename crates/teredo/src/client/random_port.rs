//! Port-preserving symmetric NATs (RFC 6081 §5.4): a further port for each peer, whose external port is foreseen.
//!
//! A symmetric NAT gives each destination another external port, so a peer that filters by port cannot know where the
//! client's packets will come from. If the NAT preserves ports, the first destination of a fresh port sees the port itself.
//! If it counts, an echo test finds the next one (§5.5, [`echo_test`](super::echo_test)). The client announces that port
//! behind its indirect bubbles, and the peer sends to it:
//!
//! ```text
//!  A, from port a                                       B, from port b (RFC 6081 §6.3)
//!     ── indirect bubble, nonce 1, random port a ──────>      B opens port b
//!     x  <───────────────────────── bubble, b to A:a ──       it opens B's NAT
//!     <─────── indirect bubble, nonce 2, random port b ──
//!     ── bubble, nonce 2, a to B:b ────────────────────>      B trusts this path
//!     <──────────────────── bubble, nonce 1, b to A:a ──      A trusts it as well
//! ```
//!
//! ```text
//!            wanted            open                      port known               a packet came in on it
//!  (none) ──────────> Opening ──────> Testing (§5.5) ───────────────> Announced ────────────────────────> in use
//!                        │    └──────────────────────────────────────>  │  ^                                │
//!                        │                 §5.4                         │  └──── the path has expired: ─────┘
//!                        v                                              v        another port is opened
//!                     refused, 1 s                            10 s, a path from the service port, given up
//! ```
//!
//! A direct bubble from a random port that opens our own NAT need not arrive. Its time to live ends on the way, as that of
//! the service port's (see [`Opening`](super::opening::Opening)).
//!
//! Strangers can make a client open ports. They have half of [`RANDOM_PORTS`], one IPv4 address has four, and the budget
//! limits how fast they come (see [`room`]).

mod bubbles;
mod help;
mod lifetime;
mod receive;
mod room;

use std::net::{Ipv6Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::time::Duration;

use rand_core::Rng as _;

use super::echo_test::EchoTest;
use super::peers::{Contact, Peer};
use super::{Client, Event, Nat, Phase};
use crate::wire::{TeredoAddress, Trailer, Trailers};
use crate::{DropReason, Instant};

/// The most random ports of a client.
pub const RANDOM_PORTS: usize = 32;
/// How many of them are for peers that began.
const DRAWN: usize = RANDOM_PORTS / 2;
/// The most for peers that began with one IPv4 address.
const DRAWN_OUTER: usize = 4;
/// The ports from which they are drawn: the dynamic ones (RFC 6335 §6).
pub const RANDOM_PORT_RANGE: RangeInclusive<u16> = FIRST..=u16::MAX;
const FIRST: u16 = 49_152;
/// How long the caller may take to open a port.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long no port is asked for after a refusal; for peers of the host, only a refusal for one of these counts.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// How long a port without a path is kept after its last announcement: as long as the nonce.
const LIFETIME: Duration = Duration::from_secs(10);
/// How many numbers are tried if ports are taken.
const TRIES: u8 = 4;
/// The Peer Refresh Timer, and the most refreshes without data (RFC 6081 §5.4.2.1).
const REFRESH: Duration = Duration::from_secs(30);
const REFRESHES: u8 = 20;
/// The least port that a peer may name: those below are services of the system, and no NAT assigns them.
pub(super) const LEAST_PORT: u16 = 1024;

/// The caller's answer to [`Event::RandomPort`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RandomPortAnswer {
    /// It is bound, and the firewall admits datagrams to it.
    Open,
    /// The host uses this port otherwise. The client tries another one.
    Taken,
    /// It cannot be had now: too many sockets, or the firewall refuses. The client goes on without, and asks for none in
    /// the next 30 s; if the peer began, for none for such peers.
    Refused,
}

/// The random ports of a client.
#[derive(Debug, Default)]
pub(super) struct RandomPorts {
    /// Oldest first.
    ports: Vec<RandomPort>,
    /// After a refusal for a peer of the host, and for one that began.
    refused_until: Option<Instant>,
    refused_drawn_until: Option<Instant>,
    /// The next expiry of the Peer Refresh Timer. It runs while a port is in use.
    refresh: Option<Instant>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct RandomPort {
    pub(super) number: u16,
    /// Its peer; the entry may be gone.
    pub(super) peer: Ipv6Addr,
    pub(super) stage: Stage,
    /// Whether an indirect bubble waits for the port, or for its echo test.
    owes: bool,
    /// How often it was announced.
    announced: u8,
    /// Where the first datagram from it went: only from there is its external port known to be the foreseen one.
    first: Option<SocketAddrV4>,
    /// Whether a packet of the peer came in on it.
    met: bool,
    /// When it is closed, if no packet of the peer comes in.
    expires: Instant,
    /// When the peer was asked first, while a port that cannot be foreseen waited for it.
    asked: Option<Instant>,
    /// When a block of ports takes its place.
    helped: Option<Instant>,
    /// Last Data Packet Sent Timestamp and Connection Refresh Count.
    data_sent: Option<Instant>,
    refreshes: u8,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// The caller has been asked to open it.
    Opening { tries: u8, until: Instant },
    /// The server is asked for its mappings.
    Testing(EchoTest),
    /// The external port is foreseen, or cannot be.
    Announced {
        external: Option<u16>,
        /// Whether the NAT's ports are random, or nothing is known about them.
        random: bool,
        /// Whether something came between the packets of the echo test, so that another port is worth a try.
        doubtful: bool,
    },
}

/// How well the external port is foreseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foresight {
    /// The NAT preserves ports, or gives them in sequence.
    Sequence,
    /// It seems to, but something came between the packets of the echo test.
    Doubtful,
    /// Its ports are random, or the test has failed.
    None,
}

/// The random port in an indirect bubble.
enum Announcement {
    /// Nothing: there is none, or its external port is unknown.
    None,
    Port(u16),
    /// It waits for the port.
    Later,
}

impl RandomPorts {
    pub(super) fn get(&self, number: u16) -> Option<&RandomPort> {
        self.ports.iter().find(|port| port.number == number)
    }

    pub(super) fn get_mut(&mut self, number: u16) -> Option<&mut RandomPort> {
        self.ports.iter_mut().find(|port| port.number == number)
    }

    /// Whether a port was refused a moment ago. Strangers wait after a refusal for the host as well, but not the other way
    /// round.
    fn are_refused(&self, now: Instant, drawn: bool) -> bool {
        let strangers = self.refused_drawn_until.filter(|_| drawn);
        let mut refusals = self.refused_until.into_iter().chain(strangers);
        refusals.any(|until| now < until)
    }

    fn of(&self, peer: Ipv6Addr) -> Option<&RandomPort> {
        self.ports.iter().find(|port| port.peer == peer)
    }

    /// Data was sent from the port (R6081-5.4.4.1-01).
    pub(super) fn data_sent(&mut self, now: Instant, number: u16) {
        if let Some(port) = self.get_mut(number) {
            port.data_sent = Some(now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let ports = self.ports.iter().filter_map(RandomPort::deadline);
        ports.chain(self.refresh).min()
    }
}

impl RandomPort {
    fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Opening { until, .. } => Some(*until),
            Stage::Testing(test) => Some(test.due()),
            Stage::Announced { .. } if self.met => None,
            Stage::Announced { .. } => self.helped.or(Some(self.expires)),
        }
    }

    /// The external port that was announced.
    fn external(&self) -> Option<u16> {
        match self.stage {
            Stage::Announced { external, .. } => external,
            Stage::Opening { .. } | Stage::Testing(_) => None,
        }
    }

    /// Whether the peer, which has asked through its server, has opened its NAT for a bubble from the port.
    fn is_awaited(&self, now: Instant, peer: &Peer) -> bool {
        let is_answer = peer.contact.is_some() || peer.random_port.is_some();
        self.announced > 0 && is_answer && peer.nonces.has_received(now)
    }

    /// Whether the NAT may have another mapping for this destination than the one that it gave the port first.
    pub(super) fn has_other_mapping(&self, to: SocketAddrV4) -> bool {
        self.first.is_some_and(|first| first != to)
    }

    /// Whether datagrams may come and go.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Opening { .. })
    }
}

/// The port behind an indirect bubble. Of several, the last one counts, as with nonces (R6081-5.1.2-01).
pub(super) fn random_port_of(trailers: &Trailers<'_>) -> Option<u16> {
    let ports = trailers.iter().filter_map(|trailer| match trailer {
        Trailer::RandomPort(port) => Some(port),
        _ => None,
    });
    ports.last().filter(|port| *port >= LEAST_PORT)
}

/// Announcing.
impl Client {
    /// Sends an indirect bubble to a peer, with the random port if our NAT needs one. If that is not open yet, or its
    /// echo test is under way, the bubble follows (R6081-5.4.4.2-01, R6081-5.5.4.1-01).
    pub(super) fn ask_through_server(
        &mut self,
        now: Instant,
        slot: u32,
        teredo: TeredoAddress,
        own: Ipv6Addr,
    ) {
        self.peers.peer_mut(slot).nonces.want(now);
        if self.asks_with_ports(now, slot, teredo, own) {
            return;
        }
        match self.announcement(now, slot, teredo) {
            Announcement::None => self.push_indirect_bubble(now, slot, teredo, own, None),
            Announcement::Port(port) => {
                self.push_indirect_bubble(now, slot, teredo, own, Some(port));
            }
            Announcement::Later => {}
        }
    }

    pub(super) fn has_random_port(&self, slot: u32) -> bool {
        self.random_ports.of(self.peers.address(slot)).is_some()
    }

    /// Whether the indirect bubble for a peer waits for a random port.
    pub(super) fn awaits_random_port(&self, slot: u32) -> bool {
        let port = self.random_ports.of(self.peers.address(slot));
        port.is_some_and(|port| port.owes)
    }

    /// Whether the answer of a peer to the announced port is on its way to an eager client. A bubble from the service port
    /// could make the peer trust that one at the same time. By the RFC's timers, the answer has come before.
    pub(super) fn expects_at_random_port(&self, now: Instant, slot: u32) -> bool {
        let port = self.random_ports.of(self.peers.address(slot));
        let asked = self.peers.peer(slot).nonces.asked();
        self.config.nat_traversal.is_eager()
            && port.is_some_and(|port| port.external().is_some() && port.announced > 0)
            && asked.is_some_and(|at| now - at < self.ask_back_spacing(slot))
    }

    /// Whether our NAT is one that random ports are for. If an Internet Gateway Device has opened the service port, all
    /// peers reach us there (RFC 6081 §6.2).
    pub(super) fn needs_random_ports(&self) -> bool {
        self.config.nat_traversal.extends_rfc4380()
            && self.nat == Nat::Symmetric
            && !self.has_open_mapping()
    }

    /// Whether our NAT preserves ports (R6081-5.4.3-02): the server's primary address saw the local port, or its secondary
    /// one did, because the solicitation to the primary one was lost at first. Before the qualification it does not
    /// (R6081-5.4.3-01).
    pub(super) fn preserves_ports(&self) -> bool {
        let seen = match &self.phase {
            Phase::Qualified(service) => Some(service.address.mapped),
            _ => None,
        };
        let mut seen = seen.into_iter().chain(self.seen_by_secondary);
        seen.any(|mapped| mapped.port() == self.local.port())
    }

    fn announcement(&mut self, now: Instant, slot: u32, teredo: TeredoAddress) -> Announcement {
        let is_usual = self.needs_random_ports();
        if !is_usual && !self.was_too_early(now, slot) {
            return Announcement::None;
        }
        let address = self.peers.address(slot);
        let has_path = self.peers.peer(slot).confirmed_path(now).is_some();
        let mut ports = self.random_ports.ports.iter_mut();
        let mut doubted = None;
        if let Some(port) = ports.find(|port| port.peer == address) {
            match port.stage {
                Stage::Opening { .. } | Stage::Testing(_) => {
                    port.owes = true;
                    return Announcement::Later;
                }
                Stage::Announced { doubtful, .. } if (doubtful || !is_usual) && !has_path => {
                    doubted = Some(port.number);
                }
                Stage::Announced { external, .. } => {
                    port.expires = now + LIFETIME;
                    port.announced = port.announced.saturating_add(1);
                    return external.map_or(Announcement::None, Announcement::Port);
                }
            }
        }
        if let Some(number) = doubted {
            self.close_random_port(number);
        }
        if has_path || !self.want_random_port(now, slot, teredo) {
            return Announcement::None;
        }
        Announcement::Later
    }

    /// Asks the caller for a port, unless there are too many.
    fn want_random_port(&mut self, now: Instant, slot: u32, teredo: TeredoAddress) -> bool {
        let drawn = self.peers.peer(slot).came_from().is_some();
        if self.random_ports.are_refused(now, drawn) {
            return false;
        }
        self.close_orphans();
        let allowed = !drawn || self.budget.allow_port(now, teredo);
        if !allowed || !self.make_room_for_port(now, teredo, drawn) {
            self.drop(DropReason::RandomPortLimit);
            return false;
        }
        let port = RandomPort {
            number: self.draw_port(),
            peer: self.peers.address(slot),
            stage: Stage::Opening {
                tries: 1,
                until: now + PATIENCE,
            },
            owes: true,
            announced: 0,
            first: None,
            met: false,
            expires: now + LIFETIME,
            asked: None,
            helped: None,
            data_sent: None,
            refreshes: 0,
        };
        self.events.push_back(Event::RandomPort {
            port: port.number,
            wanted: true,
        });
        self.random_ports.ports.push(port);
        true
    }

    /// A number that neither the service port nor another random port has.
    fn draw_port(&mut self) -> u16 {
        loop {
            let number = FIRST | (self.rng.next_u32() as u16);
            if number != self.local.port() && self.random_ports.get(number).is_none() {
                return number;
            }
        }
    }

    /// Answers [`Event::RandomPort`]. The port must be bound to the local address of the service port, and the firewall
    /// must admit datagrams to it, or a moment for that has passed, as with the service port. Until this call nothing is
    /// sent from the port and nobody learns its number.
    ///
    /// Without an answer within a second, the client goes on without the port, and wants it closed. An answer for a port
    /// that is no longer wanted does no harm.
    pub fn random_port(&mut self, now: Instant, port: u16, answer: RandomPortAnswer) {
        let entry = self.random_ports.get(port);
        let Some(Stage::Opening { tries, until }) = entry.map(|entry| &entry.stage) else {
            return;
        };
        let (tries, until) = (*tries, *until);
        match answer {
            RandomPortAnswer::Open => self.use_random_port(now, port),
            RandomPortAnswer::Taken if tries < TRIES => {
                let number = self.draw_port();
                if let Some(entry) = self.random_ports.get_mut(port) {
                    entry.number = number;
                    entry.stage = Stage::Opening {
                        tries: tries + 1,
                        until,
                    };
                }
                self.events.push_back(Event::RandomPort {
                    port: number,
                    wanted: true,
                });
            }
            RandomPortAnswer::Taken | RandomPortAnswer::Refused => {
                self.refused_random_port(now, port);
                let owed = self.owed_bubble(now, port);
                self.random_ports.ports.retain(|entry| entry.number != port);
                self.pay_bubble(now, owed, None);
            }
        }
    }

    /// The caller has refused a port, or does not answer.
    fn refused_random_port(&mut self, now: Instant, number: u16) {
        let port = self.random_ports.get(number);
        let slot = port.and_then(|port| self.peers.find(&port.peer));
        let drawn = slot.is_none_or(|slot| self.peers.peer(slot).came_from().is_some());
        let ports = &mut self.random_ports;
        let until = match drawn {
            true => &mut ports.refused_drawn_until,
            false => &mut ports.refused_until,
        };
        *until = Some(now + REFUSED_FOR);
    }

    /// The port is open. A port-preserving NAT maps it to itself; of another, the server tells.
    fn use_random_port(&mut self, now: Instant, number: u16) {
        if !self.preserves_ports() {
            return self.begin_echo_test(now, number);
        }
        let peer = self.random_ports.get(number).map(|port| port.peer);
        let slot = peer.and_then(|peer| self.peers.find(&peer));
        // If the peer began, its answer comes at once, and our NAT is to be open by then. A peer that is asked may take
        // another port, and the port is only good for the first destination.
        if let Some(slot) = slot
            && let peer = self.peers.peer(slot)
            && (peer.contact.is_none() && peer.nonces.has_received(now)
                || self.was_too_early(now, slot))
        {
            self.announce(number, Some(number), Foresight::Sequence);
            self.bubble_from_random_port(now, slot, number);
            if self.peers.peer(slot).contact.is_some() {
                // Our own router may have open input, too.
                self.bubble_from_random_port(now, slot, number);
            }
        }
        self.foresee(now, number, Some(number), Foresight::Sequence);
    }

    /// The external port of a random port is known, or will not be. The indirect bubble that waited follows.
    pub(super) fn foresee(
        &mut self,
        now: Instant,
        number: u16,
        external: Option<u16>,
        foresight: Foresight,
    ) {
        let external = external.filter(|port| *port >= LEAST_PORT);
        self.announce(number, external, foresight);
        let owed = self.owed_bubble(now, number);
        let is_helped = self.config.nat_traversal.is_eager() && foresight == Foresight::None;
        let ordinary = self.ordinary_time();
        if let Some(port) = self.random_ports.get_mut(number) {
            port.expires = now + LIFETIME;
            port.announced = port.announced.saturating_add(u8::from(owed.is_some()));
            port.owes = false;
            if is_helped {
                port.asked.get_or_insert(now);
                port.helped = Some(now + ordinary);
            }
        }
        self.pay_bubble(now, owed, external);
    }

    fn announce(&mut self, number: u16, external: Option<u16>, foresight: Foresight) {
        if let Some(port) = self.random_ports.get_mut(number) {
            port.stage = Stage::Announced {
                external,
                random: foresight == Foresight::None,
                doubtful: foresight == Foresight::Doubtful,
            };
        }
    }

    /// The peer for which an indirect bubble waits, unless it has a path by now.
    fn owed_bubble(&self, now: Instant, number: u16) -> Option<u32> {
        let port = self.random_ports.get(number).filter(|port| port.owes)?;
        let slot = self.peers.find(&port.peer)?;
        let has_path = self.peers.peer(slot).confirmed_path(now).is_some();
        (!has_path).then_some(slot)
    }

    fn pay_bubble(&mut self, now: Instant, slot: Option<u32>, external: Option<u16>) {
        if let (Some(slot), Some(own)) = (slot, self.own_address())
            && let Some(teredo) = TeredoAddress::from_ipv6(self.peers.address(slot))
        {
            self.push_indirect_bubble(now, slot, teredo, own, external);
            // It left late, and bubbles are two seconds apart (R4380-5.2.6-04).
            self.peers.peer_mut(slot).bubble_was_late(now);
            if let Some(contact) = self.peers.peer(slot).contact {
                let due = now + self.contact_pause(slot, contact.probe, contact.attempts);
                let later = Contact { due, ..contact };
                self.peers.set_contact(slot, later, Some(teredo.mapped));
            }
        }
    }
}
