//! A datagram as it was seen, and its fate if that is known.

use std::net::SocketAddrV4;
use std::time::Duration;

use serde::Serialize;

/// An observed UDP datagram. A capture file shows one side of a NAT; a simulator knows both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation<'a> {
    /// The number of its frame in the file, from 1.
    pub frame: u64,
    /// Since the epoch of the observer: 1970 in a file, the beginning of a simulated world.
    pub time: Duration,
    /// The source, as it was seen.
    pub source: SocketAddrV4,
    /// The destination, as it was seen.
    pub destination: SocketAddrV4,
    /// The source behind the last NAT on the way out, if that is known.
    pub public_source: Option<SocketAddrV4>,
    /// The destination behind the last NAT on the way in, if that is known.
    pub inner_destination: Option<SocketAddrV4>,
    /// The time to live in the IPv4 header.
    pub ttl: u8,
    /// The UDP payload.
    pub payload: &'a [u8],
    /// Whether the end of the payload was not kept, and zeros stand there instead.
    pub cut: bool,
    /// Its fate; `None` if it is not known.
    pub fate: Option<Fate>,
}

/// The fate of a datagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fate {
    /// It arrived.
    Delivered,
    /// It did not arrive.
    Dropped {
        /// The place where it ended.
        by: Obstacle,
        /// The reason in a few words, for people.
        reason: String,
    },
}

/// The place where a datagram ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Obstacle {
    /// The NAT of its sender.
    SenderNat,
    /// The NAT of the sender's carrier, behind its own.
    SenderCarrierNat,
    /// Somewhere between the NATs.
    Network,
    /// The NAT of the receiver's carrier, before its own.
    ReceiverCarrierNat,
    /// The NAT of its receiver.
    ReceiverNat,
    /// Its receiver.
    Receiver,
}
