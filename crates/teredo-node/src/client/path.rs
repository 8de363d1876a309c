//! The search for a path with a small MTU, on which TCP would stand still if its routers drop fragments.

use std::sync::Arc;
use std::time::Duration;

use teredo_tunnel::client::ClientHandle;
use teredo_tunnel::net::path_limit;
use tokio::time::{Instant, sleep_until};

/// How long a router may take to object to a probe.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many probes are sent in a row, since one may be lost.
const PROBES: u32 = 3;

/// The pause after them: the kernel forgets an MTU after ten minutes (RFC 1191 §6.3), and paths change without a sign.
const PAUSE: Duration = Duration::from_secs(300);

/// Probes the path to the server of a qualified client.
pub(super) struct PathMonitor {
    handle: Arc<ClientHandle>,
    next: Option<Instant>,
    /// How many probes of this row were sent.
    sent: u32,
}

impl PathMonitor {
    pub(super) fn new(handle: Arc<ClientHandle>) -> Self {
        let next = None;
        let sent = 0;
        Self { handle, next, sent }
    }

    /// The first packets for which it matters: the path may be another one.
    pub(super) fn begin(&mut self) {
        (self.next, self.sent) = (Some(Instant::now()), 0);
    }

    /// The path is another one; the next long packets begin again.
    pub(super) fn end(&mut self) {
        self.next = None;
    }

    /// The longest packet that the path takes, if it is not the longest of the tunnel, as soon as it was measured
    /// anew. Cancel safe.
    pub(super) async fn measured(&mut self) -> Option<u16> {
        loop {
            match self.next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
            let server = self.handle.status().await.and_then(|path| {
                let server = path.client.address.and(path.client.server);
                server.map(|server| server.primary)
            });
            let Some(server) = server else {
                self.end();
                continue;
            };
            let limit = path_limit(server).ok().flatten();
            if limit.is_none() && self.sent < PROBES {
                self.sent += 1;
                self.handle.probe_path(server);
                self.next = Some(Instant::now() + PATIENCE);
                continue;
            }
            (self.next, self.sent) = (Some(Instant::now() + PAUSE), 0);
            return limit;
        }
    }
}
