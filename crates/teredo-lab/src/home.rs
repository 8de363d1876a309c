//! A home network: a router with a NAT, and the hosts behind it.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use teredo_nft::Family;

use crate::error::{Attempt, LabError};
use crate::host::{ETH0, Host};
use crate::internet::{CORE, Core};
use crate::link::{Interface, NextHop, wait_until_carrying};
use crate::namespace::Namespace;
use crate::nat::NatKind;
use crate::ruleset::{Ruleset, Sides};

const UPLINK: Interface<'_> = Interface {
    index: 2,
    name: "uplink",
};
pub(crate) const LAN: Interface<'_> = Interface {
    index: 3,
    name: "lan",
};
const SIDES: Sides<'_> = Sides {
    uplink: UPLINK.name,
    lan: LAN.name,
};

/// RFC 4787 §4.3 recommends a mapping to live five minutes or more without traffic.
const LIFETIME: Duration = Duration::from_secs(300);

/// The first external port after a change of mappings. The ports lie below the ephemeral range of the
/// hosts, so a changed mapping never equals the host's own port.
const FIRST_PORT: u16 = 20_000;
const PORTS_EACH: u16 = 1_000;
const PORT_RANGES: u16 = 10;

/// A home network 192.168.x.0/24 behind a router with one public address.
///
/// The hosts share a link, so local peer discovery works among them. With [`NatKind::None`] there is
/// no private network: the first host has the router's public address, the second the next, and so
/// on.
#[derive(Debug)]
pub struct Home {
    router: Arc<Router>,
}

/// The router, which lives as long as a host that needs it.
#[derive(Debug)]
pub(crate) struct Router {
    core: Arc<Core>,
    name: String,
    namespace: Namespace,
    /// The index of the core's interface to the router.
    port: u32,
    lan: u8,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    public: Ipv4Addr,
    ruleset: Ruleset,
    /// How often the mappings were changed.
    changes: u16,
    /// The index of the next interface to a host.
    next_index: u32,
    addresses: HashSet<Ipv4Addr>,
}

