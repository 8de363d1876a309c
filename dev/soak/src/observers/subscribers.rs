//! A hundred programs that follow the port: half by the project's library, half by hand.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use teredo_notify::watcher::{WatchRegistration, Watcher};
use teredo_notify::{Kind, Notification};

use crate::journal::{Invariant, Journal};

/// How many there are of each kind.
const EACH: usize = 50;
/// The pause before a program without the library connects again.
const RETRY: Duration = Duration::from_millis(50);
const WAIT: Duration = Duration::from_millis(500);

/// All subscribers.
pub(crate) struct Subscribers {
    last: Vec<Arc<Mutex<Memory>>>,
    heard: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    /// They end with this.
    _registrations: Vec<WatchRegistration>,
}

impl Subscribers {
    pub(crate) fn start(socket: &Path, journal: &Arc<Journal>) -> Result<Self> {
        let mut all = Self {
            last: Vec::new(),
            heard: Arc::default(),
            over: Arc::default(),
            _registrations: Vec::new(),
        };
        for number in 0..EACH {
            let memory = all.memory();
            let (heard, journal) = (Arc::clone(&all.heard), Arc::clone(journal));
            let mut is_first = true;
            let callback = move |notification: Notification| {
                heard.fetch_add(1, Ordering::Relaxed);
                let is_initial = std::mem::take(&mut is_first);
                let news = News {
                    // It registers once, across all lives of the service.
                    kind: (!is_initial).then_some(notification.kind),
                    sequence: notification.state.sequence,
                    port: notification.state.port,
                };
                learn(&memory, &news, &journal, &format!("watcher {number}"));
            };
            // A watcher of its own: a process has one, and these play different processes.
            let registration = Watcher::new(socket).register(true, callback);
            all._registrations
                .push(registration.context("cannot register for the port")?);
        }
        for number in 0..EACH {
            let memory = all.memory();
            let plain = Plain {
                socket: socket.to_owned(),
                memory,
                heard: Arc::clone(&all.heard),
                over: Arc::clone(&all.over),
                journal: Arc::clone(journal),
                name: format!("subscriber {number}"),
            };
            thread::Builder::new()
                .name("soak-subscriber".into())
                .stack_size(256 * 1024)
                .spawn(move || plain.run())
                .context("cannot start a thread")?;
        }
        Ok(all)
    }

    /// How many believe in this port, and how many there are.
    pub(crate) fn believers(&self, port: u16) -> (usize, usize) {
        let believes = |memory: &&Arc<Mutex<Memory>>| {
            let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.port == port
        };
        (self.last.iter().filter(believes).count(), self.last.len())
    }

    /// How many notifications came.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn memory(&mut self) -> Arc<Mutex<Memory>> {
        let memory = Arc::<Mutex<Memory>>::default();
        self.last.push(Arc::clone(&memory));
        memory
    }
}

/// The state that a subscriber knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Memory {
    sequence: u64,
    port: u16,
}

/// A message to a subscriber. A notification of no kind is the first of a connection.
#[derive(Clone, Copy, Debug)]
struct News {
    kind: Option<Kind>,
    sequence: u64,
    port: u16,
}

fn learn(memory: &Mutex<Memory>, news: &News, journal: &Journal, who: &str) {
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    let fault = fault(*memory, news);
    *memory = Memory {
        sequence: news.sequence,
        port: news.port,
    };
    drop(memory);
    if let Some(fault) = fault {
        journal.broken(
            Invariant::Notifications,
            &format!("{who}: {fault}: {news:?}"),
        );
    }
}

/// The rule that the news breaks: in order, each once, and of the kind that the step is (N-01, N-11, N-13).
fn fault(known: Memory, news: &News) -> Option<&'static str> {
    let kind = news.kind?;
    if news.sequence <= known.sequence {
        return Some("an earlier state after a later one, or the same twice");
    }
    if news.port == known.port {
        return Some("the same port twice");
    }
    let right = match kind {
        Kind::Initial => return Some("an initial state that nobody asked for"),
        Kind::Add => known.port == 0 && news.port != 0,
        Kind::Delete => known.port != 0 && news.port == 0,
        Kind::Change => known.port != 0 && news.port != 0,
    };
    (!right).then_some("a kind that is not the step's")
}

/// A program without the library: JSON objects, each ended by a NUL.
struct Plain {
    socket: PathBuf,
    memory: Arc<Mutex<Memory>>,
    heard: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    journal: Arc<Journal>,
    name: String,
}

impl Plain {
    fn run(&self) {
        while !self.over.load(Ordering::Acquire) {
            // The service is away now and then.
            let _ = self.follow();
            // The end of the connection is the end of the port (N-15).
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            *memory = Memory::default();
            drop(memory);
            thread::sleep(RETRY);
        }
    }

    fn follow(&self) -> std::io::Result<()> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(WAIT))?;
        let call = json!({
            "method": "io.teredo.Client.Subscribe",
            "parameters": { "initial": true, "gate": false },
            "more": true,
        });
        stream.write_all(format!("{call}\0").as_bytes())?;
        let mut replies = BufReader::new(stream);
        let mut message = Vec::new();
        let mut is_first = true;
        while !self.over.load(Ordering::Acquire) {
            match replies.read_until(0, &mut message) {
                Ok(_) if message.last() == Some(&0) => message.truncate(message.len() - 1),
                Ok(_) => return Ok(()),
                Err(error) if is_pause(error.kind()) => continue,
                Err(error) => return Err(error),
            }
            let reply: Value = serde_json::from_slice(&message)?;
            message.clear();
            if reply.get("error").is_some() {
                return Ok(());
            }
            let Some((kind, news)) = read(&reply["parameters"], is_first) else {
                let text = format!("{}: a reply that makes no sense: {reply}", self.name);
                self.journal.broken(Invariant::Notifications, &text);
                return Ok(());
            };
            if (kind == Kind::Initial) != is_first {
                let text = format!("{}: {kind:?} at the wrong place: {reply}", self.name);
                self.journal.broken(Invariant::Notifications, &text);
            }
            is_first = false;
            self.heard.fetch_add(1, Ordering::Relaxed);
            learn(&self.memory, &news, &self.journal, &self.name);
        }
        Ok(())
    }
}

fn is_pause(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(kind, Interrupted | TimedOut | WouldBlock)
}

fn read(parameters: &Value, is_first: bool) -> Option<(Kind, News)> {
    let kind: Kind = serde_json::from_value(parameters["kind"].clone()).ok()?;
    let news = News {
        kind: (!is_first).then_some(kind),
        sequence: parameters["sequence"].as_u64()?,
        port: u16::try_from(parameters["port"].as_u64()?).ok()?,
    };
    Some((kind, news))
}

#[cfg(test)]
mod tests;
