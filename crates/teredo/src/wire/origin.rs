//! The origin indication (RFC 4380 §5.1.1).

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::ParseError;

/// Where the server received the packet that it passes on: 8 bytes, port and address inverted so that no NAT
/// rewrites them (R4380-4-02, R4380-5.1.1-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(pub SocketAddrV4);

impl Origin {
    /// The first two bytes of the element.
    pub const MAGIC: [u8; 2] = [0, 0];

    /// The length of the element in bytes.
    pub const LEN: usize = 8;

    /// Takes an origin indication off the front; returns it and what follows.
    ///
    /// # Errors
    ///
    /// [`ParseError::Truncated`], or [`ParseError::UnknownElement`] where something else is there.
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let Some((element, rest)) = bytes.split_first_chunk::<{ Self::LEN }>() else {
            return Err(ParseError::Truncated {
                what: "origin indication",
                needed: Self::LEN,
                available: bytes.len(),
            });
        };
        let [m0, m1, p0, p1, a0, a1, a2, a3] = *element;
        if [m0, m1] != Self::MAGIC {
            return Err(ParseError::UnknownElement(u16::from_be_bytes([m0, m1])));
        }
        let address = Ipv4Addr::new(!a0, !a1, !a2, !a3);
        Ok((
            Self(SocketAddrV4::new(address, !u16::from_be_bytes([p0, p1]))),
            rest,
        ))
    }

    /// Appends the element.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }

    /// The element.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let [p0, p1] = (!self.0.port()).to_be_bytes();
        let [a0, a1, a2, a3] = self.0.ip().octets().map(|octet| !octet);
        let [m0, m1] = Self::MAGIC;
        [m0, m1, p0, p1, a0, a1, a2, a3]
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "origin {}", self.0)
    }
}

#[cfg(test)]
mod tests;
