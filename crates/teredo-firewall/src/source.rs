//! The source from which the agent learns the port.

use std::error::Error;

use teredo_notify::{
    Snapshot,
    watcher::{GatingError, GatingSubscriber},
};

/// Reports the current port, and takes the agent's confirmation, for which the client waits.
///
/// The [`GatingSubscriber`] of `teredo-notify` is one: it asks the local service.
pub trait PortSource {
    /// Why the source has ended for good.
    type Error: Error + Send + Sync + 'static;

    /// Waits for the next state. The first call returns the current one. Port 0 means that the client has no port, or
    /// that the source does not know it at present.
    ///
    /// It must be cancel safe: the agent drops the future whenever it has something else to do.
    ///
    /// # Errors
    ///
    /// A failure that waiting cannot mend. It ends the agent.
    fn next(&mut self) -> impl Future<Output = Result<Snapshot, Self::Error>> + Send;

    /// Confirms that the firewall is in the state with that number. The agent may drop the future before it
    /// completes.
    fn settle(&mut self, sequence: u64) -> impl Future<Output = ()> + Send;
}

impl PortSource for GatingSubscriber {
    type Error = GatingError;

    async fn next(&mut self) -> Result<Snapshot, GatingError> {
        Self::next(self).await
    }

    async fn settle(&mut self, sequence: u64) {
        Self::settle(self, sequence).await;
    }
}

#[cfg(test)]
mod tests;
