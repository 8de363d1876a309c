//! Notifications outside the client's process: a mirror of the service's state, kept by one connection as long as
//! there are registrations. The thread that reads the connection runs the callbacks; if one of them blocks, another
//! thread takes over both ([`Hub::follow`](crate::hub::Hub::follow)).
//!
//! When the service ends, registrations learn at once that there is no port, and when it is back, its new port (N-15).
//! The service need not run at the start either.

mod gating;
mod mirror;
mod reconnect;

pub use gating::{GatingError, GatingSubscriber};

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

use crate::call::Caller;
use crate::code::{GetPortError, NotifyError};
use crate::hub::{Feed, GateOwner, GateRegistration, Registration};
use crate::{Notification, Snapshot};
use mirror::{HANDSHAKE, Link, MirrorRef};

/// A process' view of the service. Clones are the same.
///
/// ```no_run
/// use teredo_notify::watcher::Watcher;
///
/// let watcher = Watcher::default();
/// let registration = watcher.register(false, |n| println!("port {}", n.state.port))?;
/// println!("now {:?}", watcher.get_port());
/// # Ok::<(), teredo_notify::code::NotifyError>(())
/// ```
#[derive(Clone)]
pub struct Watcher {
    link: Arc<Link>,
}

impl Watcher {
    /// A watcher of the service at this socket. Connects with the first registration.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            link: Arc::new(Link::new(path.into())),
        }
    }

    /// A watcher of the service at this socket that gates: the client sends nothing from a new port before the
    /// callbacks of this watcher have returned, or the deadline has passed (N-16).
    ///
    /// That takes root or the service's group. The callbacks of other users are notified as ever, and not waited for.
    #[must_use]
    pub fn gating(path: impl Into<PathBuf>) -> Self {
        Self {
            link: Link::gating(path.into()),
        }
    }

    /// Whether this watcher has registrations.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.link.mirrored().is_some()
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.link.path()
    }

    /// The port that the client uses now.
    ///
    /// As long as this watcher has a registration, this reads memory and makes no system call. Every change after a
    /// registration is notified: register first and then ask, and you miss none (N-12).
    ///
    /// # Errors
    /// [`GetPortError::NotReady`] if there is no port or no service; [`GetPortError::NotSupported`] if the host has no
    /// IPv6.
    pub fn get_port(&self) -> Result<u16, GetPortError> {
        let port = match self.link.mirrored() {
            Some(state) => state.port,
            None => Caller::open_within(self.path(), HANDSHAKE)
                .and_then(|mut service| service.get_port())
                .inspect_err(|error| tracing::debug!(%error, "cannot ask for the port"))
                .unwrap_or_default(),
        };
        match port {
            0 if !host_has_ipv6() => Err(GetPortError::NotSupported),
            0 => Err(GetPortError::NotReady),
            port => Ok(port),
        }
    }

    /// Calls `callback` with each change from now on, as [`Hub::register`](crate::hub::Hub::register) does, across
    /// restarts of the service (N-15). Sequence numbers are this watcher's own.
    ///
    /// The first registration connects to the service and waits for the current state, at most a second each; and once
    /// more if it may not gate.
    ///
    /// # Errors
    /// [`NotifyError::InsufficientResources`]. It is no error if the service does not run.
    pub fn register(
        &self,
        initial: bool,
        mut callback: impl FnMut(Notification) + Send + 'static,
    ) -> Result<WatchRegistration, NotifyError> {
        let mirror = Link::acquire(&self.link)?;
        let hub = self.link.hub();
        let registration = if self.link.is_gating() {
            // The callback owns its gate, so that a panic ends both.
            let gate = Arc::new(OnceLock::<GateRegistration>::new());
            let own = Arc::clone(&gate);
            let registration = hub.register(initial, move |notification| {
                callback(notification);
                if let Some(gate) = own.get() {
                    // It fails only for a state that was not announced.
                    let _ = gate.settle(notification.state.sequence);
                }
            })?;
            let _ = gate.set(hub.register_gate(GateOwner::default())?);
            registration
        } else {
            hub.register(initial, callback)?
        };
        Ok(WatchRegistration {
            registration,
            _mirror: mirror,
        })
    }

    /// The current state, then each change, as an iterator that blocks and never ends.
    ///
    /// # Errors
    /// [`NotifyError::InsufficientResources`]
    pub fn snapshots(&self) -> Result<Snapshots, NotifyError> {
        let mirror = Link::acquire(&self.link)?;
        let feed = self.link.hub().subscribe(true)?;
        Ok(Snapshots {
            feed,
            _mirror: mirror,
        })
    }

    /// The same as a stream that never ends.
    ///
    /// # Errors
    /// [`NotifyError::InsufficientResources`]
    pub fn stream(&self) -> Result<SnapshotStream, NotifyError> {
        self.snapshots().map(SnapshotStream)
    }

    /// Whether the service is connected. False without registrations.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }
}

impl Default for Watcher {
    /// Of the service at [`socket_path`](crate::socket_path).
    fn default() -> Self {
        Self::new(crate::socket_path())
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

/// A kernel without IPv6, or booted with `ipv6.disable=1`, has no such sockets. The sysctl keeps interfaces from having
/// addresses.
fn host_has_ipv6() -> bool {
    let disabled = std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6");
    !disabled.is_ok_and(|disabled| disabled.trim() != "0")
        && !matches!(
            rustix::net::socket(AddressFamily::INET6, SocketType::DGRAM, None),
            Err(Errno::AFNOSUPPORT)
        )
}

/// A callback's registration with a [`Watcher`]; cancelled when dropped.
#[derive(Debug)]
#[must_use = "the registration is cancelled when this is dropped"]
pub struct WatchRegistration {
    // Before the mirror, which must last as long as the callback can run.
    registration: Registration,
    _mirror: MirrorRef,
}

impl WatchRegistration {
    /// See [`Registration::cancel`].
    pub fn cancel(&self) {
        self.registration.cancel();
    }

    /// See [`Registration::is_active`].
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.registration.is_active()
    }
}

/// The states of the port; see [`Watcher::snapshots`].
#[derive(Debug)]
pub struct Snapshots {
    feed: Feed,
    _mirror: MirrorRef,
}

impl Snapshots {
    /// The next state, if there is one in time.
    pub fn next_within(&mut self, timeout: Duration) -> Option<Snapshot> {
        self.feed
            .next_within(timeout)
            .map(|notification| notification.state)
    }
}

impl Iterator for Snapshots {
    type Item = Snapshot;

    fn next(&mut self) -> Option<Snapshot> {
        self.feed
            .next_before(None)
            .map(|notification| notification.state)
    }
}

/// The states of the port as a stream; see [`Watcher::stream`].
#[derive(Debug)]
pub struct SnapshotStream(Snapshots);

impl Stream for SnapshotStream {
    type Item = Snapshot;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Snapshot>> {
        let next = self.get_mut().0.feed.poll_next_unpin(cx);
        next.map(|notification| notification.map(|notification| notification.state))
    }
}
