//! The outcome of the packets of peers in the map.

use std::fmt;

/// The fate of a packet whose peer is in the map. Packets of others are not counted: the programs see every packet of
/// the interfaces.
///
/// The numbers are those of `enum outcome` in `programs/path.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Sent in a datagram; a super-packet counts as the packets in it.
    Encapsulated = 0,
    /// The bytes of these packets.
    EncapsulatedBytes = 1,
    /// Delivered from a datagram.
    Decapsulated = 2,
    /// The bytes of these packets.
    DecapsulatedBytes = 3,
    /// The path was closed.
    Closed = 4,
    /// The stack was not seen to let the peer's datagrams pass lately.
    Unproven = 5,
    /// The packet asked the stack again.
    Sample = 6,
    /// The peer was not heard for 30 s.
    Silent = 7,
    /// The packet was on another interface than the peer's path.
    WrongInterface = 8,
    /// The datagram came from or to another address or port than the peer's path.
    WrongMapping = 9,
    /// The inner address of this side was another one.
    WrongAddress = 10,
    /// A relay does not carry packets of the native address.
    NotServed = 11,
    /// The lengths did not agree: trailers, or datagrams that the kernel has joined.
    WrongLength = 12,
    /// The packet, or a segment of it, was longer than the path takes.
    TooLong = 13,
    /// An extension header, or another protocol than TCP, UDP and ICMPv6; also a bubble.
    NextHeader = 14,
    /// An ICMPv6 message that is neither an error nor an echo.
    Icmpv6Type = 15,
    /// The first packet of a TCP connection, whose segment size user space limits.
    TcpSyn = 16,
    /// A super-packet of UDP, which the kernel would lose.
    UdpSegments = 17,
    /// The inner hop limit was 0.
    HopLimit = 18,
    /// The checksum of the outer header was wrong.
    Checksum = 19,
    /// Congestion was reported to a sender that does not support ECN (RFC 6040 §4.2).
    Congestion = 20,
    /// The kernel had no memory for the headers.
    NoRoom = 21,
    /// Dropped: the kernel had no memory, and the packet was changed already.
    Lost = 22,
    /// The kernel had left the packet's checksum to the hardware, the peer [needs it](crate::Entry::needs_checksums), and the
    /// program cannot complete it: that of a super-packet, or of a packet of less than 64 bytes.
    NoChecksum = 23,
    /// Packets before it were still in user space, and it would have overtaken them.
    Behind = 24,
}

impl Outcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 25] = [
        Self::Encapsulated,
        Self::EncapsulatedBytes,
        Self::Decapsulated,
        Self::DecapsulatedBytes,
        Self::Closed,
        Self::Unproven,
        Self::Sample,
        Self::Silent,
        Self::WrongInterface,
        Self::WrongMapping,
        Self::WrongAddress,
        Self::NotServed,
        Self::WrongLength,
        Self::TooLong,
        Self::NextHeader,
        Self::Icmpv6Type,
        Self::TcpSyn,
        Self::UdpSegments,
        Self::HopLimit,
        Self::Checksum,
        Self::Congestion,
        Self::NoRoom,
        Self::Lost,
        Self::NoChecksum,
        Self::Behind,
    ];

    /// Its name: lower case, with underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encapsulated => "encapsulated",
            Self::EncapsulatedBytes => "encapsulated_bytes",
            Self::Decapsulated => "decapsulated",
            Self::DecapsulatedBytes => "decapsulated_bytes",
            Self::Closed => "closed",
            Self::Unproven => "unproven",
            Self::Sample => "sample",
            Self::Silent => "silent",
            Self::WrongInterface => "wrong_interface",
            Self::WrongMapping => "wrong_mapping",
            Self::WrongAddress => "wrong_address",
            Self::NotServed => "not_served",
            Self::WrongLength => "wrong_length",
            Self::TooLong => "too_long",
            Self::NextHeader => "next_header",
            Self::Icmpv6Type => "icmpv6_type",
            Self::TcpSyn => "tcp_syn",
            Self::UdpSegments => "udp_segments",
            Self::HopLimit => "hop_limit",
            Self::Checksum => "checksum",
            Self::Congestion => "congestion",
            Self::NoRoom => "no_room",
            Self::Lost => "lost",
            Self::NoChecksum => "no_checksum",
            Self::Behind => "behind",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many packets had each [`Outcome`], since the programs were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes(pub(crate) [u64; Outcome::ALL.len()]);

impl Outcomes {
    /// The number of packets, or bytes, with this outcome.
    pub const fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// The outcomes that occurred, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> {
        let counted = Outcome::ALL
            .into_iter()
            .map(|outcome| (outcome, self.get(outcome)));
        counted.filter(|&(_, number)| number > 0)
    }
}

/// For a line of the log: `encapsulated 1, sample 2`.
impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (outcome, number) in self.iter() {
            write!(f, "{separator}{outcome} {number}")?;
            separator = ", ";
        }
        if separator.is_empty() {
            f.write_str("no program saw it")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
