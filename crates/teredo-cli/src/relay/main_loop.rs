//! The relay's loop: one thing at a time.

use std::fs;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::pin::pin;
use std::time::{Instant, SystemTime};

use teredo::relay::Served;
use teredo_notify::hub::Hub;
use teredo_notify::service::{ControlError, EventBus};
use teredo_notify::types::{Counters, Detail, Peers, Phase, Role, Status, rfc3339};
use teredo_tunnel::net::interface::Interface;
use teredo_tunnel::net::watch::{self, Ipv6Watcher, Watcher};
use teredo_tunnel::relay::RelayEvent;
use teredo_tunnel::relay::RelayHandle;
use tokio::sync::mpsc;

use crate::daemon::broadcasts;
use crate::daemon::control::Request;
use crate::failure::{Exit, Failure};
use crate::settings::RelaySettings;

/// Whether the kernel forwards IPv6 packets.
const FORWARDING: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// Everything that the relay's process owns but its inputs.
pub(super) struct Daemon {
    pub(super) settings: RelaySettings,
    pub(super) hub: Hub,
    pub(super) events: EventBus,
    pub(super) relay: RelayHandle,
    pub(super) interface: Interface,
}

/// What a person is told.
struct Account {
    started: Instant,
    since: SystemTime,
    state: Phase,
    /// Why datagrams do not leave, as the kernel put it.
    trouble: Option<String>,
}

impl Daemon {
    /// Serves until `shutdown` is ready or the interface is gone.
    pub(super) async fn run(
        self,
        mut path_events: mpsc::UnboundedReceiver<RelayEvent>,
        mut requests: mpsc::Receiver<Request>,
        mut watcher: Watcher,
        mut ipv6_watcher: Ipv6Watcher,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Exit, Failure> {
        let mut shutdown = pin!(shutdown);
        let mut account = Account {
            started: Instant::now(),
            since: SystemTime::now(),
            state: Phase::Probe,
            trouble: None,
        };
        let watch_failure =
            |error| Failure::new(Exit::Failed, "cannot watch the network any more").because(error);
        loop {
            tokio::select! {
                // What the data path said comes before what others ask.
                biased;
                () = &mut shutdown => break,
                event = path_events.recv() => match event {
                    Some(RelayEvent::InterfaceLost) | None => {
                        return Err(Failure::new(Exit::Failed, format!("interface {} was deleted", self.settings.interface))
                            .hint("start the relay again"));
                    }
                    Some(RelayEvent::Ended) => {
                        return Err(Failure::new(Exit::Failed, "a thread of the relay has ended by itself")
                            .hint("the log says why; start the relay again"));
                    }
                    Some(event) => self.note(event, &mut account),
                },
                Some(request) = requests.recv() => self.answer(request, &account).await,
                change = watcher.changed() => {
                    let change = change.map_err(watch_failure)?;
                    tracing::info!(%change, "the network changed");
                    account.trouble = None;
                    self.relay.set_broadcasts(broadcasts().await);
                }
                change = ipv6_watcher.changed() => {
                    change.map_err(watch_failure)?;
                    let native = native_addresses().await;
                    tracing::debug!(?native, "the IPv6 addresses changed");
                    let source = native.first().copied();
                    self.relay.set_native(source, self.settings.host.then_some(Served::Host(native)));
                }
            }
        }
        tracing::info!("ending");
        if let Err(error) = self.interface.clear_routes().await {
            tracing::debug!(%error, "the interface goes with its routes");
        }
        // Announces the end of the port, which subscribers hear before the service is gone (N-11).
        drop(self.relay);
        Ok(Exit::Done)
    }

    fn note(&self, event: RelayEvent, account: &mut Account) {
        match event {
            RelayEvent::PortBound { port, .. } => {
                tracing::info!(port, "port in use");
                (account.state, account.since) = (Phase::Qualified, SystemTime::now());
                self.publish(account);
                crate::daemon::tell_state("relaying");
            }
            RelayEvent::SettleMissed { port, .. } => {
                // The hub names and counts those who were late.
                self.hub.expire(self.hub.snapshot().sequence);
                tracing::debug!(port, "went on without a gating subscriber");
            }
            RelayEvent::IoError { operation, message } => {
                account.trouble = Some(format!(
                    "the kernel refuses: {}: {message}",
                    operation.name()
                ));
            }
            other => tracing::debug!(?other, "relay"),
        }
    }

    fn publish(&self, account: &Account) {
        self.events.publish(Detail::State {
            state: account.state,
            reason: self.reason(account),
            address: None,
            mapped: None,
            nat: None,
            server: None,
        });
    }

    async fn answer(&self, request: Request, account: &Account) {
        match request {
            Request::Status(reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.status(account).await);
            }
            Request::Rebind(_, reply) | Request::Stop(reply) | Request::Start(reply) => {
                let refused = "a relay keeps its port for as long as it runs: end it, or start it with --port N";
                let _ = reply.send(Err(ControlError::Failed(refused.to_owned())));
            }
        }
    }

    async fn status(&self, account: &Account) -> Status {
        let mut status = Status {
            role: Role::Relay,
            state: account.state,
            reason: self.reason(account),
            since: Some(rfc3339(account.since)),
            uptime_ms: u64::try_from(account.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            configured_port: Some(self.settings.port),
            interface: Some(self.settings.interface.clone()),
            ..Status::default()
        };
        if let Some(path) = self.relay.status().await {
            let peers = path.relay;
            status.local = Some(SocketAddrV4::new(self.settings.address, path.port));
            status.peers = Peers {
                total: (peers.trusted_peers + peers.underway) as u64,
                trusted: peers.trusted_peers as u64,
                capacity: peers.capacity as u64,
            };
            status.counters = Counters {
                rx_packets: path.counters.udp.rx_datagrams,
                rx_bytes: path.counters.udp.rx_bytes,
                tx_packets: path.counters.udp.tx_datagrams,
                tx_bytes: path.counters.udp.tx_bytes,
            };
            let drops = path.drops.iter();
            status.drops = drops
                .map(|(reason, count)| (reason.name().to_owned(), count))
                .collect();
        }
        status
    }

    /// What the relay is short of.
    fn reason(&self, account: &Account) -> Option<String> {
        account
            .trouble
            .clone()
            .or_else(|| forwarding_trouble(&self.settings))
    }
}

/// What keeps the host from being a router, if it is to be one. Whether it is one is the administrator's to say.
pub(super) fn forwarding_trouble(settings: &RelaySettings) -> Option<String> {
    let off = fs::read_to_string(FORWARDING).is_ok_and(|value| value.trim() == "0");
    (off && !settings.host).then(|| {
        String::from(
            "this host forwards no IPv6 packets: 'sysctl -w net.ipv6.conf.all.forwarding=1' has it do so; for this \
             host alone, give --host",
        )
    })
}

/// The host's addresses in the IPv6 Internet.
pub(super) async fn native_addresses() -> Vec<Ipv6Addr> {
    watch::global_addresses().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the host's IPv6 addresses are not known");
        Vec::new()
    })
}
