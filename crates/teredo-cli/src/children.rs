//! Child processes in the unit tests.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by a test while this process has children. The run of a hook waits for every child of its process, and ends those
/// that are left.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
