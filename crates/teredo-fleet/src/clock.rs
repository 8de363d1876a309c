//! The time of the bucket's server, learnt from its entries.

use std::time::{Duration, Instant};

/// The server's clock, as far as its entries show it.
///
/// Leases count in the server's time, because the server stamps each entry. Its clock need not agree with the clock of
/// this host: an entry that arrives shows that the server's time is not earlier than its stamp. The latest of them is
/// behind by the way of one message. A window forgets the clock of a former leader of the cluster.
///
/// ```text
///  server  ──●c1──────●c2────────●c3──>      now is at least c3, and the time since c3 came
///             \        \          \
///  here    ────●────────●──────────●──now──>
/// ```
#[derive(Clone, Debug)]
pub struct ServerClock {
    window: Duration,
    begun: Option<Instant>,
    /// The latest reading in this window and in the one before.
    current: Option<Reading>,
    former: Option<Reading>,
}

/// The server's time at a moment, since the epoch.
#[derive(Clone, Copy, Debug)]
struct Reading {
    stamp: Duration,
    at: Instant,
}

impl Reading {
    fn at(self, now: Instant) -> Duration {
        self.stamp + now.saturating_duration_since(self.at)
    }
}

impl ServerClock {
    /// A clock that knows nothing yet. It forgets a reading after one to two windows.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            begun: None,
            current: None,
            former: None,
        }
    }

    /// Another window from now on.
    pub fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// An entry with this stamp, since the epoch, has arrived.
    pub fn observe(&mut self, stamp: Duration, now: Instant) {
        let begun = *self.begun.get_or_insert(now);
        if now.saturating_duration_since(begun) >= self.window {
            (self.former, self.current, self.begun) = (self.current.take(), None, Some(now));
        }
        if self.current.is_none_or(|reading| reading.at(now) < stamp) {
            self.current = Some(Reading { stamp, at: now });
        }
    }

    /// The server's time, since the epoch; none before the first entry. It may be later, but not earlier.
    #[must_use]
    pub fn now(&self, now: Instant) -> Option<Duration> {
        let readings = [self.former, self.current].into_iter().flatten();
        readings.map(|reading| reading.at(now)).max()
    }
}

#[cfg(test)]
mod tests;
