//! The hub as the data path's announcer.

use crate::gates::GateWatch;
use teredo_notify::RandomPorts;
use teredo_notify::hub::{self, Hub};
use teredo_tunnel::port::{Admission, PortAnnouncer};

// No port is left out of an announcement: it would be used, and no firewall would have opened it.
const _: () = {
    use teredo::client::{PORT_BLOCK, RANDOM_PORT_RANGE as DRAWN, RANDOM_PORTS};
    use teredo_notify::{MAX_RANDOM_PORTS, RANDOM_PORT_RANGE};
    assert!(RANDOM_PORTS + PORT_BLOCK <= MAX_RANDOM_PORTS);
    assert!(
        *DRAWN.start() == *RANDOM_PORT_RANGE.start() && *DRAWN.end() == *RANDOM_PORT_RANGE.end()
    );
};

/// Announces the port at a [`Hub`], whose gating subscribers settle it.
#[derive(Debug)]
pub(crate) struct HubAnnouncer(pub(crate) Hub, pub(crate) GateWatch);

impl PortAnnouncer for HubAnnouncer {
    fn announce(&mut self, port: u16) -> u64 {
        let sequence = self.0.publish(port);
        self.1.announced();
        sequence
    }

    fn is_settled(&self, sequence: u64) -> bool {
        self.0.is_settled(sequence)
    }

    fn announce_random(&mut self, ports: &[u16]) -> u64 {
        let all = RandomPorts::try_from(ports);
        debug_assert!(all.is_ok(), "{all:?}");
        self.0.publish_random(all.unwrap_or_default())
    }

    fn admission(&self, sequence: u64) -> Admission {
        match self.0.admission(sequence) {
            hub::Admission::Admitted => Admission::Admitted,
            hub::Admission::Pending => Admission::Pending,
            hub::Admission::Refused => Admission::Refused,
        }
    }
}
