//! The stateless Teredo server (RFC 4380 §5.3).
//!
//! ```text
//!            router solicitation                         ┌─> advertisement, from the same or the other address
//!  UDP 3544  bubble, echo ───> accept: rules 1 to 7 ─────┼─> to a client: origin indication, packet, trailers
//!                                                        └─> to the IPv6 Internet
//! ```
//!
//! Every datagram is judged by itself, nothing of a client is kept between two of them, and one datagram in makes at most
//! one out. What a server must never be is a way for one stranger to have packets sent to another: the inner source
//! has to fit the outer one, the destination has to be a public address that is not the server's own, and nothing but
//! bubbles and small echo messages passes, to one destination no more than a [limit](RelayLimits).
//!
//! A datagram is judged where it lies and answered there too ([`Server::answer_in_place`]): the only memory that a
//! server touches besides is the limiter's table, of a fixed size.

mod accept;
mod answer;
mod config;
mod forward;
mod limiter;
mod write;

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::ops::AddAssign;
use std::sync::Arc;

pub use config::{Security, ServerConfig};
pub use limiter::{Rate, RelayLimiter, RelayLimits};

pub(crate) use accept::is_global;

use crate::wire::{self, ALL_ROUTERS, Authentication, Datagram, Ipv6Packet, Origin, TeredoAddress};
use crate::{
    Destination, DropCounters, DropReason, Identifier, Instant, Reception, ServerAddress,
    Submission, Timer, Transmit,
};
use accept::Message;
use write::Plan;

const IPV6_HEADER: usize = 40;

/// The most bytes in front of an IPv6 packet.
const MAX_ELEMENTS: usize = Authentication::MIN_LEN + 2 * Identifier::MAX_LEN + Origin::LEN;

/// A Teredo server. See the [crate's contract](crate#one-contract-mutate-drain-wait): it holds the one datagram
/// that the last input asked for, and the next input overwrites it (R4380-5.3-01, R4380-7.4-01).
///
/// ```
/// use std::net::{Ipv4Addr, SocketAddrV4};
/// use teredo::wire::{Flags, Origin, emit_router_solicitation, link_local};
/// use teredo::{Destination, Instant, Reception, Server, ServerAddress, ServerConfig};
///
/// let now = Instant::from_nanos(0);
/// let address = ServerAddress::adjacent(Ipv4Addr::new(203, 0, 113, 120));
/// let mut server = Server::new(ServerConfig::new(address), [7; 32], now);
///
/// let client = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4096);
/// let mut solicitation = Vec::new();
/// emit_router_solicitation(link_local(Flags::default(), client), &mut solicitation);
/// assert_eq!(server.handle_udp(now, client, address.primary, &solicitation), Reception::Consumed);
///
/// let mut bytes = Vec::new();
/// let transmit = server.poll_transmit(&mut bytes).expect("a solicitation has an answer");
/// assert_eq!(transmit.destination, Destination::Udp(client));
/// let (origin, _advertisement) = Origin::parse(&bytes)?;
/// assert_eq!(origin, Origin(client));
/// # Ok::<(), teredo::wire::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    config: ServerConfig,
    link_local: Ipv6Addr,
    /// The advertisement, but for its destination and checksum.
    advertisement: Box<[u8]>,
    limiter: Arc<RelayLimiter>,
    /// Room for what [`Pending`] announces.
    outgoing: Box<[u8]>,
    pending: Option<Pending>,
    counters: ServerCounters,
    drops: DropCounters,
}

#[derive(Clone, Copy, Debug)]
struct Pending(Answer);

/// What [`Server::answer_in_place`] has put into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an answer is lost if nobody sends it"]
pub enum Answer {
    /// A datagram.
    Udp {
        /// Where it goes.
        to: SocketAddrV4,
        /// The server's address to send it from, port 3544.
        source: Ipv4Addr,
        /// Its length in bytes.
        len: usize,
    },
    /// An IPv6 packet for the IPv6 Internet.
    Native {
        /// Its length in bytes.
        len: usize,
    },
}

/// How often a server did what it is for. The refusals are in [`Server::drops`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounters {
    /// Router advertisements.
    pub advertisements: u64,
    /// Echo replies of the server's own.
    pub echo_replies: u64,
    /// Packets from Teredo to Teredo.
    pub forwarded: u64,
    /// Packets from Teredo to the IPv6 Internet.
    pub to_native: u64,
    /// Packets from the IPv6 Internet to Teredo.
    pub from_native: u64,
}

