//! What has to be done while a client runs: the address on the interface, and what the network does.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::sync::Arc;

use teredo::ServerAddress;
use teredo::client::{Event, Reason, State};
use teredo_notify::hub::Hub;
use teredo_tunnel::client::{ClientEvent, ClientHandle};
use teredo_tunnel::net::interface::Interface;
use teredo_tunnel::net::watch::{self, Watcher};
use tokio::sync::{mpsc, oneshot, watch as latest};
use tokio::task::JoinHandle;

/// How a client stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connectivity {
    /// The state.
    pub state: State,
    /// Why it is not qualified.
    pub reason: Option<Reason>,
    /// The Teredo address, while it is on the interface.
    pub address: Option<Ipv6Addr>,
    /// Where the NAT shows the port to the world, while there is an address.
    pub mapped: Option<SocketAddrV4>,
    /// Why the address is not on the interface although the client is qualified, as the kernel put it.
    pub trouble: Option<String>,
}

/// Everything that the task owns.
pub(crate) struct Driver {
    pub(crate) engine: Arc<ClientHandle>,
    pub(crate) interface: Interface,
    pub(crate) watcher: Watcher,
    pub(crate) events: mpsc::UnboundedReceiver<ClientEvent>,
    pub(crate) bind: Ipv4Addr,
    pub(crate) beside_native: bool,
    pub(crate) server: ServerAddress,
    pub(crate) hub: Hub,
}

/// The owner's end of the task.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) connectivity: latest::Receiver<Connectivity>,
    /// The task ends when this is dropped.
    pub(crate) end: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<()>,
}

/// Begins; must be called within a runtime.
pub(crate) fn start(driver: Driver) -> Running {
    let (tell, connectivity) = latest::channel(Connectivity::default());
    let (end, ended) = oneshot::channel();
    Running {
        connectivity,
        end,
        task: tokio::spawn(driver.run(tell, ended)),
    }
}

/// The native IPv6 that makes the client dormant (RFC 4380 §5.5).
pub(crate) fn native(watcher: &Watcher, beside: bool) -> Option<Ipv6Addr> {
    watcher
        .native()
        .filter(|_| !beside)
        .map(|native| native.address)
}

impl Driver {
    async fn run(mut self, tell: latest::Sender<Connectivity>, mut end: oneshot::Receiver<()>) {
        let mut standing = Connectivity::default();
        loop {
            tokio::select! {
                biased;
                // Also when the client was dropped.
                _ = &mut end => break,
                event = self.events.recv() => match event {
                    Some(ClientEvent::InterfaceLost) | None => return,
                    Some(event) => self.note(event, &mut standing).await,
                },
                change = self.watcher.changed() => match change {
                    Ok(change) => {
                        tracing::info!(%change, "the network changed");
                        self.engine.set_native(native(&self.watcher, self.beside_native));
                        if change.ipv4 {
                            self.ask_again().await;
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, "cannot watch the network any more");
                        break;
                    }
                },
            }
            // Nobody need look.
            let _ = tell.send_if_modified(|told| {
                let news = *told != standing;
                told.clone_from(&standing);
                news
            });
        }
        // Callbacks hear of the end first (N-11).
        if let Err(error) = self.engine.stop().await {
            tracing::debug!(%error, "the engine had nothing to stop");
        }
        if let Err(error) = self.interface.clear_address().await {
            tracing::debug!(%error, "the interface goes with its address");
        }
    }

    async fn note(&mut self, event: ClientEvent, standing: &mut Connectivity) {
        match event {
            ClientEvent::Node(Event::AddressUp {
                address, mapped, ..
            }) => match self.interface.set_address(address).await {
                Ok(()) => {
                    (standing.address, standing.mapped) = (Some(address), Some(mapped));
                    standing.trouble = None;
                }
                Err(error) => {
                    tracing::error!(%address, %error, "the address cannot be used");
                    standing.trouble = Some(error.to_string());
                }
            },
            ClientEvent::Node(Event::AddressDown { .. }) => {
                if let Err(error) = self.interface.clear_address().await {
                    tracing::warn!(%error, "the address cannot be taken off");
                }
                (standing.address, standing.mapped) = (None, None);
            }
            ClientEvent::Node(Event::StateChanged { state, reason }) => {
                (standing.state, standing.reason) = (state, reason);
            }
            // The hub names and counts those who were late.
            ClientEvent::SettleMissed { .. } => {
                self.hub.expire(self.hub.snapshot().sequence);
            }
            other => tracing::debug!(?other, "engine"),
        }
    }

    async fn ask_again(&mut self) {
        let local = if self.bind.is_unspecified() {
            watch::local_address(self.server.primary).unwrap_or(Ipv4Addr::UNSPECIFIED)
        } else {
            self.bind
        };
        match watch::attached().await {
            Ok(attached) => self.engine.network_changed(local, attached),
            Err(error) => {
                tracing::warn!(%error, "the attached networks are not known");
                self.engine
                    .network_changed(local, watch::Attached::default());
            }
        }
    }
}
