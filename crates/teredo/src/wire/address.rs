//! Teredo addresses (RFC 4380 §4, RFC 5991 §3.1) and the constants of RFC 4380 §2.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// The service prefix 2001:0::/32 (RFC 4380 §2.6); the lower 96 bits are zero here.
pub const SERVICE_PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0);

/// The prefix 3ffe:831f::/32 from before the standard. It is never made, and no longer a Teredo address (R-OLD-01).
pub const OBSOLETE_PREFIX: Ipv6Addr = Ipv6Addr::new(0x3ffe, 0x831f, 0, 0, 0, 0, 0, 0);

/// The UDP port of Teredo servers (RFC 4380 §2.7).
pub const PORT: u16 = 3544;

/// The address and port of local client discovery (RFC 4380 §2.17).
pub const DISCOVERY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 253), PORT);

/// The MTU of a Teredo interface, in bytes (RFC 4380 §5.1.2).
pub const MTU: usize = 1280;

/// The parts of a Teredo address.
///
/// ```text
///  0               32              64       80       96             127
///  +---------------+---------------+--------+--------+---------------+
///  |  2001:0000    |  server IPv4  | flags  | ~port  |  ~mapped IPv4 |
///  +---------------+---------------+--------+--------+---------------+
/// ```
///
/// ```
/// use teredo::wire::{Flags, TeredoAddress};
///
/// let address = TeredoAddress {
///     server: "203.0.113.120".parse()?,
///     flags: Flags::default(),
///     mapped: "192.0.2.1:4096".parse()?,
/// };
/// assert_eq!(address.to_ipv6().to_string(), "2001:0:cb00:7178:0:efff:3fff:fdfe");
/// assert_eq!(TeredoAddress::from_ipv6(address.to_ipv6()), Some(address));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TeredoAddress {
    /// The primary IPv4 address of the client's server.
    pub server: Ipv4Addr,
    /// The flags.
    pub flags: Flags,
    /// The client's public address and port, as its server saw it.
    pub mapped: SocketAddrV4,
}

impl TeredoAddress {
    /// Parses an address; `None` if it is not in [`SERVICE_PREFIX`].
    ///
    /// Every bit pattern behind the prefix is accepted: reserved flags are ignored on receipt (R4380-4-07).
    /// [`policy`](crate::policy) decides whether [`Self::mapped`] may be sent to.
    pub fn from_ipv6(address: Ipv6Addr) -> Option<Self> {
        if !is_teredo(&address) {
            return None;
        }
        let [
            _,
            _,
            _,
            _,
            s0,
            s1,
            s2,
            s3,
            flags @ ..,
            p0,
            p1,
            a0,
            a1,
            a2,
            a3,
        ] = address.octets();
        Some(Self {
            server: Ipv4Addr::new(s0, s1, s2, s3),
            flags: Flags(u16::from_be_bytes(flags)),
            mapped: SocketAddrV4::new(
                Ipv4Addr::new(!a0, !a1, !a2, !a3),
                !u16::from_be_bytes([p0, p1]),
            ),
        })
    }

    /// The IPv6 address (R4380-4-01).
    pub fn to_ipv6(self) -> Ipv6Addr {
        with_identifier(server_prefix(self.server), self.flags, self.mapped)
    }
}

impl From<TeredoAddress> for Ipv6Addr {
    fn from(address: TeredoAddress) -> Self {
        address.to_ipv6()
    }
}

impl fmt::Display for TeredoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "server {}, mapped {}, flags {}",
            self.server, self.mapped, self.flags
        )
    }
}

/// The flags of a Teredo address (RFC 4380 §4, RFC 5991 §3.1).
///
/// ```text
///   0   1   2   3   4   5   6   7   8  ...  15
/// +---+---+---+---+---+---+---+---+-----------+
/// | C | z |    random 1   | U | G |  random 2 |
/// +---+---+---+---+---+---+---+---+-----------+
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags(u16);

impl Flags {
    /// The cone bit: the client believes that it is behind a cone NAT. Servers honour it in a router solicitation and
    /// set it in their own identifiers; all other nodes ignore it (RFC 5991 §3.2).
    pub const CONE: Self = Self(0x8000);

    /// The bits that RFC 5991 §3.1 fills at random.
    pub const RANDOM_MASK: u16 = 0x3cff;

