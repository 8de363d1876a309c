//! The service's events, through its restarts, until nobody reads them any more.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use teredo_notify::client::{ClientError, Replies};
use teredo_notify::types::{Event, EventName};

use crate::failure::{Exit, Failure};
use crate::service;

/// How often to look whether the service is back. A connection to a local socket costs microseconds.
const RETRY: Duration = Duration::from_millis(100);

/// Events under way. More wait in the service, which counts what a reader too slow misses.
const BACKLOG: usize = 64;

/// What a feed brings.
#[derive(Debug)]
pub(crate) enum Input {
    /// The service said this.
    Event(Event),
    /// The service is not there, or went away; the feed looks for it from now on. Once until the next event.
    Gone(Failure),
    /// The service is there and refuses, and will go on refusing. The last input.
    Refused(Failure),
    /// Nobody reads standard output any more.
    ReaderGone,
}

/// Starts to follow the service on `socket`; empty `events` are all of them.
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
    let mut told = false;
    loop {
        let failure = match service::monitor(socket, events) {
            Err(failure) => failure,
            Ok(stream) => match forward(stream, sender, &mut told) {
                ControlFlow::Continue(error) => service::failure(error, socket),
                ControlFlow::Break(()) => return,
            },
        };
        if failure.exit() != Exit::Unreachable {
            // The receiver may be gone, and then nobody minds.
            let _ = sender.send(Input::Refused(failure));
            return;
        }
        if !told && sender.send(Input::Gone(failure)).is_err() {
            return;
        }
        told = true;
        thread::sleep(RETRY);
    }
}

/// Hands on what `stream` brings until its error, or breaks when the receiver is gone.
fn forward(
    stream: Replies<Event>,
    sender: &SyncSender<Input>,
    told: &mut bool,
) -> ControlFlow<(), ClientError> {
    for item in stream {
        match item {
            Ok(event) => {
                *told = false;
                if sender.send(Input::Event(event)).is_err() {
                    return ControlFlow::Break(());
                }
            }
            Err(error) => return ControlFlow::Continue(error),
        }
    }
    ControlFlow::Continue(ClientError::Disconnected)
}

/// A pipe whose reader went away reports it although nothing is asked for; a file and a terminal stay silent.
fn watch_reader(sender: &SyncSender<Input>) {
    let stdout = io::stdout();
    loop {
        match poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(1..) => {
                // The receiver may be gone, and then nobody minds.
                let _ = sender.send(Input::ReaderGone);
                return;
            }
            Ok(0) | Err(_) => return,
        }
    }
}
