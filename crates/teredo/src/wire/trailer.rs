//! Trailers behind the IPv6 packet (RFC 6081 §4).
//!
//! A trailer has a type (1 byte), the length of the value (1 byte) and the value. It is neither padded nor aligned, and
//! the payload length of the IPv6 packet does not count it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::ParseError;

const NONCE: u8 = 0x01;
const ALTERNATE_ADDRESSES: u8 = 0x03;
const NEIGHBOR_DISCOVERY: u8 = 0x04;
// RFC 6081 §9 says 0x02; erratum 2685 corrects it.
const RANDOM_PORT: u8 = 0x05;

const SOLICITATION: u8 = 0;
const ADVERTISEMENT: u8 = 1;

/// The bytes behind an IPv6 packet; iterates over the trailers in order (R6081-5.1.2-01).
///
/// The iteration ends at the first malformed trailer (R6081-5.1.2-04). It skips a trailer of a known type with an
/// invalid length or value, because only a truncated one is malformed. Call [`Self::check`] before using any of
/// them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "iterators are lazy"]
pub struct Trailers<'a>(&'a [u8]);

impl<'a> Trailers<'a> {
    /// The trailers in `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes that were not iterated over yet.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Iterates over the trailers without changing `self`.
    pub fn iter(&self) -> Self {
        self.clone()
    }

    /// Whether the packet may be processed.
    ///
    /// # Errors
    ///
    /// [`ParseError::DiscardTrailer`]: an unknown trailer requires the whole packet to be discarded (types 0x40 to
    /// 0x7f, R6081-5.1.2-02).
    pub fn check(&self) -> Result<(), ParseError> {
        let mut rest = self.iter();
        while let Some((kind, _)) = rest.next_raw() {
            if kind >> 6 == 0b01 {
                return Err(ParseError::DiscardTrailer(kind));
            }
        }
        Ok(())
    }

    fn next_raw(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[kind, len], rest) = self.0.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::from(len))?;
        self.0 = rest;
        Some((kind, value))
    }
}

impl<'a> Iterator for Trailers<'a> {
    type Item = Trailer<'a>;

    fn next(&mut self) -> Option<Trailer<'a>> {
        loop {
            let (kind, value) = self.next_raw()?;
            if let Some(trailer) = Trailer::from_raw(kind, value) {
                return Some(trailer);
            }
        }
    }
}

impl<'a> IntoIterator for &Trailers<'a> {
    type Item = Trailer<'a>;
    type IntoIter = Trailers<'a>;

    fn into_iter(self) -> Trailers<'a> {
        self.iter()
    }
}

impl fmt::Display for Trailers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trailers {} bytes", self.0.len())?;
        for trailer in self {
            write!(f, " [{trailer}]")?;
        }
        Ok(())
    }
}

/// One trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trailer<'a> {
    /// Relates a direct bubble to the indirect one that it answers (R6081-4.2-01).
    Nonce([u8; 4]),
    /// Other addresses of a client, behind its own NAT (R6081-4.3-01).
    AlternateAddresses(AlternateAddresses),
    /// Checks that a peer is alive, or answers such a check, without a server (R6081-4.4-01).
    NeighborDiscovery {
        /// Whether this is an answer.
        advertisement: bool,
    },
    /// The external port that the sender's NAT will probably assign (R6081-4.5-01).
    RandomPort(u16),
    /// An unknown type; to be skipped if [`Trailers::check`] permits it (R6081-5.1.2-03).
    Unknown {
        /// The type.
        kind: u8,
        /// The value, at most 255 bytes.
        value: &'a [u8],
    },
}

impl<'a> Trailer<'a> {
    fn from_raw(kind: u8, value: &'a [u8]) -> Option<Self> {
        match kind {
            NONCE => value.try_into().ok().map(Self::Nonce),
            ALTERNATE_ADDRESSES => {
                AlternateAddresses::from_value(value).map(Self::AlternateAddresses)
            }
            NEIGHBOR_DISCOVERY => match value {
                [SOLICITATION, _, _, _] => Some(Self::NeighborDiscovery {
                    advertisement: false,
                }),
                [ADVERTISEMENT, _, _, _] => Some(Self::NeighborDiscovery {
                    advertisement: true,
                }),
                _ => None,
            },
            RANDOM_PORT => value
                .try_into()
                .ok()
                .map(|port| Self::RandomPort(u16::from_be_bytes(port))),
            _ => Some(Self::Unknown { kind, value }),
        }
    }

