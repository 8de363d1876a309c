//! The router of a home network: its NAT, and the addresses on both sides.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use teredo_nat::{NatBehaviour, PortRange};
use teredo_nft::Family;

use crate::core_router::{CORE, Core};
use crate::error::{Attempt, LabError};
use crate::link::{NextHop, wait_until_carrying};
use crate::namespace::Namespace;
use crate::nat::NatKind;
use crate::netlink::Interface;
use crate::ruleset::{Ruleset, Sides};
use crate::user_space::{Discards, Granting, UserSpaceNat};

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

/// The first external port after a change of mappings. The ports lie below the ephemeral range of the
/// hosts, so a changed mapping never equals the host's own port.
const FIRST_PORT: u16 = 20_000;
const PORTS_EACH: u16 = 1_000;
const PORT_RANGES: u16 = 10;

/// RFC 4787 §4.3 recommends a mapping to live five minutes or more without traffic.
const LIFETIME: Duration = Duration::from_secs(300);

/// The router, which lives as long as a host that needs it.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) core: Arc<Core>,
    pub(crate) name: String,
    pub(crate) namespace: Namespace,
    upstream: Upstream,
    /// The address on the network inside.
    gateway: Ipv4Addr,
    /// Without a NAT: the hosts have public addresses.
    pub(crate) is_open: bool,
    pub(crate) state: Mutex<State>,
}

/// The next router on the way to the core.
#[derive(Debug)]
pub(crate) enum Upstream {
    /// The core itself, and the index of its interface to the router.
    Core { port: u32 },
    /// The router of a carrier.
    Carrier(Arc<Router>),
}

/// The kind of translation of a router, and its addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan {
    /// By the kernel, as rules say.
    Kernel(NatKind),
    /// In user space.
    UserSpace(NatBehaviour),
    /// In user space, for homes that are behind it.
    Carrier(NatBehaviour),
}

#[derive(Debug)]
pub(crate) struct State {
    /// The public addresses, at least one.
    publics: Vec<Ipv4Addr>,
    translation: Translation,
    /// How often the mappings were changed.
    changes: u16,
    /// The index of the next interface to a host.
    next_index: u32,
    addresses: HashSet<Ipv4Addr>,
}

#[derive(Debug)]
enum Translation {
    Kernel(Ruleset),
    UserSpace(UserSpaceNat),
}

impl Router {
    /// A router that is attached to the core or to a carrier, without hosts. A carrier's has the addresses of `public`
    /// and those that follow it, as many as its behaviour says.
    pub(crate) fn new(
        core: &Arc<Core>,
        carrier: Option<Arc<Self>>,
        name: &str,
        plan: Plan,
        public: Ipv4Addr,
    ) -> Result<Self, LabError> {
        let publics = match plan {
            Plan::Kernel(_) => vec![public],
            Plan::UserSpace(behaviour) | Plan::Carrier(behaviour) => {
                successive(public, behaviour.addresses)
            }
        };
        if carrier.is_none() {
            core.take_addresses(
                &publics
                    .iter()
                    .copied()
                    .map(IpAddr::from)
                    .collect::<Vec<_>>(),
            )?;
        }
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
        let gateway = match (plan, &carrier) {
            // A network of those that carriers share (RFC 6598).
            (Plan::Carrier(_), _) => Ipv4Addr::new(100, 64, core.take_lan()?, 1),
            // Both have the same number.
            (_, Some(carrier)) => Ipv4Addr::new(192, 168, carrier.gateway.octets()[2], 1),
            (_, None) => Ipv4Addr::new(192, 168, core.take_lan()?, 1),
        };
        let upstream = match carrier {
            None => Upstream::Core {
                port: core.connect(name, UPLINK, &namespace)?,
            },
            Some(carrier) => {
                carrier.attach(name, UPLINK, &namespace)?;
                Upstream::Carrier(carrier)
            }
        };
        namespace
            .route(|route| {
                route.add_bridge(LAN)?;
                route.add_address(LAN.index, gateway.into(), 24)?;
                route.set_up(UPLINK.index)
            })
            .attempt(what())?;
        let mut next_index = LAN.index + 1;
        let translation = match plan {
            Plan::Kernel(kind) => Translation::Kernel(Ruleset {
                kind,
                ports: None,
                lifetime: LIFETIME,
            }),
            Plan::UserSpace(behaviour) | Plan::Carrier(behaviour) => {
                let seed = u64::from(public.to_bits());
                let nat = UserSpaceNat::start(&namespace, behaviour, &publics, seed);
                let nat = nat.attempt(format!("start the NAT of {name}"))?;
                next_index = nat.last_index + 1;
                Translation::UserSpace(nat)
            }
        };
        let router = Self {
            core: Arc::clone(core),
            name: name.to_owned(),
            namespace,
            upstream,
            gateway,
            is_open: matches!(plan, Plan::Kernel(NatKind::None)),
            state: Mutex::new(State {
                publics: publics.clone(),
                translation,
                changes: 0,
                next_index,
                addresses: HashSet::new(),
            }),
        };
        if !matches!(plan, Plan::Kernel(kind) if kind != NatKind::None) {
            router.answer_arp().attempt(what())?;
        }
        if router.is_open {
            router.set_default_route().attempt(what())?;
        } else {
            router.add_publics(&publics)?;
        }
        router.forget()?;
        router.wait_for_uplink().attempt(what())?;
        Ok(router)
    }

