//! The stateless Teredo server (RFC 4380 §5.3).
//!
//! ```text
//!            router solicitation                         ┌─> advertisement, from the same or the other address
//!  UDP 3544  bubble, echo ───> accept: rules 1 to 7 ─────┼─> to a client: origin indication, packet, trailers
//!                                                        └─> to the IPv6 Internet
//! ```
//!
//! Every datagram is judged by itself, nothing is kept between two of them, and one datagram in makes at most
//! one out. What a server must never be is a way for one stranger to have packets sent to another: the inner source
//! has to fit the outer one, the destination has to be a public address that is not the server's own, and nothing but
//! bubbles and small echo messages passes. Secure qualification (RFC 4380 §5.2.2) is not offered.

mod accept;
mod answer;
mod config;
mod forward;

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

pub use config::ServerConfig;

use crate::wire::{self, ALL_ROUTERS, Datagram, Ipv6Packet, RouterAdvertisement, TeredoAddress};
use crate::{
    Destination, DropCounters, DropReason, Instant, Reception, Submission, Timer, Transmit,
};
use accept::Message;

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
    advertisement: RouterAdvertisement,
    /// What [`Pending`] announces; kept for its allocation when there is nothing to send.
    outgoing: Vec<u8>,
    pending: Option<Pending>,
    counters: ServerCounters,
    drops: DropCounters,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    to: SocketAddrV4,
    source: Ipv4Addr,
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

impl Server {
    /// A server that serves at once. It has no use for `seed` and `now`: nothing in it is random or ages.
    pub fn new(config: ServerConfig, _seed: [u8; 32], _now: Instant) -> Self {
        let primary = config.address.primary;
        Self {
            link_local: wire::server_link_local(primary),
            advertisement: answer::advertisement(primary, config.mtu),
            outgoing: Vec::with_capacity(256),
            pending: None,
            counters: ServerCounters::default(),
            drops: DropCounters::default(),
            config,
        }
    }

    /// Takes in a datagram that came `from` somewhere to port 3544 of the server's address `local`.
    ///
    /// A packet to deliver goes to the IPv6 Internet as it is; the router behind counts down its hop limit.
    pub fn handle_udp<'a>(
        &mut self,
        _now: Instant,
        from: SocketAddrV4,
        local: Ipv4Addr,
        datagram: &'a [u8],
    ) -> Reception<'a> {
        self.pending = None;
        match self.receive(from, local, datagram) {
            Ok(reception) => reception,
            Err(reason) => Reception::Drop(self.drops.count(reason)),
        }
    }

    /// Takes in a packet that the IPv6 Internet has for a client of this server; to be sent from the primary address.
    pub fn handle_tun(&mut self, _now: Instant, packet: &[u8]) -> Submission {
        match self.submit(packet) {
            Ok(to) => Submission::Send(to),
            Err(reason) => Submission::Drop(self.drops.count(reason)),
        }
    }

    /// Does nothing: a server without state has no timers.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Appends the datagram to send, if there is one, to `buf`.
    pub fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Transmit> {
        let Pending { to, source } = self.pending.take()?;
        buf.extend_from_slice(&self.outgoing);
        Some(Transmit {
            destination: Destination::Udp(to),
            source: Some(source),
            len: self.outgoing.len(),
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

    /// What was done.
    pub fn counters(&self) -> &ServerCounters {
        &self.counters
    }

    /// What was refused.
    pub fn drops(&self) -> &DropCounters {
        &self.drops
    }

    /// Judges a datagram by itself alone: rule 1 here (R4380-5.3.1-01), the others one by one.
    fn receive<'a>(
        &mut self,
        from: SocketAddrV4,
        local: Ipv4Addr,
        payload: &'a [u8],
    ) -> Result<Reception<'a>, DropReason> {
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
        if !accept::is_global(destination) {
            return Err(DropReason::NotTunnelled);
        }
        match TeredoAddress::from_ipv6(destination) {
            Some(destination) => self.forward(&datagram, destination, from),
            // R4380-5.3.1-11; rule 5 has seen to the source (R4380-7.4.2-01).
            None => {
                self.counters.to_native += 1;
                Ok(Reception::Deliver(datagram.packet.as_bytes()))
            }
        }
    }

    fn submit(&mut self, packet: &[u8]) -> Result<SocketAddrV4, DropReason> {
        let packet = Ipv6Packet::parse(packet).map_err(|_| DropReason::Malformed)?;
        if self.classify(&packet)? == Message::Solicitation {
            return Err(DropReason::NotRelayed);
        }
        // L-04: what comes from the IPv6 Internet does not come from Teredo.
        if wire::is_teredo(&packet.source()) || !accept::is_global(packet.source()) {
            return Err(DropReason::SpoofedSource);
        }
        match TeredoAddress::from_ipv6(packet.destination()) {
            Some(destination) if destination.server == self.config.address.primary => {
                let to = self.target(destination)?;
                self.counters.from_native += 1;
                Ok(to)
            }
            _ => Err(DropReason::NotRelayed),
        }
    }

    fn is_own(&self, address: Ipv4Addr) -> bool {
        address == self.config.address.primary || address == self.config.address.secondary
    }
}

#[cfg(test)]
mod tests;