    /// Appends the trailer, with at most 255 bytes of an unknown value.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nonce(nonce) => {
                out.extend_from_slice(&[NONCE, 4]);
                out.extend_from_slice(nonce);
            }
            Self::AlternateAddresses(addresses) => addresses.emit(out),
            Self::NeighborDiscovery { advertisement } => {
                let discovery = if *advertisement {
                    ADVERTISEMENT
                } else {
                    SOLICITATION
                };
                out.extend_from_slice(&[NEIGHBOR_DISCOVERY, 4, discovery, 0, 0, 0]);
            }
            Self::RandomPort(port) => {
                out.extend_from_slice(&[RANDOM_PORT, 2]);
                out.extend_from_slice(&port.to_be_bytes());
            }
            Self::Unknown { kind, value } => {
                let len = u8::try_from(value.len()).unwrap_or(u8::MAX);
                out.extend_from_slice(&[*kind, len]);
                out.extend_from_slice(&value[..usize::from(len)]);
            }
        }
    }
}

impl fmt::Display for Trailer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nonce(nonce) => write!(f, "nonce {:08x}", u32::from_be_bytes(*nonce)),
            Self::AlternateAddresses(addresses) => write!(f, "alternate {addresses}"),
            Self::NeighborDiscovery {
                advertisement: false,
            } => f.write_str("neighbor solicitation"),
            Self::NeighborDiscovery {
                advertisement: true,
            } => f.write_str("neighbor advertisement"),
            Self::RandomPort(port) => write!(f, "random port {port}"),
            Self::Unknown { kind, value } => {
                write!(f, "unknown {kind:#04x} length {}", value.len())
            }
        }
    }
}

/// One to four addresses, not inverted (RFC 6081 §4.3). All are unicast and have a port. Private ones are common, so
/// check [`policy`](crate::policy) before sending there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlternateAddresses {
    addresses: [SocketAddrV4; Self::MAX],
    len: u8,
}

impl AlternateAddresses {
    /// The most addresses in a trailer. Senders should not use more than two.
    pub const MAX: usize = 4;

    /// `None` unless there are one to four addresses that can be sent to.
    pub fn new(addresses: &[SocketAddrV4]) -> Option<Self> {
        if addresses.is_empty() || addresses.iter().any(|address| !is_unicast(address)) {
            return None;
        }
        let mut all = [SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0); Self::MAX];
        all.get_mut(..addresses.len())?.copy_from_slice(addresses);
        Some(Self {
            addresses: all,
            len: addresses.len() as u8,
        })
    }

    /// The addresses, in the order of the trailer.
    pub fn as_slice(&self) -> &[SocketAddrV4] {
        &self.addresses[..usize::from(self.len)]
    }

    fn from_value(value: &[u8]) -> Option<Self> {
        let (_reserved, entries) = value.split_first_chunk::<2>()?;
        let entries_len = entries.len() / 6;
        if !entries.len().is_multiple_of(6) || entries_len > Self::MAX {
            return None;
        }
        let mut addresses = [SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0); Self::MAX];
        for (address, entry) in addresses.iter_mut().zip(entries.chunks_exact(6)) {
            *address = SocketAddrV4::new(
                Ipv4Addr::new(entry[0], entry[1], entry[2], entry[3]),
                u16::from_be_bytes([entry[4], entry[5]]),
            );
        }
        Self::new(&addresses[..entries_len])
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[ALTERNATE_ADDRESSES, 2 + 6 * self.len, 0, 0]);
        for address in self.as_slice() {
            out.extend_from_slice(&address.ip().octets());
            out.extend_from_slice(&address.port().to_be_bytes());
        }
    }
}

fn is_unicast(address: &SocketAddrV4) -> bool {
    let ip = address.ip();
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast()
}

impl fmt::Display for AlternateAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.as_slice().iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{address}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
