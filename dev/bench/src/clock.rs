//! One clock for all processes.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`, which is the same in every process.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The clock counts from the boot on, and is never negative.
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}
