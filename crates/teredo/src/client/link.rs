//! Strangers on the links of the host.
//!
//! The kernel keeps what is sent to an address on a link that nobody has, while it asks for its owner: for 3 s, up to
//! 208 KiB for each address, and at the cost of the port's send buffer. An attacker that forges such sources, and makes the
//! host answer, could stop all that the client sends. Elsewhere a router takes the datagram at once.
//!
//! So only few addresses on the links may have begun a conversation at a time. Peers that the host contacts are not
//! counted.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Client, LocalSubnet};
use crate::Instant;

/// The most addresses: less than half of a send buffer of 8 MiB.
const PLACES: usize = 16;
/// How long a silent one keeps its place.
const MEMORY: Duration = Duration::from_secs(30);

/// The links, and the strangers on them.
#[derive(Debug, Default)]
pub(super) struct Links {
    subnets: Vec<LocalSubnet>,
    strangers: Vec<(Ipv4Addr, Instant)>,
}

impl Links {
    /// A stranger in a conversation keeps its place. This is on the path of every packet, and costs nothing without
    /// strangers on the links.
    pub(super) fn heard(&mut self, now: Instant, address: Ipv4Addr) {
        if let Some((_, heard)) = self.strangers.iter_mut().find(|(at, _)| *at == address) {
            *heard = now;
        }
    }

    /// Whether a stranger at this address may be served; if so, it is counted.
    pub(super) fn admit(&mut self, now: Instant, address: Ipv4Addr) -> bool {
        let mut subnets = self.subnets.iter();
        if !subnets.any(|subnet| subnet.has_neighbour(address)) {
            return true;
        }
        let known = self.strangers.iter().position(|(at, _)| *at == address);
        let silent = || {
            let mut strangers = self.strangers.iter();
            strangers.position(|(_, heard)| now - *heard >= MEMORY)
        };
        match known.or_else(silent) {
            Some(place) => self.strangers[place] = (address, now),
            None if self.strangers.len() < PLACES => self.strangers.push((address, now)),
            None => return false,
        }
        true
    }
}

impl Client {
    /// Sets the subnets that the host is attached to. A stranger in one of them is served only while it is one of 16, so
    /// that forged ones cannot fill the port's send buffer.
    pub fn set_links(&mut self, subnets: Vec<LocalSubnet>) {
        self.links.subnets = subnets;
    }
}

#[cfg(test)]
mod tests;
