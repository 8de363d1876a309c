//! A host: a namespace with one interface.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use crate::core_router::{CORE, CORE_LINK_LOCAL, Core, ETH0};
use crate::error::{Attempt, LabError};
use crate::link::{NextHop, wait_until_carrying, wait_until_resolvable};
use crate::namespace::Namespace;
use crate::netlink::NetlinkSocket;
use crate::router::{LAN, Router};

/// A host on the internet or in a home, with an interface `eth0`.
///
/// Once the handle and everything that runs in its namespace are gone, so is the host.
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace: Namespace,
    place: Place,
    addresses: Mutex<Vec<Address>>,
}

#[derive(Debug, Clone, Copy)]
struct Address {
    ip: IpAddr,
    prefix: u8,
}

/// The attachment of a host, which keeps the core or the router alive.
#[derive(Debug)]
enum Place {
    Public { core: Arc<Core>, port: u32 },
    Home { router: Arc<Router>, port: u32 },
}

impl Host {
    pub(crate) fn public(
        core: &Arc<Core>,
        name: &str,
        namespace: Namespace,
        addresses: Vec<IpAddr>,
        port: u32,
    ) -> Result<Self, LabError> {
        let addresses = addresses.into_iter().map(|ip| Address {
            ip,
            prefix: full_length(ip),
        });
        let place = Place::Public {
            core: Arc::clone(core),
            port,
        };
        Self::new(name, namespace, place, addresses.collect())
    }

    pub(crate) fn at_home(
        router: Arc<Router>,
        name: &str,
        namespace: Namespace,
        ip: Ipv4Addr,
        port: u32,
    ) -> Result<Self, LabError> {
        let address = Address {
            ip: ip.into(),
            prefix: router.prefix_of(ip),
        };
        Self::new(name, namespace, Place::Home { router, port }, vec![address])
    }

    fn new(
        name: &str,
        namespace: Namespace,
        place: Place,
        addresses: Vec<Address>,
    ) -> Result<Self, LabError> {
        let name = name.to_owned();
        let host = Self {
            name,
            namespace,
            place,
            addresses: Mutex::new(addresses),
        };
        let addresses = host.current();
        if !addresses.iter().any(|address| address.ip.is_ipv6()) {
            host.set_up_without_ipv6()
                .attempt(format!("set up {}", host.name))?;
        }
        host.namespace
            .route(|route| {
                route.set_up(ETH0)?;
                for address in &addresses {
                    route.add_address(ETH0, address.ip, address.prefix)?;
                }
                host.set_default_routes(route)
            })
            .and_then(|()| host.wait_until_reachable())
            .attempt(format!("set up {}", host.name))?;
        Ok(host)
    }

