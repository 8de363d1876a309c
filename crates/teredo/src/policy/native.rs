//! The IPv6 networks that a server or a relay carries packets to and from.
//!
//! Some prefixes of the IPv6 Internet are the entrances of translators and tunnels. A node that carried packets to them
//! would open an operator's NAT64 or 6to4 router to anonymous clients, whose packets arrive there from the operator's
//! own network. So no special-purpose network is carried unless the operator names it.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::DestinationPolicy;
use crate::Prefix;

/// The networks of the IANA IPv6 Special-Purpose Address Registry that are translated, or not globally reachable, and
/// that `wire::is_global` lets pass. Networks for documentation are left out: they lead nowhere, and labs use
/// them.
const SPECIAL: [Prefix; 7] = [
    TRANSLATED,
    // Local translators (RFC 8215).
    Prefix::new(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    // Discard-only (RFC 6666), and the dummy prefix (RFC 9780).
    Prefix::new(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64),
    Prefix::new(Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 0), 64),
    IETF,
    SIX_TO_FOUR,
    // Segment routing (RFC 9602).
    Prefix::new(Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16),
];

/// The special-purpose networks inside 2000::/3, with what is reachable of them.
pub(crate) const SPECIAL_UNICAST: [Prefix; 2] = [IETF, SIX_TO_FOUR];

/// The well-known prefix of NAT64 (RFC 6052).
const TRANSLATED: Prefix = Prefix::new(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
/// Protocol assignments of the IETF (RFC 2928): benchmarks, identifiers, Teredo itself.
const IETF: Prefix = Prefix::new(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23);
/// RFC 3056. An address embeds the IPv4 address that a router sends its packets to.
const SIX_TO_FOUR: Prefix = Prefix::new(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);

/// The parts of [`IETF`] that are globally reachable: anycast services, AMT, AS112, ORCHIDv2, remote identification.
const REACHABLE: [Prefix; 5] = [
    Prefix::new(Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 0), 126),
    Prefix::new(Ipv6Addr::new(0x2001, 3, 0, 0, 0, 0, 0, 0), 32),
    Prefix::new(Ipv6Addr::new(0x2001, 4, 0x112, 0, 0, 0, 0, 0), 48),
    Prefix::new(Ipv6Addr::new(0x2001, 0x20, 0, 0, 0, 0, 0, 0), 28),
    Prefix::new(Ipv6Addr::new(0x2001, 0x30, 0, 0, 0, 0, 0, 0), 28),
];

/// Whether packets are carried to and from a global address, if the operator serves these networks. No networks means
/// the whole IPv6 Internet (R4380-5.4.2-04). `ipv4` judges the IPv4 address in a 6to4 address.
///
/// A network names a special-purpose network if it lies inside it, so `::/0` names none.
#[inline]
pub(crate) fn carries(networks: &[Prefix], ipv4: &DestinationPolicy, address: Ipv6Addr) -> bool {
    let special = may_be_special(address)
        .then(|| special_purpose(ipv4, address))
        .flatten();
    match special {
        None => networks.is_empty() || networks.iter().any(|net| net.contains(address)),
        Some(special) => networks
            .iter()
            .any(|net| special.covers(net) && net.contains(address)),
    }
}

/// Whether an address is in a special-purpose network, so that packets are carried to and from it only if a network
/// names it.
#[inline]
pub(crate) fn is_special_purpose(ipv4: &DestinationPolicy, address: Ipv6Addr) -> bool {
    may_be_special(address) && special_purpose(ipv4, address).is_some()
}

/// Whether the first 32 bits may be those of a special-purpose network; for nearly all addresses in use they are not.
#[inline]
fn may_be_special(address: Ipv6Addr) -> bool {
    let bits = (address.to_bits() >> 96) as u32;
    bits < 0x2001_0200 || matches!(bits >> 16, 0x2002 | 0x5f00)
}

/// The special-purpose network that refuses an address.
#[cold]
fn special_purpose(ipv4: &DestinationPolicy, address: Ipv6Addr) -> Option<Prefix> {
    let [_, second, third, ..] = address.segments();
    let special = *SPECIAL.iter().find(|net| net.contains(address))?;
    let reachable = match special {
        SIX_TO_FOUR => {
            let embedded = u32::from(second) << 16 | u32::from(third);
            ipv4.permits_address(Ipv4Addr::from_bits(embedded))
        }
        IETF => REACHABLE.iter().any(|net| net.contains(address)),
        _ => false,
    };
    (!reachable).then_some(special)
}

#[cfg(test)]
mod tests;
