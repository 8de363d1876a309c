//! Time as an argument, and the reasons for a deadline.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point on a monotonic clock, in nanoseconds since an epoch that only the caller knows.
///
/// The daemon passes `CLOCK_BOOTTIME`, because a NAT forgets a mapping while a laptop sleeps. The simulator passes a
/// virtual clock that starts at zero. `std::time::Instant` cannot be made from a number, and stands still during
/// suspend.
///
/// ```
/// use std::time::Duration;
/// use teredo::Instant;
///
/// let start = Instant::from_nanos(0);
/// assert_eq!((start + Duration::from_secs(4)) - start, Duration::from_secs(4));
/// assert_eq!(start - (start + Duration::from_secs(4)), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The instant `nanos` nanoseconds after the caller's epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the caller's epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self` moved back by `duration`, at most to the epoch.
    pub const fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(duration)))
    }
}

const fn saturating_nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates: a deadline beyond the clock's range is never reached.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Zero if `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// The reason for a deadline, which explains a loop that wakes up too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Timer {
    /// A router solicitation awaits its answer, or the next server has its turn (RFC 4380 §5.2.1).
    Solicitation,
    /// The pause after a failed qualification is over.
    Backoff,
    /// The server has been silent for the randomised refresh interval (RFC 4380 §5.2.5).
    Refresh,
    /// A bubble or a connectivity test awaits its answer (RFC 4380 §5.2.4).
    Contact,
    /// The next local discovery bubble is due (RFC 4380 §5.2.8).
    Discovery,
    /// The next step of the search for a longer refresh interval is due (RFC 4380 §5.2.7).
    Interval,
    /// A random port awaits its opening, its echo test, its refresh or its end (RFC 6081 §5.4.2).
    RandomPort,
    /// The next search for silent peers is due.
    Sweep,
}

impl Timer {
    /// The timer's name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Solicitation => "solicitation",
            Self::Backoff => "backoff",
            Self::Refresh => "refresh",
            Self::Contact => "contact",
            Self::Discovery => "discovery",
            Self::Interval => "interval",
            Self::RandomPort => "random_port",
            Self::Sweep => "sweep",
        }
    }
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
