//! Router solicitations and advertisements (RFC 4861 §4.1, §4.2, §6.1).

use std::fmt;
use std::net::Ipv6Addr;

use super::super::ParseError;
use super::{
    HEADER_LEN, ND_HOP_LIMIT, ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION, emit_message, truncated,
};

const PREFIX_INFORMATION: u8 = 3;
const MTU: u8 = 5;

const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

/// A router advertisement. Options other than prefix information and MTU are skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterAdvertisement {
    /// The hop limit to use; 0 if unspecified.
    pub hop_limit: u8,
    /// The flags (M, O and others).
    pub flags: u8,
    /// The seconds for which the router is a default router; 0 if it is none.
    pub router_lifetime: u16,
    /// The milliseconds for which a neighbor counts as reachable; 0 if unspecified.
    pub reachable_time: u32,
    /// The milliseconds between solicitations; 0 if unspecified.
    pub retrans_timer: u32,
    /// The prefixes. A Teredo client expects exactly one (RFC 4380 §5.2.1).
    pub prefixes: Vec<PrefixInformation>,
    /// The link's MTU in bytes, from the first MTU option.
    pub mtu: Option<u32>,
}

impl RouterAdvertisement {
    pub(super) fn parse(source: Ipv6Addr, body: &[u8]) -> Result<Self, ParseError> {
        if !source.is_unicast_link_local() {
            return Err(ParseError::NeighborDiscoverySource);
        }
        let (&[hop_limit, flags, l0, l1, r0, r1, r2, r3, t0, t1, t2, t3], options) = body
            .split_first_chunk::<12>()
            .ok_or_else(|| truncated(16, body))?;
        let mut advertisement = Self {
            hop_limit,
            flags,
            router_lifetime: u16::from_be_bytes([l0, l1]),
            reachable_time: u32::from_be_bytes([r0, r1, r2, r3]),
            retrans_timer: u32::from_be_bytes([t0, t1, t2, t3]),
            prefixes: Vec::new(),
            mtu: None,
        };
        for option in Options(options) {
            let (kind, option) = option?;
            let wrong_length = || ParseError::NeighborDiscoveryOption {
                kind,
                length: (option.len() / Options::UNIT) as u8,
            };
            match kind {
                PREFIX_INFORMATION => {
                    let option = option.try_into().map_err(|_| wrong_length())?;
                    advertisement
                        .prefixes
                        .push(PrefixInformation::parse(option));
                }
                MTU => {
                    let &[_, _, _, _, m0, m1, m2, m3]: &[u8; 8] =
                        option.try_into().map_err(|_| wrong_length())?;
                    let mtu = u32::from_be_bytes([m0, m1, m2, m3]);
                    advertisement.mtu = advertisement.mtu.or(Some(mtu));
                }
                _ => {}
            }
        }
        Ok(advertisement)
    }

    /// Appends the advertisement as a whole IPv6 packet.
    pub fn emit(&self, source: Ipv6Addr, destination: Ipv6Addr, out: &mut Vec<u8>) {
        emit_message(
            [source, destination],
            ND_HOP_LIMIT,
            [ROUTER_ADVERTISEMENT, 0],
            out,
            |out| {
                out.extend_from_slice(&[self.hop_limit, self.flags]);
                out.extend_from_slice(&self.router_lifetime.to_be_bytes());
                out.extend_from_slice(&self.reachable_time.to_be_bytes());
                out.extend_from_slice(&self.retrans_timer.to_be_bytes());
                for prefix in &self.prefixes {
                    prefix.emit(out);
                }
                if let Some(mtu) = self.mtu {
                    out.extend_from_slice(&[MTU, 1, 0, 0]);
                    out.extend_from_slice(&mtu.to_be_bytes());
                }
            },
        );
    }

    fn len(&self) -> usize {
        let mtu = if self.mtu.is_some() { Options::UNIT } else { 0 };
        HEADER_LEN + 12 + self.prefixes.len() * PrefixInformation::LEN + mtu
    }
}

impl fmt::Display for RouterAdvertisement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "router advertisement, lifetime {}s",
            self.router_lifetime
        )?;
        for prefix in &self.prefixes {
            write!(f, ", {prefix}")?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, ", mtu {mtu}")?;
        }
        write!(f, ", length {}", self.len())
    }
}

