//! A running client, as its owner has it.

use std::future::Future;
use std::net::Ipv6Addr;
use std::sync::Arc;

use teredo::ServerAddress;
use teredo::client::State;
use teredo_notify::hub::Hub;
use teredo_tunnel::client::{ClientHandle, ClientPathStatus};
use teredo_tunnel::port::{ChangeError, PortChange};
use tokio::sync::watch;

use crate::driver::Running;
use crate::{Builder, Connectivity};

/// A Teredo client in this process. [`shutdown`](Self::shutdown) ends it in order; dropping it ends it too, but
/// does not wait.
#[derive(Debug)]
pub struct Client {
    engine: Arc<ClientHandle>,
    hub: Hub,
    running: Running,
}

impl Client {
    /// A client of this server.
    pub fn builder(server: ServerAddress) -> Builder {
        Builder::new(server)
    }

    pub(crate) fn new(engine: Arc<ClientHandle>, hub: Hub, running: Running) -> Self {
        Self {
            engine,
            hub,
            running,
        }
    }

    /// Where callbacks register for the port.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// How the client stands, and every change of that. Closed when the client has ended by itself, which it does
    /// when its interface is deleted.
    #[must_use]
    pub fn connectivity(&self) -> watch::Receiver<Connectivity> {
        self.running.connectivity.clone()
    }

    /// Waits until the client is qualified and its address on the interface; `None` if it has ended instead. A client
    /// that is dormant, because the host has native IPv6, is waited for until that is gone;
    /// [`connectivity`](Self::connectivity) tells.
    pub async fn qualified(&self) -> Option<Ipv6Addr> {
        let mut connectivity = self.connectivity();
        let qualified = connectivity
            .wait_for(|now| now.state == State::Qualified && now.address.is_some())
            .await;
        qualified.ok()?.address
    }

    /// Moves to another port, make before break; without a number the kernel chooses. Ready when the new port is
    /// in use. See [`ClientHandle::rebind`].
    ///
    /// # Errors
    /// [`ChangeError`]; the client stays where it is.
    pub fn rebind(
        &self,
        port: Option<u16>,
    ) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<> {
        self.engine.rebind(port)
    }

    /// Stops the client: it has no port until it is started again. See [`ClientHandle::stop`].
    ///
    /// # Errors
    /// [`ChangeError`]
    pub fn stop(&self) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<> {
        self.engine.stop()
    }

    /// Starts a stopped client. See [`ClientHandle::start`].
    ///
    /// # Errors
    /// [`ChangeError`]
    pub fn start(&self) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<> {
        self.engine.start()
    }

    /// Port, peers, traffic, drops; `None` once the client has ended.
    pub fn status(&self) -> impl Future<Output = Option<ClientPathStatus>> + Send + use<> {
        self.engine.status()
    }

    /// Ends the client: callbacks are told that there is no port, gates have confirmed that or were waited for
    /// long enough, and port, address and interface are gone.
    pub async fn shutdown(self) {
        drop(self.running.end);
        // A panic in the task has been reported by the runtime.
        let _ = self.running.task.await;
        // Joins the data path's thread, which closes the interface.
        drop(self.engine);
    }
}
