//! The stateless Teredo server (RFC 4380 §5.3).
//!
//! ```text
//!            router solicitation                         ┌─> advertisement, from the same or the other address
//!  UDP 3544  bubble, echo ───> accept: rules 1 to 7 ─────┼─> to a client: origin indication, packet, trailers
//!                                                        └─> to the IPv6 Internet
//! ```
//!
//! Each datagram is judged by itself, has at most one answer, and leaves no state behind. A server must not let one
//! stranger send packets to another. So the inner source must fit the outer one, the destination must be a public
//! address other than the server's own, and only bubbles and small echo messages pass, up to a [limit](RelayLimits) for
//! each destination, of which no sender gets all.
//!
//! A datagram is judged and answered in its buffer ([`Server::answer_in_place`]). The only other memory that a server
//! writes is the limiter's table, which has a fixed size.

mod accept;
mod answer;
mod limited;
mod limiter;
mod write;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::ops::AddAssign;
use std::sync::Arc;

pub use limited::Limited;
pub use limiter::{AdvertisementBuckets, AdvertisementLimit, Rate, RelayLimiter, RelayLimits};

use crate::policy::DestinationPolicy;
use crate::wire::{self, ALL_ROUTERS, Authentication, Datagram, Ipv6Packet, Origin, TeredoAddress};
use crate::{DropCounters, DropReason, Identifier, Instant, KnownClients, Prefix, ServerAddress};
use accept::Message;
use write::Plan;

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
    /// The advertisement, without destination and checksum.
    advertisement: Box<[u8]>,
    limiter: Arc<RelayLimiter>,
    buffer_len: usize,
    counters: ServerCounters,
    drops: DropCounters,
}

/// Whether clients must authenticate (RFC 4380 §5.2.2).
#[derive(Clone, Debug, Default)]
pub enum Security {
    /// All clients are answered, with the nonce that they sent.
    #[default]
    Open,
    /// A client that sends an identifier must prove it. Clients without one are answered as in [`Security::Open`].
    Optional(Arc<KnownClients>),
    /// Only known clients are answered (RFC 4380 §5.3.1 rule 4).
    Required(Arc<KnownClients>),
}

/// The settings of a [`Server`].
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The server's two addresses, both with port 3544 open. The primary address is part of its clients' addresses.
    /// Without a second address (both are the same), a solicitation with the cone bit is not answered.
    pub address: ServerAddress,
    /// The addresses of other servers in the same process. Nothing is sent to them or accepted from them (loop L-01).
    /// None.
    pub neighbours: Vec<Ipv4Addr>,
    /// Which clients must authenticate. [`Security::Open`].
    pub security: Security,
    /// The limits of the traffic that the server sends.
    pub limits: RelayLimits,
    /// The MTU announced to clients, in bytes. 1280 (RFC 4380 §5.1.2).
    pub mtu: u32,
    /// The policy of IPv4 addresses: where nothing may be sent, and from where nothing is accepted.
    pub destinations: DestinationPolicy,
    /// The IPv6 networks that packets are forwarded to. If the list is empty, as it is at first, the whole IPv6 Internet.
    /// Special-purpose networks, such as those of NAT64, are left out unless a network of the list lies inside them
    /// (W-02).
    pub serve: Vec<Prefix>,
    /// The most bytes behind an IPv6 packet. All trailers of RFC 6081 together take 44. 64.
    pub max_trailer_bytes: usize,
    /// The longest ICMPv6 message that is forwarded, in bytes. 88: enough for a `ping` of ordinary size, too little for
    /// a data channel made of echo requests.
    pub max_icmpv6_bytes: usize,
}

impl ServerConfig {
    /// The settings of the RFCs.
    pub fn new(address: ServerAddress) -> Self {
        Self {
            address,
            neighbours: Vec::new(),
            security: Security::Open,
            limits: RelayLimits::default(),
            mtu: wire::MTU as u32,
            destinations: DestinationPolicy::default(),
            serve: Vec::new(),
            max_trailer_bytes: 64,
            max_icmpv6_bytes: 88,
        }
    }
}

/// The contents of the buffer after [`Server::answer_in_place`].
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
    /// A packet for the IPv6 Internet.
    Native {
        /// Its length in bytes.
        len: usize,
    },
}

/// The counters of a server's work. [`Server::drops`] counts the refusals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounters {
    /// Router advertisements.
    pub advertisements: u64,
    /// Echo replies of the server itself.
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
    /// A server that serves at once. The seed, which keys the limiter, must be unpredictable to others.
    pub fn new(config: ServerConfig, seed: [u8; 32]) -> Self {
        let limiter = RelayLimiter::new(config.limits, seed);
        Self::sharing(config, Arc::new(limiter))
    }

    /// A server that shares a limiter with others and ignores [`ServerConfig::limits`]. Clones share theirs.
    pub fn sharing(config: ServerConfig, limiter: Arc<RelayLimiter>) -> Self {
        let primary = config.address.primary;
        let link_local = wire::server_link_local(primary);
        let mut advertisement = Vec::new();
        answer::advertisement(primary, config.mtu).emit(
            link_local,
            Ipv6Addr::UNSPECIFIED,
            &mut advertisement,
        );
        // Each client's checksum is computed from zero.
        advertisement[42..44].fill(0);
        let longest_message =
            (Ipv6Packet::HEADER_LEN + config.max_icmpv6_bytes).max(advertisement.len());
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

    /// The advertisement, a whole IPv6 packet, as far as it is the same for all clients: without destination and checksum.
    pub fn advertisement(&self) -> &[u8] {
        &self.advertisement
    }

    /// The settings.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Replaces the directed broadcast addresses of the attached subnets. Call this when an interface gains or loses an
    /// address.
    pub fn set_broadcasts(&mut self, broadcasts: Vec<Ipv4Addr>) {
        self.config.destinations.set_broadcasts(broadcasts);
    }

    /// Replaces the known clients.
    pub fn set_security(&mut self, security: Security) {
        self.config.security = security;
    }

    /// The counters of the server's work.
    pub fn counters(&self) -> &ServerCounters {
        &self.counters
    }

    /// The datagrams that the server refused, by reason.
    pub fn drops(&self) -> &DropCounters {
        &self.drops
    }

    /// Judges a datagram by itself: rule 1 here (R4380-5.3.1-01), then the other rules.
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
            return self.answer(now, &datagram, message, from, local);
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
            None => self.forward_native(now, &datagram, from),
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

    /// Whether a Teredo server of this process has the address. Its other ports count as well: traffic from the host
    /// itself may pass filters that stop all other traffic.
    fn is_own(&self, address: Ipv4Addr) -> bool {
        let ServerAddress { primary, secondary } = self.config.address;
        address == primary || address == secondary || self.config.neighbours.contains(&address)
    }
}

#[cfg(test)]
mod tests;
