//! Where the agent learns of the port.

use teredo_notify::Snapshot;

/// Tells the current port, waits for the agent to act on it, and lets the client go on (N-16).
pub trait PortSource {
    /// Waits for the next state. Port 0 says that there is none, be it that the client has none or that nobody
    /// tells any more.
    ///
    /// Must be cancel safe: the agent drops the future whenever it has something else to do.
    fn next(&mut self) -> impl Future<Output = Snapshot> + Send;

    /// Confirms that the firewall is in the state with that number.
    fn settle(&mut self, sequence: u64) -> impl Future<Output = ()> + Send;
}
