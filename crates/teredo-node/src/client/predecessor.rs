//! A client that goes on where another one ended: after a restart or an upgrade of the program.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use teredo::client::Resumption;
use teredo_notify::hub::Hub;
use teredo_notify::types::Role;
use teredo_tunnel::kernel::KernelPath;
use teredo_tunnel::net::{Interface, InterfaceConfig};
use teredo_tunnel::{Tun, client};

use crate::start::protect;
use crate::{Protection, StartError};

/// Things that a client before this one has left; all are optional. A service manager can keep the descriptors, and a
/// file the rest.
#[derive(Debug, Default)]
pub struct Predecessor {
    /// Its [interface](super::Client::interface_descriptor).
    pub interface: Option<OwnedFd>,
    /// Its [service port](super::Client::socket).
    pub socket: Option<OwnedFd>,
    /// The number of its service port.
    pub port: Option<u16>,
    /// Its address, which is served at once if the client gets that port.
    pub resumption: Option<Resumption>,
    /// Its [path in the kernel](super::Client::kernel_path), if it was a client of this process.
    pub kernel: Option<KernelPath>,
}

impl Predecessor {
    /// The interface, set up as it should be; `None` if none was left, or none that fits.
    pub(super) async fn take_interface(
        &mut self,
        name: Option<&str>,
        config: InterfaceConfig,
        hub: &Hub,
        protection: Option<&dyn Protection>,
    ) -> Result<Option<(Tun, Interface)>, StartError> {
        let Some(descriptor) = self.interface.take() else {
            return Ok(None);
        };
        let tun = match Tun::take_over(descriptor, name) {
            Ok(tun) => tun,
            Err(error) => {
                tracing::info!(%error, "the interface that was left is not used");
                return Ok(None);
            }
        };
        protect(hub, Role::Client, tun.name(), tun.index(), protection)?;
        let address = self.resumption.map(|earlier| earlier.address.to_ipv6());
        match Interface::take_over(&tun, config, address).await {
            Ok(interface) => Ok(Some((tun, interface))),
            Err(error) => {
                tracing::info!(%error, "the interface that was left is not used");
                Ok(None)
            }
        }
    }

    /// The port of the socket that was left, if it is bound to this address.
    pub(super) fn left_port(&self, address: Ipv4Addr) -> Option<u16> {
        let socket = self.socket.as_ref()?.try_clone().ok()?;
        let bound = UdpSocket::from(socket).local_addr().ok()?;
        (bound.ip() == address).then_some(bound.port())
    }

    /// The rest, for the data path.
    pub(super) fn into_port(self) -> client::Predecessor {
        client::Predecessor {
            socket: self.socket.map(Arc::new),
            port: self.port,
            resumption: self.resumption,
        }
    }
}