/// A prefix that a router announces (RFC 4861 §4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixInformation {
    /// The prefix.
    pub prefix: Ipv6Addr,
    /// The length of the prefix in bits. A receiver must refuse more than 128.
    pub length: u8,
    /// Addresses in it are on the link.
    pub on_link: bool,
    /// Hosts may configure an address in it.
    pub autonomous: bool,
    /// The seconds for which addresses in it are valid; [`Self::INFINITE`] for ever.
    pub valid_lifetime: u32,
    /// The seconds for which addresses in it are preferred for new connections.
    pub preferred_lifetime: u32,
}

impl PrefixInformation {
    /// A lifetime without end.
    pub const INFINITE: u32 = u32::MAX;

    const LEN: usize = 32;

    fn parse(option: &[u8; Self::LEN]) -> Self {
        let word = |at: usize| {
            u32::from_be_bytes([option[at], option[at + 1], option[at + 2], option[at + 3]])
        };
        let mut prefix = [0; 16];
        prefix.copy_from_slice(&option[16..]);
        Self {
            prefix: Ipv6Addr::from(prefix),
            length: option[2],
            on_link: option[3] & ON_LINK != 0,
            autonomous: option[3] & AUTONOMOUS != 0,
            valid_lifetime: word(4),
            preferred_lifetime: word(8),
        }
    }

    fn emit(&self, out: &mut Vec<u8>) {
        let on_link = if self.on_link { ON_LINK } else { 0 };
        let autonomous = if self.autonomous { AUTONOMOUS } else { 0 };
        out.extend_from_slice(&[PREFIX_INFORMATION, 4, self.length, on_link | autonomous]);
        out.extend_from_slice(&self.valid_lifetime.to_be_bytes());
        out.extend_from_slice(&self.preferred_lifetime.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.prefix.octets());
    }
}

impl fmt::Display for PrefixInformation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prefix {}/{}", self.prefix, self.length)
    }
}

/// The options of a Neighbor Discovery message: type and whole option, header included (RFC 4861 §4.6).
struct Options<'a>(&'a [u8]);

impl Options<'_> {
    /// The unit of an option's length, in bytes.
    const UNIT: usize = 8;
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u8, &'a [u8]), ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let truncated = |needed| ParseError::Truncated {
            what: "neighbor discovery option",
            needed,
            available: bytes.len(),
        };
        let Some(&[kind, length]) = bytes.first_chunk() else {
            return Some(Err(truncated(Self::UNIT)));
        };
        if length == 0 {
            return Some(Err(ParseError::NeighborDiscoveryOption { kind, length }));
        }
        let len = usize::from(length) * Self::UNIT;
        let Some((option, rest)) = bytes.split_at_checked(len) else {
            return Some(Err(truncated(len)));
        };
        self.0 = rest;
        Some(Ok((kind, option)))
    }
}

/// The destination of router solicitations: all routers on the link.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;

/// A router solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterSolicitation<'a> {
    /// The options, which are not parsed; a Teredo link has none.
    pub options: &'a [u8],
}

impl<'a> RouterSolicitation<'a> {
    pub(super) fn parse(source: Ipv6Addr, body: &'a [u8]) -> Result<Self, ParseError> {
        let (_reserved, options) = body
            .split_first_chunk::<4>()
            .ok_or_else(|| truncated(8, body))?;
        for option in Options(options) {
            let (kind, _) = option?;
            if kind == SOURCE_LINK_LAYER_ADDRESS && source.is_unspecified() {
                return Err(ParseError::NeighborDiscoverySource);
            }
        }
        Ok(Self { options })
    }
}

impl fmt::Display for RouterSolicitation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "router solicitation, length {}", 8 + self.options.len())
    }
}

/// Appends a router solicitation to [`ALL_ROUTERS`]: 48 bytes (R4380-5.2.1-02).
pub fn emit_router_solicitation(source: Ipv6Addr, out: &mut Vec<u8>) {
    emit_message(
        [source, ALL_ROUTERS],
        ND_HOP_LIMIT,
        [ROUTER_SOLICITATION, 0],
        out,
        |out| {
            out.extend_from_slice(&[0; 4]);
        },
    );
}
