//! The native networks whose packets need not visit the relay.

use std::net::Ipv6Addr;

use super::{Prefix, Relay, Served};
use crate::policy;
use crate::wire::OBSOLETE_PREFIX;

/// The most networks.
const MOST: usize = 256;
/// All addresses that are in use on the IPv6 Internet.
const GLOBAL: Prefix = Prefix::new(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// The networks in it that need a closer look. Some of their addresses are Teredo, embed an IPv4 address that the policy
/// judges, or belong to no host.
const DOUBTFUL: [Prefix; 3] = [
    policy::SPECIAL_UNICAST[0],
    policy::SPECIAL_UNICAST[1],
    Prefix::new(OBSOLETE_PREFIX, 32),
];

impl Relay {
    /// The native networks that the relay carries packets of in both directions, whatever else is in their addresses, for
    /// a caller that carries packets by itself ([`PathChange`](crate::PathChange)): the first address, the number of bits,
    /// and whether it is carried. The longest prefix of an address decides, and without one the packet is the relay's.
    ///
    /// There are at most 256; of more, the rest is the relay's. They change with [`set_served`](Self::set_served) alone.
    pub fn natives(&self) -> Vec<(Ipv6Addr, u8, bool)> {
        let carried = self.config.served.undoubted();
        let doubtful = DOUBTFUL.into_iter();
        let doubtful = doubtful.filter(|net| carried.iter().any(|carried| carried.covers(net)));
        let doubtful = doubtful.map(|net| (net.first(), net.bits(), false));
        let all = carried.iter().map(|net| (net.first(), net.bits(), true));
        all.chain(doubtful).collect()
    }
}

impl Served {
    /// The networks and hosts outside all doubtful networks, or around some.
    fn undoubted(&self) -> Vec<Prefix> {
        match self {
            Self::Networks(networks) if networks.is_empty() => vec![GLOBAL],
            Self::Networks(networks) => undoubted(networks.iter().copied()),
            Self::Host(addresses) => {
                undoubted(addresses.iter().map(|&address| Prefix::new(address, 128)))
            }
        }
    }
}

fn undoubted(networks: impl Iterator<Item = Prefix>) -> Vec<Prefix> {
    let mut undoubted = Vec::new();
    for net in networks {
        let net = if net.covers(&GLOBAL) { GLOBAL } else { net };
        let is_doubtful = DOUBTFUL.iter().any(|doubtful| doubtful.covers(&net));
        if GLOBAL.covers(&net) && !is_doubtful && !undoubted.contains(&net) {
            undoubted.push(net);
        }
        if undoubted.len() == MOST - DOUBTFUL.len() {
            break;
        }
    }
    undoubted
}

#[cfg(test)]
mod tests;
