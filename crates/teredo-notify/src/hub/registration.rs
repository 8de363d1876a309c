//! Registering and cancelling callbacks. A part of the hub: `hub.rs` owns the lock and the state.

use super::callbacks::{Callback, Cancelled, Key};
use super::threads::Wake;
use super::{Hub, RegisterError};
use crate::Notification;

/// A callback's registration; cancelled when dropped.
#[derive(Debug)]
#[must_use = "the registration is cancelled when this is dropped"]
pub struct Registration {
    hub: Hub,
    key: Key,
}

impl Registration {
    /// Ends the registration; again is no error.
    ///
    /// Blocks until a running invocation of the callback has returned. Afterwards none runs or starts, and the
    /// callback has been dropped. Within the callback itself, and if callbacks cancel each other, it does not wait:
    /// the running invocation is the last one.
    pub fn cancel(&self) {
        self.hub.cancel(self.key);
    }

    /// Whether notifications can still come: it was neither cancelled nor ended by a panic.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.hub.lock().callbacks.is_active(self.key)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Hub {
    /// Calls `callback` with every change from now on. With `initial`, it is called with
    /// [`Kind::Initial`](crate::Kind::Initial) first, strictly before any change, on another thread, possibly before
    /// this returns.
    ///
    /// Invocations come one at a time, in order. A callback that blocks delays no other; the changes that it misses
    /// meanwhile may be coalesced, except the last state. A callback that panics ends its registration.
    ///
    /// # Errors
    /// [`RegisterError`]
    pub fn register(
        &self,
        initial: bool,
        callback: impl FnMut(Notification) + Send + 'static,
    ) -> Result<Registration, RegisterError> {
        let callback: Callback = Box::new(callback);
        let mut state = self.lock();
        let id = self.next_id(&mut state)?;
        self.shared
            .ensure_threads(&mut state)
            .map_err(RegisterError::Thread)?;
        let cursor = state.log.cursor(initial);
        let key = state.callbacks.insert(id, cursor, callback);
        let mut wake = Wake::Nobody;
        if initial {
            state.callbacks.enqueue(key);
            wake = state.wake_for_work();
        }
        drop(state);
        self.shared.wake(wake);
        Ok(Registration {
            hub: self.clone(),
            key,
        })
    }

    /// Waits for a running invocation (N-06), unless that waits for this thread (N-07, N-08).
    fn cancel(&self, key: Key) {
        let shared = &*self.shared;
        let mut state = self.lock();
        match state.callbacks.cancel(key) {
            Cancelled::Nothing => {}
            Cancelled::Running(invocation) => {
                let Some(_waiting) = invocation.wait_for() else {
                    return;
                };
                state.callbacks.cancelling += 1;
                while state.callbacks.contains(key) {
                    state = shared.wait(&shared.finished, state, None);
                }
                state.callbacks.cancelling -= 1;
            }
            Cancelled::Idle(invocation, callback) => {
                let _waiting = invocation.wait_for();
                drop(state);
                drop(shared.end(key, invocation, callback));
            }
        }
    }
}
