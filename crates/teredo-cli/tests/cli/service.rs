//! The commands that query the service, with the real service and a fake client.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use serde_json::Value;
use tempfile::TempDir;
use teredo_notify::hub::Hub;
use teredo_notify::service::{
    Config, Control, ControlError, ControlFuture, EventBus, Outcome, Service,
};
use teredo_notify::types::{Detail, Phase, Role, Status};
use tokio::sync::oneshot;

use crate::program::{DEADLINE, Ended, end, finish, teredo};

/// A client that does as it is asked, on a hub that the test can reach.
struct FakeClient {
    hub: Hub,
    status: Mutex<Status>,
    settled: bool,
}

impl FakeClient {
    fn publish(&self, port: u16) -> Outcome {
        self.hub.publish(port);
        Outcome {
            port,
            settled: self.settled,
        }
    }
}

impl Control for FakeClient {
    fn status(&self) -> ControlFuture<'_, Status> {
        Box::pin(async { self.status.lock().expect("no test panics with it").clone() })
    }

    fn rebind(&self, port: Option<u16>) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        Box::pin(async move {
            match port {
                Some(1) => Err(ControlError::PortInUse(1)),
                Some(2) => Err(ControlError::NotReady),
                Some(3) => Err(ControlError::Failed("no route".into())),
                port => Ok(self.publish(port.unwrap_or(40_099))),
            }
        })
    }

    fn stop(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        Box::pin(async { Ok(self.publish(0)) })
    }

    fn start(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        Box::pin(async { Ok(self.publish(40_001)) })
    }
}

/// The service, on a thread of its own; ends when dropped.
pub(crate) struct Running {
    hub: Hub,
    events: EventBus,
    client: Arc<FakeClient>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(socket: &Path, settled: bool) -> Self {
        let hub = Hub::new();
        let events = EventBus::new(hub.clone());
        let client = Arc::new(FakeClient {
            hub: hub.clone(),
            status: Mutex::default(),
            settled,
        });
        let (end, ended) = oneshot::channel();
        let (up, is_up) = mpsc::channel();
        let parts = (
            Config::new(socket),
            hub.clone(),
            events.clone(),
            client.clone(),
        );
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let (config, hub, events, client) = parts;
                // A process that another test starts holds the old lock between its fork and its exec.
                let service = teredo_lab::until(DEADLINE, "the socket", || {
                    Service::bind(&config, hub.clone(), events.clone(), client.clone()).ok()
                });
                let service = service.expect("the socket is free");
                up.send(()).expect("the test waits");
                service.run(async { drop(ended.await) }).await;
            });
        });
        is_up.recv_timeout(DEADLINE).expect("the service listens");
        Self {
            hub,
            events,
            client,
            end: Some(end),
            thread: Some(thread),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the service panicked");
        }
    }
}

/// A folder with a place for the socket.
pub(crate) struct Place {
    _folder: TempDir,
    pub(crate) socket: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("teredo.sock");
        Self {
            _folder: folder,
            socket,
        }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = teredo(arguments);
        command.env("TEREDO_SOCKET", &self.socket);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        finish(&mut self.command(arguments))
    }
}

/// A command that prints lines; killed when dropped.
struct Talking {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Talking {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("it was asked for");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            // A test that has ended needs no more lines.
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("another line")
    }

    fn event(&mut self) -> Value {
        serde_json::from_str(&self.line()).expect("one JSON object a line")
    }

