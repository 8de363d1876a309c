//! The contract of client and relay: mutate, drain, wait.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use crate::policy::DestinationPolicy;
use crate::{DropCounters, DropReason, Instant, Timer};

/// A state machine between an IPv6 interface and a UDP port: a [`Client`](crate::Client) or a
/// [`Relay`](crate::Relay).
///
/// After **every** call that takes `now`, and after [`set_destinations`](Self::set_destinations), call
/// [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) until both return `None`. Then wait for
/// input or for the instant of [`poll_timeout`](Self::poll_timeout), whichever comes first. A caller that drains after
/// every call keeps packets in order.
pub trait Node {
    /// An event that the node reports to its caller; a relay reports none.
    type Event;

    /// Takes in a datagram that the service port received from `from`, addressed to `local`.
    fn handle_udp<'a>(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        local: Ipv4Addr,
        datagram: &'a [u8],
    ) -> Reception<'a>;

    /// Takes an IPv6 packet that the interface wants tunnelled.
    ///
    /// On [`Submission::Send`] and [`Submission::SendFrom`] the caller sends `packet` as it is: for a known peer nothing
    /// is copied and nothing is allocated.
    fn handle_tun(&mut self, now: Instant, packet: &[u8]) -> Submission;

    /// After [`Submission::Send`] or [`Submission::SendFrom`], the caller has sent further packets to the same
    /// destination, with so many bytes, without asking for each.
    fn count_sent(&mut self, packets: u64, bytes: u64) {
        let _ = (packets, bytes);
    }

    /// Takes in an ICMP error about a datagram that left from the service port. By default nothing depends on it.
    fn handle_icmp_error(&mut self, now: Instant, error: &IcmpError<'_>) {
        let _ = (now, error);
    }

    /// Does what is due. Additional calls do no harm.
    fn handle_timeout(&mut self, now: Instant);

    /// The next thing to send; its bytes are appended to `buf`.
    fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Transmit>;

    /// The next event.
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// When to call [`handle_timeout`](Self::handle_timeout), and why; `None` for never.
    fn poll_timeout(&self) -> Option<(Instant, Timer)>;

    /// Replaces the policy of IPv4 destinations, for instance when an attached subnet changed. Peers that the new
    /// policy refuses are forgotten.
    fn set_destinations(&mut self, destinations: DestinationPolicy);

    /// Sets whether changes of peers' paths are reported by [`poll_path`](Self::poll_path); they are not by default, and
    /// the caller uses no path then. If they are reported already, all are taken back, and offered again with the next
    /// packets.
    fn report_paths(&mut self, wanted: bool) {
        let _ = wanted;
    }

    /// The next change of a peer's path, for a caller that carries packets of known peers by itself. Poll it after every
    /// call, before any further packet and before [`poll_event`](Self::poll_event), which may close a path's port: until a
    /// path that is taken back is polled, the caller may use it.
    fn poll_path(&mut self) -> Option<PathChange> {
        None
    }

    /// How many packets were dropped, by reason.
    fn drops(&self) -> &DropCounters;

    /// Counts packets that the caller drops itself, for a reason that only the caller can see, such as
    /// [`DropReason::Congestion`].
    fn count_drop(&mut self, reason: DropReason, packets: u64);
}

/// A change of the paths that packets may take without the state machine.
///
/// A caller that uses such a path lets a packet each way come to the state machine every few seconds: by these it knows
/// that the peer lives (RFC 4380 §5.2.4), and that the path is used. All other packets are unknown to it, and no timer
/// takes their absence for silence:
///
/// | timer | with samples up to 4 s apart |
/// |---|---|
/// | a peer is asked after 20 s of silence, and its path ends after 30 s | after 16 s to 20 s, and 26 s to 30 s: never later than the RFC says, and a peer that talks is not asked |
/// | a peer that does not hear us (RFC 6081 §5.2) is found by a question | the path is taken back as the question begins, so what answers it comes to the state machine |
/// | the least recently used peer makes room | peers in use differ by 4 s at most, and others are older |
/// | a random port is refreshed after 30 s without data | a bubble more, if the data has just ended |
///
/// Samples must be less than 10 s apart. Otherwise a question can begin 20 s after one of them while the peer talks, and
/// its path ends before the next.
///
/// A path that a packet takes is offered with that packet, and once. It is taken back before its peer is forgotten, asked,
/// or found elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathChange {
    /// Whole IPv6 packets of this peer may travel between a port of ours and its mapping, both ways, until the path is
    /// taken back or the peer is silent for 30 s. It replaces an earlier one of the peer.
    Offered(PeerPath),
    /// The peer has no such path any more.
    Withdrawn(Ipv6Addr),
    /// No peer has. If this comes from a relay, [`Relay::natives`](crate::Relay::natives) may have changed.
    AllWithdrawn,
}

