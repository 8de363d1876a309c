//! `teredo port`: the port alone, for scripts.

use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use serde::Serialize;
use teredo_notify::types::{Detail, EventName, Role};

use crate::args::PortArgs;
use crate::failure::{Exit, Failure};
use crate::feed::{Input, Until, follow};
use crate::output::{Output, narrate};
use crate::service;

/// The shortest wait: the service can always answer once.
const ONE_ANSWER: Duration = Duration::from_millis(100);

/// The object of schema `teredo.port/1`.
#[derive(Debug, Serialize)]
struct Answer {
    schema: &'static str,
    port: u16,
}

/// Prints the port; without a wait, fails with [`Exit::NotReady`] if there is none.
pub(crate) fn run(args: &PortArgs, socket: &Path, output: &mut Output) -> Result<Exit, Failure> {
    let port = if args.wait || args.timeout.is_some() {
        wait(socket, args.timeout)?
    } else {
        service::port(socket).map_err(|failure| of_server(socket).unwrap_or(failure))?
    };
    if args.json {
        output.json(&Answer {
            schema: "teredo.port/1",
            port,
        })?
    } else {
        output.line(port)?
    }
    Ok(Exit::Done)
}

/// A better reason, if the node is a server.
fn of_server(socket: &Path) -> Option<Failure> {
    let status = service::status(socket).ok()?;
    (status.role == Role::Server).then(|| {
        Failure::new(Exit::NotReady, "a server has no port that changes").hint(
            "its clients send to UDP port 3544; name a client's or a relay's socket with --socket",
        )
    })
}

/// Waits for the first port of the service on `socket`.
fn wait(socket: &Path, timeout: Option<Duration>) -> Result<u16, Failure> {
    let until = Until {
        reader: true,
        signals: false,
    };
    let inputs = follow(socket, &[EventName::Port], until)?;
    // A timeout that overflows the clock counts as none.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout.max(ONE_ANSWER)));
    let mut service_is_there = false;
    loop {
        let input = match deadline {
            None => inputs.recv().map_err(RecvTimeoutError::from),
            Some(deadline) => {
                inputs.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            }
        };
        match input {
            Ok(Input::Event(event)) => {
                service_is_there = true;
                if let Detail::Port {
                    port: port @ 1.., ..
                } = event.detail
                {
                    return Ok(port);
                }
            }
            Ok(Input::Gone(_)) => {
                service_is_there = false;
                narrate(format_args!(
                    "waiting for the service on {}",
                    socket.display()
                ));
            }
            Ok(Input::Refused(failure)) => return Err(failure),
            Ok(Input::ReaderGone | Input::Signal) => return Err(Failure::closed_pipe()),
            Err(RecvTimeoutError::Timeout) => return Err(timed_out(service_is_there)),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::new(Exit::Failed, "the events have ended"));
            }
        }
    }
}

fn timed_out(service_is_there: bool) -> Failure {
    if service_is_there {
        Failure::new(Exit::TimedOut, "no port came in time")
            .hint("'teredo status' shows the reason")
    } else {
        Failure::new(Exit::TimedOut, "no service came in time").hint(service::HOW_TO_START)
    }
}
