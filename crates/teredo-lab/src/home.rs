//! A home network: a router with a NAT, and the hosts behind it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::core_router::{Core, ETH0};
use crate::error::{Attempt, LabError};
use crate::host::Host;
use crate::igd::{Igd, is_external};
use crate::link::NextHop;
use crate::namespace::Namespace;
use crate::nat::NatKind;
use crate::netlink::Interface;
use crate::router::{LAN, Router, UPLINK};

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
    /// Dropped before its router.
    igd: Option<Igd>,
    router: Arc<Router>,
}

impl Home {
    pub(crate) fn new(
        core: &Arc<Core>,
        name: &str,
        kind: NatKind,
        public: Ipv4Addr,
    ) -> Result<Self, LabError> {
        if kind == NatKind::Igd && !is_external(public) {
            return Err(LabError::NotExternal(public));
        }
        let router = Router::new(core, name, kind, public)?;
        let igd = match kind {
            NatKind::Igd => Some(Igd::start(router.namespace(), router.gateway())?),
            _ => None,
        };
        Ok(Self {
            igd,
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

    /// The daemon of an Internet Gateway Device, if the home has one.
    pub fn igd(&self) -> Option<&Igd> {
        self.igd.as_ref()
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

    /// The router forgets every mapping, as after a restart. An Internet Gateway Device forgets those that it gave.
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
        if let Some(igd) = &self.igd {
            igd.restart()?;
        }
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
        if self.igd.is_some() && !is_external(new) {
            return Err(LabError::NotExternal(new));
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
