//! A node that the agent follows.

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
use teredo_notify::{
    RandomPortError, RandomSnapshot, Snapshot, hub::GateReport, snapshot::Node, types::Role,
};
use tokio::time::Instant;

use super::firewall::Wanted;
use crate::config::is_interface_name;
use crate::firewalld::Side;

/// A node as the agent knows it.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// The port that should be open; none until the first news.
    port: Option<u16>,
    /// The random ports that should be open besides it.
    random: RandomSnapshot,
    /// Why none of those that the node named last is to be open.
    refusal: Option<RandomPortError>,
    node: Node,
    /// The number of the last state.
    sequence: u64,
    /// The state that the agent has not confirmed yet, and when it learned of it.
    unsettled: Option<(u64, Instant)>,
    /// Whether the node waits to hear that its random ports are open.
    unadmitted: bool,
    /// The last report that it got.
    reported: Option<GateReport>,
}

impl Followed {
    /// Takes the news of the node over. An error: it has named random ports that none can be, which it did not before.
    pub(super) fn learn(
        &mut self,
        state: Snapshot,
        random: Result<RandomSnapshot, RandomPortError>,
        node: Node,
    ) -> Result<(), RandomPortError> {
        // It may be the first state of a connection, which has heard nothing.
        self.reported = None;
        self.port = Some(state.port);
        self.sequence = state.sequence;
        // Without a port there is no client that they could belong to.
        let random = match state.port {
            0 => Ok(RandomSnapshot::default()),
            _ => random,
        };
        let refused = std::mem::replace(&mut self.refusal, random.err());
        // Those that it had are not to be trusted, either.
        let random = random.unwrap_or_default();
        let before = std::mem::replace(&mut self.random, random);
        self.unadmitted |= before != random && random.sequence != 0;
        self.unsettled = Some((state.sequence, Instant::now()));
        // Without a service nothing is known of the node; its interface stays closed.
        if node.interface.is_some() {
            self.node = node;
        }
        match self.refusal {
            Some(refusal) if refused != self.refusal => Err(refusal),
            _ => Ok(()),
        }
    }

    /// Why no random ports of this node are open; none: nothing is wrong with them.
    pub(super) fn random_trouble(&self) -> Option<String> {
        let refusal = self.refusal?;
        Some(format!("{refusal}: the client may have been taken over"))
    }

    pub(super) fn is_known(&self) -> bool {
        self.port.is_some()
    }

    /// A node that has not answered in time has no port.
    pub(super) fn give_up_waiting(&mut self) {
        self.port.get_or_insert(0);
    }

    pub(super) fn learned_at(&self) -> Option<Instant> {
        self.unsettled.map(|(_, learned)| learned)
    }

    pub(super) fn take_unsettled(&mut self) -> Option<u64> {
        self.unsettled.take().map(|(sequence, _)| sequence)
    }

    /// Whether the node waits to hear that its random ports are open.
    pub(super) fn is_unadmitted(&self) -> bool {
        self.unadmitted
    }

    /// The state, and the state of the random ports, that the agent has not confirmed.
    pub(super) fn take_unadmitted(&mut self) -> Option<(u64, u64)> {
        std::mem::take(&mut self.unadmitted).then_some((self.sequence, self.random.sequence))
    }

    /// Whether the report is news for the node.
    pub(super) fn hears(&mut self, report: &GateReport) -> bool {
        self.reported.replace(report.clone()).as_ref() != Some(report)
    }

    pub(super) fn add_to(&self, wanted: &mut Wanted, close_relay_forward: bool) {
        let relays = self.node.role == Some(Role::Relay);
        if let Some(port) = self.port.filter(|port| *port != 0) {
            wanted.ports.insert(port);
            wanted.random.extend(self.random.ports.as_slice());
            if relays {
                wanted.untracked.insert(port);
            }
        }
        if let Some(interface) = &self.node.interface
            && is_interface_name(interface)
        {
            let side = if relays { Side::There } else { Side::Here };
            wanted.sides.insert(interface.clone(), side);
            let close_forward = !relays || close_relay_forward;
            wanted
                .tunnels
                .insert(interface.clone(), Some(close_forward));
        }
    }

    /// Takes the interface's name from the kernel, which may have another one by now. Whether it has.
    pub(super) fn follow_interface(&mut self) -> bool {
        let (Some(index), Some(known)) = (self.node.index, &self.node.interface) else {
            return false;
        };
        // Any socket answers, and the sandbox of the program leaves the agent this kind.
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        );
        match socket.and_then(|socket| netdevice::index_to_name(socket, index)) {
            Ok(name) if name != *known => {
                tracing::info!(
                    from = known,
                    to = name,
                    "the tunnel's interface was renamed"
                );
                self.node.interface = Some(name);
                true
            }
            // Gone, or as before.
            Ok(_) | Err(_) => false,
        }
    }
}
