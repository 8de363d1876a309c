//! A running client, as its owner sees it.

mod account;
mod builder;
#[cfg_attr(not(feature = "igd"), path = "client/no_gateway.rs")]
mod gateway;
mod path;
mod predecessor;
mod run;

use std::future::Future;
use std::io;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use teredo::client::{Reason, State};
use teredo_notify::hub::Hub;
use teredo_notify::service::EventBus;
use teredo_tunnel::client::{ClientHandle, ClientPathStatus};
use teredo_tunnel::kernel::KernelPath;
use teredo_tunnel::port::{ChangeError, PortChange};
use tokio::sync::{mpsc, oneshot, watch};

use self::run::Input;
use crate::kernel::KernelUse;
use crate::start::Running;
use crate::{RunError, ServerKeys, ServerName};

pub use builder::{ClientBuilder, PreparedClient};
pub use predecessor::Predecessor;

/// A Teredo client in this process. [`shutdown`](Self::shutdown) ends it in order; dropping it ends it too, but does not
/// wait.
#[derive(Debug)]
pub struct Client {
    handle: Arc<ClientHandle>,
    kernel: Arc<KernelUse>,
    hub: Hub,
    events: EventBus,
    connectivity: watch::Receiver<Connectivity>,
    running: Running,
    inputs: mpsc::UnboundedSender<Input>,
    interface: io::Result<OwnedFd>,
}

/// The state of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connectivity {
    /// The state.
    pub state: State,
    /// Why the client is not qualified.
    pub reason: Option<Reason>,
    /// The Teredo address, while it is on the interface.
    pub address: Option<Ipv6Addr>,
    /// The port as the NAT shows it to the world, while there is an address.
    pub mapped: Option<SocketAddrV4>,
    /// Why the interface cannot be used; then the client is offline.
    pub trouble: Option<String>,
}

impl Client {
    /// A client of this server.
    pub fn builder(server: impl Into<ServerName>) -> ClientBuilder {
        ClientBuilder::new(server.into())
    }

    /// The hub where callbacks register for the port.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The bus that carries changes of the state to the monitors of a service.
    #[must_use]
    pub fn events(&self) -> &EventBus {
        &self.events
    }

    /// The current state, and every change of it. Closed when the client has ended by itself.
    #[must_use]
    pub fn connectivity(&self) -> watch::Receiver<Connectivity> {
        self.connectivity.clone()
    }

    /// Waits until the client is qualified and its address on the interface; `None` if it has ended instead. A dormant
    /// client qualifies only when native IPv6 is gone; [`connectivity`](Self::connectivity) shows that.
    pub async fn qualified(&self) -> Option<Ipv6Addr> {
        let mut connectivity = self.connectivity();
        let qualified = connectivity
            .wait_for(|now| now.state == State::Qualified && now.address.is_some())
            .await;
        qualified.ok()?.address
    }

    /// Moves to another port, make before break; without a number the kernel chooses. Ready when the new port is in use.
    /// See [`ClientHandle::rebind`].
    ///
    /// # Errors
    /// [`ChangeError`]; the client keeps the port it has.
    pub fn rebind(
        &self,
        port: Option<u16>,
    ) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<> {
        self.handle.rebind(port)
    }

    /// Stops the client: it has no port until it is started again. See [`ClientHandle::stop`].
    ///
    /// # Errors
    /// [`ChangeError`]
    pub fn stop(&self) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<> {
        self.handle.stop()
    }

    /// Starts a stopped client. See [`ClientHandle::start`].
    ///
    /// # Errors
    /// [`ChangeError`]
    pub fn start(&self) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<> {
        self.handle.start()
    }

    /// Replaces the identifiers and secrets; the next solicitation uses them.
    pub fn set_keys(&self, keys: ServerKeys) {
        // A client that has ended has no use for them.
        let _ = self.inputs.send(Input::Keys(keys));
    }

    /// Port, peers, traffic, drops; `None` once the client has ended.
    pub fn status(&self) -> impl Future<Output = Option<ClientPathStatus>> + Send + use<> {
        self.handle.status()
    }

    /// The path in the kernel, if it is loaded. The next client of this process can [take it
    /// over](ClientBuilder::predecessor), without the privilege to load it.
    #[must_use]
    pub fn kernel_path(&self) -> Option<&KernelPath> {
        self.kernel.path()
    }

    /// Another descriptor of the interface. While a program holds it, the interface and its addresses stay, and what
    /// the host sends waits for a client that [takes it over](ClientBuilder::predecessor).
    ///
    /// # Errors
    /// The process or the system has no descriptor left.
    pub fn interface_descriptor(&self) -> io::Result<OwnedFd> {
        match &self.interface {
            Ok(descriptor) => descriptor.try_clone(),
            Err(error) => Err(error.kind().into()),
        }
    }

    /// Another descriptor of the service port in use; `None` if there is no port. It keeps the port, and what arrives at
    /// it, for a client that [takes it over](ClientBuilder::predecessor).
    pub fn socket(&self) -> impl Future<Output = Option<OwnedFd>> + Send + use<> {
        self.handle.socket()
    }

    /// Ends the client and leaves interface, address and port as they are, for a client that takes them over. Nothing is
    /// announced: the port is still in use. Only the router's mapping is taken back.
    ///
    /// Without other descriptors of interface and port this is an end like any other, but nobody hears of it.
    pub async fn leave(self) {
        let (reply, taken_back) = oneshot::channel();
        // If the control loop has ended, its gateway has.
        if self.inputs.send(Input::Leaving(reply)).is_ok() {
            let _ = taken_back.await;
        }
        self.handle.leave();
        self.running.abandon().await;
        // Joins the data path's thread.
        drop(self.handle);
    }

    /// Whether the client has ended by itself; then [`ended`](Self::ended) says why at once.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.running.has_ended()
    }

    /// Waits until the client ends by itself, which it does if its interface is deleted. Cancel safe.
    pub async fn ended(&mut self) -> RunError {
        self.running.ended().await
    }

    /// Ends the client in order: callbacks hear that there is no port, gates have confirmed that or were waited for long
    /// enough, and port, address and interface are gone.
    ///
    /// # Errors
    /// [`RunError`] if the client had ended by itself, unless [`ended`](Self::ended) has reported that.
    pub async fn shutdown(self) -> Result<(), RunError> {
        let ended = self.running.shutdown().await;
        // Joins the data path's thread, which closes the interface.
        drop(self.handle);
        ended
    }
}
