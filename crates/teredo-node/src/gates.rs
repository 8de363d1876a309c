//! The path in the kernel and the firewalls that follow the port: packets take it only while every one of them has confirmed
//! the port, and for some time after one was lost.
//!
//! ```text
//!              a gate ends                             a gate settles the current state, or 20 s have passed
//!   all in sync ─────────> lost: Obstacle::Gate ─────────────────────────────────────────────> all in sync
//!      ^   │ announced, new, trouble, late report
//!      │   v
//!     behind: Obstacle::Gate
//! ```

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use teredo_notify::hub::{GateChange, GateHook, Hub};
use teredo_tunnel::kernel::{KernelPath, Obstacle};
use tokio::sync::Notify;
use tokio::time::sleep_until;

/// Longer than the lease of a firewall's exception, which is 15 s: by then its end has met the samples.
const AFTER_LOSS: Duration = Duration::from_secs(20);

/// Keeps the path closed while a gate is missing. Cheap to clone; it ends with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct GateWatch(Option<Arc<Watch>>);

#[derive(Debug)]
struct Watch {
    gates: Arc<Gates>,
    _hook: GateHook,
}

#[derive(Debug)]
struct Gates {
    hub: Hub,
    kernel: KernelPath,
    /// When the last gate was lost, if none has settled the current state since.
    lost: Mutex<Option<Instant>>,
    /// The next time to look may be an earlier one.
    changed: Notify,
}

impl GateWatch {
    /// Without a path in the kernel there is nothing to do.
    pub(crate) fn new(hub: &Hub, kernel: Option<&KernelPath>) -> Self {
        Self(kernel.map(|kernel| {
            let gates = Arc::new(Gates {
                hub: hub.clone(),
                kernel: kernel.clone(),
                lost: Mutex::default(),
                changed: Notify::new(),
            });
            let hook = hub.on_gate_change({
                let gates = Arc::clone(&gates);
                move |change| gates.look(Some(change))
            });
            gates.look(None);
            Arc::new(Watch { gates, _hook: hook })
        }))
    }

    /// A port was announced, which the gates have not settled yet.
    pub(crate) fn announced(&self) {
        if let Some(watch) = &self.0 {
            watch.gates.look(None);
        }
    }

    /// Does what time brings: a report expires, or a loss is long enough ago. Cancel safe.
    pub(crate) async fn due(&self) {
        let Some(watch) = &self.0 else {
            return pending().await;
        };
        match watch.gates.next() {
            Some(next) => tokio::select! {
                () = sleep_until(next.into()) => watch.gates.look(None),
                () = watch.gates.changed.notified() => {}
            },
            None => watch.gates.changed.notified().await,
        }
    }
}

impl Gates {
    /// Compares how the gates stand with the path, on the thread that has changed them.
    fn look(&self, change: Option<GateChange>) {
        // Held to the end, so that of two threads the later one decides.
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            Some(GateChange::Ended) => *lost = Some(Instant::now()),
            Some(GateChange::Settled) => *lost = None,
            Some(GateChange::New | GateChange::Reported) | None => {}
        }
        if lost.is_some_and(|at| at.elapsed() >= AFTER_LOSS) {
            *lost = None;
        }
        if lost.is_some() {
            let words = "a firewall that follows the port was lost";
            self.kernel.hinder_at_once(Obstacle::Gate, words);
        } else if self.hub.gate_summary().behind > 0 {
            // So it is at each change of the port. A gate that misses it is logged by the hub.
            let words = "a firewall that follows the port has not confirmed it";
            self.kernel.suspend(Obstacle::Gate, words);
        } else {
            self.kernel.clear(Obstacle::Gate);
        }
        drop(lost);
        self.changed.notify_one();
    }

    /// When to look again.
    fn next(&self) -> Option<Instant> {
        let lost = *self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let over = lost.map(|at| at + AFTER_LOSS);
        // A report that has expired is known.
        let until = self.hub.gate_summary().until;
        let until = until.filter(|&until| until > Instant::now());
        over.into_iter().chain(until).min()
    }
}
