//! The service port of a lane: make before break (N-16).
//!
//! ```text
//!                     change                      poll: settled, or out of time
//!  Stopped, Dormant ────────> Changing { to: a socket } ──────────────────────> Serving
//!         ^                     ^   │                                              │
//!         │      change: the last one counts, earlier ones are superseded          │ change
//!         │                     │   v                                              │
//!         └──────────────── Changing { to: none } <────────────────────────────────┘
//!               poll
//! ```
//!
//! A change to another socket:
//!
//! ```text
//!  1 bind the new port ──> 2 stop sending, announce it ──> 3 wait: settled, or out of time
//!                                                             │
//!  5 qualify from the new port <── 4 drain the old port, close it
//! ```
//!
//! The lane does not stand still meanwhile: what arrives at the old port is still delivered. Only a port that
//! serves sends.

mod announcer;
mod change;
mod state;

pub use announcer::{Admission, PortAnnouncer};
pub use change::{ChangeError, PortChange, PortFallback};

pub(crate) use announcer::Follow;
pub(crate) use change::{Reply, answer, bind, open};
pub(crate) use state::{Port, Target};

#[cfg(test)]
mod tests;
