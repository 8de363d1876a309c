//! The engine's announcements, handed to the hub.

use teredo_notify::hub::Hub;
use teredo_tunnel::port::PortAnnouncer;

/// Announces on a [`Hub`], which never blocks.
///
/// Whoever starts an engine with this tells it when something was settled: [`Hub::on_settle`] with
/// [`Waker::wake`](teredo_tunnel::Waker::wake).
#[derive(Debug, Clone)]
pub struct HubAnnouncer(pub Hub);

impl PortAnnouncer for HubAnnouncer {
    fn announce(&mut self, port: u16) -> u64 {
        self.0.publish(port)
    }

    fn is_settled(&self, sequence: u64) -> bool {
        self.0.is_settled(sequence)
    }
}
