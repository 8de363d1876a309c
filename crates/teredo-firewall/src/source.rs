//! Where the agent learns of the port.

use std::error::Error;

use teredo_notify::{
    Snapshot,
    watcher::{Gate, GateError},
};

/// Tells the current port, waits for the agent to act on it, and lets the client go on.
///
/// [`Gate`] is one, at the local service.
pub trait PortSource {
    /// Why no more can be told, ever.
    type Error: Error + Send + Sync + 'static;

    /// Waits for the next state, at first for the current one. Port 0 says that there is none, be
    /// it that the client has none or that nobody tells at present.
    ///
    /// Must be cancel safe: the agent drops the future whenever it has something else to do.
    ///
    /// # Errors
    ///
    /// What waiting does not mend; it ends the agent.
    fn next(&mut self) -> impl Future<Output = Result<Snapshot, Self::Error>> + Send;

    /// Confirms that the firewall is in the state with that number. May be dropped before it is
    /// done.
    fn settle(&mut self, sequence: u64) -> impl Future<Output = ()> + Send;
}

impl PortSource for Gate {
    type Error = GateError;

    async fn next(&mut self) -> Result<Snapshot, GateError> {
        Self::next(self).await
    }

    async fn settle(&mut self, sequence: u64) {
        Self::settle(self, sequence).await;
    }
}

#[cfg(test)]
mod tests;
