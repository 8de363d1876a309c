//! Finds the settings that an interface has lost to other programs, and restores them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkFlags, LinkMessage,
};
use rtnetlink::LinkUnspec;
use rustix::io::Errno;
use teredo::wire::is_teredo;

use crate::Tun;

use super::super::route::Route;
use super::{
    Interface, InterfaceConfig, InterfaceError, MAX_SIBLINGS, Scope, TEREDO_PREFIX, WantedRoute,
    attempt, check_ipv6, into_io, no_own_address,
};

/// An address that only a default route leads to.
pub(super) const ELSEWHERE: Ipv6Addr = Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 1);

/// A difference between an interface and its intended state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// It is down.
    Down,
    /// Its MTU is this one.
    Mtu(u32),
    /// It is in this group.
    Group(u32),
    /// The kernel may give it an address of its own making.
    OwnAddress,
    /// The Teredo address is missing.
    NoAddress(Ipv6Addr),
    /// It has an address that it should not have, with a prefix of this length.
    StrayAddress(Ipv6Addr, u8),
    /// A route is missing.
    NoRoute(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down => f.write_str("it is down"),
            Self::Mtu(mtu) => write!(f, "its MTU is {mtu}"),
            Self::Group(group) => write!(f, "its group is {group}"),
            Self::OwnAddress => f.write_str("it makes addresses of its own"),
            Self::NoAddress(address) => write!(f, "{address} is missing"),
            Self::StrayAddress(address, _) => write!(f, "{address} is on it"),
            Self::NoRoute(route) => write!(f, "the route to {route} is missing"),
        }
    }
}

impl Interface {
    /// The interface of a [`Tun`] that was [taken over](Tun::take_over): it keeps `address` if it has that, and gets back
    /// what it lacks.
    ///
    /// # Errors
    /// [`InterfaceError`]
    pub async fn take_over(
        tun: &Tun,
        config: InterfaceConfig,
        address: Option<Ipv6Addr>,
    ) -> Result<Self, InterfaceError> {
        let mut interface = Self::set_up(tun, config).await?;
        let there = interface.read_addresses().await?;
        interface.address =
            address.filter(|address| there.iter().any(|(found, _)| found == address));
        if interface.address.is_none() {
            interface.delete_routes().await?;
        }
        let strays = there.iter().map(|(address, _)| *address);
        for stray in strays.filter(|stray| is_teredo(stray) && interface.address != Some(*stray)) {
            interface.delete_own_route(stray).await?;
        }
        let differences = interface.differences().await?;
        if !differences.is_empty() {
            tracing::debug!(?differences, interface = interface.name, "taken over");
            interface.restore(&differences).await?;
        }
        Ok(interface)
    }

