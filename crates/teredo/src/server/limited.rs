//! The destinations that the limits refuse most, for people who look why.
//!
//! The list is short whatever an attacker does: a new destination takes the place of the one with the fewest refusals,
//! and its count ("Space-Saving", Metwally and others 2005). So a count is an upper bound, and a destination with more
//! than a share of 1 in [`PLACES`] of all refusals is in the list.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The length of the list.
const PLACES: usize = 16;

/// A destination that a server sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limited {
    /// A client, by its IPv4 address.
    Client(Ipv4Addr),
    /// A /64 of the IPv6 Internet.
    Network(Ipv6Addr),
}

/// The list.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(Vec<(Limited, u64)>);

impl Refusals {
    /// Counts a packet that was refused.
    pub(super) fn count(&mut self, destination: Limited) {
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| *known == destination) {
            *count += 1;
        } else if self.0.len() < PLACES {
            self.0.push((destination, 1));
        } else if let Some(fewest) = self.0.iter_mut().min_by_key(|(_, count)| *count) {
            *fewest = (destination, fewest.1 + 1);
        }
    }

    /// The destinations with the most refusals first.
    pub(super) fn most(&self) -> Vec<(Limited, u64)> {
        let mut most = self.0.clone();
        most.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
        most
    }
}

#[cfg(test)]
mod tests;
