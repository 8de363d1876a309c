//! Time stamps: each callback records when it was called.

use std::sync::{Mutex, PoisonError};

use rustix::time::{ClockId, clock_gettime};

/// When the callbacks of one system in one process were called.
pub(crate) struct Recorder {
    stamps: Mutex<Vec<u64>>,
    registrations: usize,
    all_heard: Box<dyn Fn() + Send + Sync>,
}

impl Recorder {
    /// `all_heard` is called whenever all `registrations` have heard of an announcement.
    pub(crate) fn new(registrations: usize, all_heard: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            stamps: Mutex::default(),
            registrations,
            all_heard: Box::new(all_heard),
        }
    }

    /// The callback of one registration.
    pub(crate) fn heard(&self) {
        let now = now();
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        stamps.push(now);
        let complete = stamps.len().is_multiple_of(self.registrations);
        drop(stamps);
        if complete {
            (self.all_heard)();
        }
    }

    /// The callbacks of all registrations of this process, one after the other, for systems that bring a
    /// message to each process once.
    pub(crate) fn all_hear(&self) {
        for _ in 0..self.registrations {
            self.heard();
        }
    }

    /// The stamps since the last call, announcement after announcement.
    pub(crate) fn take(&self) -> Vec<u64> {
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let capacity = stamps.capacity();
        std::mem::replace(&mut stamps, Vec::with_capacity(capacity))
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`, which is the same in every process.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The clock counts from the boot on, and is never negative.
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}
