//! The servers in turn.

use std::sync::{Mutex, PoisonError};

use async_nats::ServerAddr;

/// Which server is tried next: the one whose last turn is longest ago, over all connections of a process.
///
/// A server that has just come back, or that has lost the others, takes a connection and answers nothing. Its connection is
/// given up after a while (`doubt.rs`). If the next server were drawn, it might be the same one again and again.
///
/// ```text
///  connection 1      a down, b takes it ──> given up
///  connection 2                                c takes it ──> lost
///                                                             a down, b takes it ──> …
/// ```
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<Vec<ServerAddr>>);

impl Turns {
    /// The next one of these. Those that have had no turn yet come first, and are drawn: the hosts of a fleet spread over its
    /// servers.
    pub(crate) fn next(&self, servers: &[ServerAddr]) -> Option<ServerAddr> {
        let mut tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tried.retain(|server| servers.contains(server));
        let untried: Vec<_> = servers
            .iter()
            .filter(|server| !tried.contains(server))
            .collect();
        let next = match untried.len() {
            0 if tried.is_empty() => return None,
            0 => tried.remove(0),
            count => untried[fastrand::usize(..count)].clone(),
        };
        tried.push(next.clone());
        Some(next)
    }
}

#[cfg(test)]
mod tests;
