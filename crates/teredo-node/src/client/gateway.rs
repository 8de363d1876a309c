//! The router's mapping of the service port (RFC 6081 §5.3), as the control loop follows it.
//!
//! The servers are asked after the router (R6081-5.6.3-01), so that the mapping that they see is the router's. A router
//! that does not answer delays the client by [`PATIENCE`] at its start, and never again.

use std::fmt;
use std::future::{Future, pending};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo_gateway::{Gateway, Mapping, MappingStore, State, Timeouts, Wanted};
use teredo_notify::types::GatewayStatus;
use teredo_tunnel::net::{local_address, router_to};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How long the servers wait for the router.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Whether to ask, and what was asked before.
#[derive(Default)]
pub(super) struct GatewayConfig {
    wanted: bool,
    store: Option<Box<dyn MappingStore>>,
}

impl fmt::Debug for GatewayConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GatewayConfig").field(&self.wanted).finish()
    }
}

impl GatewayConfig {
    pub(super) fn new(wanted: bool, store: Box<dyn MappingStore>) -> Self {
        let store = Some(store);
        Self { wanted, store }
    }
}

/// The router's side of a client; without effect if it is not to be asked.
pub(super) struct GatewayWatch {
    gateway: Option<Gateway>,
    reports: Option<watch::Receiver<State>>,
    /// Whether a mapping is to be asked for, not only one taken back.
    asks: bool,
    bind: Ipv4Addr,
    /// The port, and the server whose way shows the router.
    followed: (u16, Option<Ipv4Addr>),
    /// The last mapping that [`new_mapping`](Self::new_mapping) returned.
    applied: Option<SocketAddrV4>,
    /// Why the router is not asked.
    no_router: Option<&'static str>,
    held: Held,
}

/// Whether the servers wait.
enum Held {
    /// For the router's first answer, and no longer than this if it is being asked.
    Until(Option<Instant>),
    No,
}

impl GatewayWatch {
    /// `fresh` clients hold their servers until the router has answered.
    pub(super) fn start(config: GatewayConfig, bind: Ipv4Addr, fresh: bool) -> Self {
        let GatewayConfig { wanted, store } = config;
        let mut watch = Self {
            gateway: None,
            reports: None,
            asks: wanted,
            bind,
            followed: (0, None),
            applied: None,
            no_router: None,
            held: Held::No,
        };
        let Some(mut store) = store else {
            return watch;
        };
        if !wanted && store.load().is_none() {
            return watch;
        }
        let (sender, reports) = watch::channel(State::Idle);
        let report = move |state| drop(sender.send_replace(state));
        match Gateway::start(Timeouts::default(), store, report) {
            Ok(gateway) => {
                watch.gateway = Some(gateway);
                watch.reports = Some(reports);
                if wanted && fresh {
                    watch.held = Held::Until(None);
                }
            }
            Err(error) => tracing::error!(%error, "the router is not asked for a port"),
        }
        watch
    }

    /// Whether the servers are not to be asked yet.
    pub(super) fn holds_servers(&self) -> bool {
        matches!(self.held, Held::Until(_))
    }

    /// The service port, 0 if there is none, and the server to which the way leads by the router.
    pub(super) fn follow(&mut self, port: u16, server: Option<Ipv4Addr>) {
        if self.followed != (port, server) {
            self.followed = (port, server);
            self.want();
        }
    }

    /// The way to the servers may lead by another router.
    pub(super) fn network_changed(&mut self) {
        self.want();
        self.look();
    }

    /// The mapping may have ended.
    pub(super) fn look(&self) {
        if let Some(gateway) = self.gateway.as_ref().filter(|_| self.asks) {
            gateway.look();
        }
    }

    fn want(&mut self) {
        let Some(gateway) = self.gateway.as_ref().filter(|_| self.asks) else {
            return;
        };
        let (port, server) = self.followed;
        let wanted = match server {
            Some(server) if port != 0 => wanted(port, server, self.bind),
            // A client without a port needs no mapping: it is stopped, or rests beside native IPv6.
            _ => Ok(None),
        };
        self.no_router = wanted.err();
        let wanted = wanted.ok().flatten();
        match &mut self.held {
            Held::Until(until @ None) if wanted.is_some() => {
                *until = Some(Instant::now() + PATIENCE);
            }
            Held::Until(_) if port != 0 && self.no_router.is_some() => {
                self.held = Held::No;
            }
            _ => {}
        }
        gateway.want(wanted);
    }

