//! A gate in another process, for tasks on tokio. Firewall agents follow the port with it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::reconnect::{Backoff, FolderWatch, SHORTEST};
use crate::call::{CallError, check, check_server, read};
use crate::hub::GateReport;
use crate::snapshot::Node;
use crate::wire::{Decoder, OutgoingCall, ReadGateState, Reply};
use crate::{RandomPortError, RandomSnapshot, Snapshot};

/// How long a service may be absent before a port that is kept counts as gone. The firewall closes that within a second.
const ABSENCE: Duration = Duration::from_millis(700);
/// How long a service of another network namespace is left alone.
const REFUSED: Duration = Duration::from_secs(1);

/// Follows the port, and settles the states that its caller has acted on (N-16).
///
/// ```no_run
/// # async fn example() -> Result<(), teredo_notify::watcher::GatingError> {
/// use teredo_notify::watcher::GatingSubscriber;
///
/// let mut gate = GatingSubscriber::new(teredo_notify::socket_path());
/// loop {
///     let state = gate.next().await?;
///     // Change the firewall here: an exception for state.port alone, and none if that is 0.
///     gate.settle(state.sequence).await;
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct GatingSubscriber {
    path: PathBuf,
    session: Option<Session>,
    backoff: Backoff,
    folder: Option<FolderWatch>,
    /// When to connect again after a short connection.
    not_before: Option<Instant>,
    last: Option<Snapshot>,
    /// When a port whose service is absent counts as gone.
    gone_at: Option<Instant>,
    node: Node,
    /// Whether it follows the random ports.
    follows_random: bool,
    random: Result<RandomSnapshot, RandomPortError>,
    /// The service was refused because it is of another network namespace, and that was logged.
    refused: bool,
}

/// Why the service does not accept this process as a gate. To wait does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatingError {
    /// The user lacks the permission.
    #[error(
        "the Teredo service does not let this user gate: that needs root or membership of its group"
    )]
    PermissionDenied,
    /// The service, of another version, does not understand.
    #[error("the Teredo service cannot be used as a gate: {0}")]
    Unsupported(String),
}

