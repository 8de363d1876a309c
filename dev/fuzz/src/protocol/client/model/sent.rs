//! The record of the datagrams that the client has sent.

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv6Addr, SocketAddrV4};

/// The output of one call to the client.
#[derive(Default)]
pub struct Sent {
    pub solicitations: usize,
    pub tests: usize,
    pub released: usize,
    pub released_bytes: usize,
    pub errors: usize,
    /// Local bubbles.
    pub local: usize,
    /// From the secondary port.
    pub secondary: usize,
    /// Bubbles to the secondary port.
    pub probes: usize,
    /// Questions over paths, and answers to them.
    pub discoveries: usize,
    /// From random ports.
    pub random: usize,
    pub(super) bubbles: BTreeMap<Ipv6Addr, Vec<SocketAddrV4>>,
    /// Those whose direct bubble expires on the way.
    pub(super) cut_short: HashSet<Ipv6Addr>,
    /// Those whose nonce was not repeated before.
    pub(super) owed: HashSet<Ipv6Addr>,
}

impl Sent {
    pub fn bubbles(&self) -> usize {
        self.bubbles.values().map(Vec::len).sum()
    }

    /// The only bubble, if there is one: its inner and outer destination.
    pub fn only_bubble(&self) -> Option<(Ipv6Addr, SocketAddrV4)> {
        assert!(self.bubbles() <= 1);
        let (address, to) = self.bubbles.first_key_value()?;
        Some((*address, to[0]))
    }

    /// Counts the datagrams that the host did not ask for.
    pub fn own(&self) -> usize {
        self.solicitations
            + self.tests
            + self.bubbles()
            + self.local
            + self.secondary
            + self.probes
            + self.discoveries
    }
}
