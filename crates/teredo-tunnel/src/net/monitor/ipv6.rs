//! Whether the host has IPv6 by other means than Teredo (RFC 4380 §5.5): a global address and a default route.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use teredo::wire::{is_global_unicast, is_teredo};

/// A way to the IPv6 Internet that is not Teredo's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeIpv6 {
    /// A global address of the host.
    pub address: Ipv6Addr,
    /// The interface that the default route leads through.
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
    /// Default routes: interface, gateway, metric.
    routes: BTreeSet<(u32, Option<Ipv6Addr>, u32)>,
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
            routes: BTreeSet::new(),
        }
    }

    /// The same, with nothing known.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.own)
    }

    /// Whether there is native IPv6. If there are several addresses or routes, any of them will do.
    pub(super) fn native(&self) -> Option<NativeIpv6> {
        // Another Teredo client, such as miredo, does not count.
        let is_tunnel = |link: u32| {
            let mut own = self.addresses.keys().filter(|(on, _)| *on == link);
            own.any(|(_, address)| is_teredo(address))
        };
        let carrying = |link: u32| {
            let mut found = self.carrying.iter().filter(|(index, _)| *index == link);
            found.next().map(|(_, name)| name)
        };
        let interface = self
            .routes
            .iter()
            .filter(|(link, _, _)| !is_tunnel(*link))
            .find_map(|(link, _, _)| carrying(*link))?;
        let ((_, address), _) = self.addresses.iter().find(|((link, address), usable)| {
            **usable && !is_teredo(address) && carrying(*link).is_some()
        })?;
        Some(NativeIpv6 {
            address: *address,
            interface: interface.clone(),
        })
    }

    /// The host's addresses in the IPv6 Internet, ascending.
    pub(super) fn global_addresses(&self) -> Vec<Ipv6Addr> {
        let addresses = self.addresses.keys().map(|(_, address)| *address);
        let all: BTreeSet<_> = addresses.filter(|address| !is_teredo(address)).collect();
        all.into_iter().collect()
    }

    /// Applies a message; returns in words what changed by it.
    pub(super) fn apply(&mut self, message: &RouteNetlinkMessage) -> Vec<String> {
        // A router may have a million routes, of which only default routes matter.
        if let RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) = message
            && self.defaults(route).is_empty()
        {
            return Vec::new();
        }
        let before = self.summary();
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
            RouteNetlinkMessage::NewRoute(message) => self.routes.extend(self.defaults(message)),
            RouteNetlinkMessage::DelRoute(message) => {
                for route in self.defaults(message) {
                    self.routes.remove(&route);
                }
            }
            _ => return Vec::new(),
        }
        changes(&before, &self.summary())
    }

    /// What is different in `fresh`, in words.
    pub(super) fn differences(&self, fresh: &Self) -> Vec<String> {
        changes(&self.summary(), &fresh.summary())
    }

    fn summary(&self) -> (Option<NativeIpv6>, Vec<Ipv6Addr>) {
        (self.native(), self.global_addresses())
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
        self.routes.retain(|(link, _, _)| *link != index);
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

    /// The next hops of a default route; none for other routes and for the tunnel's own.
    fn defaults(&self, message: &RouteMessage) -> Vec<(u32, Option<Ipv6Addr>, u32)> {
        let header = &message.header;
        if header.address_family != AddressFamily::Inet6
            || header.destination_prefix_length != 0
            || header.table != RouteHeader::RT_TABLE_MAIN
            || header.kind != RouteType::Unicast
        {
            return Vec::new();
        }
        let (mut link, mut gateway, mut metric, mut ways) = (None, None, 0, Vec::new());
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Oif(index) => link = Some(*index),
                RouteAttribute::Gateway(RouteAddress::Inet6(address)) => gateway = Some(*address),
                RouteAttribute::Priority(priority) => metric = *priority,
                RouteAttribute::MultiPath(hops) => {
                    ways.extend(hops.iter().map(|hop| (hop.interface_index, None)));
                }
                _ => {}
            }
        }
        ways.extend(link.map(|link| (link, gateway)));
        ways.into_iter()
            .filter(|(link, _)| self.own != Some(*link))
            .map(|(link, gateway)| (link, gateway, metric))
            .collect()
    }
}

fn changes(
    (native, addresses): &(Option<NativeIpv6>, Vec<Ipv6Addr>),
    (new_native, new_addresses): &(Option<NativeIpv6>, Vec<Ipv6Addr>),
) -> Vec<String> {
    let mut changes = Vec::new();
    if native != new_native {
        changes.push(match new_native {
            Some(native) => format!("native IPv6: {native}"),
            None => "no native IPv6 any more".to_owned(),
        });
    }
    let gone = addresses.iter().filter(|old| !new_addresses.contains(old));
    changes.extend(gone.map(|address| format!("{address} removed")));
    let added = new_addresses.iter().filter(|new| !addresses.contains(new));
    changes.extend(added.map(|address| format!("{address} added")));
    changes
}
