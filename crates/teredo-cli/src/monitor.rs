//! `teredo monitor`: the current state, then each event.

use std::fmt;
use std::num::NonZeroU64;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use teredo_notify::Kind;
use teredo_notify::types::{Detail, Event, EventName, Phase, PortKind};

use crate::args::MonitorArgs;
use crate::failure::{Exit, Failure};
use crate::feed::{Input, Until, follow};
use crate::hooks::{self, ChangeKind, Changes, Follower, Runner};
use crate::output::{Output, narrate};
use crate::text::plain;

/// States that wait for a slow command. Beyond that, the newest takes the place of the last.
const EXEC_BACKLOG: usize = 64;

/// Prints events until `--count` of them are printed, or for ever.
///
/// Fails if there is no service at the start. If the service ends later, waits for it to come back.
pub(crate) fn run(args: &MonitorArgs, socket: &Path, output: &mut Output) -> Result<Exit, Failure> {
    let mut monitor = Monitor {
        view: View::default(),
        json: args.json,
        left: args.count.map(NonZeroU64::get),
    };
    let mut exec = args
        .exec
        .as_deref()
        .map(|command| Exec::start(command, args, socket))
        .transpose()?;
    // A command is told the whole state, whatever is printed.
    let kinds = if exec.is_some() {
        &[]
    } else {
        &args.events[..]
    };
    let until = Until {
        reader: true,
        signals: exec.is_some(),
    };
    let mut connected = false;
    for input in follow(socket, kinds, until)? {
        let events = match input {
            Input::Event(event) => {
                connected = true;
                if let Some(exec) = &mut exec {
                    exec.received(&event);
                }
                monitor.view.received(event).into_iter().collect()
            }
            Input::Gone(failure) if !connected => return Err(failure),
            Input::Gone(_) => {
                narrate(format_args!(
                    "the service on {} ended; waiting for it to come back",
                    socket.display()
                ));
                if let Some(exec) = &mut exec {
                    exec.gone();
                }
                monitor.view.gone()
            }
            Input::Refused(failure) => return Err(failure),
            Input::ReaderGone => return Err(Failure::closed_pipe()),
            // Only with a command, which ends first.
            Input::Signal => return Ok(Exit::Done),
        };
        let is_wanted = |event: &&Event| {
            let name = event.detail.name();
            args.events.is_empty() || name.is_none_or(|name| args.events.contains(&name))
        };
        for event in events.iter().filter(is_wanted) {
            if monitor.left != Some(0) {
                monitor.show(event, output)?;
            }
        }
        // The command is told the whole state, which may need one event more.
        if monitor.left == Some(0) && exec.as_ref().is_none_or(|exec| exec.is_told) {
            if let Some(exec) = exec {
                exec.runner.finish();
            }
            return Ok(Exit::Done);
        }
    }
    Err(Failure::new(Exit::Failed, "the events have ended"))
}

/// The command that is run for each event.
struct Exec {
    follower: Follower,
    runner: Runner,
    /// Whether it was told a state.
    is_told: bool,
}

impl Exec {
    fn start(command: &str, args: &MonitorArgs, socket: &Path) -> Result<Self, Failure> {
        let of = |event: &EventName| match event {
            EventName::Port => &[ChangeKind::Port][..],
            EventName::State => &[ChangeKind::Address, ChangeKind::State],
        };
        let kinds: Vec<_> = if args.events.is_empty() {
            ChangeKind::ALL.to_vec()
        } else {
            args.events.iter().flat_map(of).copied().collect()
        };
        let changes = Changes::as_events(&kinds, EXEC_BACKLOG, args.count.map(NonZeroU64::get));
        let tell = hooks::shell(command, socket, args.exec_timeout)?;
        Ok(Self {
            follower: Follower::new(socket),
            runner: Runner::start(changes, tell)?,
            is_told: false,
        })
    }

    fn received(&mut self, event: &Event) {
        if let Some(state) = self.follower.received(event) {
            self.runner.observe(state);
            self.is_told = true;
        }
    }

