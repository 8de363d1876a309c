//! The router of a home network: its NAT, and the addresses on both sides.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use teredo_nft::Family;

use crate::core_router::{CORE, Core};
use crate::error::{Attempt, LabError};
use crate::link::{NextHop, wait_until_carrying};
use crate::namespace::Namespace;
use crate::nat::NatKind;
use crate::netlink::Interface;
use crate::ruleset::{Ruleset, Sides};

pub(crate) const UPLINK: Interface<'_> = Interface {
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

/// The router, which lives as long as a host that needs it.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) core: Arc<Core>,
    pub(crate) name: String,
    pub(crate) namespace: Namespace,
    /// The index of the core's interface to the router.
    pub(crate) port: u32,
    pub(crate) lan: u8,
    pub(crate) state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) public: Ipv4Addr,
    pub(crate) ruleset: Ruleset,
    /// How often the mappings were changed.
    pub(crate) changes: u16,
    /// The index of the next interface to a host.
    pub(crate) next_index: u32,
    pub(crate) addresses: HashSet<Ipv4Addr>,
}

impl Router {
    /// A router that is attached to the core, without hosts.
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
        let router = Self {
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
        Ok(router)
    }

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
    pub(crate) fn take_place(&self) -> Result<(u32, Ipv4Addr), LabError> {
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
    pub(crate) fn next_public(&self, state: &State) -> Result<Ipv4Addr, LabError> {
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

    pub(crate) fn add_public(&self, public: Ipv4Addr) -> Result<(), LabError> {
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

    pub(crate) fn install(&self) -> Result<(), LabError> {
        let ruleset = self.state(|state| state.ruleset.clone());
        self.namespace
            .nftables(|nftables| ruleset.install(nftables, SIDES))
            .map_err(io::Error::from)
            .attempt(format!("set the rules of {}", self.name))
    }

    pub(crate) fn flush(&self) -> Result<(), LabError> {
        self.namespace
            .nftables(|nftables| nftables.flush_conntrack(Family::Ip))
            .map_err(io::Error::from)
            .attempt(format!("forget the mappings of {}", self.name))
    }

    pub(crate) fn state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
