//! The hub as the data path's announcer.

use teredo_notify::RandomPorts;
use teredo_notify::hub::{self, Hub};
use teredo_tunnel::port::{Admission, PortAnnouncer};

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

    fn announce_random(&mut self, ports: &[u16]) -> u64 {
        let mut all = RandomPorts::default();
        for port in ports {
            // The data path has as many at most.
            all.insert(*port);
        }
        self.0.publish_random(all)
    }

    fn admission(&self, sequence: u64) -> Admission {
        match self.0.admission(sequence) {
            hub::Admission::Admitted => Admission::Admitted,
            hub::Admission::Pending => Admission::Pending,
            hub::Admission::Refused => Admission::Refused,
        }
    }
}