impl Home {
    pub(crate) fn new(
        core: &Arc<Core>,
        name: &str,
        kind: NatKind,
        public: Ipv4Addr,
    ) -> Result<Self, LabError> {
        core.take_name(name)?;
        core.take_addresses(&[public.into()])?;
        let lan = core.take_lan()?;
        let what = || format!("set up the router of {name}");
        let namespace = Namespace::new()?;
        for (path, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/disable_ipv6", "1"),
            ("net/ipv6/conf/default/disable_ipv6", "1"),
        ] {
            match namespace.set_sysctl(path, value) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result.attempt(what())?,
            }
        }
        let port = core.connect(name, UPLINK, &namespace)?;
        let state = State {
            public,
            ruleset: Ruleset {
                kind,
                ports: None,
                lifetime: LIFETIME,
            },
            changes: 0,
            next_index: LAN.index + 1,
            addresses: HashSet::new(),
        };
        let router = Router {
            core: Arc::clone(core),
            name: name.to_owned(),
            namespace,
            port,
            lan,
            state: Mutex::new(state),
        };
        router
            .namespace
            .route(|route| {
                route.add_bridge(LAN)?;
                route.add_address(LAN.index, router.gateway().into(), 24)?;
                route.set_up(UPLINK.index)
            })
            .attempt(what())?;
        if kind == NatKind::None {
            // The hosts' addresses are not the router's, so it has to answer ARP for them.
            router
                .namespace
                .set_sysctl("net/ipv4/conf/uplink/proxy_arp", "1")
                .attempt(what())?;
            router
                .namespace
                .route(|route| {
                    let hop = NextHop::Gateway(UPLINK.index, CORE.into());
                    route.set_route(Ipv4Addr::UNSPECIFIED.into(), 0, hop)
                })
                .attempt(what())?;
        } else {
            router.add_public(public)?;
        }
        router.install()?;
        wait_until_carrying([(&core.namespace, port), (&router.namespace, UPLINK.index)])
            .attempt(what())?;
        Ok(Self {
            router: Arc::new(router),
        })
    }

    /// Its name, which is unique in its internet.
    pub fn name(&self) -> &str {
        &self.router.name
    }

    /// The kind of NAT.
    pub fn kind(&self) -> NatKind {
        self.router.state(|state| state.ruleset.kind)
    }

    /// The router's public address.
    pub fn public(&self) -> Ipv4Addr {
        self.router.state(|state| state.public)
    }

    /// The router's address on the home network, the hosts' gateway.
    pub fn gateway(&self) -> Ipv4Addr {
        self.router.gateway()
    }

    /// The router's namespace, with the interfaces `uplink`, `lan` (a bridge) and `to-NAME` for every
    /// host.
    pub fn router(&self) -> &Namespace {
        &self.router.namespace
    }

    /// Adds a host to the home network, with the next free address.
    ///
    /// # Errors
    ///
    /// [`LabError::Name`], [`LabError::NameTaken`], [`LabError::Full`] or the kernel's refusal.
    pub fn host(&self, name: &str) -> Result<Host, LabError> {
        let router = &self.router;
        router.core.take_name(name)?;
        let (index, ip) = router.take_place()?;
        let namespace = Namespace::new()?;
        let near = Interface {
            index,
            name: &format!("to-{name}"),
        };
        let far = Interface {
            index: ETH0,
            name: "eth0",
        };
        router
            .namespace
            .route(|route| {
                route.add_veth(near, far, &namespace)?;
                route.set_bridge(index, LAN.index)?;
                if router.prefix_of(ip) == 32 {
                    route.set_route(ip.into(), 32, NextHop::Link(LAN.index))?;
                }
                Ok(())
            })
            .attempt(format!("link {name} to its router"))?;
        if router.prefix_of(ip) == 32 {
            router
                .core
                .route(|route| route.set_route(ip.into(), 32, NextHop::Link(router.port)))
                .attempt(format!("route to {name}"))?;
        }
        Host::at_home(Arc::clone(router), name, namespace, ip, index)
    }

    /// The router forgets every mapping, as after a restart.
    ///
    /// A host's next datagram makes a new mapping. Unless the mappings were
    /// [changed](Self::change_mappings) before, it has the host's own port again and so equals the
    /// one that was forgotten, except with [`NatKind::Symmetric`].
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn forget_mappings(&self) -> Result<(), LabError> {
        self.router.install()?;
        self.router.flush()
    }

    /// The router forgets every mapping. New ones have external ports that differ from the hosts' own
    /// and from all earlier ones, up to ten times in a row.
    ///
    /// From then on there is no port preservation (RFC 4787 §4.2.1): external ports come from
    /// 20000 to 29999, a thousand of them at a time.
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn change_mappings(&self) -> Result<(), LabError> {
        self.router.state(|state| {
            let first = FIRST_PORT + state.changes % PORT_RANGES * PORTS_EACH;
            state.changes = state.changes.wrapping_add(1);
            state.ruleset.ports = Some(first..=first + (PORTS_EACH - 1));
        });
        self.forget_mappings()
    }

    /// Sets how long a mapping lives without outbound traffic (RFC 4787 §4.3), in whole seconds of at
    /// least one. The router also forgets every mapping. The default is five minutes if the
    /// router keeps its own table ([`NatKind::Cone`], [`NatKind::Restricted`]), and the kernel's timeouts
    /// otherwise (30 s, and 120 s after traffic in both directions).
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn set_mapping_lifetime(&self, lifetime: Duration) -> Result<(), LabError> {
        let seconds = lifetime.as_secs().max(1);
        for parameter in [
            "nf_conntrack_udp_timeout",
            "nf_conntrack_udp_timeout_stream",
        ] {
            self.router
                .namespace
                .set_sysctl(&format!("net/netfilter/{parameter}"), &seconds.to_string())
                .attempt(format!("set the lifetime of mappings in {}", self.name()))?;
        }
        self.router
            .state(|state| state.ruleset.lifetime = Duration::from_secs(seconds));
        self.forget_mappings()
    }

    /// Gives the router another public address, as some providers do every night. The router forgets every
    /// mapping. Without a NAT there is no such address: the hosts have their own.
    ///
    /// # Errors
    ///
    /// [`LabError::NotRouted`], [`LabError::AddressTaken`] or the kernel's refusal.
    pub fn set_public(&self, new: Ipv4Addr) -> Result<(), LabError> {
        if self.kind() == NatKind::None {
            return Err(LabError::NotInHome(new.into()));
        }
        let router = &self.router;
        router.core.take_addresses(&[new.into()])?;
        let old = router.state(|state| std::mem::replace(&mut state.public, new));
        router
            .namespace
            .route(|route| route.delete_address(UPLINK.index, old.into(), 32))
            .and_then(|()| {
                router
                    .core
                    .route(|route| route.delete_route(old.into(), 32))
            })
            .attempt(format!("take the address {old} from {}", router.name))?;
        router.core.release_address(old.into());
        router.add_public(new)?;
        self.forget_mappings()
    }
}

