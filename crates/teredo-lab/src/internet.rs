//! An internet, and the hosts and homes that are attached to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::core_router::{CORE_LINK_LOCAL, Core, ETH0};
use crate::error::{Attempt, LabError};
use crate::home::Home;
use crate::host::Host;
use crate::link::NextHop;
use crate::namespace::Namespace;
use crate::nat::HomeNat;
use crate::netlink::Interface;

/// A number of public hosts and homes, and the core router that connects them.
///
/// Several may exist in one process at once, without seeing each other. An internet lives as long as
/// its handle or any [`Host`] or [`Home`] of it.
#[derive(Debug, Clone)]
pub struct Internet {
    core: Arc<Core>,
}

impl Internet {
    /// Makes an internet without hosts.
    ///
    /// # Errors
    ///
    /// [`LabError::NotPermitted`] without `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`; see
    /// [`privilege::enter`](crate::privilege::enter).
    pub fn new() -> Result<Self, LabError> {
        Core::new().map(|core| Self {
            core: Arc::new(core),
        })
    }

    /// Attaches a public host with these addresses, the first of which is the one it sends from by
    /// itself. A Teredo server has two adjacent ones (RFC 4380 §5.3).
    ///
    /// # Errors
    ///
    /// [`LabError::Name`], [`LabError::NameTaken`], [`LabError::NotRouted`],
    /// [`LabError::AddressTaken`], or the kernel's refusal.
    pub fn host(&self, name: &str, addresses: &[Ipv4Addr]) -> Result<Host, LabError> {
        self.attach(name, addresses, None)
    }

    /// Attaches a public host with a native IPv6 address of 2001:db8::/32, and IPv4 addresses if
    /// `addresses` has any: a native IPv6 host without, a Teredo relay with.
    ///
    /// # Errors
    ///
    /// As for [`host`](Self::host).
    pub fn native_host(
        &self,
        name: &str,
        addresses: &[Ipv4Addr],
        native: Ipv6Addr,
    ) -> Result<Host, LabError> {
        self.attach(name, addresses, Some(native))
    }

    /// Attaches a home network behind a router with this NAT and public address.
    ///
    /// # Errors
    ///
    /// As for [`host`](Self::host); [`LabError::Full`] after 254 homes. For a kind that [gives
    /// ports](crate::NatKind::gives_ports) also [`LabError::NotExternal`], and [`LabError::Daemon`] if Debian's package
    /// `miniupnpd-nftables` is not installed.
    pub fn home(
        &self,
        name: &str,
        nat: impl Into<HomeNat>,
        public: Ipv4Addr,
    ) -> Result<Home, LabError> {
        Home::new(&self.core, name, nat.into(), public)
    }

    /// Routes `prefix` (of `length` bits) to `host` in the whole internet, and makes `host` forward. A Teredo
    /// relay announces 2001::/32 like this (RFC 4380 §5.4).
    ///
    /// # Errors
    ///
    /// The kernel's refusal, for example when `host` has no native address.
    pub fn announce(&self, prefix: Ipv6Addr, length: u8, host: &Host) -> Result<(), LabError> {
        let what = || format!("route {prefix}/{length} to {}", host.name());
        let native = host.addresses().into_iter().find(IpAddr::is_ipv6);
        let Some((native, port)) = native.zip(host.core_port()) else {
            let error = std::io::Error::other("it has no native IPv6 address");
            return Err(LabError::from_io(what(), error));
        };
        host.namespace()
            .set_sysctl("net/ipv6/conf/all/forwarding", "1")
            .attempt(what())?;
        self.core
            .namespace
            .route(|route| route.set_route(prefix.into(), length, NextHop::Gateway(port, native)))
            .attempt(what())
    }

    /// The core router's namespace. Its interface to a host or home is called `to-NAME`: capture there to
    /// see the real traffic.
    pub fn core(&self) -> &Namespace {
        &self.core.namespace
    }

    fn attach(
        &self,
        name: &str,
        addresses: &[Ipv4Addr],
        native: Option<Ipv6Addr>,
    ) -> Result<Host, LabError> {
        let all: Vec<IpAddr> = addresses
            .iter()
            .copied()
            .map(IpAddr::from)
            .chain(native.map(IpAddr::from))
            .collect();
        self.core.take_name(name)?;
        self.core.take_addresses(&all)?;
        let namespace = Namespace::new()?;
        let port = self.core.connect(
            name,
            Interface {
                index: ETH0,
                name: "eth0",
            },
            &namespace,
        )?;
        self.core
            .namespace
            .route(|route| {
                for &ip in &all {
                    let prefix = if ip.is_ipv4() { 32 } else { 128 };
                    route.set_route(ip, prefix, NextHop::Link(port))?;
                }
                match native {
                    Some(_) => route.add_address(port, CORE_LINK_LOCAL.into(), 64),
                    None => Ok(()),
                }
            })
            .attempt(format!("route to {name}"))?;
        Host::public(&self.core, name, namespace, all, port)
    }
}