/// One of the counters.
type Counter = fn(&mut ServerCounters) -> &mut u64;

impl AddAssign for ServerCounters {
    fn add_assign(&mut self, other: Self) {
        let Self {
            advertisements,
            echo_replies,
            forwarded,
            to_native,
            from_native,
        } = other;
        self.advertisements += advertisements;
        self.echo_replies += echo_replies;
        self.forwarded += forwarded;
        self.to_native += to_native;
        self.from_native += from_native;
    }
}

impl Server {
    /// A server that serves at once. The seed must be unpredictable to others: it is the limiter's.
    pub fn new(config: ServerConfig, seed: [u8; 32], _now: Instant) -> Self {
        let limiter = RelayLimiter::new(config.limits, seed);
        Self::sharing(config, Arc::new(limiter))
    }

    /// A server that shares its limits with others, whatever [`ServerConfig::limits`] says. Clones do so, too.
    pub fn sharing(config: ServerConfig, limiter: Arc<RelayLimiter>) -> Self {
        let primary = config.address.primary;
        let link_local = wire::server_link_local(primary);
        let mut advertisement = Vec::new();
        answer::advertisement(primary, config.mtu).emit(
            link_local,
            Ipv6Addr::UNSPECIFIED,
            &mut advertisement,
        );
        // The checksum is made anew for each client, and starts from zero.
        advertisement[42..44].fill(0);
        let longest_message = (IPV6_HEADER + config.max_icmpv6_bytes).max(advertisement.len());
        let buffer_len = MAX_ELEMENTS + longest_message + config.max_trailer_bytes;
        Self {
            link_local,
            advertisement: advertisement.into(),
            limiter,
            outgoing: vec![0; buffer_len].into(),
            pending: None,
            counters: ServerCounters::default(),
            drops: DropCounters::default(),
            config,
        }
    }

    /// The length of a buffer that [`Self::answer_in_place`] never finds too short, in bytes. No longer datagram is
    /// ever answered.
    pub fn buffer_len(&self) -> usize {
        self.outgoing.len()
    }

    /// Answers the datagram in `buffer[..len]`, which came `from` somewhere to port 3544 of the server's address
    /// `local`: what is to be sent then lies at the front of the buffer. [`Self::handle_udp`] without a copy.
    ///
    /// # Errors
    ///
    /// Why nothing is to be sent; already counted. `Oversized` also where the buffer has no room for the answer. What
    /// is in the buffer then is of no use.
    ///
    /// # Panics
    ///
    /// If `len` is more than the buffer's.
    pub fn answer_in_place(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        local: Ipv4Addr,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<Answer, DropReason> {
        let judged = self.judge(now, from, local, &buffer[..len]);
        let outcome = judged.and_then(|plan| {
            let done = self.carry_out(&plan, buffer)?;
            Ok((done, plan.counter()))
        });
        self.count(outcome)
    }

    /// Takes in a datagram that came `from` somewhere to port 3544 of the server's address `local`.
    ///
    /// It is consumed or dropped. What goes to the IPv6 Internet comes out of [`Self::poll_transmit`] like anything
    /// else, for [`Destination::Host`], with its hop limit counted down.
    pub fn handle_udp(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        local: Ipv4Addr,
        datagram: &[u8],
    ) -> Reception<'static> {
        self.pending = None;
        let mut buffer = std::mem::take(&mut self.outgoing);
        let judged = self.judge(now, from, local, datagram);
        let outcome = judged.and_then(|plan| {
            let room = buffer
                .get_mut(..datagram.len())
                .ok_or(DropReason::Oversized)?;
            room.copy_from_slice(datagram);
            let done = self.carry_out(&plan, &mut buffer)?;
            Ok((done, plan.counter()))
        });
        self.outgoing = buffer;
        match self.count(outcome) {
            Ok(answer) => {
                self.pending = Some(Pending(answer));
                Reception::Consumed
            }
            Err(reason) => Reception::Drop(reason),
        }
    }

    /// Takes in a packet that the IPv6 Internet has for a client of this server; to be sent from the primary address.
    pub fn handle_tun(&mut self, now: Instant, packet: &[u8]) -> Submission {
        match self.submit(now, packet) {
            Ok(to) => Submission::Send(to),
            Err(reason) => Submission::Drop(self.drops.count(reason)),
        }
    }

