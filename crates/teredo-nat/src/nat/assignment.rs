//! The choice of an external address and port for a new mapping (RFC 4787 §4.1 and §4.2).

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::Instant;

use super::behaviour::{Pooling, PortAssignment};
use super::bindings::{Key, Place};
use super::{Nat, PortRange};

impl Nat {
    /// A free place for the mapping of `key`; `None` if all ports are taken. Expired mappings make room.
    pub(super) fn free_place(&mut self, now: Instant, key: &Key) -> Option<Place> {
        if let Some(port) = self.grant_of(now, key.inside) {
            let external = SocketAddrV4::new(self.external, port);
            if let Some(place) = self.vacate(now, external, key) {
                return Some(place);
            }
        }
        let count = 1 + self.others.len();
        let first = match self.behaviour.pooling {
            // The same address each time, without a table (RFC 4787 §4.1, REQ-2).
            Pooling::Paired => {
                usize::try_from(u32::from(*key.inside.ip())).unwrap_or_default() % count
            }
            Pooling::Arbitrary => self.next_address % count,
        };
        let tries = match self.behaviour.pooling {
            Pooling::Paired => 1,
            Pooling::Arbitrary => count,
        };
        for number in first..first + tries {
            let address = self.address(number % count);
            if let Some(place) = self.free_port(now, address, key) {
                self.next_address = (number + 1) % count;
                return Some(place);
            }
        }
        None
    }

    fn free_port(&mut self, now: Instant, address: Ipv4Addr, key: &Key) -> Option<Place> {
        let wanted = key.inside.port();
        let PortRange { first, last } = self.behaviour.range;
        let start = match self.behaviour.ports {
            PortAssignment::Preserving | PortAssignment::Overloading => {
                let well_known = wanted < first && self.behaviour.range == PortRange::ALL;
                if well_known || self.behaviour.range.contains(wanted) {
                    wanted
                } else {
                    first
                }
            }
            PortAssignment::Sequential | PortAssignment::SequentialByTwo => {
                self.next_port.clamp(first, last)
            }
            PortAssignment::Random => {
                let offset = self.random.below(u64::from(self.behaviour.range.size()));
                nth_port(self.behaviour.range, offset)
            }
        };
        let odd = |port: u16| port % 2 == 1;
        let same_parity = |port: &u16| odd(*port) == odd(wanted);
        let ports = || (start..=last).chain(first..start.min(last));
        let place = if self.behaviour.parity {
            self.first_free(now, address, key, ports().filter(same_parity))
                .or_else(|| {
                    self.first_free(now, address, key, ports().filter(|port| !same_parity(port)))
                })
        } else {
            self.first_free(now, address, key, ports())
        }?;
        let step = match self.behaviour.ports {
            PortAssignment::Sequential => 1,
            PortAssignment::SequentialByTwo => 2,
            _ => return Some(place),
        };
        let next = place.external.port().checked_add(step);
        self.next_port = next.filter(|port| *port <= last).unwrap_or(first);
        Some(place)
    }

    fn first_free(
        &mut self,
        now: Instant,
        address: Ipv4Addr,
        key: &Key,
        mut ports: impl Iterator<Item = u16>,
    ) -> Option<Place> {
        ports.find_map(|port| self.vacate(now, SocketAddrV4::new(address, port), key))
    }

    /// The place at that external socket, if it is free or its mapping has expired.
    fn vacate(&mut self, now: Instant, external: SocketAddrV4, key: &Key) -> Option<Place> {
        let overloads = self.behaviour.ports == PortAssignment::Overloading;
        let place = match overloads {
            true => Place::shared(external, key),
            false => Place::whole(external),
        };
        if self
            .granted(now, external)
            .is_some_and(|owner| owner != key.inside)
        {
            return None;
        }
        // The router's own connection is in the way of a mapping to the same remote.
        if let Some(remote) = key.remote()
            && self.is_own(now, external, remote)
        {
            return None;
        }
        loop {
            let mut occupants = self.bindings.in_the_way(place);
            let Some((occupied, binding)) = occupants.next() else {
                break Some(place);
            };
            if self.alive(now, binding) {
                break None;
            }
            drop(occupants);
            self.bindings.remove(&occupied);
        }
    }
}

/// The port `offset` above the lowest of a range; `offset` is below its size.
pub(super) fn nth_port(range: PortRange, offset: u64) -> u16 {
    u16::try_from(u64::from(range.first) + offset).unwrap_or(u16::MAX)
}