impl GatingSubscriber {
    /// A gate of the service at this socket. The first call of [`next`](Self::next) connects.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            session: None,
            backoff: Backoff::new(),
            folder: None,
            not_before: None,
            last: None,
            gone_at: None,
            node: Node::default(),
            follows_random: false,
            random: Ok(RandomSnapshot::default()),
            refused: false,
        }
    }

    /// Also follows the random ports: [`next`](Self::next) returns when they change, too, although the state is the same
    /// then. Confirm them by [`admit`](Self::admit), or say in a [report](GateReport::random_trouble) why they stay
    /// closed. The client does without them otherwise.
    #[must_use]
    pub fn with_random_ports(mut self) -> Self {
        self.follows_random = true;
        self
    }

    /// The random ports in use, as the last state of [`next`](Self::next) named them. A service of an earlier version
    /// names none.
    ///
    /// # Errors
    /// [`RandomPortError`] if one of them is none that a client draws, or if they are too many. Open none then: the client
    /// may have been taken over.
    pub fn random_ports(&self) -> Result<RandomSnapshot, RandomPortError> {
        self.random
    }

    /// The node behind the port, as the last state of [`next`](Self::next) named it.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the service is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    /// The next state to act on: at first the current one. If the service ends, or does not run at the start, this
    /// yields port 0 with the last sequence number, and the next call connects again as soon as it can (N-15). To drop
    /// the future loses nothing.
    ///
    /// If a service manager [keeps](Node::kept) the port of a client that restarts, the firewall must not close it
    /// meanwhile: then this waits 700 ms for the next client.
    ///
    /// # Errors
    /// [`GatingError`]; the next call connects again.
    pub async fn next(&mut self) -> Result<Snapshot, GatingError> {
        loop {
            let state = match self.gone_at {
                Some(deadline) => match timeout_at(deadline, self.advance()).await {
                    Ok(state) => state?,
                    Err(_) => {
                        self.gone_at = None;
                        match self.gone() {
                            Some(gone) => return Ok(gone),
                            None => continue,
                        }
                    }
                },
                None => self.advance().await?,
            };
            match state {
                Some(state) => {
                    self.gone_at = None;
                    return Ok(state);
                }
                None if self.node.kept && self.last.is_some_and(|last| last.port != 0) => {
                    self.gone_at.get_or_insert_with(|| Instant::now() + ABSENCE);
                }
                None => {
                    if let Some(gone) = self.gone() {
                        return Ok(gone);
                    }
                }
            }
        }
    }

    /// Connects, and waits for a state. `None` if the service is gone and [`next`](Self::next) has not seen that yet.
    async fn advance(&mut self) -> Result<Option<Snapshot>, GatingError> {
        loop {
            if let Some(session) = &mut self.session {
                match session.next().await {
                    Ok((state, node, random)) => {
                        (self.last, self.node, self.refused) = (Some(state), node, false);
                        self.random = random;
                        return Ok(Some(state));
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the gate's connection has ended");
                        self.not_before = Some(session.began + SHORTEST);
                        self.session = None;
                        self.backoff = Backoff::new();
                        self.explain(error)?;
                        if self.is_loss_news() {
                            return Ok(None);
                        }
                    }
                }
            }
            // Before the attempt, so that it misses no socket that appears meanwhile.
            if self.folder.is_none() {
                self.folder = FolderWatch::new(&self.path);
            }
            if let Some(folder) = &self.folder {
                folder.arm(&self.path);
            }
            if let Some(not_before) = self.not_before {
                // The socket of another service ends the pause: it must not miss its first gate because the one before
                // it died slowly.
                match &self.folder {
                    Some(folder) => tokio::select! {
                        () = sleep_until(not_before) => {}
                        () = folder.changed() => {}
                    },
                    None => sleep_until(not_before).await,
                }
                self.not_before = None;
                if let Some(folder) = &self.folder {
                    folder.arm(&self.path);
                }
            }
            match Session::open(&self.path, self.follows_random).await {
                Ok(session) => self.session = Some(session),
                Err(error) => {
                    tracing::trace!(%error, "the service does not run");
                    if self.is_loss_news() {
                        return Ok(None);
                    }
                    self.wait_to_retry().await;
                }
            }
        }
    }

    /// Acts on the end of a session; an error that waiting does not mend is returned.
    fn explain(&mut self, error: CallError) -> Result<(), GatingError> {
        match error {
            CallError::PermissionDenied => Err(GatingError::PermissionDenied),
            CallError::OtherNetwork => {
                // A node of this namespace may take its place.
                self.not_before = Some(Instant::now() + REFUSED);
                if !std::mem::replace(&mut self.refused, true) {
                    let path = self.path.display();
                    tracing::error!(
                        "the node at {path} runs in another network namespace than this firewall, which opens nothing \
                         for it: start a firewall there, and give the node a socket of its own"
                    );
                }
                Ok(())
            }
            CallError::Unsupported(what) | CallError::Protocol(what) => {
                Err(GatingError::Unsupported(what))
            }
            _ => Ok(()),
        }
    }

    /// Whether a service that is gone was there before, as far as the caller knows.
    fn is_loss_news(&self) -> bool {
        self.gone_at.is_none() && self.last.is_none_or(|last| last.port != 0)
    }

    async fn wait_to_retry(&self) {
        let pause = tokio::time::sleep(self.backoff.delay());
        match &self.folder {
            Some(folder) => tokio::select! {
                () = pause => {}
                () = folder.changed() => {}
            },
            None => pause.await,
        }
    }

    /// "No port", unless that was the last state.
    fn gone(&mut self) -> Option<Snapshot> {
        let gone = Snapshot {
            port: 0,
            ..self.last.unwrap_or_default()
        };
        self.random = Ok(RandomSnapshot::default());
        (self.last.replace(gone) != Some(gone)).then_some(gone)
    }

    /// Reports how the firewall is. It counts as hung if no other report follows while this one is valid. Without a
    /// connection it does nothing.
    pub async fn report(&mut self, report: &GateReport) {
        if let Some(session) = &mut self.session
            && let Err(error) = session.report(report).await
        {
            tracing::debug!(%error, "cannot report");
            self.end_session();
        }
    }

    /// Settles all states up to and including this one. Without a connection it does nothing; if the connection breaks,
    /// [`next`](Self::next) finds out.
    pub async fn settle(&mut self, sequence: u64) {
        if let Some(session) = &mut self.session
            && let Err(error) = session.settle(sequence).await
        {
            tracing::debug!(%error, "cannot settle the port");
            self.end_session();
        }
    }

    /// The same, and the random ports of [`random_ports`](Self::random_ports) with this number, and of those before, are
    /// open, too.
    pub async fn admit(&mut self, sequence: u64, random: u64) {
        if let Some(session) = &mut self.session
            && let Err(error) = session.admit(sequence, random).await
        {
            tracing::debug!(%error, "cannot confirm the random ports");
            self.end_session();
        }
    }

    /// [`next`](Self::next) finds out, and connects again.
    fn end_session(&self) {
        if let Some(session) = &self.session {
            // It fails if the service has ended.
            let _ = rustix::net::shutdown(&session.stream, rustix::net::Shutdown::Both);
        }
    }
}