    /// Connects a router behind this one, by an interface that is left down.
    fn attach(
        &self,
        name: &str,
        far: Interface<'_>,
        namespace: &Namespace,
    ) -> Result<(), LabError> {
        let index = self.take_index();
        let near = Interface {
            index,
            name: &format!("to-{name}"),
        };
        self.namespace
            .route(|route| {
                route.add_veth(near, far, namespace)?;
                route.set_bridge(index, LAN.index)
            })
            .attempt(format!("link {name} to its carrier"))
    }

    /// Answers ARP for addresses that are routed elsewhere, at once: public addresses that are not the kernel's own.
    fn answer_arp(&self) -> io::Result<()> {
        self.namespace
            .set_sysctl("net/ipv4/conf/uplink/proxy_arp", "1")?;
        self.namespace
            .set_sysctl("net/ipv4/neigh/uplink/proxy_delay", "0")
    }

    fn wait_for_uplink(&self) -> io::Result<()> {
        let own = (&self.namespace, UPLINK.index);
        match &self.upstream {
            Upstream::Core { port } => wait_until_carrying([(&self.core.namespace, *port), own]),
            Upstream::Carrier(carrier) => {
                wait_until_carrying([(&carrier.namespace, LAN.index), own])
            }
        }
    }

    /// The router of the carrier that it is behind.
    pub(crate) fn carrier(&self) -> Option<&Self> {
        match &self.upstream {
            Upstream::Core { .. } => None,
            Upstream::Carrier(carrier) => Some(carrier),
        }
    }

    /// The core's hop to the hosts behind it.
    pub(crate) fn core_hop(&self) -> Option<NextHop> {
        match self.upstream {
            Upstream::Core { port } => Some(NextHop::Link(port)),
            Upstream::Carrier(_) => None,
        }
    }

    /// The first public address.
    pub(crate) fn public(&self) -> Ipv4Addr {
        self.state(|state| state.public())
    }

    /// The public addresses.
    pub(crate) fn publics(&self) -> Vec<Ipv4Addr> {
        self.state(|state| state.publics.clone())
    }

    /// The packets that a NAT in user space has dropped.
    pub(crate) fn discards(&self) -> Discards {
        self.state(|state| match &state.translation {
            Translation::Kernel(_) => Discards::default(),
            Translation::UserSpace(nat) => nat.discards(),
        })
    }

