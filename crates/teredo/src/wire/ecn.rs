//! Explicit congestion notification through the tunnel (RFC 6040, RFC 9601 §6.1.3).
//!
//! On the way in the outer header says nothing (R9601-6.1.3-01): the compatibility mode of RFC 6040 §4.3, which is what
//! a node has to use that cannot know whether the other end hands on what a router writes there. Deployed clients do
//! not. On the way out everything is handed on, for peers whose outer header does take part.

/// The two bits of an IP header (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecn {
    /// The sender takes no part.
    #[default]
    NotEct,
    /// The sender takes part, and a router reported nothing.
    Ect0,
    /// The same, with the other code point.
    Ect1,
    /// A router reported congestion.
    Ce,
}

/// Where the two bits are in the second byte of an IPv6 header.
const SHIFT: u32 = 4;

impl Ecn {
    /// From the low two bits of an IPv4 type of service or an IPv6 traffic class; the others are ignored.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0b10 => Self::Ect0,
            0b01 => Self::Ect1,
            0b11 => Self::Ce,
            _ => Self::NotEct,
        }
    }

    /// The low two bits of an IPv4 type of service or an IPv6 traffic class.
    pub const fn to_bits(self) -> u8 {
        match self {
            Self::NotEct => 0b00,
            Self::Ect1 => 0b01,
            Self::Ect0 => 0b10,
            Self::Ce => 0b11,
        }
    }

    /// The bits of an IPv6 packet; Not-ECT for what is too short to have any.
    pub fn of_packet(packet: &[u8]) -> Self {
        packet
            .get(1)
            .map_or(Self::NotEct, |byte| Self::from_bits(byte >> SHIFT))
    }

    /// What becomes of an inner header with these bits that comes out of an outer header with `outer`: `None` for a
    /// packet that is to be dropped (R6040-4.1-01; RFC 6040 §4.2, figure 4).
    pub const fn decapsulated_from(self, outer: Self) -> Option<Self> {
        match (self, outer) {
            (Self::NotEct, Self::Ce) => None,
            (Self::NotEct, _) | (Self::Ce, _) => Some(self),
            (Self::Ect0 | Self::Ect1, Self::Ce) => Some(Self::Ce),
            (Self::Ect0, Self::Ect1) => Some(Self::Ect1),
            (Self::Ect0 | Self::Ect1, _) => Some(self),
        }
    }

    /// Writes the bits that follow from `outer`, those of the datagram that `packet` came in, into the packet's header.
    /// Returns whether it is to be delivered; otherwise the router that marked it would have dropped it, had it known.
    #[must_use = "a packet whose sender cannot be told of congestion is to be dropped"]
    pub fn decapsulate(outer: Self, packet: &mut [u8]) -> bool {
        let Some(bits) = Self::of_packet(packet).decapsulated_from(outer) else {
            return false;
        };
        if let Some(byte) = packet.get_mut(1) {
            *byte = *byte & !(0b11 << SHIFT) | bits.to_bits() << SHIFT;
        }
        true
    }
}

#[cfg(test)]
mod tests;
