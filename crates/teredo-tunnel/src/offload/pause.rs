//! A pause of an offload that the kernel refused: it is tried again later, and ever more rarely.

use std::time::Duration;

use teredo::Instant;

use crate::clock;

/// The first pause; each further refusal doubles it.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(64);

/// Whether an offload rests, and for how long.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pause {
    until: Option<Instant>,
    length: Duration,
}

impl Pause {
    /// Whether the offload rests now. Reads the clock only after a refusal.
    pub(crate) fn holds(&self) -> bool {
        self.until.is_some_and(|until| clock::now() < until)
    }

    /// The offload was refused. Returns whether an episode begins.
    pub(crate) fn begin(&mut self) -> bool {
        self.begin_at(clock::now())
    }

    fn begin_at(&mut self, now: Instant) -> bool {
        let is_new = self.until.is_none();
        self.length = (self.length * 2).clamp(FIRST, LONGEST);
        self.until = Some(now + self.length);
        is_new
    }

    /// The offload works. Returns whether an episode ends.
    pub(crate) fn end(&mut self) -> bool {
        std::mem::take(self).until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_doubles_the_pause_up_to_a_minute() {
        let mut pause = Pause::default();
        assert!(!pause.holds());
        let now = clock::now();
        let lengths: Vec<_> = (0..8)
            .map(|number| {
                assert_eq!(pause.begin_at(now), number == 0, "one episode");
                pause.length.as_secs()
            })
            .collect();
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 64, 64]);
        assert!(pause.holds());
        assert!(pause.end());
        assert!(!pause.holds());
        assert!(!pause.end());
    }
}
