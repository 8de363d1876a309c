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
use crate::nat::{HomeNat, NatKind};
use crate::netlink::Interface;
use crate::router::{LAN, Plan, Router};
use crate::user_space::Discards;

/// A home network 192.168.x.0/24 behind a router with one public address, or more if the kind of NAT has them: those
/// that follow it.
///
/// The hosts share a link, so local peer discovery works among them. With [`NatKind::None`] there is
/// no private network: the first host has the router's public address, the second the next, and so
/// on.
#[derive(Debug)]
pub struct Home {
    /// Dropped before its router.
    igd: Option<Igd>,
    nat: HomeNat,
    router: Arc<Router>,
}

impl Home {
    pub(crate) fn new(
        core: &Arc<Core>,
        name: &str,
        nat: HomeNat,
        public: Ipv4Addr,
    ) -> Result<Self, LabError> {
        if nat.gives_ports() && !is_external(public) {
            return Err(LabError::NotExternal(public));
        }
        core.take_name(name)?;
        let plan = match nat {
            HomeNat::Kind(NatKind::Carrier) => Plan::Carrier(NatKind::Carrier.behaviour()),
            HomeNat::Kind(kind) if kind.is_in_user_space() => Plan::UserSpace(kind.behaviour()),
            HomeNat::Kind(kind) => Plan::Kernel(kind),
            HomeNat::Properties(behaviour) => Plan::UserSpace(behaviour),
        };
        let mut router = Router::new(core, None, name, plan, public)?;
        if nat.is(NatKind::Carrier) {
            let carrier = Arc::new(router);
            let own = carrier.next_inside();
            let plan = Plan::Kernel(NatKind::PortRestricted);
            router = Router::new(core, Some(carrier), name, plan, own)?;
        }
        let igd = match nat.gives_ports() {
            true => Some(Igd::start(
                router.namespace(),
                router.gateway(),
                router.granting(),
            )?),
            false => None,
        };
        Ok(Self {
            igd,
            nat,
            router: Arc::new(router),
        })
    }

    /// Its name, which is unique in its internet.
    pub fn name(&self) -> &str {
        &self.router.name
    }

    /// The NAT.
    pub fn nat(&self) -> HomeNat {
        self.nat
    }

    /// The first public address, of the router or of its carrier's.
    pub fn public(&self) -> Ipv4Addr {
        self.outer().public()
    }

    /// All public addresses. Without a NAT, the hosts have them.
    pub fn publics(&self) -> Vec<Ipv4Addr> {
        self.outer().publics()
    }

    /// The addresses of the home's own router outside: the public ones, or the one that its carrier gave.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        self.router.publics()
    }

    /// The router that the Internet sees: the home's, or its carrier's.
    fn outer(&self) -> &Router {
        self.router.carrier().unwrap_or(&self.router)
    }

    /// The namespace of the carrier's router, if the home is behind one ([`NatKind::Carrier`]). Its interfaces are
    /// `uplink` and `lan`.
    pub fn carrier(&self) -> Option<&Namespace> {
        self.router.carrier().map(Router::namespace)
    }

    /// The packets that a NAT in user space has dropped. The kernel's does not say.
    pub fn discards(&self) -> Discards {
        self.outer().discards()
    }

    /// The router's address on the home network, the hosts' gateway.
    pub fn gateway(&self) -> Ipv4Addr {
        self.router.gateway()
    }

    /// The router's namespace, with the interfaces `uplink`, `lan` (a bridge), `to-NAME` for every host, and
    /// `nat-in` and `nat-out` if it translates in user space.
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
        if router.prefix_of(ip) == 32
            && let Some(hop) = router.core_hop()
        {
            router
                .core
                .route(|route| route.set_route(ip.into(), 32, hop))
                .attempt(format!("route to {name}"))?;
        }
        Host::at_home(Arc::clone(router), name, namespace, ip, index)
    }

    /// The router forgets every mapping, as after a restart. An Internet Gateway Device forgets those that it gave.
    ///
    /// A host's next datagram makes a new mapping. Unless the mappings were
    /// [changed](Self::change_mappings) before, it has the host's own port again and so equals the
    /// one that was forgotten, except if the NAT assigns ports at random or in sequence.
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn forget_mappings(&self) -> Result<(), LabError> {
        if let Some(carrier) = self.router.carrier() {
            carrier.forget()?;
        }
        if let Some(igd) = &self.igd {
            igd.restart()?;
        }
        self.router.forget()
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
        self.outer().change_ports();
        self.forget_mappings()
    }

    /// Sets how long a mapping lives without outbound traffic (RFC 4787 §4.3), in whole seconds of at
    /// least one. The router also forgets every mapping. The default is two minutes in user space,
    /// five minutes with [`NatKind::Cone`] and [`NatKind::Restricted`], and the kernel's timeouts otherwise (30 s,
    /// and 120 s after traffic in both directions).
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn set_mapping_lifetime(&self, lifetime: Duration) -> Result<(), LabError> {
        let seconds = lifetime.as_secs().max(1);
        let lifetime = Duration::from_secs(seconds);
        if let Some(carrier) = self.router.carrier() {
            carrier.set_lifetime(lifetime)?;
        }
        self.router.set_lifetime(lifetime)?;
        self.forget_mappings()
    }

    /// Gives the router another public address, as some providers do every night. The router forgets every
    /// mapping. Without a NAT there is no such address: the hosts have their own.
    ///
    /// # Errors
    ///
    /// [`LabError::NotRouted`], [`LabError::AddressTaken`] or the kernel's refusal.
    pub fn set_public(&self, new: Ipv4Addr) -> Result<(), LabError> {
        if self.router.is_open {
            return Err(LabError::NotInHome(new.into()));
        }
        if self.igd.is_some() && !is_external(new) {
            return Err(LabError::NotExternal(new));
        }
        self.outer().set_public(new)?;
        if let Some(igd) = &self.igd {
            igd.set_external(new);
        }
        self.forget_mappings()
    }
}
