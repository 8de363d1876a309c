//! The synchronization primitives of the hub: the standard library's, or under `--cfg shuttle` the model checker's,
//! which chooses the next thread at each of these operations (`tests/model.rs`).

#[cfg(not(shuttle))]
mod alarm;

#[cfg(not(shuttle))]
mod primitives {
    pub(in crate::hub) use super::alarm::Alarm;
    pub(in crate::hub) use std::sync::atomic::AtomicU64;
    pub(in crate::hub) use std::sync::{Condvar, Mutex, MutexGuard};
    pub(in crate::hub) use std::{thread, thread_local};
}

#[cfg(shuttle)]
#[path = "sync/model.rs"]
mod primitives;

pub(super) use primitives::*;
