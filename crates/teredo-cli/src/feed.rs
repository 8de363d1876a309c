//! The service's events, across its restarts, until the reader of standard output is gone.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use teredo_notify::call::{CallError, Replies};
use teredo_notify::types::{Event, EventName};

use crate::daemon::{EndSignals, runtime};
use crate::failure::{Exit, Failure};
use crate::service;

/// How often to check whether the service is back. A connection to a local socket costs microseconds.
const RETRY: Duration = Duration::from_millis(100);

/// Events in the channel. More wait in the service, which counts those that a slow reader misses.
const BACKLOG: usize = 64;

/// An item of the feed.
#[derive(Debug)]
pub(crate) enum Input {
    /// An event of the service.
    Event(Event),
    /// There is no service, or it ended; the feed keeps looking for it. Sent once until the next event.
    Gone(Failure),
    /// The service refuses, and will keep refusing. The last input.
    Refused(Failure),
    /// The reader of standard output is gone.
    ReaderGone,
    /// A signal asks this process to end.
    Signal,
}

/// The ends that the feed looks out for, besides that of its receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    /// [`Input::ReaderGone`].
    pub(crate) reader: bool,
    /// [`Input::Signal`], for a process that has something to undo.
    pub(crate) signals: bool,
}

/// Starts to follow the service on `socket`; an empty `events` means all kinds.
pub(crate) fn follow(
    socket: &Path,
    events: &[EventName],
    until: Until,
) -> Result<Receiver<Input>, Failure> {
    let (sender, receiver) = sync_channel(BACKLOG);
    if until.signals {
        let sender = sender.clone();
        // A receiver that is gone ends anyhow.
        on_end_signal(move || drop(sender.send(Input::Signal)))?;
    }
    if until.reader {
        let sender = sender.clone();
        spawn("reader", move || watch_reader(&sender))?;
    }
    let (socket, events) = (socket.to_owned(), events.to_owned());
    spawn("events", move || feed(&socket, &events, &sender))?;
    Ok(receiver)
}

/// Calls `act` at the first signal that asks this process to end. From the return on, such a signal no longer kills.
pub(crate) fn on_end_signal(act: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let runtime = runtime()?;
    let mut signals = {
        let _entered = runtime.enter();
        EndSignals::of_terminal()?
    };
    spawn("signals", move || {
        runtime.block_on(signals.received());
        act();
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread
        .map(drop)
        .map_err(|error| Failure::new(Exit::Failed, "cannot start a thread").because(error))
}

/// Ends when the receiver is gone, or with [`Input::Refused`].
fn feed(socket: &Path, events: &[EventName], sender: &SyncSender<Input>) {
    let mut reported = false;
    loop {
        let failure = match service::monitor(socket, events) {
            Err(failure) => failure,
            Ok(stream) => match forward(stream, sender, &mut reported) {
                ControlFlow::Continue(error) => service::failure(error, socket),
                ControlFlow::Break(()) => return,
            },
        };
        if failure.exit() != Exit::Unreachable {
            // A receiver that is gone needs no input.
            let _ = sender.send(Input::Refused(failure));
            return;
        }
        if !reported && sender.send(Input::Gone(failure)).is_err() {
            return;
        }
        reported = true;
        thread::sleep(RETRY);
    }
}

/// Forwards `stream` until its error, or breaks when the receiver is gone.
fn forward(
    stream: Replies<Event>,
    sender: &SyncSender<Input>,
    reported: &mut bool,
) -> ControlFlow<(), CallError> {
    for item in stream {
        match item {
            Ok(event) => {
                *reported = false;
                if sender.send(Input::Event(event)).is_err() {
                    return ControlFlow::Break(());
                }
            }
            Err(error) => return ControlFlow::Continue(error),
        }
    }
    ControlFlow::Continue(CallError::Disconnected)
}

/// poll(2) reports a pipe without a reader even if it is asked for no event; a file or a terminal reports nothing.
fn watch_reader(sender: &SyncSender<Input>) {
    let stdout = io::stdout();
    loop {
        match poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(1..) => {
                // A receiver that is gone needs no input.
                let _ = sender.send(Input::ReaderGone);
                return;
            }
            Ok(0) | Err(_) => return,
        }
    }
}
