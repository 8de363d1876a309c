//! The port of a node in a pinned map, for the eBPF firewalls of the host.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use teredo_bpf::{PortMap, PortMapError, ShownPort};
use teredo_notify::Snapshot;
use teredo_notify::hub::{Hub, PublishHook};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

/// A state is renewed so often within its lease, so that two late renewals do no harm.
const RENEWALS: u32 = 3;

/// Keeps a [`PortMap`] in step with the port of a [`Hub`], until it is dropped.
///
/// The map has each port before the first datagram leaves from it, and none when the node has stopped. A port that the hub has
/// at the end stays until it expires: either another process goes on with it, or nobody does.
#[derive(Debug)]
#[must_use = "it ends when this is dropped"]
pub struct PortInMap {
    _hook: PublishHook,
    renewal: AbortHandle,
}

impl PortInMap {
    /// Shows the port that the hub has now, and from now on each state. Call it within a tokio runtime, before the node
    /// starts. A refusal of the kernel is logged: the map then shows no port, or an old one until it expires.
    pub fn follow(hub: &Hub, map: PortMap) -> Self {
        let shown = Arc::new(Shown {
            map,
            is_refused: AtomicBool::new(false),
        });
        let hook = hub.on_publish({
            let (hub, shown) = (hub.clone(), Arc::clone(&shown));
            move |state| shown.show(&hub, state)
        });
        shown.show(hub, hub.snapshot());
        let renewal = tokio::spawn(renew(hub.clone(), shown)).abort_handle();
        Self {
            _hook: hook,
            renewal,
        }
    }
}

impl Drop for PortInMap {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// The map, and whether its trouble is known.
struct Shown {
    map: PortMap,
    is_refused: AtomicBool,
}

impl Shown {
    fn show(&self, hub: &Hub, state: Snapshot) {
        self.judge(self.map.show(ShownPort {
            port: state.port,
            sequence: state.sequence,
            interface: hub.node().index.unwrap_or_default(),
        }));
    }

    fn judge(&self, outcome: Result<(), PortMapError>) {
        let was_refused = self.is_refused.swap(outcome.is_err(), Ordering::Relaxed);
        if let Err(error) = outcome
            && !was_refused
        {
            tracing::warn!(%error, "the pinned map does not show the port");
        }
    }
}

/// Renews the state until the task is aborted, with the interface of a node that has taken the place of another. The timer's
/// clock is that of the map.
async fn renew(hub: Hub, shown: Arc<Shown>) {
    let each = shown.map.lease() / RENEWALS;
    let mut due = interval(each.max(Duration::from_millis(1)));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        shown.show(&hub, hub.snapshot());
    }
}
