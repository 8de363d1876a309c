//! The engine's announcements, handed to the hub.

use teredo_notify::hub::Hub;
use teredo_tunnel::engine::PortAnnouncer;

/// Announces on a [`Hub`], which never blocks.
pub(super) struct HubAnnouncer(pub(super) Hub);

impl PortAnnouncer for HubAnnouncer {
    fn announce(&mut self, port: u16) -> u64 {
        self.0.publish(port)
    }

    fn is_settled(&self, sequence: u64) -> bool {
        self.0.is_settled(sequence)
    }
}
