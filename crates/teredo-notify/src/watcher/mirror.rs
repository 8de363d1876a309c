//! The connection behind a watcher, and what the hub's leader does at it.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::reconnect::Arrival;
use crate::call::{CallError, Caller, Replies};
use crate::code::NotifyError;
use crate::hub::{Hub, Source};
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
    users: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Changes when the last lease ends, which ends the thread of that generation.
    generation: u64,
    connection: Option<UnixStream>,
}

/// As long as there is one, the mirror is kept.
pub(super) struct MirrorRef {
    link: Arc<Link>,
}

impl std::fmt::Debug for MirrorRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MirrorRef").finish_non_exhaustive()
    }
}

type Session = Replies<Notification>;

impl Link {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            hub: Hub::new(),
            users: AtomicUsize::new(0),
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
        (self.users.load(Ordering::Acquire) > 0).then(|| self.hub.snapshot())
    }

    pub(super) fn is_connected(&self) -> bool {
        self.lock().connection.is_some()
    }

    /// Sees to it that the mirror is kept. When this returns, it has been brought up to date: what it shows
    /// then is no change, and must not be notified as one.
    pub(super) fn acquire(this: &Arc<Self>) -> Result<MirrorRef, NotifyError> {
        let mut state = this.lock();
        if this.users.load(Ordering::Acquire) == 0 {
            let session = this.connect().ok();
            let (session, connection, port) = match session {
                Some((session, connection, port)) => (Some(session), Some(connection), port),
                None => (None, None, 0),
            };
            let (link, generation) = (Arc::clone(this), state.generation);
            let connected = session.is_some().then(Instant::now);
            // Before the leader is there, so that nothing comes before it.
            this.hub.publish(port);
            this.hub.follow(Arc::new(Mirror {
                link,
                generation,
                session: Mutex::new((session, connected)),
            }))?;
            state.connection = connection;
        }
        this.users.fetch_add(1, Ordering::AcqRel);
        Ok(MirrorRef {
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
    fn connect(&self) -> Result<(Session, UnixStream, u16), CallError> {
        let mut session = Caller::open_within(&self.path, HANDSHAKE)?.subscribe(true)?;
        let first = session.next_within(HANDSHAKE)?;
        let handle = session.handle().map_err(|_| CallError::Disconnected)?;
        Ok((session, handle, first.state.port))
    }
}

/// What brings the service's states into the hub, its loss and return included (N-15), until its generation has
/// ended.
struct Mirror {
    link: Arc<Link>,
    generation: u64,
    /// Absent while the service is; with the time of the last connection. One thread at a time needs it.
    session: Mutex<(Option<Session>, Option<Instant>)>,
}

impl Source for Mirror {
    fn next(&self) -> bool {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let step = match session.0.as_mut().map(Iterator::next) {
            Some(Some(Ok(notification))) => self.relay(notification.state.port, |_| ()),
            Some(None | Some(Err(_))) => {
                session.0 = None;
                self.relay(0, |state| state.connection = None)
            }
            None => {
                // Who greets well and then breaks off, again and again, must not keep a processor busy.
                if let Some(connected) = session.1 {
                    thread::sleep(SHORTEST.saturating_sub(connected.elapsed()));
                }
                self.reconnect()
                    .map(|again| *session = (Some(again), Some(Instant::now())))
            }
        };
        step.is_some()
    }
}

impl Mirror {
    /// Relays a state after `change`; nothing, if the generation is over.
    fn relay(&self, port: u16, change: impl FnOnce(&mut State)) -> Option<()> {
        let mut state = self.link.lock_as(self.generation)?;
        change(&mut state);
        self.link.hub.relay(port);
        Some(())
    }

    fn reconnect(&self) -> Option<Session> {
        let (link, backoff) = (&self.link, Backoff::new());
        let mut arrival = None;
        loop {
            // Watching first, so that what arrives while this tries is not missed.
            arrival = arrival.or_else(|| Arrival::watch(&link.path));
            drop(link.lock_as(self.generation)?);
            match link.connect() {
                Ok((session, handle, port)) => {
                    self.relay(port, |state| state.connection = Some(handle))?;
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

impl Drop for MirrorRef {
    fn drop(&mut self) {
        let mut state = self.link.lock();
        if self.link.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            state.generation += 1;
            if let Some(connection) = state.connection.take() {
                // Ends the thread's read. An error means that it is at its end already.
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}
