//! The core router of an internet, with the names and addresses in use.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use crate::error::{Attempt, LabError};
use crate::igd::is_external;
use crate::link::NextHop;
use crate::namespace::Namespace;
use crate::netlink::{Interface, NetlinkSocket};

/// The core's own address, the gateway of everything public. No host can have it.
pub(crate) const CORE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// The core's address on every link with IPv6.
pub(crate) const CORE_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The index of a host's interface: the first after the loopback.
pub(crate) const ETH0: u32 = 2;

const LOOPBACK: u32 = 1;
const ANY_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// The core router, and the names and addresses in use.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) namespace: Namespace,
    registry: Mutex<Registry>,
}

#[derive(Debug)]
struct Registry {
    names: HashSet<String>,
    addresses: HashSet<IpAddr>,
    /// The index of the core's next interface.
    next_index: u32,
    /// The third byte of the next home network.
    next_lan: u8,
}

impl Core {
    /// A core without hosts.
    pub(crate) fn new() -> Result<Self, LabError> {
        let namespace = Namespace::new()?;
        for (path, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            // Without automatic link-local addresses, the core sends nothing unsolicited.
            ("net/ipv6/conf/default/addr_gen_mode", "1"),
        ] {
            namespace
                .set_sysctl(path, value)
                .attempt("set up the core")?;
        }
        namespace
            .route(|route| {
                route.add_address(LOOPBACK, CORE.into(), 32)?;
                // A datagram to nowhere vanishes, as on the real Internet.
                route.set_route(ANY_V4, 0, NextHop::Blackhole)?;
                route.set_route(ANY_V6, 0, NextHop::Blackhole)
            })
            .attempt("set up the core")?;
        let registry = Registry {
            names: HashSet::new(),
            addresses: HashSet::from([CORE.into()]),
            next_index: LOOPBACK + 1,
            next_lan: 1,
        };
        Ok(Self {
            namespace,
            registry: Mutex::new(registry),
        })
    }

    /// Makes the link between the core and `far` in `namespace`, which is left down; returns the
    /// index of the core's end, `to-NAME`.
    pub(crate) fn connect(
        &self,
        name: &str,
        far: Interface<'_>,
        namespace: &Namespace,
    ) -> Result<u32, LabError> {
        let index = self.registry(|registry| {
            let index = registry.next_index;
            registry.next_index += 1;
            index
        });
        let near = Interface {
            index,
            name: &format!("to-{name}"),
        };
        self.namespace
            .route(|route| route.add_veth(near, far, namespace))
            .attempt(format!("link {name} to the core"))?;
        Ok(index)
    }

    /// Reserves a name of a host or home.
    pub(crate) fn take_name(&self, name: &str) -> Result<(), LabError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        // `to-` and the name make up an interface's name, of at most 15 bytes.
        if !(1..=12).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(LabError::Name(name.to_owned()));
        }
        let new = self.registry(|registry| registry.names.insert(name.to_owned()));
        if new {
            Ok(())
        } else {
            Err(LabError::NameTaken(name.to_owned()))
        }
    }

    /// Reserves public addresses: all of them or none.
    pub(crate) fn take_addresses(&self, addresses: &[IpAddr]) -> Result<(), LabError> {
        if let Some(&foreign) = addresses.iter().find(|ip| !is_routed(**ip)) {
            return Err(LabError::NotRouted(foreign));
        }
        self.registry(|registry| {
            for (n, ip) in addresses.iter().enumerate() {
                if !registry.addresses.insert(*ip) {
                    for taken in &addresses[..n] {
                        registry.addresses.remove(taken);
                    }
                    return Err(LabError::AddressTaken(*ip));
                }
            }
            Ok(())
        })
    }

    /// Makes an address available again.
    pub(crate) fn release_address(&self, address: IpAddr) {
        self.registry(|registry| registry.addresses.remove(&address));
    }

    /// Reserves a home network, by its third byte.
    pub(crate) fn take_lan(&self) -> Result<u8, LabError> {
        self.registry(|registry| {
            let lan = registry.next_lan;
            registry.next_lan = lan.checked_add(1).ok_or(LabError::Full("192.168.0.0/16"))?;
            Ok(lan)
        })
    }

    pub(crate) fn route<T>(&self, f: impl FnOnce(&mut NetlinkSocket) -> T) -> T {
        self.namespace.route(f)
    }

    fn registry<T>(&self, f: impl FnOnce(&mut Registry) -> T) -> T {
        f(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether an address lies in the networks of documentation (RFC 5737, RFC 3849) or in the one for Internet Gateway
/// Devices, and can be a host's.
fn is_routed(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            is_external(ip) || ip.is_documentation() && !matches!(ip.octets()[3], 0 | 255)
        }
        IpAddr::V6(ip) => ip.segments()[..2] == [0x2001, 0xdb8],
    }
}
