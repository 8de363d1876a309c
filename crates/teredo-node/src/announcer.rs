//! The hub as the data path's announcer.

use teredo_notify::hub::Hub;
use teredo_tunnel::port::PortAnnouncer;

/// Announces the port at a [`Hub`], whose gating subscribers settle it.
#[derive(Debug)]
pub(crate) struct HubAnnouncer(pub(crate) Hub);

impl PortAnnouncer for HubAnnouncer {
    fn announce(&mut self, port: u16) -> u64 {
        self.0.publish(port)
    }

    fn is_settled(&self, sequence: u64) -> bool {
        self.0.is_settled(sequence)
    }
}
