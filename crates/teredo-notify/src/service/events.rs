use tokio::sync::broadcast;

use crate::hub::Hub;
use crate::types::{Detail, Event};

/// How many events a slow monitor may lag behind before it loses some.
const BACKLOG: usize = 256;

/// Takes the client's events to the monitors. Clones are the same bus.
///
/// Publish everything but port events: those the service makes from the hub, where none is ever lost.
#[derive(Debug, Clone)]
pub struct EventBus {
    hub: Hub,
    sender: broadcast::Sender<Event>,
}

impl EventBus {
    /// A bus whose events carry the sequence numbers of `hub`.
    #[must_use]
    pub fn new(hub: Hub) -> Self {
        Self {
            hub,
            sender: broadcast::Sender::new(BACKLOG),
        }
    }

    /// Tells all monitors. Never blocks; a monitor that is too slow is told how many it has lost.
    pub fn publish(&self, detail: Detail) {
        if self.sender.receiver_count() > 0 {
            // An error means that the last monitor has just gone.
            let _ = self
                .sender
                .send(Event::now(self.hub.snapshot().sequence, detail));
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }
}
