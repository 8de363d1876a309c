//! A whole UDP payload (RFC 4380 §5.1.1, RFC 6081 §4), and the origin indication in it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::{Authentication, Ipv6Packet, ParseError, Secret, Trailers};

/// A parsed UDP payload: `[authentication] [origin indication] IPv6 [trailers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The authentication element.
    pub authentication: Option<Authentication<'a>>,
    /// The origin indication.
    pub origin: Option<Origin>,
    /// The IPv6 packet.
    pub packet: Ipv6Packet<'a>,
    /// Everything behind the IPv6 packet, valid trailers or not.
    pub trailers: Trailers<'a>,
    /// Origin indication and packet in their wire form, which the authentication covers.
    signed: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Parses a UDP payload (R4380-5.1.1-01, R4380-5.1.1-02, R4380-5.1.1-04).
    ///
    /// The bytes behind the packet are trailers (R6081-4-01). They are not parsed here, because junk among them does
    /// not invalidate the packet (RFC 6081 §5.1.2).
    ///
    /// # Errors
    ///
    /// Any other sequence of elements, a truncated one (R4380-5.1.1-05), or an IPv6 packet longer than the payload
    /// (R4380-5.2.3-02).
    pub fn parse(payload: &'a [u8]) -> Result<Self, ParseError> {
        let mut rest = payload;
        let mut authentication = None;
        let mut origin = None;
        if rest.starts_with(&Authentication::MAGIC) {
            let (element, after) = Authentication::parse(rest)?;
            (authentication, rest) = (Some(element), after);
        }
        let signed = rest;
        if rest.starts_with(&Origin::MAGIC) {
            let (element, after) = Origin::parse(rest)?;
            (origin, rest) = (Some(element), after);
        }
        match rest {
            [first, ..] if first >> 4 == 6 => {}
            [0, 0, ..] => return Err(ParseError::Misplaced("origin indication")),
            [0, 1, ..] => return Err(ParseError::Misplaced("authentication")),
            [first, second, ..] => {
                return Err(ParseError::UnknownElement(u16::from_be_bytes([
                    *first, *second,
                ])));
            }
            _ => {}
        }
        let (packet, trailers) = Ipv6Packet::parse_prefix(rest)?;
        let signed = &signed[..signed.len() - trailers.len()];
        Ok(Self {
            authentication,
            origin,
            packet,
            trailers: Trailers::new(trailers),
            signed,
        })
    }

    /// Whether the datagram is authenticated with this secret, in constant time; `false` without an
    /// authentication element. Trailers are not covered (RFC 4380 §5.2.2).
    pub fn verify(&self, secret: &Secret) -> bool {
        self.authentication
            .is_some_and(|authentication| authentication.verify(secret, self.signed))
    }

    /// Appends the datagram in its original form.
    pub fn emit(&self, out: &mut Vec<u8>) {
        if let Some(authentication) = &self.authentication {
            authentication.emit(out);
        }
        if let Some(origin) = &self.origin {
            origin.emit(out);
        }
        out.extend_from_slice(self.packet.as_bytes());
        out.extend_from_slice(self.trailers.as_bytes());
    }
}

impl fmt::Display for Datagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teredo, ")?;
        if let Some(authentication) = &self.authentication {
            write!(f, "{authentication}, ")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, "{origin}, ")?;
        }
        write!(f, "{}", self.packet)?;
        if self.trailers.as_bytes().is_empty() {
            Ok(())
        } else {
            write!(f, ", {}", self.trailers)
        }
    }
}

/// The address from which the server received the packet that it forwards: 8 bytes, with port and address inverted so
/// that no NAT rewrites them (R4380-4-02, R4380-5.1.1-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(pub SocketAddrV4);

impl Origin {
    /// The first two bytes of the element.
    pub const MAGIC: [u8; 2] = [0, 0];

    /// The length of the element in bytes.
    pub const LEN: usize = 8;

    /// Parses the origin indication at the front; returns it and what follows.
    ///
    /// # Errors
    ///
    /// [`ParseError::Truncated`], or [`ParseError::UnknownElement`] if the bytes begin differently.
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
