//! Those who want to know the port: by our library, by its names from Windows, by hand, and at the shell.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use teredo_lab::{Host, Process};
use teredo_notify::mib::{MibNotificationType, PortNotifications};
use teredo_notify::watcher::{WatchRegistration, Watcher};
use teredo_notify::{Kind, Notification};

use crate::world::*;

/// A program that has registered for the port with [`Watcher::register`].
pub(crate) struct Subscriber {
    told: Receiver<(Kind, u16)>,
    _registration: WatchRegistration,
}

impl Subscriber {
    pub(crate) fn new(socket: &Path) -> Self {
        let (tell, told) = channel();
        let running = AtomicBool::new(false);
        let callback = move |notification: Notification| {
            assert!(
                !running.swap(true, Ordering::SeqCst),
                "two invocations at once"
            );
            // The test may have ended.
            let _ = tell.send((notification.kind, notification.state.port));
            running.store(false, Ordering::SeqCst);
        };
        let registration = Watcher::new(socket).register(false, callback).unwrap();
        Self {
            told,
            _registration: registration,
        }
    }

    /// The next notification.
    #[track_caller]
    pub(crate) fn next(&self, timeout: Duration) -> (Kind, u16) {
        self.told
            .recv_timeout(timeout)
            .expect("a notification in time")
    }
}

/// A program that knows the names of Windows.
pub(crate) struct MibSubscriber {
    pub(crate) functions: PortNotifications,
    told: Receiver<(u16, MibNotificationType)>,
}

impl MibSubscriber {
    pub(crate) fn new(socket: &Path) -> Self {
        let (tell, told) = channel();
        let functions = PortNotifications::new(Watcher::new(socket));
        // The test may have ended.
        let callback = move |port, kind| {
            let _ = tell.send((port, kind));
        };
        functions.notify_teredo_port_change(callback, true).unwrap();
        Self { functions, told }
    }

    #[track_caller]
    pub(crate) fn next(&self, timeout: Duration) -> (u16, MibNotificationType) {
        self.told.recv_timeout(timeout).expect("a callback in time")
    }
}

/// A program without our library: JSON objects, each ended by a NUL.
pub(crate) struct Varlink(BufReader<UnixStream>);

impl Varlink {
    /// Subscribes, and waits until that is in force.
    #[track_caller]
    pub(crate) fn subscribe(socket: &Path) -> Self {
        let parameters = json!({ "initial": true, "gate": false });
        let mut subscription = Self::call(socket, "io.teredo.Client.Subscribe", &parameters);
        assert_eq!(
            subscription.next().expect("a first reply")["kind"],
            "initial"
        );
        subscription
    }

    /// Makes a call that is answered by a stream.
    #[track_caller]
    pub(crate) fn call(socket: &Path, method: &str, parameters: &Value) -> Self {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(SECOND)).unwrap();
        let call = json!({ "method": method, "parameters": parameters, "more": true });
        stream.write_all(format!("{call}\0").as_bytes()).unwrap();
        Self(BufReader::new(stream))
    }

    /// The parameters of the next reply; `None` at the end of the connection.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Value> {
        let mut message = Vec::new();
        self.0
            .read_until(0, &mut message)
            .expect("a reply or the end within a second");
        let message = message.strip_suffix(&[0])?;
        let reply: Value = serde_json::from_slice(message).unwrap();
        assert_eq!(reply["continues"], true, "{reply}");
        Some(reply["parameters"].clone())
    }
}

/// `teredo monitor --json --events port`, and what it prints.
pub(crate) struct Monitor {
    process: Process,
    read: usize,
}

impl Monitor {
    /// Returns when it has printed the current port.
    #[track_caller]
    pub(crate) fn start(host: &Host, client: &Client) -> Self {
        let socket = client.socket.to_str().unwrap();
        let arguments = ["monitor", "--socket", socket, "--json", "--events", "port"];
        let mut monitor = Self {
            process: start(host, "monitor", &arguments),
            read: 0,
        };
        assert_eq!(monitor.next(SECOND * 5).0, "current");
        monitor
    }

    /// The kind and port of the next event.
    #[track_caller]
    pub(crate) fn next(&mut self, timeout: Duration) -> (String, u64) {
        loop {
            // Every event has the word; the narration on stderr has not.
            self.process
                .wait_for_line_after(self.read, "\"port\"", timeout)
                .unwrap();
            let line = self.process.lines()[self.read].clone();
            self.read += 1;
            let Ok(event) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            assert_eq!(
                (&event["schema"], &event["event"]),
                (&json!("teredo.event/1"), &json!("port")),
                "{event}"
            );
            return (
                event["kind"].as_str().unwrap().to_owned(),
                event["port"].as_u64().unwrap(),
            );
        }
    }
}

pub(crate) fn event(kind: &str, port: u16) -> (String, u64) {
    (kind.to_owned(), port.into())
}