impl Router {
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The hosts' gateway.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, self.lan, 1)
    }

    /// The length of the network that an address of this home has on its link: a public one has none.
    pub(crate) fn prefix_of(&self, ip: Ipv4Addr) -> u8 {
        if ip.is_private() { 24 } else { 32 }
    }

    /// Reserves an address of the home network for a host.
    pub(crate) fn take_address(&self, ip: Ipv4Addr) -> Result<(), LabError> {
        let [a, b, c, d] = ip.octets();
        if [a, b, c] != [192, 168, self.lan] || !(2..=254).contains(&d) {
            return Err(LabError::NotInHome(ip.into()));
        }
        let new =
            self.state(|state| state.ruleset.kind != NatKind::None && state.addresses.insert(ip));
        if new {
            Ok(())
        } else {
            Err(LabError::AddressTaken(ip.into()))
        }
    }

    /// Makes a host's address available again.
    pub(crate) fn release_address(&self, ip: Ipv4Addr) {
        self.state(|state| state.addresses.remove(&ip));
    }

    /// Reserves an interface index and an address for a new host.
    fn take_place(&self) -> Result<(u32, Ipv4Addr), LabError> {
        self.state(|state| {
            let ip = if state.ruleset.kind == NatKind::None {
                self.next_public(state)?
            } else {
                let mut candidates = (2..=254).map(|d| Ipv4Addr::new(192, 168, self.lan, d));
                candidates
                    .find(|ip| !state.addresses.contains(ip))
                    .ok_or(LabError::Full("the home network"))?
            };
            state.addresses.insert(ip);
            state.next_index += 1;
            Ok((state.next_index - 1, ip))
        })
    }

    /// Without a NAT: the router's public address for the first host, then those that follow it.
    fn next_public(&self, state: &State) -> Result<Ipv4Addr, LabError> {
        if !state.addresses.contains(&state.public) {
            return Ok(state.public);
        }
        let mut ip = state.public;
        while state.addresses.contains(&ip) {
            ip = Ipv4Addr::from_bits(ip.to_bits().wrapping_add(1));
        }
        self.core.take_addresses(&[IpAddr::from(ip)])?;
        Ok(ip)
    }

    fn add_public(&self, public: Ipv4Addr) -> Result<(), LabError> {
        self.namespace
            .route(|route| {
                route.add_address(UPLINK.index, public.into(), 32)?;
                let hop = NextHop::Gateway(UPLINK.index, CORE.into());
                route.set_route(Ipv4Addr::UNSPECIFIED.into(), 0, hop)
            })
            .and_then(|()| {
                let hop = NextHop::Link(self.port);
                self.core
                    .route(|route| route.set_route(public.into(), 32, hop))
            })
            .attempt(format!("give {} the address {public}", self.name))
    }

    fn install(&self) -> Result<(), LabError> {
        let ruleset = self.state(|state| state.ruleset.clone());
        self.namespace
            .nftables(|nftables| ruleset.install(nftables, SIDES))
            .map_err(io::Error::from)
            .attempt(format!("set the rules of {}", self.name))
    }

    fn flush(&self) -> Result<(), LabError> {
        self.namespace
            .nftables(|nftables| nftables.flush_conntrack(Family::Ip))
            .map_err(io::Error::from)
            .attempt(format!("forget the mappings of {}", self.name))
    }

    fn state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
