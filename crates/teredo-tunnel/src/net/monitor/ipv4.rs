//! The host's links and IPv4 addresses, so that only a difference counts as a change.
//!
//! The kernel also notifies of changes that do not matter to a tunnel: a renewed lease, a new qdisc, a statistic. The
//! size of this table is bounded by the host's configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use teredo::client::LocalSubnet;

#[derive(Clone, Debug)]
pub(super) struct Ipv4Network {
    own: Option<u32>,
    links: BTreeMap<u32, Link>,
    addresses: BTreeSet<Address>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    name: String,
    up: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Address {
    link: u32,
    local: Ipv4Addr,
    /// The subnet's address: the peer's on a point-to-point link, otherwise the local one.
    subnet: Ipv4Addr,
    prefix_len: u8,
    broadcast: Option<Ipv4Addr>,
}

impl Ipv4Network {
    pub(super) fn new(own: Option<u32>) -> Self {
        Self {
            own,
            links: BTreeMap::new(),
            addresses: BTreeSet::new(),
        }
    }

    /// The same, with nothing known.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.own)
    }

    /// Whether this link carries.
    pub(super) fn is_up(&self, index: u32) -> bool {
        self.links.get(&index).is_some_and(|link| link.up)
    }

    /// Applies a message; returns the change in words, if it is one.
    pub(super) fn apply(&mut self, message: &RouteNetlinkMessage) -> Option<String> {
        match message {
            RouteNetlinkMessage::NewLink(message) => self.link(message),
            RouteNetlinkMessage::DelLink(message) => self.link_gone(message),
            RouteNetlinkMessage::NewAddress(message) => {
                let address = self.address(message)?;
                let text = format!("{} added to {}", address.text(), self.name(address.link));
                self.addresses.insert(address).then_some(text)
            }
            RouteNetlinkMessage::DelAddress(message) => {
                let address = self.address(message)?;
                let text = format!(
                    "{} removed from {}",
                    address.text(),
                    self.name(address.link)
                );
                self.addresses.remove(&address).then_some(text)
            }
            _ => None,
        }
    }

    /// Describes the changes that turn `self` into `fresh`.
    pub(super) fn differences(&self, fresh: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        for (index, link) in &self.links {
            match fresh.links.get(index) {
                None => changes.push(format!("{} is gone", link.name)),
                Some(now) if now.up != link.up => changes.push(now.text()),
                Some(_) => {}
            }
        }
        let appeared = fresh
            .links
            .iter()
            .filter(|(index, link)| link.up && !self.links.contains_key(index));
        changes.extend(appeared.map(|(_, link)| link.text()));
        let address = |known: &Self, address: &Address, verb: &str| {
            format!("{} {verb} {}", address.text(), known.name(address.link))
        };
        changes.extend(
            self.addresses
                .difference(&fresh.addresses)
                .map(|gone| address(self, gone, "removed from")),
        );
        changes.extend(
            fresh
                .addresses
                .difference(&self.addresses)
                .map(|new| address(fresh, new, "added to")),
        );
        changes
    }

    /// The directed broadcast addresses, ascending (R4380-GU-02).
    pub(super) fn broadcasts(&self) -> Vec<Ipv4Addr> {
        let all: BTreeSet<_> = self
            .addresses
            .iter()
            .flat_map(Address::broadcasts)
            .collect();
        all.into_iter().collect()
    }

    /// The host's addresses and their subnets, on interfaces that carry; not those of the loopback interface, and not
    /// point-to-point addresses, which have no subnet.
    pub(super) fn subnets(&self) -> Vec<LocalSubnet> {
        let of_interest = |address: &&Address| {
            !address.local.is_loopback()
                && address.local == address.subnet
                && self.links.get(&address.link).is_some_and(|link| link.up)
        };
        let subnet = |address: &Address| LocalSubnet {
            address: address.local,
            prefix_len: address.prefix_len,
        };
        self.addresses
            .iter()
            .filter(of_interest)
            .map(subnet)
            .collect()
    }

    fn link(&mut self, message: &LinkMessage) -> Option<String> {
        let index = message.header.index;
        if self.own == Some(index) {
            return None;
        }
        // A bridge port speaks for itself in messages of another family, without all of the link's state.
        if message.header.interface_family != AddressFamily::Unspec {
            return None;
        }
        let name = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            })?;
        let up = message
            .header
            .flags
            .contains(LinkFlags::Up | LinkFlags::LowerUp);
        let link = Link { name, up };
        let text = link.text();
        let before = self.links.insert(index, link);
        let was_up = before.is_some_and(|before| before.up);
        (was_up != up).then_some(text)
    }

    fn link_gone(&mut self, message: &LinkMessage) -> Option<String> {
        if message.header.interface_family != AddressFamily::Unspec {
            return None;
        }
        self.links
            .remove(&message.header.index)
            .map(|link| format!("{} is gone", link.name))
    }

    fn address(&self, message: &AddressMessage) -> Option<Address> {
        let link = message.header.index;
        if message.header.family != AddressFamily::Inet || self.own == Some(link) {
            return None;
        }
        let (mut local, mut subnet, mut broadcast) = (None, None, None);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(IpAddr::V4(address)) => local = Some(*address),
                AddressAttribute::Address(IpAddr::V4(address)) => subnet = Some(*address),
                AddressAttribute::Broadcast(address) => broadcast = Some(*address),
                _ => {}
            }
        }
        let (local, subnet) = (local.or(subnet)?, subnet.or(local)?);
        Some(Address {
            link,
            local,
            subnet,
            prefix_len: message.header.prefix_len,
            broadcast,
        })
    }

    pub(super) fn name(&self, index: u32) -> String {
        self.links
            .get(&index)
            .map_or_else(|| format!("interface {index}"), |link| link.name.clone())
    }
}

impl Link {
    fn text(&self) -> String {
        format!("{} is {}", self.name, if self.up { "up" } else { "down" })
    }
}

impl Address {
    fn text(&self) -> String {
        format!("{}/{}", self.local, self.prefix_len)
    }

    fn broadcasts(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        // A /31 has no broadcast address (RFC 3021), a /32 is no subnet.
        let computed = (self.prefix_len <= 30).then(|| {
            let host_bits = u32::MAX >> self.prefix_len;
            Ipv4Addr::from(u32::from(self.subnet) | host_bits)
        });
        let configured = self.broadcast.filter(|address| !address.is_unspecified());
        computed.into_iter().chain(configured)
    }
}
