//! The connection behind a watcher, and the mirror that it keeps.

use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::reconnect::{Backoff, FolderWatch, SHORTEST, wait};
use crate::Snapshot;
use crate::call::{CallError, Caller, Replies};
use crate::code::NotifyError;
use crate::hub::{Hub, SettleHook, Source};
use crate::wire::{OutgoingCall, PortState};

/// How long the service may take for its first answer.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(1);

/// How long a settled state may wait for room. A service that is busy has read nothing for a moment, and is not gone: the
/// callbacks wait meanwhile.
const ROOM: Duration = Duration::from_secs(1);

pub(super) struct Link {
    path: PathBuf,
    hub: Hub,
    /// Settles the service's states when this mirror's gates have; absent if it does not gate.
    settle_hook: OnceLock<SettleHook>,
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
    unsettled: Option<Unsettled>,
}

/// A state of the service that the gates of this mirror have not settled.
struct Unsettled {
    subscription: u64,
    /// Its number at the service.
    sequence: u64,
    /// Its number in the mirror.
    mirrored: u64,
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

type Session = Replies<PortState>;

impl Link {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            hub: Hub::new(),
            settle_hook: OnceLock::new(),
            users: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    /// A link that gates, as far as the service permits.
    pub(super) fn gating(path: PathBuf) -> Arc<Self> {
        let link = Arc::new(Self::new(path));
        let weak = Arc::downgrade(&link);
        let hook = link.hub.on_settle(move || {
            if let Some(link) = weak.upgrade() {
                link.settle(&mut link.lock());
            }
        });
        // A new link has no hook.
        let _ = link.settle_hook.set(hook);
        link
    }

    pub(super) fn is_gating(&self) -> bool {
        self.settle_hook.get().is_some()
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
            let (session, connection, first) = match this.connect().ok() {
                Some((session, connection, first)) => {
                    (Some(session), Some(connection), Some(first))
                }
                None => (None, None, None),
            };
            let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map(Arc::new)
                .map_err(|_| NotifyError::InsufficientResources)?;
            let (link, generation) = (Arc::clone(this), state.generation);
            let connected = session.is_some().then(Instant::now);
            // Before the source, so that no state comes before this one.
            let mirrored = this.hub.publish(first.map_or(0, |first| first.port));
            this.hub.follow(Arc::new(Mirror {
                link,
                generation,
                stop: Arc::clone(&stop),
                session: Mutex::new((session, connected)),
            }))?;
            (state.connection, state.stop) = (connection, Some(stop));
            this.received(&mut state, first, mirrored);
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

    /// Connects and gets the current state. Without the permission to gate it only subscribes.
    fn connect(&self) -> Result<(Session, UnixStream, PortState), CallError> {
        let open = |gate| {
            let caller = Caller::open_within(&self.path, HANDSHAKE)?;
            let mut session = caller.subscribe_states(gate)?;
            let first = session.next_within(HANDSHAKE)?;
            Ok((session, first))
        };
        let (session, first) = match open(self.is_gating()) {
            Err(CallError::PermissionDenied) => open(false)?,
            other => other?,
        };
        let handle = session.handle().map_err(|_| CallError::Disconnected)?;
        Ok((session, handle, first))
    }

    /// The mirror has a state of the service, or its end.
    fn received(&self, state: &mut State, received: Option<PortState>, mirrored: u64) {
        state.unsettled = received
            .filter(|_| self.is_gating())
            .map(|received| Unsettled {
                subscription: received.subscription,
                sequence: received.sequence,
                mirrored,
            });
        self.settle(state);
    }

    /// Settles the last state at the service, if all gates here have (N-16).
    fn settle(&self, state: &mut State) {
        let due = |unsettled: &mut Unsettled| self.hub.is_settled(unsettled.mirrored);
        let (Some(due), Some(connection)) = (state.unsettled.take_if(due), &state.connection)
        else {
            return;
        };
        let call = OutgoingCall::settle(due.subscription, due.sequence).encode();
        // A part of a call would break the stream.
        if send_within(connection, &call, ROOM).is_err() {
            let _ = connection.shutdown(Shutdown::Both);
        }
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
            Some(Some(Ok(received))) => self.relay(Some(received), |_| ()),
            Some(None | Some(Err(_))) => {
                session.0 = None;
                self.relay(None, |state| state.connection = None)
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
    fn relay(&self, received: Option<PortState>, change: impl FnOnce(&mut State)) -> Option<()> {
        let mut state = self.link.lock_as(self.generation)?;
        change(&mut state);
        let mirrored = self.link.hub.relay(received.map_or(0, |state| state.port));
        self.link.received(&mut state, received, mirrored);
        Some(())
    }

    fn reconnect(&self) -> Option<Session> {
        let (link, backoff) = (&self.link, Backoff::new());
        let mut folder = None;
        loop {
            // Before the attempt, so that it misses no socket that appears meanwhile.
            folder = folder.or_else(|| FolderWatch::new(&link.path));
            if let Some(folder) = &folder {
                folder.arm(&link.path);
            }
            drop(link.lock_as(self.generation)?);
            match link.connect() {
                Ok((session, handle, first)) => {
                    self.relay(Some(first), |state| state.connection = Some(handle))?;
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

/// Writes all of `bytes`, and waits for room for `limit` at most.
fn send_within(stream: &UnixStream, bytes: &[u8], limit: Duration) -> rustix::io::Result<()> {
    let deadline = Instant::now() + limit;
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::net::send(stream, rest, flags) {
            Ok(sent) => rest = &rest[sent..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let mut room = [PollFd::new(stream, PollFlags::OUT)];
                match poll(&mut room, Timespec::try_from(left).ok().as_ref()) {
                    Ok(0) => return Err(Errno::AGAIN),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