    /// Its name, which is unique in its internet.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace, in which sockets are opened and processes run.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The name of its interface.
    pub fn interface(&self) -> &'static str {
        "eth0"
    }

    /// Its addresses. The first is the default source.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.current()
            .into_iter()
            .map(|address| address.ip)
            .collect()
    }

    /// Its first IPv4 address.
    ///
    /// # Panics
    ///
    /// When the host was attached by [`Internet::native_host`](crate::Internet::native_host) without
    /// one.
    pub fn ipv4(&self) -> Ipv4Addr {
        let first = self.addresses().into_iter().find_map(|ip| match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        first.expect("the caller asks a host with IPv4 for its address")
    }

    /// Opens a UDP socket on the host.
    ///
    /// # Errors
    ///
    /// As for [`UdpSocket::bind`].
    pub fn udp_socket(&self, address: impl Into<SocketAddr>) -> io::Result<UdpSocket> {
        let address = address.into();
        self.namespace.run(|| UdpSocket::bind(address))?
    }

    /// Gives a host at home another address, as a new DHCP lease does. The old one is gone, and sockets
    /// that are bound to it are useless.
    ///
    /// # Errors
    ///
    /// [`LabError::NotInHome`] for an address outside the home network, for its router's, and on a
    /// host that is not at home; [`LabError::AddressTaken`] for another host's.
    pub fn readdress(&self, new: Ipv4Addr) -> Result<(), LabError> {
        let Place::Home { router, .. } = &self.place else {
            return Err(LabError::NotInHome(new.into()));
        };
        router.take_address(new)?;
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(
            &mut *addresses,
            vec![Address {
                ip: new.into(),
                prefix: router.prefix_of(new),
            }],
        );
        let new = addresses.clone();
        drop(addresses);
        self.namespace
            .route(|route| {
                for address in &old {
                    route.delete_address(ETH0, address.ip, address.prefix)?;
                }
                for address in new {
                    route.add_address(ETH0, address.ip, address.prefix)?;
                }
                self.set_default_routes(route)
            })
            .attempt(format!("give {} another address", self.name))?;
        for address in old {
            if let IpAddr::V4(ip) = address.ip {
                router.release_address(ip);
            }
        }
        Ok(())
    }

    /// Takes `eth0` down: the routes through it vanish, the IPv4 addresses stay.
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn set_link_down(&self) -> Result<(), LabError> {
        self.namespace
            .route(|route| route.set_down(ETH0))
            .attempt(format!("take the link of {} down", self.name))
    }

    /// Brings `eth0` up again, with the addresses and routes that it had.
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn set_link_up(&self) -> Result<(), LabError> {
        let addresses = self.current();
        self.namespace
            .route(|route| {
                route.set_up(ETH0)?;
                // The kernel removes IPv6 addresses from a link that goes down.
                for address in addresses.iter().filter(|address| address.ip.is_ipv6()) {
                    match route.add_address(ETH0, address.ip, address.prefix) {
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        result => result?,
                    }
                }
                self.set_default_routes(route)
            })
            .and_then(|()| self.wait_until_reachable())
            .attempt(format!("bring the link of {} up", self.name))
    }

    /// The index of the core's interface to a public host.
    pub(crate) fn core_port(&self) -> Option<u32> {
        match self.place {
            Place::Public { port, .. } => Some(port),
            Place::Home { .. } => None,
        }
    }

    fn current(&self) -> Vec<Address> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn wait_until_reachable(&self) -> io::Result<()> {
        let own = (&self.namespace, ETH0);
        match &self.place {
            Place::Public { core, port } => {
                wait_until_carrying([own, (&core.namespace, *port)])?;
                for ip in self.addresses() {
                    if let IpAddr::V6(ip) = ip {
                        wait_until_resolvable(&self.namespace, ETH0, ip)?;
                        wait_until_resolvable(&core.namespace, *port, CORE_LINK_LOCAL)?;
                    }
                }
                Ok(())
            }
            Place::Home { router, port } => {
                let router = router.namespace();
                wait_until_carrying([own, (router, *port), (router, LAN.index)])
            }
        }
    }

    /// A host without native IPv6 has none on its link either; a tunnel of its own still has.
    fn set_up_without_ipv6(&self) -> io::Result<()> {
        match self
            .namespace
            .set_sysctl("net/ipv6/conf/eth0/disable_ipv6", "1")
        {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn set_default_routes(&self, route: &mut NetlinkSocket) -> io::Result<()> {
        let gateway = match &self.place {
            Place::Public { .. } => CORE,
            Place::Home { router, .. } => router.gateway(),
        };
        let addresses = self.current();
        if addresses.iter().any(|address| address.ip.is_ipv4()) {
            let hop = NextHop::Gateway(ETH0, gateway.into());
            route.set_route(Ipv4Addr::UNSPECIFIED.into(), 0, hop)?;
        }
        if addresses.iter().any(|address| address.ip.is_ipv6()) {
            let hop = NextHop::Gateway(ETH0, CORE_LINK_LOCAL.into());
            route.set_route(std::net::Ipv6Addr::UNSPECIFIED.into(), 0, hop)?;
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Place::Home { router, .. } = &self.place {
            for ip in self.addresses() {
                if let IpAddr::V4(ip) = ip {
                    router.release_address(ip);
                }
            }
        }
    }
}

fn full_length(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}
