//! A lane: one thread that moves packets between a queue of the TUN interface and a socket, and asks one state machine.
//!
//! ```text
//!                commands, Waker    ┌─ thread ──────────────────────────────────┐
//!  ThreadHandle ──────────────────> │ Lane<Role>                                │
//!                                   │   Path    TUN ══ batches ══> UDP          │
//!  the owner's    LaneEvent         │           TUN <══ batches ══ UDP          │
//!  event loop  <─────────────────── │   Port    which socket, and may it send   │
//!                                   │   Role    what only a client or relay does│
//!                                   └───────────────────────────────────────────┘
//! ```
//!
//! A client has one lane. A relay has one for each core. A server's workers have no TUN queue and no port to change, so
//! they share only `ThreadHandle`, the counters and the events with the lanes.

mod bare;
mod counters;
mod data_path;
mod event;
mod handle;
mod run;
mod trouble;

use std::io;

use crate::BindError;
use crate::kernel::KernelError;

pub use counters::{Counters, UdpCounters};
pub use event::{LaneEvent, Operation};

pub(crate) use counters::counters;
pub(crate) use data_path::DataPath;
pub(crate) use event::{EndGuard, Events};
pub(crate) use handle::{ThreadHandle, Threads};
pub(crate) use run::{Lane, MAX_RANDOM, Role};

/// Why a data path did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The port is not available; for a client, neither is any other.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The kernel refused a timer, an event descriptor, randomness or a thread.
    #[error("cannot start the data path: {0}")]
    Io(#[from] io::Error),
    /// The operator wants the path in the kernel, which cannot be had.
    #[error("the kernel cannot answer: {0}")]
    Kernel(#[source] KernelError),
}

/// Unpredictable bytes: nonces and the random bits of the address come from them (RFC 5991 §4).
pub(crate) fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let mut filled = 0;
    while filled < seed.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut seed[filled..], flags)?;
    }
    Ok(seed)
}
