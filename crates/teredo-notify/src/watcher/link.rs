//! The connection behind a watcher, and the thread that keeps it.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::arrival::Arrival;
use crate::client::{ClientError, Connection, Replies};
use crate::code::NotifyError;
use crate::hub::Hub;
use crate::{Notification, Snapshot};

/// How long the service may take for its first answer.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(1);

/// A connection that lasted for less is not made again at once.
pub(super) const SHORTEST: Duration = Duration::from_millis(50);

/// Tells how long to wait before the next attempt to connect.
///
/// A service that restarts is back within a second or two, so attempts come often at first. An attempt costs
/// two system calls.
#[derive(Debug)]
pub(super) struct Backoff {
    since: Instant,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
        }
    }

    pub(super) fn delay(&self) -> Duration {
        (self.since.elapsed() / 10).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }
}

pub(super) struct Link {
    path: PathBuf,
    hub: Hub,
    leases: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Changes when the last lease ends, which ends the thread of that generation.
    generation: u64,
    connection: Option<UnixStream>,
}

/// As long as there is one, the mirror is kept.
pub(super) struct Lease {
    link: Arc<Link>,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

type Session = Replies<Notification>;

impl Link {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            hub: Hub::new(),
            leases: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The service's state as far as it is known; none while nobody follows it.
    pub(super) fn mirrored(&self) -> Option<Snapshot> {
        (self.leases.load(Ordering::Acquire) > 0).then(|| self.hub.snapshot())
    }

    pub(super) fn is_connected(&self) -> bool {
        self.lock().connection.is_some()
    }

    /// Sees to it that the mirror is kept. When this returns, it has been brought up to date: what it shows
    /// then is no change, and must not be notified as one.
    pub(super) fn lease(this: &Arc<Self>) -> Result<Lease, NotifyError> {
        let mut state = this.lock();
        if this.leases.load(Ordering::Acquire) == 0 {
            let session = this.connect().ok();
            let (session, connection, port) = match session {
                Some((session, connection, port)) => (Some(session), Some(connection), port),
                None => (None, None, 0),
            };
            let (link, generation) = (Arc::clone(this), state.generation);
            thread::Builder::new()
                .name("teredo-watcher".to_owned())
                .spawn(move || link.follow(generation, session))
                .map_err(|_| NotifyError::InsufficientResources)?;
            state.connection = connection;
            this.hub.publish(port);
        }
        this.leases.fetch_add(1, Ordering::AcqRel);
        Ok(Lease {
            link: Arc::clone(this),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, if this generation still lasts.
    fn lock_as(&self, generation: u64) -> Option<MutexGuard<'_, State>> {
        Some(self.lock()).filter(|state| state.generation == generation)
    }

    /// Connects and gets the current state.
    fn connect(&self) -> Result<(Session, UnixStream, u16), ClientError> {
        let mut session = Connection::open_within(&self.path, HANDSHAKE)?.subscribe(true)?;
        let first = session.next_within(HANDSHAKE)?;
        let handle = session.handle().map_err(|_| ClientError::Disconnected)?;
        Ok((session, handle, first.state.port))
    }

    /// What the thread does: mirrors, tells of the loss of the service, reconnects (N-15), until its generation has
    /// ended.
    fn follow(&self, generation: u64, session: Option<Session>) {
        let mut session = session;
        // An end without a value: the generation is over.
        let mut mirror = || -> Option<()> {
            loop {
                let connected = session.is_some().then(Instant::now);
                for notification in session.take().into_iter().flatten().map_while(Result::ok) {
                    let _state = self.lock_as(generation)?;
                    self.hub.publish(notification.state.port);
                }
                let mut state = self.lock_as(generation)?;
                state.connection = None;
                self.hub.publish(0);
                drop(state);
                // Who greets well and then breaks off, again and again, must not keep a processor busy.
                if let Some(connected) = connected {
                    thread::sleep(SHORTEST.saturating_sub(connected.elapsed()));
                }
                session = Some(self.reconnect(generation)?);
            }
        };
        mirror();
    }

    fn reconnect(&self, generation: u64) -> Option<Session> {
        let backoff = Backoff::new();
        let mut arrival = None;
        loop {
            // Watching first, so that what arrives while this tries is not missed.
            arrival = arrival.or_else(|| Arrival::watch(&self.path));
            drop(self.lock_as(generation)?);
            match self.connect() {
                Ok((session, handle, port)) => {
                    let mut state = self.lock_as(generation)?;
                    state.connection = Some(handle);
                    self.hub.publish(port);
                    return Some(session);
                }
                Err(error) => tracing::trace!(%error, "the service is not back yet"),
            }
            match &arrival {
                Some(arrival) => arrival.wait(backoff.delay()),
                None => thread::sleep(backoff.delay()),
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.link.lock();
        if self.link.leases.fetch_sub(1, Ordering::AcqRel) == 1 {
            state.generation += 1;
            if let Some(connection) = state.connection.take() {
                // Ends the thread's read. An error means that it is at its end already.
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}