    fn port_event(&mut self) -> (String, u64) {
        let event = self.event();
        assert_eq!(
            (&event["schema"], &event["event"]),
            (&"teredo.event/1".into(), &"port".into()),
            "{event}"
        );
        assert!(
            event["time"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z')),
            "{event}"
        );
        assert!(event["sequence"].is_u64(), "{event}");
        (
            event["kind"].as_str().expect("text").to_owned(),
            event["port"].as_u64().expect("a number"),
        )
    }

    fn code(mut self) -> Option<i32> {
        let ended = || self.child.try_wait().expect("it can be waited for");
        teredo_lab::until(DEADLINE, "the end of the program", ended)
            .expect("it ends")
            .code()
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn step(kind: &str, port: u64) -> (String, u64) {
    (kind.to_owned(), port)
}

#[test]
fn status_tells_everything_and_is_3_until_qualified() {
    let place = Place::new();
    let running = Running::start(&place.socket, true);
    *running.client.status.lock().expect("not poisoned") = Status {
        state: Phase::Probe,
        reason: Some("no answer from the server".into()),
        ..Status::default()
    };

    let probing = place.run(&[]);
    assert_eq!(probing.code, 3, "{}", probing.stderr);
    assert!(
        probing.stdout.starts_with("● teredo  probe\n"),
        "{}",
        probing.stdout
    );
    assert!(
        probing
            .stdout
            .contains("      Reason: no answer from the server\n"),
        "{}",
        probing.stdout
    );
    assert!(
        probing.stdout.contains("  Local port: none\n"),
        "{}",
        probing.stdout
    );

    running.hub.publish(40_001);
    let address = "2001:0:4136:e378:8000:63bf:3fff:fdd2"
        .parse()
        .expect("an address");
    *running.client.status.lock().expect("not poisoned") = Status {
        state: Phase::Qualified,
        address: Some(address),
        ..Status::default()
    };
    let json = place.run(&["status", "--json"]);
    assert_eq!(json.code, 0, "{}", json.stderr);
    let json: Value = serde_json::from_str(&json.stdout).expect("one JSON object");
    assert_eq!(
        (&json["schema"], &json["state"]),
        (&"teredo.status/1".into(), &"qualified".into())
    );
    assert_eq!(
        (&json["port"], &json["address"]),
        (&40_001.into(), &address.to_string().into())
    );
    for field in [
        "role",
        "reason",
        "server",
        "local",
        "mapped",
        "nat",
        "refresh_ms",
        "peers",
        "drops",
    ] {
        assert!(json.get(field).is_some(), "{field} is missing: {json}");
    }
}

#[test]
fn the_port_is_alone_on_its_line_and_its_absence_is_3() {
    let place = Place::new();
    let running = Running::start(&place.socket, true);
    let none = place.run(&["port"]);
    assert_eq!((none.code, none.stdout.as_str()), (3, ""));
    assert!(
        none.stderr.starts_with("teredo: there is no Teredo port"),
        "{}",
        none.stderr
    );
    let waited = place.run(&["port", "--wait", "--timeout", "0.05"]);
    assert_eq!((waited.code, waited.stdout.as_str()), (124, ""));

    running.hub.publish(40_001);
    assert_eq!(place.run(&["port"]).stdout, "40001\n");
    assert_eq!(
        place.run(&["port", "--wait", "--timeout", "10"]).stdout,
        "40001\n"
    );
    // Without a wait the service is still asked once.
    assert_eq!(place.run(&["port", "--timeout", "0"]).stdout, "40001\n");
    assert_eq!(
        place.run(&["port", "--json"]).stdout,
        "{\"schema\":\"teredo.port/1\",\"port\":40001}\n"
    );
}

#[test]
fn a_server_is_not_said_to_be_stopped() {
    let place = Place::new();
    let running = Running::start(&place.socket, true);
    running.client.status.lock().expect("no panic").role = Role::Server;
    let ended = place.run(&["port"]);
    assert_eq!(ended.code, 3);
    assert!(
        ended.stderr.contains("UDP port 3544") && !ended.stderr.contains("teredo start"),
        "{}",
        ended.stderr
    );
}

/// N-15: the wait outlasts a service without a port, and one that is not there at all.
#[test]
fn waiting_for_the_port_begins_before_the_service() {
    let place = Place::new();
    let mut command = place.command(&["port", "--wait", "--timeout", "10"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut narration = BufReader::new(child.stderr.take().expect("it was asked for")).lines();
    let first = narration.next().expect("a line").expect("text");
    assert!(
        first.starts_with("teredo: waiting for the service on "),
        "{first}"
    );

    let running = Running::start(&place.socket, true);
    running.hub.publish(40_001);
    let ended = end(child);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "40001\n"));
}

/// N-11, N-15, N-19: the current state, every step, the end of the service, and its return.
#[test]
fn monitor_never_leaves_its_reader_with_a_port_that_is_gone() {
    let place = Place::new();
    let running = Running::start(&place.socket, true);
    running.hub.publish(40_001);
    let mut monitor = Talking::start(place.command(&["monitor", "--events", "port", "--json"]));
    assert_eq!(monitor.port_event(), step("current", 40_001));
    running.hub.publish(40_002);
    assert_eq!(monitor.port_event(), step("change", 40_002));
    running.hub.publish(0);
    assert_eq!(monitor.port_event(), step("delete", 0));
    running.hub.publish(40_003);
    assert_eq!(monitor.port_event(), step("add", 40_003));

    drop(running);
    assert_eq!(monitor.port_event(), step("delete", 0));
    let running = Running::start(&place.socket, true);
    running.hub.publish(40_004);
    assert_eq!(monitor.port_event(), step("add", 40_004));
}

#[test]
fn monitor_shows_every_kind_as_lines_and_ends_after_count() {
    let place = Place::new();
    let running = Running::start(&place.socket, true);
    running.hub.publish(40_001);
    let mut monitor =
        Talking::start(place.command(&["monitor", "--events", "port", "--count", "2"]));
    let first = monitor.line();
    assert!(
        first.contains("Z [PORT] current port=40001 sequence="),
        "{first}"
    );
    running.hub.publish(40_002);
    let second = monitor.line();
    assert!(
        second.contains("Z [PORT] change port=40002 sequence="),
        "{second}"
    );
    assert_eq!(monitor.code(), Some(0));
}

#[test]
fn monitor_can_be_asked_for_states_alone() {
    let place = Place::new();
    let running = Running::start(&place.socket, true);
    let mut monitor = Talking::start(place.command(&["monitor", "--events", "state"]));
    let first = monitor.line();
    assert!(first.contains("[STATE] offline"), "{first}");
    running.hub.publish(40_001);
    running.events.publish(Detail::State {
        state: Phase::Qualified,
        reason: None,
        address: None,
        mapped: Some("192.0.2.45:40000".parse().expect("an address")),
        nat: Some("restricted".into()),
        server: None,
    });
    let second = monitor.line();
    assert!(
        second.contains("[STATE] qualified mapped=192.0.2.45:40000 nat=restricted sequence="),
        "{second}"
    );
    drop(running);
    let third = monitor.line();
    assert!(
        third.contains("[STATE] offline reason=\"the service went away\""),
        "{third}"
    );
}

#[test]
fn control_prints_the_port_and_maps_its_errors() {
    let place = Place::new();
    let running = Running::start(&place.socket, true);
    for (arguments, code, stdout, stderr) in [
        (&["start"][..], 0, "40001\n", ""),
        (&["rebind", "--port", "40002"], 0, "40002\n", ""),
        (&["rebind"], 0, "40099\n", ""),
        (&["stop"], 0, "", ""),
        (
            &["rebind", "--port", "1"],
            1,
            "",
            "port 1 is in use by another program",
        ),
        (&["rebind", "--port", "2"], 3, "", "there is no Teredo port"),
        (&["rebind", "--port", "3"], 1, "", "no route"),
    ] {
        let ended = place.run(arguments);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (code, stdout),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains(stderr) && ended.stderr.is_empty() == stderr.is_empty(),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(running.hub.snapshot().port, 0, "the client stopped");
}

/// N-16: a firewall that misses its deadline is reported, and the command succeeds.
#[test]
fn a_firewall_that_does_not_confirm_is_reported() {
    let place = Place::new();
    let _running = Running::start(&place.socket, false);
    let ended = place.run(&["rebind", "--port", "40002"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "40002\n"));
    assert!(
        ended
            .stderr
            .contains("a firewall did not confirm the change in time"),
        "{}",
        ended.stderr
    );
}