    fn gone(&mut self) {
        self.runner.observe(self.follower.gone());
    }
}

struct Monitor {
    view: View,
    json: bool,
    /// How many events are still to be printed; `None` for all.
    left: Option<u64>,
}

impl Monitor {
    /// Prints one event.
    fn show(&mut self, event: &Event, output: &mut Output) -> Result<(), Failure> {
        if self.json {
            output.json(event)?
        } else {
            output.line(Line(event))?
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        Ok(())
    }
}

/// The state that the reader knows from the events so far. It is kept across restarts of the service, so that the
/// output reports the end of every port.
#[derive(Debug, Default)]
struct View {
    /// `None` until the first port event.
    port: Option<u16>,
    /// `None` until the first state event.
    phase: Option<Phase>,
    sequence: u64,
}

impl View {
    /// The event as the reader should see it, or `None` if it brings nothing new.
    ///
    /// A restarted service begins with `current` again; for this reader it is a step from the last port (N-15).
    fn received(&mut self, mut event: Event) -> Option<Event> {
        match &mut event.detail {
            Detail::Port { kind, port } => {
                if let (PortKind::Current, Some(known)) = (*kind, self.port) {
                    *kind = Kind::of_step(known, *port)?.into();
                }
                self.port = Some(*port);
            }
            Detail::State { state, .. } => self.phase = Some(*state),
            Detail::Lost { .. } => {}
            // Its fields are unknown here, and part of an event is worse than none.
            _ => return None,
        }
        self.sequence = event.sequence;
        Some(event)
    }

    /// The service is gone, and with it the port and the state (N-11, N-15).
    fn gone(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.port.is_some_and(|port| port != 0) {
            self.port = Some(0);
            events.push(Detail::Port {
                kind: PortKind::Delete,
                port: 0,
            });
        }
        if self.phase.is_some_and(|phase| phase != Phase::Offline) {
            self.phase = Some(Phase::Offline);
            events.push(Detail::State {
                state: Phase::Offline,
                reason: Some(String::from("the service went away")),
                address: None,
                mapped: None,
                nat: None,
                server: None,
            });
        }
        events
            .into_iter()
            .map(|detail| Event::now(self.sequence, detail))
            .collect()
    }
}

/// An event as a line: `2026-11-22T13:05:07.123456Z [PORT] change port=40002 sequence=17`.
struct Line<'a>(&'a Event);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event {
            time,
            sequence,
            detail,
            ..
        } = self.0;
        let (verb, colour) = match detail {
            Detail::Port { .. } => ("PORT", AnsiColor::Green),
            Detail::State { .. } => ("STATE", AnsiColor::Cyan),
            Detail::Lost { .. } => ("LOST", AnsiColor::Red),
            _ => ("OTHER", AnsiColor::Yellow),
        };
        let style = Style::new().fg_color(Some(colour.into()));
        write!(f, "{} {style}[{verb}]{style:#}", plain(time))?;
        match detail {
            Detail::Port { kind, port } => write!(f, " {} port={port}", kind.name())?,
            Detail::State {
                state,
                reason,
                address,
                mapped,
                nat,
                server,
            } => {
                write!(f, " {}", state.name())?;
                pair(f, "address", address.as_ref())?;
                pair(f, "mapped", mapped.as_ref())?;
                pair(f, "nat", nat.as_deref().map(plain).as_ref())?;
                pair(f, "server", server.as_deref().map(plain).as_ref())?;
                // In quotes: the only value with spaces.
                pair(
                    f,
                    "reason",
                    reason
                        .as_deref()
                        .map(|reason| format!("{reason:?}"))
                        .as_ref(),
                )?;
            }
            Detail::Lost { count } => write!(f, " count={count}")?,
            _ => {}
        }
        write!(f, " sequence={sequence}")
    }
}

fn pair(f: &mut fmt::Formatter<'_>, key: &str, value: Option<&impl fmt::Display>) -> fmt::Result {
    match value {
        Some(value) => write!(f, " {key}={value}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
