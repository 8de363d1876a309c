//! One call, one answer: calls of the local service that block, for command-line tools.
//!
//! To follow the port for long, use a [`Watcher`](crate::watcher::Watcher), which survives a restart of the service.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::service::Outcome;
use crate::types::{Event, EventName, Peer, Status};
use crate::wire::{Decoder, OutgoingCall, PortState, Reply, WireError, error};
use crate::{Notification, Snapshot};

/// The default limit of the time for an answer. Longer than the gates' deadline.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a call has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The socket has no listener, or one that cannot be trusted: the service must be run by root, by the user of this
    /// process, or by the owner of the socket's folder.
    #[error("the Teredo service cannot be reached at {}: {source}; is \"teredo client\" running?", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The service has closed the connection, or it broke.
    #[error("the connection to the Teredo service has ended")]
    Disconnected,
    /// No answer in time.
    #[error("the Teredo service has not answered in time")]
    TimedOut,
    /// The client has no port.
    #[error("the Teredo client has no port: it is stopped or has not started")]
    NotReady,
    /// The user lacks the permission.
    #[error("this needs root or membership of the Teredo service's group")]
    PermissionDenied,
    /// Another program uses the requested port.
    #[error("port {0} is in use by another program: choose another one")]
    PortInUse(u16),
    /// The client runs in another network namespace than this firewall.
    #[error("the Teredo client runs in another network namespace than this firewall")]
    OtherNetwork,
    /// The client has failed to do it.
    #[error("the Teredo client could not do it: {0}")]
    Failed(String),
    /// The service, of another version, does not know the method.
    #[error("the Teredo service does not know {0}: it is of another version; restart it")]
    Unsupported(String),
    /// The answer makes no sense.
    #[error("the Teredo service has sent an answer that makes no sense: {0}")]
    Protocol(String),
}

/// A connection to the service.
///
/// ```no_run
/// use teredo_notify::call::Caller;
///
/// let mut service = Caller::open(&teredo_notify::socket_path())?;
/// println!("{}", service.get_port()?);
/// # Ok::<(), teredo_notify::call::CallError>(())
/// ```
#[derive(Debug)]
pub struct Caller {
    stream: UnixStream,
    decoder: Decoder,
    timeout: Duration,
    /// Whether the socket limits the time of a read.
    limited: bool,
}

impl Caller {
    /// Connects, with [`DEFAULT_TIMEOUT`] for that and for each answer.
    ///
    /// # Errors
    /// [`CallError::Unreachable`]
    pub fn open(path: &Path) -> Result<Self, CallError> {
        Self::open_within(path, DEFAULT_TIMEOUT)
    }

    /// Connects, with `timeout` for that and for each answer.
    ///
    /// # Errors
    /// [`CallError::Unreachable`]
    pub fn open_within(path: &Path, timeout: Duration) -> Result<Self, CallError> {
        let stream = connect(path, timeout).map_err(|source| CallError::Unreachable {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            stream,
            decoder: Decoder::default(),
            timeout,
            limited: false,
        })
    }

    /// The port that the client uses now.
    ///
    /// # Errors
    /// [`CallError::NotReady`] if it has none; any other.
    pub fn get_port(&mut self) -> Result<u16, CallError> {
        #[derive(Deserialize)]
        struct Answer {
            port: u16,
        }
        self.call::<Answer>("GetPort", json!({}))
            .map(|answer| answer.port)
    }

    /// The client's status.
    ///
    /// # Errors
    /// Any.
    pub fn get_status(&mut self) -> Result<Status, CallError> {
        #[derive(Deserialize)]
        struct Answer {
            status: Status,
        }
        self.call::<Answer>("GetStatus", json!({}))
            .map(|answer| answer.status)
    }

    /// The peers that the client used last, at most `most`, and at most [`MAX_PEERS`](crate::types::MAX_PEERS).
    ///
    /// # Errors
    /// [`CallError::PermissionDenied`]; any other.
    pub fn get_peers(&mut self, most: usize) -> Result<Vec<Peer>, CallError> {
        #[derive(Deserialize)]
        struct Answer {
            peers: Vec<Peer>,
        }
        self.call::<Answer>("GetPeers", json!({ "most": most }))
            .map(|answer| answer.peers)
    }