    /// Compares the interface with what it should be, and changes nothing.
    ///
    /// # Errors
    /// [`InterfaceError::Elsewhere`] if it left this network namespace, or the kernel's refusal to answer.
    pub async fn differences(&mut self) -> Result<Vec<Difference>, InterfaceError> {
        let link = self.read_link().await?;
        let mut differences = Vec::new();
        let mut own_address = true;
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::IfName(name) if *name != self.name => {
                    tracing::info!(old = self.name, new = name, "the interface was renamed");
                    self.name.clone_from(name);
                }
                LinkAttribute::Mtu(mtu) if *mtu != self.config.mtu => {
                    differences.push(Difference::Mtu(*mtu));
                }
                LinkAttribute::Group(group) if *group != self.config.group => {
                    differences.push(Difference::Group(*group));
                }
                LinkAttribute::AfSpecUnspec(families) => {
                    own_address = !families.iter().any(is_without_own_address);
                }
                _ => {}
            }
        }
        if own_address {
            differences.push(Difference::OwnAddress);
        }
        if !link.header.flags.contains(LinkFlags::Up) {
            differences.push(Difference::Down);
        }
        let addresses = self.read_addresses().await?;
        let wanted = self.address;
        let is_there = |wanted: &Ipv6Addr| addresses.iter().any(|(address, _)| address == wanted);
        if let Some(wanted) = wanted.filter(|wanted| !is_there(wanted)) {
            differences.push(Difference::NoAddress(wanted));
        }
        let stray = addresses.into_iter().filter(|(address, _)| {
            Some(*address) != wanted && (is_teredo(address) || address.is_unicast_link_local())
        });
        differences.extend(stray.map(|(address, len)| Difference::StrayAddress(address, len)));
        if self.address.is_some() || self.routed {
            for route in self.routes().chain(wanted.map(Self::own_route)) {
                if !self.has_route(route)? {
                    differences.push(Difference::NoRoute(route.to_string()));
                }
            }
        }
        Ok(differences)
    }

    /// Puts right what [`differences`](Self::differences) has found.
    ///
    /// # Errors
    /// [`InterfaceError`]; the interface may be restored in part, and the next attempt does the rest.
    pub async fn restore(&mut self, differences: &[Difference]) -> Result<(), InterfaceError> {
        let has = |kind: fn(&Difference) -> bool| differences.iter().any(kind);
        let name = &self.name;
        let links = || self.netlink.handle.link();
        let configure = || format!("configure interface {name}");
        if has(|difference| matches!(difference, Difference::Mtu(_) | Difference::OwnAddress)) {
            // Below an MTU of 1280 the kernel removes IPv6 from an interface, and with it the choice to have no address
            // of its own. It must be made again before the interface is up.
            if has(|difference| matches!(difference, Difference::OwnAddress)) {
                let down = LinkUnspec::new_with_index(self.index).down().build();
                attempt(links().change(down).execute(), configure).await?;
            }
            let mtu = LinkUnspec::new_with_index(self.index).mtu(self.config.mtu);
            attempt(links().change(mtu.build()).execute(), configure).await?;
            let mode = LinkUnspec::new_with_index(self.index)
                .append_extra_attribute(no_own_address())
                .build();
            attempt(links().change(mode).execute(), configure).await?;
        }
        if has(|difference| matches!(difference, Difference::Group(_))) {
            let group = LinkAttribute::Group(self.config.group);
            let link = LinkUnspec::new_with_index(self.index).append_extra_attribute(group);
            attempt(links().change(link.build()).execute(), configure).await?;
        }
        check_ipv6(&self.name, Scope::ThisInterface)?;
        let up = LinkUnspec::new_with_index(self.index).up().build();
        let action = || format!("set interface {name} up");
        attempt(links().change(up).execute(), action).await?;
        for difference in differences {
            if let Difference::StrayAddress(address, len) = difference {
                self.delete_address(*address, *len).await?;
            }
        }
        if let Some(address) = self.address {
            let addresses = self.read_addresses().await?;
            if !addresses.iter().any(|(there, _)| *there == address) {
                self.add_address(address).await?;
            }
        }
        if self.address.is_none() && !self.routed {
            return Ok(());
        }
        let mut taken = Ok(());
        for route in self.routes() {
            if !self.has_route(route)? {
                self.add_free_route(route, &mut taken).await?;
            }
        }
        if let Some(address) = self.address
            && !self.has_route(Self::own_route(address))?
        {
            self.add_own_route(address).await?;
        }
        taken
    }

    async fn read_link(&self) -> Result<LinkMessage, InterfaceError> {
        self.read_link_of(self.index).await
    }

    /// Any interface; what fails is said of this one.
    pub(super) async fn read_link_of(&self, index: u32) -> Result<LinkMessage, InterfaceError> {
        let request = self.netlink.handle.link().get().match_index(index);
        let mut links = std::pin::pin!(request.execute());
        let action = || format!("read interface {}", self.name);
        match links.try_next().await.map_err(into_io) {
            Ok(Some(link)) => Ok(link),
            Ok(None) => Err(self.elsewhere()),
            Err(source) => Err(match Errno::from_io_error(&source) {
                Some(Errno::NODEV | Errno::NXIO) => self.elsewhere(),
                _ => InterfaceError::Netlink {
                    action: action(),
                    source,
                },
            }),
        }
    }

    fn elsewhere(&self) -> InterfaceError {
        InterfaceError::Elsewhere {
            interface: self.name.clone(),
        }
    }

    /// The IPv6 addresses that are in effect, with the lengths of their prefixes.
    async fn read_addresses(&self) -> Result<Vec<(Ipv6Addr, u8)>, InterfaceError> {
        let mut request = self.netlink.handle.address().get();
        request = request.set_link_index_filter(self.index);
        request.message_mut().header.family = AddressFamily::Inet6;
        let mut messages = std::pin::pin!(request.execute());
        let mut found = Vec::new();
        let failed = |source| InterfaceError::Netlink {
            action: format!("read the addresses of {}", self.name),
            source: into_io(source),
        };
        while let Some(message) = messages.try_next().await.map_err(failed)? {
            let unusable = AddressHeaderFlags::Tentative | AddressHeaderFlags::Deprecated;
            if message.header.index != self.index || message.header.flags.intersects(unusable) {
                continue;
            }
            let addresses = message.attributes.iter().filter_map(|attribute| {
                if let AddressAttribute::Address(IpAddr::V6(address)) = attribute {
                    Some((*address, message.header.prefix_len))
                } else {
                    None
                }
            });
            found.extend(addresses);
        }
        Ok(found)
    }

    /// Whether the kernel finds the route.
    fn has_route(&self, wanted: WantedRoute) -> Result<bool, InterfaceError> {
        // By the rule for the source, or by the interface.
        let link = wanted.source.is_none().then_some(self.index);
        let is_it = |route: Route| {
            route.link == self.index
                && route.table == wanted.table()
                && route.prefix_len == wanted.destination.1
                && wanted.metric.is_none_or(|metric| {
                    (metric..=metric.saturating_add(MAX_SIBLINGS)).contains(&route.metric)
                })
        };
        Ok(self.find(wanted, link)?.is_some_and(is_it))
    }

    /// The route that the kernel takes to the destination: by this interface, or by any.
    pub(super) fn find(
        &self,
        wanted: WantedRoute,
        link: Option<u32>,
    ) -> Result<Option<Route>, InterfaceError> {
        let destination = if wanted.destination == TEREDO_PREFIX {
            TEREDO_PREFIX.0
        } else {
            ELSEWHERE
        };
        let found = self.lookup.ipv6(destination, wanted.source, link);
        found.map_err(|source| InterfaceError::Netlink {
            action: format!("look up the route to {wanted}"),
            source,
        })
    }
}

fn is_without_own_address(family: &AfSpecUnspec) -> bool {
    matches!(family, AfSpecUnspec::Inet6(attributes)
        if attributes.contains(&AfSpecInet6::AddrGenMode(In6AddrGenMode::None)))
}
