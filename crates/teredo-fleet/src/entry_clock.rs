//! The clock that a publisher dates its entries by.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// It never goes back, and nobody can set it: read from the host's clock once, it goes on with `CLOCK_BOOTTIME`, asleep, too.
/// A perimeter sees from it how long an entry was held up.
#[derive(Debug)]
pub(crate) struct EntryClock {
    /// The host's clock at the start, and the time since boot.
    wall: Duration,
    began: Duration,
    last: Duration,
}

impl EntryClock {
    pub(crate) fn start() -> Self {
        Self {
            wall: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
            began: since_boot(),
            last: Duration::ZERO,
        }
    }

    /// The time of the next entry, in whole microseconds: later than the one before.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.wall + since_boot().saturating_sub(self.began);
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.last = Duration::from_micros(micros).max(self.last + Duration::from_micros(1));
        self.last
    }
}

fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests;
