//! Port-change notifications of a Teredo client: every subscriber learns of each change in time, exactly once, in
//! order, and never keeps a port that is gone.
//!
//! A Teredo client's UDP port is dynamic, and a firewall that lets its traffic through must follow it. This crate has
//! the parts for that, from the source of the event to the last reader:
//!
//! | part | use it in |
//! |---|---|
//! | [`hub`] | the client itself: publishes the port, notifies callbacks and streams, waits for firewalls |
//! | [`service`] | the client's process: offers the hub to other processes, Varlink over a Unix socket |
//! | [`watcher`] | other processes: mirrors the service's state across its restarts |
//! | [`mib`] | other processes: the same under Windows' names, `NotifyTeredoPortChange` and its kin |
//! | [`call`] | command-line tools: one call, one answer |
//! | [`types`] | the JSON contracts |
//! | [`code`] | the status codes of the Windows functions, their numbers and messages |
//!
//! [`hub`] defines the terms: hub, feed, outlet, gate, settle, mirror.
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
//! Comments and tests cite the rules of the notifications by number, N-01 to N-19 (`docs/notification-rules.md`).

#![deny(unsafe_code)]

pub mod call;
pub mod code;
pub mod hub;
pub mod mib;
mod random;
pub mod service;
pub mod snapshot;
pub mod types;
pub mod watcher;
mod wire;

pub use mib::{cancel_mib_change_notify2, get_teredo_port, notify_teredo_port_change};
pub use random::{
    MAX_RANDOM_PORTS, RANDOM_PORT_RANGE, RandomPortError, RandomPorts, RandomSnapshot,
};
pub use snapshot::{Kind, Notification, Snapshot};

use std::path::PathBuf;

/// The default socket of the service.
pub const DEFAULT_SOCKET: &str = "/run/teredo/teredo.sock";

/// The network namespace of the calling thread, by its inode number.
pub(crate) fn network() -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let namespace = std::fs::metadata("/proc/thread-self/ns/net");
    namespace.ok().map(|namespace| namespace.ino())
}

/// The service's socket for this process: `TEREDO_SOCKET` from the environment, or [`DEFAULT_SOCKET`].
#[must_use]
pub fn socket_path() -> PathBuf {
    named_socket().unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET))
}

/// The socket that the environment names in `TEREDO_SOCKET`.
#[must_use]
pub fn named_socket() -> Option<PathBuf> {
    std::env::var_os("TEREDO_SOCKET")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
