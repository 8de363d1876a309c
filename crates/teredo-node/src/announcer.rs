//! The hub as the data path's announcer.

use teredo_notify::RandomPorts;
use teredo_notify::hub::{self, Hub};
use teredo_tunnel::port::{Admission, PortAnnouncer};

// No port is left out of an announcement: it would be used, and no firewall would have opened it.
const _: () = assert!(teredo::client::RANDOM_PORTS <= teredo_notify::MAX_RANDOM_PORTS);

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
