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
mod limiter;
mod write;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::ops::AddAssign;
use std::sync::Arc;

pub use limiter::{Rate, RelayLimiter, RelayLimits};

use crate::policy::DestinationPolicy;
use crate::wire::{self, ALL_ROUTERS, Authentication, Datagram, Origin, TeredoAddress};
use crate::{DropCounters, DropReason, Identifier, Instant, KnownClients, ServerAddress};
use accept::Message;
use write::Plan;

const IPV6_HEADER: usize = 40;

/// The most bytes in front of an IPv6 packet.
const MAX_ELEMENTS: usize = Authentication::MIN_LEN + 2 * Identifier::MAX_LEN + Origin::LEN;

/// A Teredo server without its sockets. It remembers no client and no datagram (R4380-5.3-01, R4380-7.4-01), has no
/// timers and writes each answer over the datagram that asked for it.
///
/// ```
/// use std::net::{Ipv4Addr, SocketAddrV4};
/// use teredo::server::Answer;
/// use teredo::wire::{Flags, Origin, emit_router_solicitation, link_local};
/// use teredo::{Instant, Server, ServerAddress, ServerConfig};
///
/// let address = ServerAddress::adjacent(Ipv4Addr::new(203, 0, 113, 120));
/// let mut server = Server::new(ServerConfig::new(address), [7; 32]);
///
/// let client = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4096);
/// let mut buffer = Vec::new();
/// emit_router_solicitation(link_local(Flags::default(), client), &mut buffer);
/// let len = buffer.len();
/// buffer.resize(server.buffer_len(), 0);
///
/// let now = Instant::from_nanos(0);
/// let Answer::Udp { to, source, len } =
///     server.answer_in_place(now, client, address.primary, &mut buffer, len)?
/// else {
///     panic!("a solicitation is answered over UDP");
/// };
/// assert_eq!((to, source), (client, address.primary));
/// let (origin, _advertisement) = Origin::parse(&buffer[..len])?;
/// assert_eq!(origin, Origin(client));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    config: ServerConfig,
    link_local: Ipv6Addr,
    /// The advertisement, but for its destination and checksum.
    advertisement: Box<[u8]>,
    limiter: Arc<RelayLimiter>,
    buffer_len: usize,
    counters: ServerCounters,
    drops: DropCounters,
}

/// Whether clients have to prove who they are (RFC 4380 §5.2.2).
#[derive(Clone, Debug, Default)]
pub enum Security {
    /// Nobody is known: everybody is answered, with the nonce that they sent.
    #[default]
    Open,
    /// Who names an identifier has to prove it; who names none is answered as if nobody were known.
    Optional(Arc<KnownClients>),
    /// Only known clients are answered (RFC 4380 §5.3.1 rule 4).
    Required(Arc<KnownClients>),
}

/// The settings of a [`Server`].
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The server's two addresses, both with port 3544 open. The primary one stands in its clients' addresses.
    /// Without a second address (both the same) a solicitation with the cone bit is not answered.
    pub address: ServerAddress,
    /// Other addresses of this host on which Teredo is served, by other servers of the same process: nothing is sent
    /// to them or taken from them (loop L-01). None.
    pub neighbours: Vec<Ipv4Addr>,
    /// Whom the server answers. [`Security::Open`].
    pub security: Security,
    /// What is passed on at the most.
    pub limits: RelayLimits,
    /// The MTU announced to clients, in bytes. 1280 (RFC 4380 §5.1.2).
    pub mtu: u32,
    /// Where nothing may be sent, and from where nothing is taken.
    pub destinations: DestinationPolicy,
    /// The most bytes behind an IPv6 packet; all trailers of RFC 6081 together take 44. 64.
    pub max_trailer_bytes: usize,
    /// The longest ICMPv6 message relayed, in bytes. 88: a `ping` of ordinary size passes, a data channel
    /// made of echo requests does not pay.
    pub max_icmpv6_bytes: usize,
}

impl ServerConfig {
    /// The settings that the RFCs ask for.
    pub fn new(address: ServerAddress) -> Self {
        Self {
            address,
            neighbours: Vec::new(),
            security: Security::Open,
            limits: RelayLimits::default(),
            mtu: wire::MTU as u32,
            destinations: DestinationPolicy::default(),
            max_trailer_bytes: 64,
            max_icmpv6_bytes: 88,
        }
    }
}

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
        } = other;
        self.advertisements += advertisements;
        self.echo_replies += echo_replies;
        self.forwarded += forwarded;
        self.to_native += to_native;
    }
}

impl Server {
    /// A server that serves at once. The seed must be unpredictable to others: it is the limiter's.
    pub fn new(config: ServerConfig, seed: [u8; 32]) -> Self {
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
            buffer_len,
            counters: ServerCounters::default(),
            drops: DropCounters::default(),
            config,
        }
    }

    /// The length of a buffer with room for every answer, in bytes. A longer datagram is never answered.
    pub fn buffer_len(&self) -> usize {
        self.buffer_len
    }

    /// Answers the datagram in `buffer[..len]`, which came from `from` to port 3544 of the server's address `local`.
    /// The answer starts at the front of the buffer.
    ///
    /// # Errors
    ///
    /// The reason why there is no answer, already counted. It is also [`Oversized`](DropReason::Oversized) if the buffer
    /// has no room for the answer. The contents of the buffer are then undefined.
    ///
    /// # Panics
    ///
    /// If `len` exceeds the length of the buffer.
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
        if !wire::is_global(destination) {
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

    /// Whether a Teredo server of this process has the address. Its other ports are nobody's business either: what
    /// comes from the host itself may pass filters that nothing else does.
    fn is_own(&self, address: Ipv4Addr) -> bool {
        let ServerAddress { primary, secondary } = self.config.address;
        address == primary || address == secondary || self.config.neighbours.contains(&address)
    }
}

#[cfg(test)]
mod tests;
