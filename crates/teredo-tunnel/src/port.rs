//! The service port: its changes, its gate and its announcer.

mod announcer;
pub(crate) mod change;
pub(crate) mod gate;

pub use announcer::PortAnnouncer;
pub use change::{ChangeError, PortChange, PortFallback};
