//! A client that asks no router for a port: the feature `igd` is off.

use std::future::{Future, pending, ready};
use std::net::{Ipv4Addr, SocketAddrV4};

use teredo_notify::types::GatewayStatus;

#[derive(Debug, Default)]
pub(super) struct GatewayConfig {}

pub(super) struct GatewayWatch;

impl GatewayWatch {
    pub(super) fn start(_: GatewayConfig, _: Ipv4Addr, _fresh: bool) -> Self {
        Self
    }

    pub(super) fn holds_servers(&self) -> bool {
        false
    }

    pub(super) fn follow(&mut self, _port: u16, _server: Option<Ipv4Addr>) {}

    pub(super) fn network_changed(&mut self) {}

    pub(super) fn look(&self) {}

    pub(super) async fn changed(&mut self) {
        pending().await
    }

    pub(super) fn mapping(&self) -> Option<SocketAddrV4> {
        None
    }

    pub(super) fn new_mapping(&mut self) -> Option<Option<SocketAddrV4>> {
        None
    }

    pub(super) fn status(&self, _observed: Option<SocketAddrV4>) -> Option<GatewayStatus> {
        None
    }

    pub(super) fn end(&mut self) -> impl Future<Output = ()> + Send + use<> {
        ready(())
    }
}
