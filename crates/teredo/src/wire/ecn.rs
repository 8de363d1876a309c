//! Explicit congestion notification through the tunnel (RFC 6040, RFC 9601 §6.1.3).
//!
//! When encapsulating, the outer header is Not-ECT (R9601-6.1.3-01). This compatibility mode of RFC 6040 §4.3 is
//! mandatory if the other end may ignore marks in the outer header, as deployed clients do. When decapsulating, marks
//! are propagated, for peers whose outer header supports ECN.

/// The two bits of an IP header (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecn {
    /// The sender does not support ECN.
    #[default]
    NotEct,
    /// The sender supports ECN, and no router reported congestion.
    Ect0,
    /// The same, with the other code point.
    Ect1,
    /// A router reported congestion.
    Ce,
}

/// The position of the two bits in the second byte of an IPv6 header.
const SHIFT: u32 = 4;

impl Ecn {
    /// Takes the low two bits of an IPv4 type of service or an IPv6 traffic class.
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

    /// The bits of an IPv6 packet; Not-ECT if it is too short.
    pub fn of_packet(packet: &[u8]) -> Self {
        packet
            .get(1)
            .map_or(Self::NotEct, |byte| Self::from_bits(byte >> SHIFT))
    }

    /// The inner bits after decapsulation from an outer header with `outer`; `None` if the packet must be dropped
    /// (R6040-4.1-01; RFC 6040 §4.2, figure 4).
    pub const fn decapsulated_from(self, outer: Self) -> Option<Self> {
        match (self, outer) {
            (Self::NotEct, Self::Ce) => None,
            (Self::NotEct, _) | (Self::Ce, _) => Some(self),
            (Self::Ect0 | Self::Ect1, Self::Ce) => Some(Self::Ce),
            (Self::Ect0, Self::Ect1) => Some(Self::Ect1),
            (Self::Ect0 | Self::Ect1, _) => Some(self),
        }
    }

    /// Propagates `outer`, the bits of the datagram that contained `packet`, to the packet's header. Returns whether to
    /// deliver the packet. Otherwise the congested router would have dropped it if it could have seen the inner header.
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