    /// The NAT in user space that gives ports, with its address; none if the kernel's does.
    pub(crate) fn granting(&self) -> Option<(Granting, Ipv4Addr)> {
        self.state(|state| match &state.translation {
            Translation::Kernel(_) => None,
            Translation::UserSpace(nat) => Some((nat.granting(), state.public())),
        })
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The hosts' gateway.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// The length of the network that an address of this home has on its link: a public one has none.
    pub(crate) fn prefix_of(&self, ip: Ipv4Addr) -> u8 {
        if ip.is_private() { 24 } else { 32 }
    }

    /// Reserves an address of the home network for a host.
    pub(crate) fn take_address(&self, ip: Ipv4Addr) -> Result<(), LabError> {
        let [a, b, c, d] = ip.octets();
        if self.gateway.octets()[..3] != [a, b, c] || !(2..=254).contains(&d) {
            return Err(LabError::NotInHome(ip.into()));
        }
        let new = self.state(|state| !self.is_open && state.addresses.insert(ip));
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
            let ip = if self.is_open {
                self.next_public(state)?
            } else {
                let [a, b, c, _] = self.gateway.octets();
                let mut candidates = (2..=254).map(|d| Ipv4Addr::new(a, b, c, d));
                candidates
                    .find(|ip| !state.addresses.contains(ip))
                    .ok_or(LabError::Full("the home network"))?
            };
            state.addresses.insert(ip);
            state.next_index += 1;
            Ok((state.next_index - 1, ip))
        })
    }

    /// The address of a router behind this one, of a carrier.
    pub(crate) fn next_inside(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.gateway.to_bits() + 1)
    }

    fn take_index(&self) -> u32 {
        self.state(|state| {
            state.next_index += 1;
            state.next_index - 1
        })
    }

    /// Without a NAT: the router's public address for the first host, then those that follow it.
    pub(crate) fn next_public(&self, state: &State) -> Result<Ipv4Addr, LabError> {
        let mut ip = state.public();
        if !state.addresses.contains(&ip) {
            return Ok(ip);
        }
        while state.addresses.contains(&ip) {
            ip = Ipv4Addr::from_bits(ip.to_bits().wrapping_add(1));
        }
        self.core.take_addresses(&[IpAddr::from(ip)])?;
        Ok(ip)
    }

    /// The default route, which has to be set again when the address of the uplink has changed.
    fn set_default_route(&self) -> io::Result<()> {
        let gateway = match &self.upstream {
            Upstream::Core { .. } => CORE,
            Upstream::Carrier(carrier) => carrier.gateway(),
        };
        let hop = NextHop::Gateway(UPLINK.index, gateway.into());
        self.namespace
            .route(|route| route.set_route(Ipv4Addr::UNSPECIFIED.into(), 0, hop))
    }

    fn add_publics(&self, publics: &[Ipv4Addr]) -> Result<(), LabError> {
        let hop = self.state(|state| match &state.translation {
            Translation::Kernel(_) => None,
            Translation::UserSpace(nat) => Some(nat.hop()),
        });
        for public in publics.iter().copied().map(IpAddr::from) {
            self.namespace
                .route(|route| match hop {
                    None => route.add_address(UPLINK.index, public, 32),
                    Some(hop) => route.set_route(public, 32, hop),
                })
                .and_then(|()| self.set_default_route())
                .and_then(|()| match self.core_hop() {
                    Some(hop) => self.core.route(|route| route.set_route(public, 32, hop)),
                    None => Ok(()),
                })
                .attempt(format!("give {} the address {public}", self.name))?;
        }
        Ok(())
    }

    fn remove_public(&self, public: Ipv4Addr) -> Result<(), LabError> {
        let is_address = self.state(|state| matches!(state.translation, Translation::Kernel(_)));
        let public = IpAddr::from(public);
        self.namespace
            .route(|route| match is_address {
                true => route.delete_address(UPLINK.index, public, 32),
                false => route.delete_route(public, 32),
            })
            .and_then(|()| self.core.route(|route| route.delete_route(public, 32)))
            .attempt(format!("take the address {public} from {}", self.name))?;
        self.core.release_address(public);
        Ok(())
    }

    /// Replaces the public address, and those that follow it.
    pub(crate) fn set_public(&self, new: Ipv4Addr) -> Result<(), LabError> {
        let count = self.state(|state| state.publics.len());
        let publics = successive(new, u8::try_from(count).unwrap_or(u8::MAX));
        self.core.take_addresses(
            &publics
                .iter()
                .copied()
                .map(IpAddr::from)
                .collect::<Vec<_>>(),
        )?;
        let old = self.state(|state| std::mem::replace(&mut state.publics, publics.clone()));
        for public in old {
            self.remove_public(public)?;
        }
        self.add_publics(&publics)?;
        self.state(|state| {
            if let Translation::UserSpace(nat) = &state.translation {
                nat.renumber(&publics);
            }
        });
        Ok(())
    }

    /// External ports differ from all earlier ones, up to ten times in a row.
    pub(crate) fn change_ports(&self) {
        self.state(|state| {
            let first = FIRST_PORT + state.changes % PORT_RANGES * PORTS_EACH;
            state.changes = state.changes.wrapping_add(1);
            let last = first + (PORTS_EACH - 1);
            match &mut state.translation {
                Translation::Kernel(ruleset) => ruleset.ports = Some(first..=last),
                Translation::UserSpace(nat) => nat.set_ports(PortRange { first, last }),
            }
        });
    }

    pub(crate) fn set_lifetime(&self, lifetime: Duration) -> Result<(), LabError> {
        if let Some(parameters) = self.state(|state| match &mut state.translation {
            Translation::Kernel(ruleset) => {
                ruleset.lifetime = lifetime;
                Some([
                    "nf_conntrack_udp_timeout",
                    "nf_conntrack_udp_timeout_stream",
                ])
            }
            Translation::UserSpace(nat) => {
                nat.set_lifetime(lifetime);
                None
            }
        }) {
            for parameter in parameters {
                let path = format!("net/netfilter/{parameter}");
                self.namespace
                    .set_sysctl(&path, &lifetime.as_secs().to_string())
                    .attempt(format!("set the lifetime of mappings in {}", self.name))?;
            }
        }
        Ok(())
    }

    /// Forgets all mappings.
    pub(crate) fn forget(&self) -> Result<(), LabError> {
        let ruleset = self.state(|state| match &state.translation {
            Translation::Kernel(ruleset) => Some(ruleset.clone()),
            Translation::UserSpace(nat) => {
                nat.forget();
                None
            }
        });
        let Some(ruleset) = ruleset else {
            return Ok(());
        };
        self.namespace
            .nftables(|nftables| {
                ruleset.install(nftables, SIDES)?;
                nftables.flush_conntrack(Family::Ip)
            })
            .map_err(io::Error::from)
            .attempt(format!("set the rules of {}, without mappings", self.name))
    }

    pub(crate) fn state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn public(&self) -> Ipv4Addr {
        // There is at least one.
        self.publics
            .first()
            .copied()
            .unwrap_or(Ipv4Addr::UNSPECIFIED)
    }
}

/// So many addresses from the first one on.
fn successive(first: Ipv4Addr, count: u8) -> Vec<Ipv4Addr> {
    let addresses = (0..u32::from(count.max(1))).map(|n| first.to_bits().wrapping_add(n));
    addresses.map(Ipv4Addr::from_bits).collect()
}
