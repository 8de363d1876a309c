//! `teredo monitor`: the current state, then every event.

use std::num::NonZeroU64;
use std::path::Path;

use teredo_notify::types::Event;

use self::line::Line;
use self::view::View;
use crate::args::MonitorArgs;
use crate::failure::{Exit, Failure};
use crate::feed::{Input, follow};
use crate::output::{Output, narrate};

mod line;
mod view;

/// Shows events until `--count` of them were shown, or for ever.
///
/// A service that is not there at the start is a failure; one that goes away later is waited for.
pub(crate) fn run(args: &MonitorArgs, socket: &Path, output: &mut Output) -> Result<Exit, Failure> {
    let mut monitor = Monitor {
        view: View::default(),
        json: args.json,
        left: args.count.map(NonZeroU64::get),
    };
    let mut connected = false;
    for input in follow(socket, &args.events)? {
        let events = match input {
            Input::Event(event) => {
                connected = true;
                monitor.view.received(event).into_iter().collect()
            }
            Input::Gone(failure) if !connected => return Err(failure),
            Input::Gone(_) => {
                narrate(format_args!(
                    "the service on {} went away; waiting for it",
                    socket.display()
                ));
                monitor.view.gone()
            }
            Input::Refused(failure) => return Err(failure),
            Input::ReaderGone => return Err(Failure::closed_pipe()),
        };
        for event in &events {
            if monitor.show(event, output)? {
                return Ok(Exit::Done);
            }
        }
    }
    Err(Failure::new(Exit::Failed, "the events have ended"))
}

struct Monitor {
    view: View,
    json: bool,
    /// How many events are still to be shown; `None` for all.
    left: Option<u64>,
}

impl Monitor {
    /// Shows one event, and tells whether it was the last.
    fn show(&mut self, event: &Event, output: &mut Output) -> Result<bool, Failure> {
        if self.json {
            output.json(event)?
        } else {
            output.line(Line(event))?
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        Ok(self.left == Some(0))
    }
}

#[cfg(test)]
mod tests;