    /// Waits until there is another state, or until the servers need not wait any more. Cancel safe.
    pub(super) async fn changed(&mut self) {
        let held = async {
            match self.held {
                Held::Until(Some(until)) => sleep_until(until).await,
                _ => pending().await,
            }
        };
        let changed = async {
            match &mut self.reports {
                Some(reports) => reports.changed().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = held => self.held = Held::No,
            changed = changed => {
                if changed.is_err() {
                    tracing::error!("the thread that asks the router has ended");
                    self.no_router = Some("the thread that asks the router has ended");
                    (self.gateway, self.reports, self.held) = (None, None, Held::No);
                    return;
                }
                match self.state() {
                    State::Mapped(_) => {}
                    State::Refused(refusal) => tracing::info!(%refusal, "no mapping by the router"),
                    State::Idle | State::Asking => return,
                }
                self.held = Held::No;
            }
        }
    }

    /// The external address of the service port that the router gave (R6081-5.3.3-05).
    pub(super) fn mapping(&self) -> Option<SocketAddrV4> {
        self.mapped().map(|mapping| mapping.external)
    }

    /// The [`mapping`](Self::mapping), if it is another one than the last time.
    pub(super) fn new_mapping(&mut self) -> Option<Option<SocketAddrV4>> {
        let mapped = self.mapped();
        let external = mapped.map(|mapping| mapping.external);
        if std::mem::replace(&mut self.applied, external) == external {
            return None;
        }
        if let Some(mapping) = mapped {
            tracing::info!(
                external = %mapping.external,
                router = %mapping.gateway,
                protocol = %mapping.protocol,
                "the router has mapped the port"
            );
        }
        Some(external)
    }

    /// For the status, beside the mapping that the server sees.
    pub(super) fn status(&self, observed: Option<SocketAddrV4>) -> Option<GatewayStatus> {
        if !self.asks {
            return None;
        }
        let state = self.state();
        let mut status = GatewayStatus {
            reason: self.no_router.map(str::to_owned),
            ..GatewayStatus::default()
        };
        let name = match state {
            _ if self.no_router.is_some() => "refused",
            State::Idle => "idle",
            State::Asking => "asking",
            State::Refused(refusal) => {
                status.reason = Some(refusal.to_string());
                "refused"
            }
            State::Mapped(mapping) => {
                status.protocol = Some(mapping.protocol.name().to_owned());
                status.router = Some(mapping.gateway);
                status.external = Some(mapping.external);
                status.lifetime = mapping.lifetime.map(Into::into);
                // R6081-5.3.3-07: if the server sees another mapping, another NAT is behind the router, or the router's
                // mapping is not used for what this host sends.
                status.nested = observed.map(|observed| observed != mapping.external);
                "mapped"
            }
        };
        status.state = name.to_owned();
        Some(status)
    }

    /// Takes the mapping back, at once; ready when that is done, or when the router has had its time. The next client takes
    /// back what this one could not, so this one must not do it any more by then.
    pub(super) fn end(&mut self) -> impl Future<Output = ()> + Send + use<> {
        self.reports = None;
        self.held = Held::No;
        let ended = self.gateway.take().map(Gateway::end);
        async {
            if let Some(ended) = ended {
                ended.await;
            }
        }
    }

    /// The router's mapping of the service port.
    fn mapped(&self) -> Option<Mapping> {
        match self.state() {
            // The port may have moved just now.
            State::Mapped(mapping) => (mapping.local.port() == self.followed.0).then_some(mapping),
            _ => None,
        }
    }

    fn state(&self) -> State {
        let reports = self.reports.as_ref();
        reports.map_or(State::Idle, |reports| reports.borrow().clone())
    }
}

/// The mapping to ask for, or why none can be.
fn wanted(port: u16, server: Ipv4Addr, bind: Ipv4Addr) -> Result<Option<Wanted>, &'static str> {
    const UNREACHABLE: &str = "there is no way to the server";
    let local = match bind.is_unspecified() {
        true => local_address(server).map_err(|_| UNREACHABLE)?,
        false => bind,
    };
    if !local.is_private() && !local.is_link_local() {
        return Err("the host has a public address");
    }
    let router = router_to(server, local).map_err(|_| UNREACHABLE)?;
    let gateway = router.ok_or("the way to the server leads by no router")?;
    Ok(Some(Wanted {
        gateway,
        local: SocketAddrV4::new(local, port),
    }))
}

#[cfg(test)]
mod tests;
