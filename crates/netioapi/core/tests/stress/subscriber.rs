//! A subscriber: the handle on its process, and the subscriber that this program itself can be.

use std::io::{BufRead as _, BufReader, Write as _, stdin};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use teredo_notify::Kind;
use teredo_notify::watcher::Watcher;

use crate::publisher::FINAL;

/// Makes this program a subscriber at the socket that it names.
pub(crate) const ROLE: &str = "TEREDO_STRESS_SUBSCRIBER";

/// A subscriber's report of its knowledge: the port when asked for, the port told last by callbacks, which may be none
/// yet, and the number of notifications.
struct Knowledge {
    port: i32,
    told: Vec<i32>,
    count: u64,
}

/// Nothing was told yet.
const NOTHING: i32 = -1;

pub(crate) struct Subscriber {
    command: Command,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    /// Whether it has known an end of a phase.
    settled: bool,
    count: u64,
}

impl Subscriber {
    /// Returns when it has registered.
    pub(crate) fn start(mut command: Command) -> Self {
        let (child, input, lines) = spawn(&mut command);
        let this = Self {
            command,
            child,
            input,
            lines,
            settled: false,
            count: 0,
        };
        this.is_ready();
        this
    }

    fn is_ready(&self) {
        assert_eq!(self.line(), "ready");
    }

    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it and starts it again. Returns the number of notifications that it had when it was asked last.
    pub(crate) fn restart(&mut self) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.input, self.lines) = spawn(&mut self.command);
        self.settled = false;
        self.is_ready();
        std::mem::take(&mut self.count)
    }

    /// Waits until it knows that the port is this one, and has been told so if it was there before.
    pub(crate) fn knows(&mut self, port: u16, timeout: Duration) {
        let (port, deadline) = (i32::from(port), Instant::now() + timeout);
        loop {
            let known = self.ask();
            let told = |told: &i32| *told == port || (*told == NOTHING && !self.settled);
            self.count = known.count;
            if known.port == port && known.told.iter().all(told) {
                self.settled = true;
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{:?}: the port is {port}; it knows {} and was told {:?}",
                self.command.get_program(),
                known.port,
                known.told
            );
            thread::yield_now();
        }
    }

    /// Ends it in order. Returns its number of notifications.
    pub(crate) fn end(mut self) -> u64 {
        drop(self.input);
        let status = self.child.wait().unwrap();
        assert!(
            status.success(),
            "{:?}: {status}",
            self.command.get_program()
        );
        self.count
    }

    fn ask(&mut self) -> Knowledge {
        // Should it have ended, then it says so below.
        let _ = self.input.write_all(b"?\n");
        let numbers: Vec<i32> = self
            .line()
            .split(' ')
            .map(|number| number.parse().unwrap())
            .collect();
        let [port, told @ .., count] = &numbers[..] else {
            panic!("it says {numbers:?}");
        };
        Knowledge {
            port: *port,
            told: told.to_vec(),
            count: *count as u64,
        }
    }

    fn line(&self) -> String {
        let line = self.lines.recv_timeout(Duration::from_secs(60));
        line.unwrap_or_else(|_| panic!("{:?} says nothing", self.command.get_program()))
    }

    fn signal(&self, signal: Signal) {
        // Nobody else waits for it, so the number is its own still.
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

fn spawn(command: &mut Command) -> (Child, ChildStdin, Receiver<String>) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (tell, lines) = channel();
    // It ends with the subscriber.
    thread::spawn(move || {
        BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| tell.send(line))
    });
    (child, input, lines)
}

/// The record that a callback keeps of its notifications.
struct Listener {
    told: Option<u16>,
    highest: u16,
    sequence: u64,
    count: u64,
}

/// The subscriber in Rust: as stress.c, and the sequence numbers grow too.
pub(crate) fn run(socket: &Path) {
    // Not even a stopped one outlives the test.
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    let listener = Arc::new(Mutex::new(Listener {
        told: None,
        highest: 0,
        sequence: 0,
        count: 0,
    }));
    let hearing = Arc::clone(&listener);
    let watcher = Watcher::new(socket);
    let registration = watcher.register(false, move |notification| {
        let (mut listener, state) = (hearing.lock().unwrap(), notification.state);
        let in_order = state.sequence > listener.sequence
            && listener.told != Some(state.port)
            && (state.port == 0 || state.port > listener.highest)
            && listener
                .told
                .is_none_or(|told| Kind::of_step(told, state.port) == Some(notification.kind));
        if !in_order {
            eprintln!(
                "told of {notification:?} after {:?}, {}, {}",
                listener.told, listener.highest, listener.sequence
            );
            std::process::exit(1);
        }
        if state.port != 0 {
            listener.highest = if state.port >= FINAL { 0 } else { state.port };
        }
        listener.sequence = state.sequence;
        listener.told = Some(state.port);
        listener.count += 1;
    });
    let registration = registration.unwrap();
    println!("ready");
    for _ in stdin().lines().map_while(Result::ok) {
        let port = watcher.get_port().unwrap_or(0);
        let listener = listener.lock().unwrap();
        let told = listener.told.map_or(NOTHING, i32::from);
        println!("{port} {told} {}", listener.count);
    }
    drop(registration);
}
