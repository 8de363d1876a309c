//! Errors of parsing.

/// Why a datagram, or a part of it, was refused.
///
/// [`wire`](crate::wire) has one error type, because a datagram is parsed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The bytes end before the element does.
    #[error("{what} needs {needed} bytes, {available} are left")]
    Truncated {
        /// The element.
        what: &'static str,
        /// Its length in bytes, as far as known.
        needed: usize,
        /// The bytes that are left.
        available: usize,
    },
    /// There are bytes where none are allowed.
    #[error("{0} bytes follow the IPv6 packet")]
    Surplus(usize),
    /// The first two bytes begin neither an element nor an IPv6 packet (RFC 4380 §5.1.1).
    #[error(
        "{0:#06x} begins neither an authentication, nor an origin indication, nor an IPv6 packet"
    )]
    UnknownElement(u16),
    /// An element is duplicate or misplaced: authentication is always first (RFC 4380 §5.1.1).
    #[error("the {0} is not where it belongs")]
    Misplaced(&'static str),
    /// The packet is of another IP version.
    #[error("IP version {0} instead of 6")]
    Version(u8),
    /// More extension headers than a legitimate packet has.
    #[error("too many IPv6 extension headers")]
    TooManyExtensionHeaders,
    /// An ICMPv6 message was expected.
    #[error("next header {0} instead of ICMPv6")]
    NotIcmpv6(u8),
    /// A part of an ICMPv6 message, or a fragmented Neighbor Discovery message (RFC 6980 §5).
    #[error("an ICMPv6 message in fragments")]
    Fragmented,
    /// The ICMPv6 checksum is wrong (RFC 4443 §2.3).
    #[error("wrong ICMPv6 checksum {0:#06x}")]
    Checksum(u16),
    /// A Neighbor Discovery message that passed a router (RFC 4861 §6.1).
    #[error("neighbor discovery with hop limit {0} instead of 255")]
    NeighborDiscoveryHopLimit(u8),
    /// A Neighbor Discovery message with a code that does not exist (RFC 4861 §6.1).
    #[error("neighbor discovery with code {0} instead of 0")]
    NeighborDiscoveryCode(u8),
    /// A Neighbor Discovery message from an address that must not send it (RFC 4861 §6.1).
    #[error("neighbor discovery from an address that may not send it")]
    NeighborDiscoverySource,
    /// A Neighbor Discovery option of length 0, or of a wrong length for its type (RFC 4861 §4.6).
    #[error("neighbor discovery option {kind} of length {length}")]
    NeighborDiscoveryOption {
        /// The option's type.
        kind: u8,
        /// Its length in units of 8 bytes.
        length: u8,
    },
    /// A trailer of an unknown type that requires the packet to be discarded (RFC 6081 §4).
    #[error("unknown trailer {0:#04x}, which must not be skipped")]
    DiscardTrailer(u8),
}
