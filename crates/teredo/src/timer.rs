//! Why a state machine wants to be woken.

use std::fmt;

/// The reason of a deadline, so that a loop that spins can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Timer {
    /// A router solicitation waits for its answer, or the next server is to be asked (RFC 4380 §5.2.1).
    Solicitation,
    /// The pause after a failed qualification is over.
    Backoff,
    /// The server has been silent for the randomised refresh interval (RFC 4380 §5.2.5).
    Refresh,
    /// A bubble or a connectivity test waits for its answer (RFC 4380 §5.2.4).
    Contact,
    /// The next local discovery bubble is due (RFC 4380 §5.2.8).
    Discovery,
    /// The search for a longer refresh interval goes on (RFC 4380 §5.2.7).
    Interval,
    /// Peers that were silent for too long are looked for.
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
            Self::Sweep => "sweep",
        }
    }
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
