//! The state of the service, put together of its events.

use std::path::{Path, PathBuf};
use std::time::Duration;

use teredo_notify::call::Caller;
use teredo_notify::types::{Detail, Event, Status};

use super::change::State;

/// How long the service may take to tell what is in no event. It answers in less than a millisecond.
const LIMIT: Duration = Duration::from_secs(1);

/// The state as the events so far have it.
#[derive(Debug)]
pub(crate) struct Follower {
    socket: PathBuf,
    state: State,
    /// Whether the service has told the port, and the rest, since it is there.
    has_port: bool,
    has_state: bool,
}

impl Follower {
    pub(crate) fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            state: State::default(),
            has_port: false,
            has_state: false,
        }
    }

    /// The state after an event; `None` as long as the service has not told all of it.
    pub(crate) fn received(&mut self, event: &Event) -> Option<State> {
        let socket = self.socket.clone();
        let status = move || {
            let mut service = Caller::open_within(&socket, LIMIT).ok()?;
            service.get_status().ok()
        };
        self.apply(event, status)
    }

    fn apply(&mut self, event: &Event, status: impl FnOnce() -> Option<Status>) -> Option<State> {
        let is_lost = match &event.detail {
            Detail::Port { port, .. } => {
                self.state.port = *port;
                self.state.sequence = event.sequence;
                self.has_port = true;
                false
            }
            Detail::State {
                state,
                reason,
                address,
                mapped,
                nat,
                server,
            } => {
                self.state = State {
                    phase: *state,
                    reason: reason.clone(),
                    address: *address,
                    mapped: *mapped,
                    nat: nat.clone(),
                    server: server.clone(),
                    ..std::mem::take(&mut self.state)
                };
                self.has_state = true;
                false
            }
            Detail::Lost { .. } => true,
            _ => return None,
        };
        if !self.has_port || !(self.has_state || is_lost) {
            return None;
        }
        match status() {
            Some(status) => self.complete(status, is_lost),
            None if is_lost => return None,
            // The events told the rest; the end of the service follows.
            None => self.state.local = None,
        }
        Some(self.state.clone())
    }

    /// Adds what no event tells, and after a loss everything.
    fn complete(&mut self, status: Status, is_lost: bool) {
        let state = &mut self.state;
        // A port of another moment has its own event.
        state.local = status.local.filter(|local| local.port() == state.port);
        state.interface = status.interface;
        state.role = Some(status.role);
        if is_lost {
            state.phase = status.state;
            state.reason = status.reason;
            state.address = status.address;
            state.mapped = status.mapped;
            state.nat = status.nat;
            state.server = status.server;
            self.has_state = true;
        }
    }

    /// The state of a service that is gone: it has no port, no address, and nothing else that could still be true. Its
    /// interface and role are those that it had.
    pub(crate) fn gone(&mut self) -> State {
        self.has_port = false;
        self.has_state = false;
        let before = std::mem::take(&mut self.state);
        self.state = State {
            sequence: before.sequence,
            interface: before.interface,
            role: before.role,
            reason: Some(String::from("the service is gone")),
            ..State::default()
        };
        self.state.clone()
    }
}

#[cfg(test)]
mod tests;
