//! Time as a table of millions keeps it: tenths of a second in four bytes.

use crate::Instant;

const NANOS: u64 = 100_000_000;

/// A tenth of a second; lasts for 13 years from the clock's epoch.
///
/// Rounding down makes an entry's age come out up to a tenth too large or too small, but never makes it good for
/// longer than the whole number of seconds that it is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::relay) struct Tick(u32);

impl Tick {
    /// Before every tick of the clock.
    pub(super) const NEVER: Self = Self(0);

    /// The tick in which `now` lies.
    pub(in crate::relay) fn at(now: Instant) -> Self {
        // The first is 1: 0 is never.
        let tick = now.as_nanos() / NANOS + 1;
        Self(u32::try_from(tick).unwrap_or(u32::MAX))
    }

    /// Whether fewer than `seconds` have passed since `earlier`.
    pub(super) fn is_within(self, seconds: u32, earlier: Self) -> bool {
        self.0.saturating_sub(earlier.0) < seconds * 10
    }
}
