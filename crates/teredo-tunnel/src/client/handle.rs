//! The owner's end of a client's data path.

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};

use teredo::client::PeerStatus;
use teredo::{Client, Keyring, ServerAddress};

use super::role::{ClientRole, Command};
use super::{ClientEvent, ClientPathConfig, ClientPathStatus};
use crate::kernel::{KernelLane, Share};
use crate::lane::{Lane, SpawnError, ThreadHandle, seed};
use crate::net::Attached;
use crate::offload::Offload;
use crate::port::{ChangeError, PortAnnouncer, PortChange, Reply};
use crate::{Tun, Waker, clock};

/// A running client. Dropping it ends the client: the port is closed and its end announced, and the interface
/// disappears. That takes no longer than a batch; no subscriber is waited for.
///
/// Commands take effect in the order in which they are given; the futures only wait for the answers.
#[derive(Debug)]
pub struct ClientHandle(ThreadHandle<Command>);

impl ClientHandle {
    /// Binds the service port and starts the thread, in the network namespace of the calling thread.
    ///
    /// A dormant client binds no port and announces none. Otherwise the port is announced first; the client starts to
    /// qualify when the announcement is settled, or when [`ClientPathConfig::settle_deadline`] has passed. `events` is
    /// called on the data-path thread: it must pass the event on and return.
    ///
    /// # Errors
    /// [`SpawnError`]
    pub fn spawn(
        mut tun: Tun,
        config: ClientPathConfig,
        announcer: Box<dyn PortAnnouncer>,
        events: impl Fn(ClientEvent) + Send + Sync + 'static,
    ) -> Result<Self, SpawnError> {
        if config.offload == Offload::Auto {
            tun.enable_offloads();
        }
        let mut node = Client::new(config.client.clone(), seed()?, clock::now());
        node.set_keyring(config.keyring.clone());
        node.set_links(config.subnets.clone());
        let (sender, commands) = mpsc::channel();
        let (waker, patience) = (Waker::new()?, Some(config.settle_deadline));
        let (kernel, most_peers) = (config.kernel.clone(), config.client.max_peers);
        let role = ClientRole::new(config)?;
        let events = Arc::new(events);
        let mut lane = Lane::new(
            node,
            tun,
            announcer,
            patience,
            events,
            commands,
            waker.clone(),
        )?;
        if let Some(kernel) = kernel {
            let kernel = KernelLane::new(kernel, Share::ALL, most_peers);
            lane.path.use_kernel(kernel);
        }
        let body = move || lane.run(role);
        ThreadHandle::spawn("teredo-data".to_owned(), sender, waker, body)
            .map(Self)
            .map_err(Into::into)
    }

    /// Wakes the data path, for when an announcement has been settled.
    pub fn waker(&self) -> Waker {
        self.0.waker()
    }

    /// Replaces the servers.
    pub fn set_servers(&self, servers: Vec<ServerAddress>) {
        self.0.send(Command::SetServers(servers));
    }

    /// Replaces the identifiers and secrets. Call it before [`set_servers`](Self::set_servers) adds the servers that they
    /// are for.
    pub fn set_keyring(&self, keyring: Keyring) {
        self.0.send(Command::SetKeyring(keyring));
    }

    /// The network changed: `local` is the address that datagrams now leave from (see
    /// [`local_address`](crate::net::local_address)), unspecified if that is not known, and `attached` are the
    /// networks that the host is attached to (see [`attached`](crate::net::NetworkMonitor::attached)).
    pub fn network_changed(&self, local: Ipv4Addr, attached: Attached) {
        self.0.send(Command::NetworkChanged { local, attached });
    }

    /// The host is attached to other networks (see [`attached`](crate::net::NetworkMonitor::attached)), and its way to
    /// the Internet is the same.
    pub fn set_attached(&self, attached: Attached) {
        self.0.send(Command::SetAttached(attached));
    }

