//! Whether the host has IPv6 by other means than Teredo (RFC 4380 §5.5): a global address, and routes to the whole IPv6
//! Internet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use teredo::wire::{is_global_unicast, is_teredo};

use crate::net::route::{Route, RouteLookup};

/// Addresses all over the IPv6 Internet, one in a block of each registry: who has routes to all of them has native IPv6,
/// and a VPN to some network is not asked about.
const EVERYWHERE: [Ipv6Addr; 6] = [
    Ipv6Addr::new(0x2001, 0x0200, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2400, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2800, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2a00, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2c00, 0, 0, 0, 0, 0, 0, 1),
];

/// A way to the IPv6 Internet that is not Teredo's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeIpv6 {
    /// A global address of the host.
    pub address: Ipv6Addr,
    /// The interface that the routes lead through.
    pub interface: String,
}

impl fmt::Display for NativeIpv6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, by way of {}", self.address, self.interface)
    }
}

/// The host's IPv6 network, as the kernel reports it.
#[derive(Clone, Debug)]
pub(super) struct Ipv6Network {
    own: Option<u32>,
    /// Interfaces that carry, by index, and their names.
    carrying: BTreeSet<(u32, String)>,
    /// Global addresses by interface, and whether new connections may use them.
    addresses: BTreeMap<(u32, Ipv6Addr), bool>,
}

/// The states of an address (RFC 4862 §2).
enum AddressState {
    /// Not in use yet, or not any more because another host has it.
    Tentative,
    /// Still good for old connections.
    Deprecated,
    /// Good.
    Preferred,
}

impl Ipv6Network {
    pub(super) fn new(own: Option<u32>) -> Self {
        Self {
            own,
            carrying: BTreeSet::new(),
            addresses: BTreeMap::new(),
        }
    }

    /// The same, with nothing known.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.own)
    }

    /// Whether there is native IPv6. If there are several addresses or ways, any of them will do.
    pub(super) fn native(&self, lookup: &RouteLookup) -> io::Result<Option<NativeIpv6>> {
        let usable = self.addresses.iter().find(|((link, address), usable)| {
            **usable && !is_teredo(address) && self.carrying(*link).is_some()
        });
        let Some(((_, address), _)) = usable else {
            return Ok(None);
        };
        let mut interface = None;
        for destination in EVERYWHERE {
            let Some(link) = self.link_to(lookup, destination)? else {
                return Ok(None);
            };
            interface = interface.or_else(|| self.carrying(link));
        }
        Ok(interface.map(|interface| NativeIpv6 {
            address: *address,
            interface: interface.clone(),
        }))
    }

    /// The interface that IPv6 leaves by although the tunnel has a default route: its own is preferred.
    pub(super) fn preferred(&self, lookup: &RouteLookup) -> io::Result<Option<String>> {
        for destination in EVERYWHERE {
            let Some(Route { link, .. }) = lookup.ipv6(destination, None, None)? else {
                continue;
            };
            // Another Teredo client is no better way.
            if Some(link) != self.own
                && self.counts(link)
                && let Some(name) = self.carrying(link)
            {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    /// The interface that leads to `destination`, if it is no Teredo tunnel.
    fn link_to(&self, lookup: &RouteLookup, destination: Ipv6Addr) -> io::Result<Option<u32>> {
        let Some(Route { link, .. }) = lookup.ipv6(destination, None, None)? else {
            return Ok(None);
        };
        if self.counts(link) {
            return Ok(Some(link));
        }
        // The tunnel's route hides what the others have.
        for (link, _) in &self.carrying {
            if self.counts(*link)
                && let Some(route) = lookup.ipv6(destination, None, Some(*link))?
                && route.link == *link
            {
                return Ok(Some(*link));
            }
        }
        Ok(None)
    }

    /// Whether a link carries and is neither the tunnel nor another Teredo client's, such as miredo's.
    fn counts(&self, link: u32) -> bool {
        let mut own = self.addresses.keys().filter(|(on, _)| *on == link);
        self.carrying(link).is_some() && !own.any(|(_, address)| is_teredo(address))
    }

    fn carrying(&self, link: u32) -> Option<&String> {
        let mut found = self.carrying.iter().filter(|(index, _)| *index == link);
        found.next().map(|(_, name)| name)
    }

    /// The host's addresses in the IPv6 Internet, ascending.
    pub(super) fn global_addresses(&self) -> Vec<Ipv6Addr> {
        let addresses = self.addresses.keys().map(|(_, address)| *address);
        let all: BTreeSet<_> = addresses.filter(|address| !is_teredo(address)).collect();
        all.into_iter().collect()
    }

    /// Applies a message.
    pub(super) fn apply(&mut self, message: &RouteNetlinkMessage) {
        match message {
            RouteNetlinkMessage::NewLink(message) => self.link(message),
            RouteNetlinkMessage::DelLink(message)
                if message.header.interface_family == AddressFamily::Unspec =>
            {
                self.link_gone(message.header.index);
            }
            RouteNetlinkMessage::NewAddress(message) => {
                if let Some((address, state)) = self.address(message) {
                    match state {
                        // An address that was good may be deprecated now.
                        AddressState::Preferred => self.addresses.insert(address, true),
                        AddressState::Deprecated => self.addresses.insert(address, false),
                        AddressState::Tentative => self.addresses.remove(&address),
                    };
                }
            }
            RouteNetlinkMessage::DelAddress(message) => {
                if let Some((address, _)) = self.address(message) {
                    self.addresses.remove(&address);
                }
            }
            _ => {}
        }
    }

    fn link(&mut self, message: &LinkMessage) {
        if message.header.interface_family != AddressFamily::Unspec {
            return;
        }
        let name = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
        let index = message.header.index;
        self.carrying.retain(|(known, _)| *known != index);
        let up = LinkFlags::Up | LinkFlags::LowerUp;
        if let Some(name) = name
            && message.header.flags.contains(up)
            && self.own != Some(index)
        {
            self.carrying.insert((index, name));
        }
    }

    fn link_gone(&mut self, index: u32) {
        self.carrying.retain(|(known, _)| *known != index);
        self.addresses.retain(|(link, _), _| *link != index);
    }

    /// A global address with its interface, and its state.
    fn address(&self, message: &AddressMessage) -> Option<((u32, Ipv6Addr), AddressState)> {
        let link = message.header.index;
        if message.header.family != AddressFamily::Inet6
            || message.header.scope != AddressScope::Universe
            || self.own == Some(link)
        {
            return None;
        }
        let (mut local, mut address) = (None, None);
        let mut flags = AddressFlags::from_bits_truncate(message.header.flags.bits().into());
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(IpAddr::V6(ip)) => local = Some(*ip),
                AddressAttribute::Address(IpAddr::V6(ip)) => address = Some(*ip),
                AddressAttribute::Flags(all) => flags = *all,
                _ => {}
            }
        }
        let address = local.or(address)?;
        // Only 2000::/3 is global: unique local addresses lead nowhere (RFC 4193).
        let global = is_global_unicast(&address);
        let unusable = AddressFlags::Tentative | AddressFlags::Dadfailed;
        let state = if flags.intersects(unusable) && !flags.contains(AddressFlags::Optimistic) {
            AddressState::Tentative
        } else if flags.contains(AddressFlags::Deprecated) {
            AddressState::Deprecated
        } else {
            AddressState::Preferred
        };
        global.then_some(((link, address), state))
    }
}
