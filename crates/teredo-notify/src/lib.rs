//! Teredo port-change notifications: everyone who needs to know the UDP port of the Teredo client
//! learns of it in time, exactly once, in order, and never believes in a port that is gone.
//!
//! A Teredo client's UDP port is dynamic. A firewall that is to let the traffic of it through must
//! follow it. This crate has the parts for that, from the source of the event to the last reader:
//!
//! | part | for |
//! |---|---|
//! | [`hub`] | the client itself: publishes the port, delivers it to callbacks and streams, waits for firewalls |
//! | [`service`] | the client's process: the same for other processes, Varlink over a Unix socket |
//! | [`watcher`] | other processes: a mirror of the service's state that survives its restarts |
//! | [`mib`] | other processes: the same under Windows' names, `NotifyTeredoPortChange` and its kin |
//! | [`call`] | command-line tools: one call, one answer |
//! | [`types`] | the JSON contracts |
//! | [`code`] | the status codes of the Windows functions, their numbers and messages |
//!
//! ```no_run
//! use teredo_notify::watcher::Watcher;
//!
//! let watcher = Watcher::default();
//! for state in watcher.snapshots()? {
//!     println!("the port is {} now", state.port);
//! }
//! # Ok::<(), teredo_notify::code::NotifyError>(())
//! ```
//!
//! The rules that hold for every reader are the port-notification contract; the comments and tests
//! name them by their numbers (`docs/conformance.md`).

#![forbid(unsafe_code)]

pub mod call;
pub mod code;
pub mod hub;
pub mod mib;
pub mod service;
pub mod snapshot;
mod trust;
pub mod types;
pub mod watcher;
mod wire;

pub use mib::{cancel_mib_change_notify2, get_teredo_port, notify_teredo_port_change};
pub use snapshot::{Kind, Notification, Snapshot};

use std::path::PathBuf;

/// Where the service listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/teredo/teredo.sock";

/// The service's socket for this process: `TEREDO_SOCKET` from the environment, or [`DEFAULT_SOCKET`].
#[must_use]
pub fn socket_path() -> PathBuf {
    std::env::var_os("TEREDO_SOCKET")
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from(DEFAULT_SOCKET), PathBuf::from)
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
