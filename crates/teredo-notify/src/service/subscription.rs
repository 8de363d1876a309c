//! The stream of a subscription: the states of the port, which the publishing thread writes.

use std::io;
use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::context::Context;
use super::quota::Seat;
use super::socket::Socket;
use crate::hub::{Feed, GateRegistration, Hub, Outlet, Sink, Writer};
use crate::snapshot::Node;
use crate::wire::{GateState, PortState};
use crate::{Notification, RandomSnapshot};

/// How many subscribers besides the gates the publishing thread writes to. It is the data path's thread, and a write
/// that wakes its reader takes some 3 us; to wake the task of a subscriber costs less.
pub(super) const DIRECT: usize = 128;

pub(super) struct Subscription {
    outlet: Outlet<Peer>,
    gate: Option<GateRegistration>,
    /// One of [`DIRECT`].
    _slot: Option<OwnedSemaphorePermit>,
}

impl Subscription {
    pub(super) fn new(
        feed: Feed,
        gate: Option<GateRegistration>,
        socket: Arc<Socket>,
        seat: &Seat,
        context: &Context,
    ) -> Self {
        let slot = match gate {
            Some(_) => None,
            None if seat.may_be_direct(DIRECT) => {
                Arc::clone(&context.direct).try_acquire_owned().ok()
            }
            None => None,
        };
        let writer = match (&gate, &slot) {
            (None, None) => Writer::Task,
            _ => Writer::Publisher,
        };
        let peer = Peer {
            subscription: gate
                .as_ref()
                .map_or_else(|| feed.id(), GateRegistration::id),
            socket,
            called: Notify::new(),
            // Others need no more than the port.
            node: gate.is_some().then(|| context.hub.clone()),
        };
        Self {
            outlet: Outlet::new(feed, peer, writer),
            gate,
            _slot: slot,
        }
    }

    /// The number of the gate, if this is one.
    pub(super) fn gate(&self) -> Option<u64> {
        self.gate.as_ref().map(GateRegistration::id)
    }

    /// See [`Outlet::advance`].
    pub(super) fn advance(&self) -> io::Result<bool> {
        self.outlet.advance()
    }

    /// Waits until [`Subscription::advance`] is due.
    pub(super) async fn called(&self) {
        self.outlet.sink().called.notified().await;
    }
}

struct Peer {
    subscription: u64,
    socket: Arc<Socket>,
    called: Notify,
    /// The hub that knows the node, if this subscriber must know it.
    node: Option<Hub>,
}

impl Peer {
    fn state(&self, notification: Notification) -> PortState {
        PortState {
            subscription: self.subscription,
            sequence: notification.state.sequence,
            kind: notification.kind,
            port: notification.state.port,
        }
    }

    fn bytes(&self, state: PortState, random: Option<RandomSnapshot>) -> Vec<u8> {
        match &self.node {
            Some(hub) => GateState {
                state,
                node: Node::clone(&hub.node()),
                random,
            }
            .encode(),
            None => state.encode(),
        }
    }
}

impl Sink for Peer {
    fn encode(&self, notification: Notification) -> Vec<u8> {
        self.bytes(self.state(notification), None)
    }

    fn encode_with_random(&self, notification: Notification, random: RandomSnapshot) -> Vec<u8> {
        self.bytes(self.state(notification), Some(random))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn wake_task(&self) {
        self.called.notify_one();
    }
}
