//! Interfaces that the caller sets up, for networks whose routes a routing daemon makes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::net::if_::if_nametoindex;

use crate::link::{NextHop, wait_until_carrying, wait_until_resolvable};
use crate::namespace::Namespace;

impl Namespace {
    /// Brings an interface up, such as one of [`connect`](Self::connect), and gives it these addresses with the lengths of
    /// their networks. The loopback is `lo`.
    ///
    /// # Errors
    ///
    /// If there is no such interface, or it has one of the addresses.
    pub fn set_up(&self, interface: &str, addresses: &[(IpAddr, u8)]) -> io::Result<()> {
        let index = self.index_of(interface)?;
        self.route(|route| {
            route.set_up(index)?;
            for &(ip, length) in addresses {
                route.add_address(index, ip, length)?;
            }
            Ok(())
        })
    }

    /// Waits until an interface with a cable carries traffic, and its addresses can be resolved.
    ///
    /// # Errors
    ///
    /// If the other end is down.
    pub fn wait_until_up(&self, interface: &str, addresses: &[(IpAddr, u8)]) -> io::Result<()> {
        let index = self.index_of(interface)?;
        wait_until_carrying([(self, index)])?;
        for &(ip, _) in addresses {
            if let IpAddr::V6(ip) = ip {
                wait_until_resolvable(self, index, ip)?;
            }
        }
        Ok(())
    }

    /// Sends everything to a neighbour that no other route is for.
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn set_default_route(&self, interface: &str, gateway: IpAddr) -> io::Result<()> {
        let index = self.index_of(interface)?;
        let any = match gateway {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.route(|route| route.set_route(any, 0, NextHop::Gateway(index, gateway)))
    }

    /// Sends what is for a network to a neighbour.
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn set_route(
        &self,
        (to, length): (IpAddr, u8),
        interface: &str,
        gateway: IpAddr,
    ) -> io::Result<()> {
        let index = self.index_of(interface)?;
        self.route(|route| route.set_route(to, length, NextHop::Gateway(index, gateway)))
    }

    /// Makes the namespace a router, for IPv4 and IPv6.
    ///
    /// # Errors
    ///
    /// If the kernel has no IPv6, for example.
    pub fn set_forwarding(&self) -> io::Result<()> {
        self.set_sysctl("net/ipv4/ip_forward", "1")?;
        self.set_sysctl("net/ipv6/conf/all/forwarding", "1")
    }

    fn index_of(&self, interface: &str) -> io::Result<u32> {
        self.run(|| if_nametoindex(interface))?
            .map_err(|error| io::Error::other(format!("{interface}: {}", io::Error::from(error))))
    }
}
