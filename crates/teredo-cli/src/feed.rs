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
}

/// Starts to follow the service on `socket`; an empty `events` means all kinds.
pub(crate) fn follow(socket: &Path, events: &[EventName]) -> Result<Receiver<Input>, Failure> {
    let (sender, receiver) = sync_channel(BACKLOG);
    let watcher = sender.clone();
    let (socket, events) = (socket.to_owned(), events.to_owned());
    thread::Builder::new()
        .name(String::from("events"))
        .spawn(move || feed(&socket, &events, &sender))
        .and_then(|_| {
            thread::Builder::new()
                .name(String::from("reader"))
                .spawn(move || watch_reader(&watcher))
        })
        .map_err(|error| Failure::new(Exit::Failed, "cannot start a thread").because(error))?;
    Ok(receiver)
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
