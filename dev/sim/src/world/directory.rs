//! The owner of each address, and the network of each host.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::Ipv4Addr;

use super::{Attachment, NatId, Network};
use crate::host::HostId;
use crate::random::mix;
use crate::table::Table;

/// The owner of an address.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Host(HostId),
    /// The outside of a NAT.
    Nat(NatId),
    /// The inside of a NAT.
    Gateway,
}

/// The owners of all addresses, network by network.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// A million addresses, so a hash. Its function has no key of its own, and nothing depends on its order.
    internet: HashMap<Ipv4Addr, Owner, BuildHasherDefault<Mixer>>,
    /// By number of the NAT: a few addresses each.
    inside: Vec<Table<Ipv4Addr, Owner>>,
}

impl Directory {
    pub(super) fn get(&self, network: Network, address: Ipv4Addr) -> Option<Owner> {
        match network {
            Network::Internet => self.internet.get(&address).copied(),
            Network::Behind(nat) => self.inside.get(nat.0)?.get(&address).copied(),
        }
    }

    /// Gives an address an owner.
    ///
    /// # Panics
    ///
    /// If it has one.
    pub(super) fn register(&mut self, network: Network, address: Ipv4Addr, owner: Owner) {
        let earlier = match network {
            Network::Internet => self.internet.insert(address, owner),
            Network::Behind(nat) => {
                if self.inside.len() <= nat.0 {
                    self.inside.resize_with(nat.0 + 1, Table::default);
                }
                self.inside[nat.0].insert(address, owner)
            }
        };
        assert!(earlier.is_none(), "{address} is taken in {network:?}");
    }

    pub(super) fn remove(&mut self, network: Network, address: Ipv4Addr) {
        match network {
            Network::Internet => self.internet.remove(&address),
            Network::Behind(nat) => {
                let inside = self.inside.get_mut(nat.0);
                inside.and_then(|inside| inside.remove(&address))
            }
        };
    }

    /// The hosts of a network except the one with that address, in order.
    pub(super) fn neighbours(&self, network: Network, except: Ipv4Addr) -> BTreeSet<HostId> {
        let (internet, inside) = match network {
            Network::Internet => (Some(self.internet.iter()), None),
            Network::Behind(nat) => (None, self.inside.get(nat.0).map(Table::iter)),
        };
        let internet = internet.into_iter().flatten();
        let all = internet.chain(inside.into_iter().flatten());
        all.filter(|(address, _)| **address != except)
            .filter_map(|(_, owner)| match owner {
                Owner::Host(host) => Some(*host),
                Owner::Nat(_) | Owner::Gateway => None,
            })
            .collect()
    }
}

/// A hash function for addresses, which arrive as four bytes.
#[derive(Debug, Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        mix(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    // The length of the array, which is always the same.
    fn write_usize(&mut self, _: usize) {}
}

/// The attachment of each host, by its kind and number.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    clients: Vec<Attachment>,
    servers: Vec<Attachment>,
    relays: Vec<Attachment>,
    raw: Vec<Attachment>,
}

impl Attachments {
    pub(super) fn get(&self, host: HostId) -> Option<&Attachment> {
        match host {
            HostId::Client(id) => self.clients.get(id.0),
            HostId::Server(id) => self.servers.get(id.0),
            HostId::Relay(id) => self.relays.get(id.0),
            HostId::Raw(id) => self.raw.get(id.0),
        }
    }

    pub(super) fn get_mut(&mut self, host: HostId) -> Option<&mut Attachment> {
        let (list, number) = self.list(host);
        list.get_mut(number)
    }

    /// Attaches the next host of its kind, or moves one.
    pub(super) fn insert(&mut self, host: HostId, attachment: Attachment) {
        let (list, number) = self.list(host);
        match list.get_mut(number) {
            Some(earlier) => *earlier = attachment,
            None => list.push(attachment),
        }
    }

    fn list(&mut self, host: HostId) -> (&mut Vec<Attachment>, usize) {
        match host {
            HostId::Client(id) => (&mut self.clients, id.0),
            HostId::Server(id) => (&mut self.servers, id.0),
            HostId::Relay(id) => (&mut self.relays, id.0),
            HostId::Raw(id) => (&mut self.raw, id.0),
        }
    }
}
