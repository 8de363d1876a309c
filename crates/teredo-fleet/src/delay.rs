//! How long an entry was held up on its way from a host.

use std::time::{Duration, Instant};

/// How far two entries must be apart to show that nothing holds them up.
const APART: Duration = Duration::from_secs(1);

/// By how much their ways may differ then: the scheduling of a busy host.
const JITTER: Duration = Duration::from_millis(200);

/// The usual difference between an entry's arrival and the host's time in it.
///
/// While a link is cut, TCP keeps what was sent, and delivers it when the link is mended. The server stamps it then, so by the
/// stamp an old entry would be fresh, and open a port of the past. The host's time shows it: the difference of two clocks that
/// nobody sets is constant, and an entry with a greater one was held up for the rest.
///
/// ```text
///  host  ──●t1───●t2───●t3  cut ┌──●t4───●t5──>     usual: a1 - t1
///           \     \     └───────┤   \     \         t3 was held up for (a3 - t3) - (a1 - t1)
///  here  ────●a1───●a2──────────●a3──●a4───●a5──>   t5 - t4 = a5 - a4, so a5 - t5 is usual from now on
/// ```
///
/// A machine that is paused, or a clock that is set, changes the difference for good. So it is learnt anew from two entries
/// that arrive as far apart as they were written, which a burst out of TCP never does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay {
    /// In microseconds; arrivals count from an epoch of the perimeter.
    usual: i64,
}

/// The host's time in an entry, and its arrival.
pub(crate) type Moment = (Duration, Instant);

impl Delay {
    /// Begins with an entry that was held up so long, as far as is known.
    pub(crate) fn begin(epoch: Instant, first: Moment, held_up: Duration) -> Self {
        Self {
            usual: difference(epoch, first).saturating_sub(micros(held_up)),
        }
    }

    /// How long the next entry was held up. Its time is later than that of the last.
    pub(crate) fn of(&mut self, epoch: Instant, last: Moment, next: Moment) -> Duration {
        let difference = difference(epoch, next);
        let written = next.0.saturating_sub(last.0);
        let came = next.1.saturating_duration_since(last.1);
        let is_in_step = written >= APART && written.abs_diff(came) <= JITTER;
        self.usual = if is_in_step {
            difference
        } else {
            self.usual.min(difference)
        };
        Duration::from_micros(difference.saturating_sub(self.usual).unsigned_abs())
    }
}

fn difference(epoch: Instant, (time, arrived): Moment) -> i64 {
    micros(arrived.saturating_duration_since(epoch)).saturating_sub(micros(time))
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