    /// The bits that are zero in a new address: z, U and G.
    pub const ZERO_MASK: u16 = 0x4300;

    /// The flags of a new address: 12 of the given bits, the others zero (RFC 5991 §3.1).
    /// R4380-4-05, R4380-4-06, R5991-3.1-02.
    pub const fn from_random(random: u16) -> Self {
        Self(random & Self::RANDOM_MASK)
    }

    /// The flags with exactly these bits, as found in an address.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits; the cone bit is the most significant one.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether the cone bit is set.
    pub const fn is_cone(self) -> bool {
        self.0 & Self::CONE.0 != 0
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)?;
        if self.is_cone() {
            f.write_str(" (cone)")
        } else {
            Ok(())
        }
    }
}

/// Whether an address is in [`SERVICE_PREFIX`].
pub fn is_teredo(address: &Ipv6Addr) -> bool {
    in_prefix(address, &SERVICE_PREFIX)
}

/// Whether an address is in [`OBSOLETE_PREFIX`].
pub fn is_obsolete_teredo(address: &Ipv6Addr) -> bool {
    in_prefix(address, &OBSOLETE_PREFIX)
}

/// Whether an address is in 2000::/3, the only part of the global unicast space that IANA has allocated so far. Teredo
/// addresses are.
pub fn is_global_unicast(address: &Ipv6Addr) -> bool {
    address.segments()[0] >> 13 == 0b001
}

pub(crate) fn is_unicast(address: Ipv6Addr) -> bool {
    !address.is_multicast() && !address.is_unspecified() && !address.is_loopback()
}

/// Whether an address belongs to one node, anywhere on the IPv6 Internet.
///
/// DEVIATION(rfc4380 §5.3.1): a server forwards nothing to unique local addresses (fc00::/7). They have global scope
/// (RFC 4193 §3.3), but a server has no route to a private network.
pub(crate) fn is_global(address: Ipv6Addr) -> bool {
    // Nearly all addresses end here; none of the other ranges is in 2000::/3.
    if is_global_unicast(&address) {
        return !is_obsolete_teredo(&address);
    }
    let [first, ..] = address.segments();
    let is_site_local = first & 0xffc0 == 0xfec0;
    // ::/96 and ::ffff:0:0/96.
    let embeds_ipv4 = address.to_ipv4().is_some();
    is_unicast(address)
        && !address.is_unicast_link_local()
        && !address.is_unique_local()
        && !is_site_local
        && !embeds_ipv4
}

fn in_prefix(address: &Ipv6Addr, prefix: &Ipv6Addr) -> bool {
    address.octets()[..4] == prefix.octets()[..4]
}

/// The /64 that a server announces: service prefix and IPv4 address (RFC 4380 §5.3.2).
pub fn server_prefix(server: Ipv4Addr) -> Ipv6Addr {
    let mut octets = SERVICE_PREFIX.octets();
    octets[4..8].copy_from_slice(&server.octets());
    Ipv6Addr::from(octets)
}

/// The link-local address with a Teredo identifier (RFC 4380 §4). `mapped` may be private
/// (R4380-4-04).
pub fn link_local(flags: Flags, mapped: SocketAddrV4) -> Ipv6Addr {
    with_identifier(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), flags, mapped)
}

/// The flags in the identifier of a link-local (or Teredo) address. In a router solicitation only the cone
/// bit counts: deployed clients use identifiers that embed no mapping.
pub fn link_local_flags(address: &Ipv6Addr) -> Flags {
    Flags(address.segments()[4])
}

/// The link-local address of a server: cone bit, port 3544, its IPv4 address (R4380-5.3.2-03,
/// R5991-3.2-04).
pub fn server_link_local(server: Ipv4Addr) -> Ipv6Addr {
    link_local(Flags::CONE, SocketAddrV4::new(server, PORT))
}

/// Flags, then port and IPv4 address with every bit inverted (R4380-4-02).
fn with_identifier(prefix: Ipv6Addr, flags: Flags, mapped: SocketAddrV4) -> Ipv6Addr {
    let mut octets = prefix.octets();
    octets[8..10].copy_from_slice(&flags.0.to_be_bytes());
    octets[10..12].copy_from_slice(&(!mapped.port()).to_be_bytes());
    octets[12..].copy_from_slice(&mapped.ip().octets().map(|octet| !octet));
    Ipv6Addr::from(octets)
}

#[cfg(test)]
mod tests;
