//! How long a perimeter waits for the consumer of its watch.

use std::time::Duration;

/// As a rule, the cluster makes a consumer within milliseconds.
const SHORTEST: Duration = Duration::from_millis(500);

/// Of a bucket with many entries, it may take longer.
const LONGEST: Duration = Duration::from_secs(4);

/// How long an answer is waited for: longer after each that was missed.
///
/// After the death of a server, the cluster may place a consumer on it: no answer comes then, and the next try may be placed
/// well. So the first tries are short, and the later ones give a busy cluster its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(Duration);

impl Patience {
    pub(crate) const fn new() -> Self {
        Self(SHORTEST)
    }

    /// How long the next answer is waited for.
    pub(crate) const fn get(self) -> Duration {
        self.0
    }

    /// An answer was missed.
    pub(crate) fn missed(&mut self) {
        self.0 = (self.0 * 2).min(LONGEST);
    }

    /// An answer came.
    pub(crate) const fn met(&mut self) {
        self.0 = SHORTEST;
    }
}

#[cfg(test)]
mod tests;
