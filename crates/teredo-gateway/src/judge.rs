//! Whether a router's answer can be true.

use std::net::Ipv4Addr;

use crate::mapping::{Mapping, Refusal, Wanted};

/// No router gives less (RFC 6887 §15 asks for two minutes), and one that does could make the client ask all the time.
const SHORTEST: u32 = 30;

/// Refuses a mapping that cannot be one.
///
/// A private external address is credible: behind another NAT the router has one, and RFC 6081 §5.6 makes use of it.
pub(crate) fn credible(mapping: Mapping, wanted: Wanted) -> Result<Mapping, Refusal> {
    let external = mapping.external;
    let address = *external.ip();
    let [first, ..] = address.octets();
    let no_unicast = first == 0
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast();
    // Either would be an address of the inside.
    let inside = address == *wanted.local.ip() || address == wanted.gateway;
    if no_unicast || inside || external.port() == 0 {
        return Err(Refusal::Incredible(external));
    }
    match mapping.lifetime {
        Some(seconds) if seconds < SHORTEST => Err(Refusal::ShortLived(seconds)),
        _ => Ok(mapping),
    }
}

/// Whether a router may be asked. One with a public address is a provider's, which maps no ports for its customers; to
/// ask it would tell it, and all others on a public link, about this host.
#[must_use]
pub(crate) fn is_home_router(gateway: Ipv4Addr) -> bool {
    let [first, second, ..] = gateway.octets();
    // Carriers that have PCP (RFC 6888) use shared address space (RFC 6598).
    let is_shared = first == 100 && second & 0xc0 == 64;
    gateway.is_private() || gateway.is_link_local() || gateway.is_loopback() || is_shared
}

#[cfg(test)]
mod tests;
