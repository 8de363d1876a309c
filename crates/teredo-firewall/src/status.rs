//! What the agent has done so far.

use std::time::Duration;

/// What the agent has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentStatus {
    /// The port that the kernel confirmed to let through; 0 if none is let through.
    pub port: u16,
    /// Whether that is what the client uses.
    pub in_step: bool,
    /// How often one port took the place of another, none counting as one.
    pub swaps: u64,
    /// How long the last swap took, from the agent's learning of it to the kernel's confirmation.
    pub last_swap: Option<Duration>,
    /// How often the agent looked at the ruleset because it could no longer know what is in it.
    pub resyncs: Resyncs,
    /// How often the kernel refused a change.
    pub refusals: u64,
}

/// Resynchronizations by their cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resyncs {
    /// The agent started.
    pub start: u64,
    /// Somebody else removed or changed what is the agent's, and it was put back.
    pub flush: u64,
    /// The kernel reported more changes than the agent could read in time.
    pub enobufs: u64,
}
