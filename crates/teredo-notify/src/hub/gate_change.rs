//! Changes of the gates, for a node that lets packets pass beside the firewall's rules while its gates stand.
//!
//! A part of the hub: `hub.rs` owns the lock and the state.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::sync::MutexGuard;
use super::{Hub, State};

/// A change of the gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateChange {
    /// There is one more.
    New,
    /// One has settled the current state.
    Settled,
    /// One has reported on itself.
    Reported,
    /// One has ended, in order or not.
    Ended,
}

/// How the gates stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateSummary {
    /// How many there are.
    pub gates: usize,
    /// How many of them are not in sync.
    pub behind: usize,
    /// When the first report expires; then its gate is not in sync any more.
    pub until: Option<Instant>,
}

pub(super) type Hook = Arc<dyn Fn(GateChange) + Send + Sync>;

/// A hook of [`Hub::on_gate_change`]; it is removed when this is dropped.
#[must_use = "the hook is removed when this is dropped"]
pub struct GateHook {
    hub: Hub,
    id: u64,
}

impl fmt::Debug for GateHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateHook").finish_non_exhaustive()
    }
}

impl Drop for GateHook {
    fn drop(&mut self) {
        let hook = self.hub.lock().gate_hooks.remove(&self.id);
        // The drop of the closure is foreign code and must not run under the lock.
        drop(hook);
    }
}

impl Hub {
    /// Calls `hook` at each change of the gates, on the thread that makes the change and before that goes on, until the
    /// guard is dropped. The hook must return at once.
    pub fn on_gate_change(&self, hook: impl Fn(GateChange) + Send + Sync + 'static) -> GateHook {
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        state.gate_hooks.insert(id, Arc::new(hook));
        drop(state);
        GateHook {
            hub: self.clone(),
            id,
        }
    }

    /// How the gates stand.
    #[must_use]
    pub fn gate_summary(&self) -> GateSummary {
        let state = self.lock();
        let current = state.log.current().sequence;
        let mut summary = GateSummary::default();
        for gate in state.gates.entries.values() {
            summary.gates += 1;
            // The publisher of a fleet keeps no packet of this host.
            summary.behind += usize::from(!gate.is_of_fleet() && !gate.is_in_sync(current));
            summary.until = gate.expires().into_iter().chain(summary.until).min();
        }
        summary
    }

    /// Tells the hooks of a change that is in `state` already.
    pub(super) fn tell_of_gates(&self, state: MutexGuard<'_, State>, change: GateChange) {
        let hooks: Vec<_> = state.gate_hooks.values().map(Arc::clone).collect();
        drop(state);
        for hook in hooks {
            hook(change);
        }
    }
}
