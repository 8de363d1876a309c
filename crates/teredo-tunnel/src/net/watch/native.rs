//! Whether the host has IPv6 by other means than Teredo (RFC 4380 §5.5): a global address and a default route.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use teredo::wire::is_teredo;

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

/// What is known of it, as the kernel tells.
#[derive(Clone, Debug)]
pub(super) struct Native {
    own: Option<u32>,
    /// Interfaces that carry, by index, and their names.
    carrying: BTreeSet<(u32, String)>,
    addresses: BTreeSet<(u32, Ipv6Addr)>,
    /// Default routes: interface, gateway, metric.
    routes: BTreeSet<(u32, Option<Ipv6Addr>, u32)>,
}

impl Native {
    pub(super) fn new(own: Option<u32>) -> Self {
        Self {
            own,
            carrying: BTreeSet::new(),
            addresses: BTreeSet::new(),
            routes: BTreeSet::new(),
        }
    }

    /// The same watch, nothing known.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.own)
    }

    /// The verdict: which of several addresses and routes does not matter.
    pub(super) fn verdict(&self) -> Option<NativeIpv6> {
        // Another Teredo, such as miredo, is no other means.
        let is_tunnel = |link: u32| {
            let mut own = self.addresses.iter().filter(|(on, _)| *on == link);
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
        let (_, address) = self
            .addresses
            .iter()
            .find(|(link, address)| !is_teredo(address) && carrying(*link).is_some())?;
        Some(NativeIpv6 {
            address: *address,
            interface: interface.clone(),
        })
    }

    /// Takes note of a message; returns in words how the verdict changed, if it did.
    pub(super) fn apply(&mut self, message: &RouteNetlinkMessage) -> Option<String> {
        let before = self.verdict();
        match message {
            RouteNetlinkMessage::NewLink(message) => self.link(message),
            RouteNetlinkMessage::DelLink(message)
                if message.header.interface_family == AddressFamily::Unspec =>
            {
                self.link_gone(message.header.index);
            }
            RouteNetlinkMessage::NewAddress(message) => {
                if let Some((address, good)) = self.address(message) {
                    // An address that was good may be deprecated now.
                    if good {
                        self.addresses.insert(address);
                    } else {
                        self.addresses.remove(&address);
                    }
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
            _ => return None,
        }
        change(before, self.verdict())
    }

    /// How the verdict of `fresh` differs, in words.
    pub(super) fn difference(&self, fresh: &Self) -> Option<String> {
        change(self.verdict(), fresh.verdict())
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
        self.addresses.retain(|(link, _)| *link != index);
        self.routes.retain(|(link, _, _)| *link != index);
    }

    /// A global address, and whether new connections may use it.
    fn address(&self, message: &AddressMessage) -> Option<((u32, Ipv6Addr), bool)> {
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
        // 2000::/3 is what is global: unique local addresses lead nowhere (RFC 4193).
        let global = address.octets()[0] >> 5 == 0b001;
        let unusable = AddressFlags::Tentative | AddressFlags::Dadfailed | AddressFlags::Deprecated;
        let good = !flags.intersects(unusable) || flags.contains(AddressFlags::Optimistic);
        global.then_some(((link, address), good))
    }

    /// The ways that a default route leads, none where it is no such route or the tunnel's own.
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

fn change(before: Option<NativeIpv6>, after: Option<NativeIpv6>) -> Option<String> {
    match after {
        _ if before == after => None,
        Some(native) => Some(format!("native IPv6: {native}")),
        None => Some("no native IPv6 any more".to_owned()),
    }
}