/// The path of a trusted peer, which is in use in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPath {
    /// The peer's address: the inner destination of packets to it, and the source of those from it.
    pub peer: Ipv6Addr,
    /// Our inner address; `None` for a relay, which carries packets of many.
    pub own: Option<Ipv6Addr>,
    /// Our random port, if it is not the service port (RFC 6081 §5.4).
    pub port: Option<u16>,
    /// Where packets for the peer go, and where its packets come from.
    pub remote: SocketAddrV4,
    /// When the peer was last heard.
    pub heard: Instant,
}

/// An ICMP error about a datagram (RFC 792). Anybody can forge one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError<'a> {
    /// The kind.
    pub kind: IcmpErrorKind,
    /// The router or host that sent it.
    pub reporter: Ipv4Addr,
    /// The destination of the datagram.
    pub destination: SocketAddrV4,
    /// The first bytes of the datagram's payload, as far as the error quotes them; many routers quote none.
    pub quoted: &'a [u8],
}

/// The kind of an [`IcmpError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpErrorKind {
    /// The time to live ran out at the reporter (type 11, code 0).
    TimeExceeded,
    /// Any other, such as an unreachable host or port.
    Other,
}

/// The result of a datagram that came in over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a datagram to deliver is lost if nobody delivers it"]
pub enum Reception<'a> {
    /// Pass on this IPv6 packet, a part of the datagram, to the host (client) or to the IPv6 Internet (relay).
    Deliver(&'a [u8]),
    /// The state machine consumed it.
    Consumed,
    /// Refused; already counted.
    Drop(DropReason),
}

/// The result of an IPv6 packet that the host wants tunnelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a packet to send is lost if nobody sends it"]
pub enum Submission {
    /// Send the packet unchanged, as the payload of a UDP datagram to this address, from the service port.
    Send(SocketAddrV4),
    /// The same from a random port of a client, which is open (RFC 6081 §5.4).
    SendFrom {
        /// The local port.
        port: u16,
        /// The address.
        to: SocketAddrV4,
    },
    /// The packet waits for the peer. Later it comes out of `poll_transmit`, in order, or is answered with an ICMPv6
    /// error.
    Queued,
    /// Refused; already counted.
    Drop(DropReason),
}

/// The destination of a [`Transmit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// In a UDP datagram, from the service port.
    Udp(SocketAddrV4),
    /// In a UDP datagram, from the secondary port. This port exists only while a client looks for a longer refresh
    /// interval (RFC 4380 §5.2.7).
    Secondary(SocketAddrV4),
    /// In a UDP datagram, from a random port of a client, which is open (RFC 6081 §5.4).
    Random {
        /// The local port.
        port: u16,
        /// The address.
        to: SocketAddrV4,
    },
    /// To the IPv6 interface: an ICMPv6 error about a packet that could not be sent.
    Host,
}

/// Something to send. `poll_transmit` has appended its bytes to the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Transmit {
    /// The destination.
    pub destination: Destination,
    /// The time to live of the datagram's IPv4 header, if it should expire on the way; otherwise the system's default.
    pub ttl: Option<u8>,
    /// How many bytes were appended to the buffer.
    pub len: usize,
    /// Whether it is a packet of the host that waited for its peer, and not one that the state machine wrote.
    pub waited: bool,
}
