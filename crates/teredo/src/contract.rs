//! What goes into the state machines and what comes out: *mutate, drain, wait*.
//!
//! [`Client`](crate::Client), [`Server`](crate::Server) and [`Relay`](crate::Relay) have the same methods. After
//! every call that takes `&mut self` and `now`, call `poll_transmit` and `poll_event` until both return `None`; then
//! wait until `poll_timeout` or for new input, whichever comes first.

use std::net::SocketAddrV4;

use crate::DropReason;

/// What became of a datagram that came in over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a datagram to deliver is lost if nobody delivers it"]
pub enum Reception<'a> {
    /// Hand this IPv6 packet, a part of the datagram, to the host (client) or to the IPv6 Internet (relay).
    Deliver(&'a [u8]),
    /// The state machine used it up.
    Consumed,
    /// Refused; already counted.
    Drop(DropReason),
}

/// What is to become of an IPv6 packet that the host wants tunnelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a packet to send is lost if nobody sends it"]
pub enum Submission {
    /// Send the packet as it is, as the payload of a UDP datagram to this address.
    Send(SocketAddrV4),
    /// Kept until the peer can be reached; it comes out of `poll_transmit` later, in order, or is answered
    /// with an ICMPv6 error.
    Queued,
    /// Refused; already counted.
    Drop(DropReason),
}

/// Where a [`Transmit`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// In a UDP datagram, from the service port.
    Udp(SocketAddrV4),
    /// In a UDP datagram, from the secondary port, which is there only while a client looks for a longer refresh
    /// interval (RFC 4380 §5.2.7).
    Secondary(SocketAddrV4),
    /// To the local IPv6 stack: from a client, an ICMPv6 error about a packet that could not be sent; from a server,
    /// a packet for the IPv6 Internet.
    Host,
}

/// Something to send; its bytes were written into the buffer given to `poll_transmit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Transmit {
    /// Where to.
    pub destination: Destination,
    /// The address to send from where the node has several (a server's primary and secondary one).
    pub source: Option<std::net::Ipv4Addr>,
    /// The time to live of the datagram's IPv4 header, where it is to end on the way; otherwise the system's own.
    pub ttl: Option<u8>,
    /// How many bytes were appended to the buffer.
    pub len: usize,
}
