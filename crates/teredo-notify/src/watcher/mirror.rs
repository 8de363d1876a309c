//! The connection behind a watcher, and the mirror that it keeps.

use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::reconnect::{Backoff, FolderWatch, SHORTEST, wait};
use crate::call::{CallError, Caller, Replies};
use crate::code::NotifyError;
use crate::hub::{Hub, Source};
use crate::{Notification, Snapshot};

/// How long the service may take for its first answer.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(1);

pub(super) struct Link {
    path: PathBuf,
    hub: Hub,
    users: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Grows when the last user ends, which ends the source of that generation.
    generation: u64,
    connection: Option<UnixStream>,
    /// Readable when the generation has ended; none without users.
    stop: Option<Arc<OwnedFd>>,
}

/// The mirror is kept as long as one of these exists.
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

    /// The service's state as far as it is known; none without users.
    pub(super) fn mirrored(&self) -> Option<Snapshot> {
        (self.users.load(Ordering::Acquire) > 0).then(|| self.hub.snapshot())
    }

    pub(super) fn is_connected(&self) -> bool {
        self.lock().connection.is_some()
    }

    /// Keeps the mirror, and begins it if necessary. When this returns it is up to date: its state is then no change,
    /// and must not be notified as one.
    pub(super) fn acquire(this: &Arc<Self>) -> Result<MirrorRef, NotifyError> {
        let mut state = this.lock();
        if this.users.load(Ordering::Acquire) == 0 {
            let session = this.connect().ok();
            let (session, connection, port) = match session {
                Some((session, connection, port)) => (Some(session), Some(connection), port),
                None => (None, None, 0),
            };
            let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map(Arc::new)
                .map_err(|_| NotifyError::InsufficientResources)?;
            let (link, generation) = (Arc::clone(this), state.generation);
            let connected = session.is_some().then(Instant::now);
            // Before the source, so that no state comes before this one.
            this.hub.publish(port);
            this.hub.follow(Arc::new(Mirror {
                link,
                generation,
                stop: Arc::clone(&stop),
                session: Mutex::new((session, connected)),
            }))?;
            (state.connection, state.stop) = (connection, Some(stop));
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

/// Brings the service's states into the hub, its end and return included (N-15), until its generation ends.
struct Mirror {
    link: Arc<Link>,
    generation: u64,
    stop: Arc<OwnedFd>,
    /// Absent while the service is away; with the time of the last connection. One thread at a time needs it.
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
                // A service that answers and then closes, again and again, must not keep a processor busy.
                if let Some(connected) = session.1 {
                    let pause = SHORTEST.saturating_sub(connected.elapsed());
                    wait(None, &self.stop, pause);
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
        let mut folder = None;
        loop {
            // Before the attempt, so that it misses no socket that appears meanwhile.
            folder = folder.or_else(|| FolderWatch::new(&link.path));
            drop(link.lock_as(self.generation)?);
            match link.connect() {
                Ok((session, handle, port)) => {
                    self.relay(port, |state| state.connection = Some(handle))?;
                    return Some(session);
                }
                Err(error) => tracing::trace!(%error, "the service is not back yet"),
            }
            wait(folder.as_ref(), &self.stop, backoff.delay());
        }
    }
}

impl Drop for MirrorRef {
    fn drop(&mut self) {
        let mut state = self.link.lock();
        if self.link.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            state.generation += 1;
            if let Some(stop) = state.stop.take() {
                // It fails only if the counter is full, and then it is readable.
                let _ = rustix::io::write(&*stop, &1u64.to_ne_bytes());
            }
            if let Some(connection) = state.connection.take() {
                // Ends the thread's read. An error means that the connection has ended.
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}
