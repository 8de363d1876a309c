//! Waiting for a condition, instead of a `sleep` of a guessed length.

use std::fmt;
use std::time::{Duration, Instant};

/// The first pause between two looks; each further one is longer, up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// A condition that was not met in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("waited {} ms in vain for {what}", waited.as_millis())]
pub struct TimedOut {
    /// The condition, as given to [`until`].
    pub what: String,
    /// How long [`until`] waited.
    pub waited: Duration,
}

/// Calls `probe` until it gives a value, and returns that value.
///
/// Looks at once, then every 1 to 10 ms, and a last time when `timeout` has passed: a probe that is
/// slow itself is never cut short, and a timeout of zero is a single look.
///
/// # Errors
///
/// [`TimedOut`] with the words of `what`, which therefore reads best as a noun phrase: "the client's
/// port", "a bubble from 192.0.2.45".
///
/// ```
/// use std::time::Duration;
/// let mut looks = 0;
/// let value = teredo_lab::until(Duration::from_secs(1), "the third look", || {
///     looks += 1;
///     (looks == 3).then_some(looks)
/// });
/// assert_eq!(value, Ok(3));
/// ```
pub fn until<T>(
    timeout: Duration,
    what: impl fmt::Display,
    mut probe: impl FnMut() -> Option<T>,
) -> Result<T, TimedOut> {
    let start = Instant::now();
    let mut pause = SHORTEST_PAUSE;
    loop {
        let last = start.elapsed() >= timeout;
        if let Some(value) = probe() {
            return Ok(value);
        }
        if last {
            return Err(TimedOut {
                what: what.to_string(),
                waited: start.elapsed(),
            });
        }
        std::thread::sleep(pause.min(timeout.saturating_sub(start.elapsed())));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests;
