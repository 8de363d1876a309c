//! The counters of the agent.

use std::time::Duration;

/// The state and the counters of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentStatus {
    /// The open port, as the kernel confirmed it; 0 if none is open.
    pub port: u16,
    /// Whether that is the client's port.
    pub in_step: bool,
    /// How often the open port changed. "None" counts as a port.
    pub swaps: u64,
    /// How long the last swap took, from the news to the kernel's confirmation.
    pub last_swap: Option<Duration>,
    /// How often the agent read the ruleset anew because it could have changed.
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
    /// Another program removed or changed the agent's part, and the agent put it back.
    pub flush: u64,
    /// The kernel reported more changes than the agent could read in time.
    pub enobufs: u64,
}
