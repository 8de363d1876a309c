//! The source from which the agent learns the port.

use std::error::Error;

use teredo_notify::{
    RandomPortError, RandomSnapshot, Snapshot,
    hub::GateReport,
    snapshot::Node,
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

    /// The random ports besides the port of the last state (RFC 6081), and the number of their state; by default none.
    /// When they change, [`next`](Self::next) returns the state again.
    ///
    /// # Errors
    ///
    /// The node has named ports that are none that a client draws. The agent opens none of them, and counts it.
    fn random_ports(&self) -> Result<RandomSnapshot, RandomPortError> {
        Ok(RandomSnapshot::default())
    }

    /// Confirms `sequence`, and that the random ports with the number `random` are open, too. The agent may drop the
    /// future before it completes.
    fn admit(&mut self, sequence: u64, random: u64) -> impl Future<Output = ()> + Send {
        let _ = random;
        self.settle(sequence)
    }

    /// The node whose port this is: its role and interface. By default unknown; then the agent closes the interface of
    /// its configuration.
    fn node(&self) -> Node {
        Node::default()
    }

    /// Tells the source how the firewall is: a confirmation is withdrawn by a report with trouble. The agent may drop the
    /// future before it completes.
    fn report(&mut self, report: &GateReport) -> impl Future<Output = ()> + Send {
        let _ = report;
        std::future::ready(())
    }
}

impl PortSource for GatingSubscriber {
    type Error = GatingError;

    async fn next(&mut self) -> Result<Snapshot, GatingError> {
        Self::next(self).await
    }

    async fn settle(&mut self, sequence: u64) {
        Self::settle(self, sequence).await;
    }

    fn random_ports(&self) -> Result<RandomSnapshot, RandomPortError> {
        Self::random_ports(self)
    }

    async fn admit(&mut self, sequence: u64, random: u64) {
        Self::admit(self, sequence, random).await;
    }

    fn node(&self) -> Node {
        Self::node(self).clone()
    }

    async fn report(&mut self, report: &GateReport) {
        Self::report(self, report).await;
    }
}

#[cfg(test)]
mod tests;
