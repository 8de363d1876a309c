//! A relay's own work on its lanes.

use std::net::{Ipv4Addr, Ipv6Addr};

use teredo::policy::DestinationPolicy;
use teredo::relay::Served;
use teredo::{Instant, Node, Relay};
use tokio::sync::oneshot;

use super::{RelayLaneStatus, RelayPathStatus};
use crate::Waker;
use crate::lane::{Lane, Role};
use crate::port::{Follow, Target};
use crate::udp::ServiceSocket;

/// A request of the owner to a lane.
pub(super) enum Command {
    SetBroadcasts(Vec<Ipv4Addr>),
    SetNative {
        error_source: Option<Ipv6Addr>,
        served: Option<Served>,
    },
    SetDelivers(bool),
    Reroute,
    Status(oneshot::Sender<RelayPathStatus>),
}

/// A relay's part of a lane.
pub(super) struct RelayRole {
    /// The lane's socket, until the thread has begun.
    pub(super) socket: Option<ServiceSocket>,
    pub(super) destinations: DestinationPolicy,
    /// The directed broadcast addresses that were set last.
    pub(super) broadcasts: Option<Vec<Ipv4Addr>>,
    /// The first lane announces the port for all, and lets these serve when it does.
    pub(super) others: Vec<Waker>,
    pub(super) follow: Follow,
}

impl Role for RelayRole {
    type Node = Relay;
    type Command = Command;

    fn begin(&mut self, lane: &mut Lane<Self>, now: Instant) {
        if let Some(socket) = self.socket.take() {
            lane.change_port(now, Target::Socket(socket), None, None);
        }
    }

    fn handle_command(&mut self, lane: &mut Lane<Self>, _now: Instant, command: Command) {
        match command {
            Command::SetBroadcasts(broadcasts) => {
                lane.troubles.clear_all();
                // The node walks all its peers.
                if self.broadcasts.as_ref() != Some(&broadcasts) {
                    self.destinations.set_broadcasts(broadcasts.clone());
                    lane.path.node.set_destinations(self.destinations.clone());
                    self.broadcasts = Some(broadcasts);
                }
            }
            Command::SetNative {
                error_source,
                served,
            } => {
                lane.path.node.set_error_source(error_source);
                if let Some(served) = served {
                    lane.path.node.set_served(served);
                }
            }
            Command::SetDelivers(delivers) => lane.path.set_delivers(delivers),
            Command::Reroute => lane.path.reroute(),
            // The caller may have lost interest.
            Command::Status(reply) => drop(reply.send(status(lane))),
        }
    }

    fn port_changed(&mut self, _lane: &mut Lane<Self>, _now: Instant, _has_port: bool) {
        self.follow.open();
        for waker in self.others.drain(..) {
            waker.wake();
        }
    }
}

fn status(lane: &Lane<RelayRole>) -> RelayPathStatus {
    let share = RelayLaneStatus {
        relay: lane.path.node.status(),
        counters: lane.path.counters,
    };
    RelayPathStatus {
        relay: share.relay,
        relayed: *lane.path.node.counters(),
        drops: lane.path.node.drops().clone(),
        port: lane.port.number(),
        counters: share.counters,
        lanes: vec![share],
    }
}