    /// Moves the client to another port; none: one of the system's choice.
    ///
    /// # Errors
    /// [`CallError::PermissionDenied`], [`CallError::PortInUse`], [`CallError::NotReady`] if the client is stopped,
    /// [`CallError::Failed`]; any other.
    pub fn rebind(&mut self, port: Option<u16>) -> Result<Outcome, CallError> {
        self.call("Rebind", json!({ "port": port }))
    }

    /// Stops the client.
    ///
    /// # Errors
    /// [`CallError::PermissionDenied`], [`CallError::Failed`]; any other.
    pub fn stop(&mut self) -> Result<Outcome, CallError> {
        self.call("Stop", json!({}))
    }

    /// Starts the client again.
    ///
    /// # Errors
    /// [`CallError::PermissionDenied`], [`CallError::Failed`]; any other.
    pub fn start(&mut self) -> Result<Outcome, CallError> {
        self.call("Start", json!({}))
    }

    /// The current state, then each event of these kinds; of all kinds if `events` is empty.
    ///
    /// # Errors
    /// Any.
    pub fn monitor(self, events: &[EventName]) -> Result<Replies<Event>, CallError> {
        let call = OutgoingCall {
            more: true,
            ..OutgoingCall::new("io.teredo.Client.Monitor", json!({ "events": events }))
        };
        self.stream(&call, event)
    }

    /// The changes of the port; with `initial`, its current state first.
    ///
    /// # Errors
    /// Any.
    pub fn subscribe(self, initial: bool) -> Result<Replies<Notification>, CallError> {
        self.stream(&OutgoingCall::subscribe(initial, false), notification)
    }

    /// The current state and the changes, as they are on the wire; with `gate`, as a gate.
    pub(crate) fn subscribe_states(self, gate: bool) -> Result<Replies<PortState>, CallError> {
        self.stream(&OutgoingCall::subscribe(true, gate), port_state)
    }

    fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: Value,
    ) -> Result<T, CallError> {
        let method = format!("io.teredo.Client.{method}");
        self.send(&OutgoingCall::new(&method, parameters))?;
        let deadline = Instant::now().checked_add(self.timeout);
        self.receive(deadline, |message| read(check(Reply::decode(message)?)?))
    }

    fn stream<T>(
        mut self,
        call: &OutgoingCall<'_>,
        read: fn(&[u8]) -> Result<T, CallError>,
    ) -> Result<Replies<T>, CallError> {
        self.send(call)?;
        Ok(Replies {
            connection: self,
            ended: false,
            read,
        })
    }

    fn send(&mut self, call: &OutgoingCall<'_>) -> Result<(), CallError> {
        self.stream
            .set_write_timeout(Some(self.timeout.max(MIN_TIMEOUT)))
            .map_err(broken)?;
        let message = call.encode();
        let mut rest = &*message;
        while !rest.is_empty() {
            // Not a write: only Rust programs ignore the SIGPIPE of a service that has gone.
            match rustix::net::send(&self.stream, rest, SendFlags::NOSIGNAL) {
                Ok(sent) => rest = &rest[sent..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(broken(error.into())),
            }
        }
        Ok(())
    }

    fn receive<T>(
        &mut self,
        deadline: Option<Instant>,
        read: impl FnOnce(&[u8]) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        loop {
            if let Some(message) = self.decoder.next()? {
                return read(message);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(CallError::TimedOut);
            }
            // A watcher waits without limit, and saves this call.
            if left.is_some() || self.limited {
                self.stream
                    .set_read_timeout(left.map(|left| left.max(MIN_TIMEOUT)))
                    .map_err(broken)?;
                self.limited = left.is_some();
            }
            let mut chunk = [0; 8 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(CallError::Disconnected),
                Ok(length) => self.decoder.push(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(error)),
            }
        }
    }
}

/// A blocking connect would wait for ever for a service that is alive and accepts no connection.
fn connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    const RETRY: Duration = Duration::from_millis(5);
    let address = SocketAddrUnix::new(path)?;
    let deadline = Instant::now() + timeout;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    loop {
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => {
                // rustix's type has no room for the process 0, which a service in another PID namespace is.
                let server = getsockopt(&socket, PeerCredentials)?;
                check_server(path, server.uid())?;
                let stream = UnixStream::from(socket);
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(Errno::AGAIN) if Instant::now() < deadline => std::thread::sleep(RETRY),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A socket accepts no timeout of zero, and rounds down to microseconds.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken(error: io::Error) -> CallError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => CallError::TimedOut,
        _ => CallError::Disconnected,
    }
}