    /// Does nothing: a server without state has no timers.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Appends the datagram to send, if there is one, to `buf`.
    pub fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Transmit> {
        let Pending(answer) = self.pending.take()?;
        let (destination, source, len) = match answer {
            Answer::Udp { to, source, len } => (Destination::Udp(to), Some(source), len),
            Answer::Native { len } => (Destination::Host, None, len),
        };
        buf.extend_from_slice(&self.outgoing[..len]);
        Some(Transmit {
            destination,
            source,
            ttl: None,
            len,
        })
    }

    /// `None`: nothing ever happens to a server.
    pub fn poll_event(&mut self) -> Option<Infallible> {
        None
    }

    /// `None`: a server waits for nothing but datagrams.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        None
    }

    /// The settings.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Replaces the directed broadcast addresses of the attached subnets. To be called whenever an interface
    /// gains or loses an address.
    pub fn set_broadcasts(&mut self, broadcasts: Vec<Ipv4Addr>) {
        self.config.destinations.set_broadcasts(broadcasts);
    }

    /// Replaces what the server knows of its clients.
    pub fn set_security(&mut self, security: Security) {
        self.config.security = security;
    }

    /// What was done.
    pub fn counters(&self) -> &ServerCounters {
        &self.counters
    }

    /// What was refused.
    pub fn drops(&self) -> &DropCounters {
        &self.drops
    }

    /// Judges a datagram by itself alone: rule 1 here (R4380-5.3.1-01), the others one by one.
    fn judge(
        &self,
        now: Instant,
        from: SocketAddrV4,
        local: Ipv4Addr,
        payload: &[u8],
    ) -> Result<Plan<'_>, DropReason> {
        let datagram = Datagram::parse(payload).map_err(|_| DropReason::Malformed)?;
        let message = self.classify(&datagram.packet)?;
        if datagram.trailers.as_bytes().len() > self.config.max_trailer_bytes {
            return Err(DropReason::Oversized);
        }
        self.accept_outer(from, local)?;
        self.accept_inner(&datagram.packet, message, from)?;

        let destination = datagram.packet.destination();
        // R4380-5.3.1-09
        if destination == ALL_ROUTERS || destination == self.link_local {
            return self.answer(&datagram, message, from, local);
        }
        if message == Message::Solicitation {
            return Err(DropReason::NotRelayed);
        }
        // R4380-5.3.1-10
        if !is_global(destination) {
            return Err(DropReason::NotTunnelled);
        }
        match TeredoAddress::from_ipv6(destination) {
            Some(destination) => self.forward(now, &datagram, destination, from),
            None => self.forward_native(now, &datagram),
        }
    }

    fn count(
        &mut self,
        outcome: Result<(Answer, Counter), DropReason>,
    ) -> Result<Answer, DropReason> {
        match outcome {
            Ok((answer, counter)) => {
                *counter(&mut self.counters) += 1;
                Ok(answer)
            }
            Err(reason) => Err(self.drops.count(reason)),
        }
    }

    fn submit(&mut self, now: Instant, packet: &[u8]) -> Result<SocketAddrV4, DropReason> {
        let packet = Ipv6Packet::parse(packet).map_err(|_| DropReason::Malformed)?;
        if self.classify(&packet)? == Message::Solicitation {
            return Err(DropReason::NotRelayed);
        }
        // L-04: what comes from the IPv6 Internet does not come from Teredo.
        if wire::is_teredo(&packet.source()) || !is_global(packet.source()) {
            return Err(DropReason::SpoofedSource);
        }
        match TeredoAddress::from_ipv6(packet.destination()) {
            Some(destination) if destination.server == self.config.address.primary => {
                let to = self.target(destination)?;
                if !self.limiter.allows_ipv4(now, *to.ip()) {
                    return Err(DropReason::RateLimited);
                }
                self.counters.from_native += 1;
                Ok(to)
            }
            _ => Err(DropReason::NotRelayed),
        }
    }

    /// Whether a Teredo server of this process has the address. Its other ports are nobody's business either: what
    /// comes from the host itself may pass filters that nothing else does.
    fn is_own(&self, address: Ipv4Addr) -> bool {
        let ServerAddress { primary, secondary } = self.config.address;
        address == primary || address == secondary || self.config.neighbours.contains(&address)
    }
}

#[cfg(test)]
mod tests;
