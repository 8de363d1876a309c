//! Hooks in the process of the client that act on each state before the client does.
//!
//! A part of the hub: `hub.rs` owns the lock and the state.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Hub, State};
use crate::Snapshot;

type Hook = Arc<dyn Fn(Snapshot) + Send + Sync>;

/// The hooks by their numbers.
#[derive(Default)]
pub(super) struct PublishHooks(BTreeMap<u64, Hook>);

impl PublishHooks {
    /// Those to run when the lock is open: they are foreign code.
    pub(super) fn all(&self) -> Vec<Hook> {
        self.0.values().map(Arc::clone).collect()
    }
}

/// A hook of [`Hub::on_publish`]; it is removed when this is dropped.
#[must_use = "the hook is removed when this is dropped"]
pub struct PublishHook {
    hub: Hub,
    id: u64,
}

impl Drop for PublishHook {
    fn drop(&mut self) {
        let hook = self.hub.lock().publish_hooks.0.remove(&self.id);
        // The drop of the closure is foreign code and must not run under the lock.
        drop(hook);
    }
}

impl fmt::Debug for PublishHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishHook")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// Runs `hook` with each new state, on the publishing thread before [`Hub::publish`] returns, and so before the port is
    /// used (N-16), until the guard is dropped. The data path waits for it: the hook must take no time, as a write to a map of
    /// the kernel takes none. Anything else [registers](Hub::register).
    ///
    /// Two threads that publish at once run it at once. The greater sequence is the later state then.
    pub fn on_publish(&self, hook: impl Fn(Snapshot) + Send + Sync + 'static) -> PublishHook {
        let mut state = self.lock();
        let State {
            last_id,
            publish_hooks,
            ..
        } = &mut *state;
        *last_id += 1;
        publish_hooks.0.insert(*last_id, Arc::new(hook));
        let id = *last_id;
        drop(state);
        PublishHook {
            hub: self.clone(),
            id,
        }
    }
}
