//! Calls to the client's service, and their errors as failures of a command.

use std::io;
use std::path::Path;

use teredo_notify::call::{CallError, Caller, Replies};
use teredo_notify::service::Outcome;
use teredo_notify::types::{Event, EventName, MAX_PEERS, Peer, Status};

use crate::failure::{Exit, Failure};

/// The next step if no service answers.
pub(crate) const HOW_TO_START: &str =
    "start a client with 'teredo client --server HOST', or name its socket with --socket";

/// The status of the client.
pub(crate) fn status(socket: &Path) -> Result<Status, Failure> {
    call(socket, Caller::get_status)
}

/// The peers that the client used last.
pub(crate) fn peers(socket: &Path) -> Result<Vec<Peer>, Failure> {
    call(socket, |service| service.get_peers(MAX_PEERS))
}

/// The port in use.
pub(crate) fn port(socket: &Path) -> Result<u16, Failure> {
    call(socket, Caller::get_port)
}

/// Moves the client to `port`, or to a port that the system chooses.
pub(crate) fn rebind(socket: &Path, port: Option<u16>) -> Result<Outcome, Failure> {
    call(socket, |service| service.rebind(port))
}

/// Stops the client.
pub(crate) fn stop(socket: &Path) -> Result<Outcome, Failure> {
    call(socket, Caller::stop)
}

/// Starts the client.
pub(crate) fn start(socket: &Path) -> Result<Outcome, Failure> {
    call(socket, Caller::start)
}

/// Begins a stream of events.
pub(crate) fn monitor(socket: &Path, events: &[EventName]) -> Result<Replies<Event>, Failure> {
    let stream = Caller::open(socket).and_then(|service| service.monitor(events));
    stream.map_err(|error| failure(error, socket))
}

fn call<T>(
    socket: &Path,
    method: impl FnOnce(&mut Caller) -> Result<T, CallError>,
) -> Result<T, Failure> {
    Caller::open(socket)
        .and_then(|mut service| method(&mut service))
        .map_err(|error| failure(error, socket))
}

/// Turns `error` into a failure with its exit code and the next step.
pub(crate) fn failure(error: CallError, socket: &Path) -> Failure {
    let service = socket.display();
    match error {
        CallError::Unreachable { source, .. }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Failure::new(Exit::NotPermitted, format!("cannot connect to {service}"))
                .because(source)
                .hint("this user may not enter the folder of the socket: try again as root")
        }
        CallError::Unreachable { source, .. } if source.kind() == io::ErrorKind::WouldBlock => {
            Failure::new(Exit::Unreachable, format!("cannot connect to {service}"))
                .because("too many programs wait for it")
                .hint("it is busy, or stopped by a signal (SIGSTOP): try again; 'teredo doctor' tells which")
        }
        CallError::Unreachable { source, .. } => {
            Failure::new(Exit::Unreachable, format!("cannot connect to {service}"))
                .because(source)
                .hint(HOW_TO_START)
        }
        CallError::Disconnected => Failure::new(
            Exit::Unreachable,
            format!("the service on {service} closed the connection"),
        )
        .hint("it ended or was restarted: try again"),
        CallError::TimedOut => Failure::new(
            Exit::Unreachable,
            format!("the service on {service} does not answer"),
        )
        .hint("its log may show the reason; restart it"),
        CallError::NotReady => Failure::new(
            Exit::NotReady,
            "there is no Teredo port: the client is stopped or dormant, or has not started",
        )
        .hint("'teredo status' shows the reason; 'teredo start' starts a stopped client"),
        CallError::PermissionDenied => Failure::new(
            Exit::NotPermitted,
            "not permitted: this needs root or membership of the service's group",
        )
        .hint("try again with sudo"),
        CallError::PortInUse(port) => Failure::new(
            Exit::Failed,
            format!("port {port} is in use by another program"),
        )
        .hint("choose another port, or leave --port out: the system then picks a free one"),
        CallError::Unsupported(_) => Failure::new(Exit::Failed, error.to_string())
            .hint("the running client is of another version than this command: restart it"),
        // The client's or the relay's own words.
        CallError::Failed(reason) => {
            Failure::new(Exit::Failed, reason).hint("'teredo status' shows the state")
        }
        other => {
            Failure::new(Exit::Failed, other.to_string()).hint("the service's log may have details")
        }
    }
}

#[cfg(test)]
mod tests;