impl From<WireError> for CallError {
    fn from(error: WireError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// The parameters of a reply, or its error.
pub(crate) fn check(reply: Reply) -> Result<Value, CallError> {
    let Some(name) = reply.error else {
        return Ok(reply.parameters);
    };
    let text = |parameter: &str| {
        reply
            .parameters
            .get(parameter)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Err(match &*name {
        error::NOT_READY => CallError::NotReady,
        error::PERMISSION_DENIED => CallError::PermissionDenied,
        error::PORT_IN_USE => {
            let port = reply
                .parameters
                .get("port")
                .and_then(Value::as_u64)
                .unwrap_or_default();
            CallError::PortInUse(u16::try_from(port).unwrap_or_default())
        }
        error::OTHER_NETWORK => CallError::OtherNetwork,
        error::FAILED => CallError::Failed(text("reason")),
        error::METHOD_NOT_FOUND | error::METHOD_NOT_IMPLEMENTED => {
            CallError::Unsupported(text("method"))
        }
        error::INTERFACE_NOT_FOUND => CallError::Unsupported(text("interface")),
        _ => CallError::Protocol(format!("{name} {}", reply.parameters)),
    })
}

pub(crate) fn read<T: DeserializeOwned>(parameters: Value) -> Result<T, CallError> {
    serde_json::from_value(parameters).map_err(|error| CallError::Protocol(error.to_string()))
}

/// The replies of a stream. As an iterator it waits for each without limit, and ends after the first error.
#[derive(Debug)]
pub struct Replies<T> {
    connection: Caller,
    ended: bool,
    read: fn(&[u8]) -> Result<T, CallError>,
}

impl<T> Replies<T> {
    /// A second handle to the connection, for another thread to end it.
    pub(crate) fn handle(&self) -> io::Result<UnixStream> {
        self.connection.stream.try_clone()
    }

    /// The next reply, if it comes in time.
    ///
    /// # Errors
    /// [`CallError::TimedOut`], after which the stream goes on. After any other error it is at its end.
    pub fn next_within(&mut self, timeout: Duration) -> Result<T, CallError> {
        self.next_before(Instant::now().checked_add(timeout))
    }

    fn next_before(&mut self, deadline: Option<Instant>) -> Result<T, CallError> {
        if self.ended {
            return Err(CallError::Disconnected);
        }
        let reply = self.connection.receive(deadline, self.read);
        self.ended = matches!(&reply, Err(error) if !matches!(error, CallError::TimedOut));
        reply
    }
}

impl<T> Iterator for Replies<T> {
    type Item = Result<T, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.ended).then(|| self.next_before(None))
    }
}

fn event(message: &[u8]) -> Result<Event, CallError> {
    #[derive(Deserialize)]
    struct Answer {
        event: Event,
    }
    read::<Answer>(check(Reply::decode(message)?)?).map(|answer| answer.event)
}

fn port_state(message: &[u8]) -> Result<PortState, CallError> {
    match PortState::decode(message) {
        Some(state) => Ok(state),
        None => read(check(Reply::decode(message)?)?),
    }
}

fn notification(message: &[u8]) -> Result<Notification, CallError> {
    port_state(message).map(|state| Notification {
        kind: state.kind,
        state: Snapshot {
            sequence: state.sequence,
            port: state.port,
        },
    })
}

/// Refuses a service unless root runs it, the user of this process, or the owner of the socket's folder, who decides
/// what is in there.
///
/// So a service may have a user of its own, with a folder of its own, and no user can pose as the service in a folder
/// for everybody, such as `/tmp`.
pub(crate) fn check_server(path: &Path, server: u32) -> io::Result<()> {
    const ROOT: u32 = 0;
    if server == ROOT || server == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let owner = std::fs::metadata(folder.unwrap_or_else(|| Path::new(".")))?.uid();
    if server == owner {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "the user {server} runs it, who is neither root, nor the user of this process, nor the owner of the socket's \
         folder"
    )))
}
