//! State shared by all connections.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::control::{Control, EventBus};
use crate::hub::Hub;

pub(super) struct Context {
    pub(super) hub: Hub,
    pub(super) events: EventBus,
    pub(super) control: Arc<dyn Control>,
    pub(super) group: Option<u32>,
    /// The network namespace of the node, by its inode number.
    pub(super) network: Option<u64>,
    /// Slots for subscribers that the publishing thread writes to.
    pub(super) direct: Arc<Semaphore>,
    /// True once the service ends.
    pub(super) ending: watch::Sender<bool>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
