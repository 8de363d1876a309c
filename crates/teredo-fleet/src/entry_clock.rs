//! The clocks that a publisher dates its entries by.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::entry::whole_micros;

/// The time for people, and the time since the boot, which orders the entries of all processes of a boot: nobody can set it,
/// and it goes on asleep (`CLOCK_BOOTTIME`).
#[derive(Debug, Default)]
pub(crate) struct EntryClock {
    last: Duration,
}

impl EntryClock {
    /// The host's time, and the time since the boot in whole microseconds, which is later than the one before.
    pub(crate) fn next(&mut self) -> (Duration, Duration) {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let since_boot = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
        let [wall, now] = [wall, since_boot].map(|time| Duration::from_micros(whole_micros(time)));
        self.last = now.max(self.last + Duration::from_micros(1));
        (wall, self.last)
    }
}

#[cfg(test)]
mod tests;