    /// Sets an address of the host's native IPv6, or `None` if it has none any more. With one, a running client becomes
    /// dormant: its port is closed, and its end announced. Without, a dormant one starts.
    pub fn set_native(&self, native: Option<Ipv6Addr>) {
        self.0.send(Command::SetNative(native));
    }

    /// Sends a datagram of full length with DF set to this server's host, so that the kernel learns the MTU of the path;
    /// [`path_limit`](crate::net::path_limit) tells it afterwards.
    pub fn probe_path(&self, server: Ipv4Addr) {
        self.0.send(Command::ProbePath(server));
    }

    /// Limits the segments of new TCP flows, in both directions, so that no packet is longer than this.
    pub fn set_path_limit(&self, limit: Option<u16>) {
        self.0.send(Command::SetPathLimit(limit));
    }

    /// Sets whether packets go to the host. An interface in another network namespace leads to a host that no firewall of
    /// this one protects.
    pub fn set_delivers(&self, delivers: bool) {
        self.0.send(Command::SetDelivers(delivers));
    }

    /// Sets the external address that the router has given the service port on request (RFC 6081 §5.3), or `None` if it has
    /// given none.
    pub fn set_upnp_mapping(&self, external: Option<SocketAddrV4>) {
        self.0.send(Command::SetUpnpMapping(external));
    }

    /// Moves to another service port, make before break; without a number the kernel chooses.
    ///
    /// Ready when the new port is in use: announced, and settled or waited for long enough.
    ///
    /// # Errors
    /// [`ChangeError`]; unlike at the start, a port that is not available is one, and the client keeps the port it has.
    pub fn rebind(
        &self,
        port: Option<u16>,
    ) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<> {
        self.change(move |reply| Command::Rebind(port, reply))
    }

    /// Starts a stopped client on the configured port. Ready when the port is in use.
    ///
    /// # Errors
    /// [`ChangeError`]; with native IPv6 the client becomes dormant instead, which is one.
    pub fn start(&self) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<> {
        self.change(Command::Start)
    }

    /// Stops the client: nothing is sent any more, the port is closed, and its end is announced. Ready when that is
    /// settled or was waited for long enough.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub fn stop(&self) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<> {
        self.change(Command::Stop)
    }

    /// The current status; `None` once the data path has ended.
    pub fn status(&self) -> impl Future<Output = Option<ClientPathStatus>> + Send + use<> {
        self.0.ask(|reply| {
            // The caller may have lost interest.
            Command::Status(Box::new(|status| drop(reply.send(status))))
        })
    }

    /// The peers that were used last, those with a path first, at most `most`; none once the data path has ended.
    pub fn peers(&self, most: usize) -> impl Future<Output = Vec<PeerStatus>> + Send + use<> {
        let answer = self.0.ask(|reply| Command::Peers(most, reply));
        async { answer.await.unwrap_or_default() }
    }

    /// Calls `report` with the current status on the data-path thread, in order with the events: every event before it
    /// has been reported, and none after it.
    pub fn report_status(&self, report: impl FnOnce(ClientPathStatus) + Send + 'static) {
        self.0.send(Command::Status(Box::new(report)));
    }

    /// Another descriptor of the service port in use, which keeps the port when the client ends; `None` if there is no
    /// port, or no descriptor left.
    pub fn socket(&self) -> impl Future<Output = Option<OwnedFd>> + Send + use<> {
        let answer = self.0.ask(Command::Socket);
        async { answer.await.flatten() }
    }

    /// The end of the client will not be announced: the next client goes on with a [descriptor](Self::socket) of the port.
    pub fn leave(&self) {
        self.0.send(Command::Leave);
    }

    /// Whether the thread has ended, which it does by itself if the interface was deleted.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    fn change<F: FnOnce(Reply) -> Command>(
        &self,
        command: F,
    ) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<F> {
        let answer = self.0.ask(command);
        async { answer.await.unwrap_or(Err(ChangeError::Ended)) }
    }
}
