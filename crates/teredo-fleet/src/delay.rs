//! How long an entry was held up on its way to the server.

use std::time::Duration;

/// The least difference between the server's stamp and the host's time that entries of a host have had lately.
///
/// While a link is cut, TCP keeps what was sent, and delivers it when the link is mended. The server stamps it then, so by the
/// stamp an old entry would be fresh, and open a port of the past. The host's time shows it: the difference of the two clocks
/// is nearly constant, and an entry with a greater one was held up for the rest.
///
/// ```text
///  host    ──●t1───●t2───●t3  cut ┌──●t4──>     least: s1 - t1
///             \     \     └───────┤   \         t3 was held up for (s3 - t3) - (s1 - t1)
///  server  ────●s1───●s2──────────●s3──●s4──>
/// ```
///
/// The host's clock may be set back, so the least difference of two windows counts. A window ends with the first entry after
/// its time: what was held up while nothing came is compared with what came before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay {
    /// The stamp of the first entry of this window.
    begun: Duration,
    /// The least differences of this window and of the one before, in microseconds.
    current: i64,
    former: i64,
}

impl Default for Delay {
    fn default() -> Self {
        Self {
            begun: Duration::ZERO,
            current: i64::MAX,
            former: i64::MAX,
        }
    }
}

impl Delay {
    /// How long the entry of this time was held up, which got this stamp. The first was not.
    pub(crate) fn of(&mut self, time: Duration, stamp: Duration, window: Duration) -> Duration {
        let difference = micros(stamp).saturating_sub(micros(time));
        if stamp.saturating_sub(self.begun) >= window {
            (self.begun, self.former, self.current) = (stamp, self.current, difference);
        }
        self.current = self.current.min(difference);
        let held_up = difference.saturating_sub(self.current.min(self.former));
        Duration::from_micros(held_up.unsigned_abs())
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