#[derive(Debug)]
struct Session {
    began: Instant,
    stream: UnixStream,
    decoder: Decoder,
    outgoing: Vec<u8>,
    subscription: Option<u64>,
}

impl Session {
    async fn open(path: &Path, random: bool) -> io::Result<Self> {
        let stream = UnixStream::connect(path).await?;
        check_server(path, stream.peer_cred()?.uid())?;
        Ok(Self {
            began: Instant::now(),
            stream,
            decoder: Decoder::default(),
            outgoing: OutgoingCall::subscribe_gate(crate::network(), random).encode(),
            subscription: None,
        })
    }

    async fn next(
        &mut self,
    ) -> Result<(Snapshot, Node, Result<RandomSnapshot, RandomPortError>), CallError> {
        loop {
            if let Some(message) = self.decoder.next()? {
                let read: ReadGateState = read(check(Reply::decode(message)?)?)?;
                let random = read.random();
                let ReadGateState { state, node, .. } = read;
                self.subscription = Some(state.subscription);
                let snapshot = Snapshot {
                    sequence: state.sequence,
                    port: state.port,
                };
                return Ok((snapshot, node, random));
            }
            tokio::select! {
                ready = self.stream.readable() => ready,
                ready = self.stream.writable(), if !self.outgoing.is_empty() => ready,
            }
            .and_then(|()| self.write())
            .and_then(|()| self.read())
            .map_err(|_| CallError::Disconnected)?;
        }
    }

    async fn settle(&mut self, sequence: u64) -> io::Result<()> {
        let Some(subscription) = self.subscription else {
            return Ok(());
        };
        self.call(&OutgoingCall::settle(subscription, sequence))
            .await
    }

    async fn admit(&mut self, sequence: u64, random: u64) -> io::Result<()> {
        let Some(subscription) = self.subscription else {
            return Ok(());
        };
        self.call(&OutgoingCall::admit(subscription, sequence, random))
            .await
    }

    async fn report(&mut self, report: &GateReport) -> io::Result<()> {
        let Some(subscription) = self.subscription else {
            return Ok(());
        };
        self.call(&OutgoingCall::report(subscription, report)).await
    }

    async fn call(&mut self, call: &OutgoingCall<'_>) -> io::Result<()> {
        // A service that has not taken the call before this one does not read, and what waits for it has a bound.
        if !self.outgoing.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.outgoing.extend(call.encode());
        loop {
            self.write()?;
            if self.outgoing.is_empty() {
                return Ok(());
            }
            self.stream.writable().await?;
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.stream.try_write(&self.outgoing) {
                Ok(length) => drop(self.outgoing.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4 * 1024];
        match self.stream.try_read(&mut chunk) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.decoder.push(&chunk[..length]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}
