//! The port in other processes than the client's, while the service comes and goes.

#[path = "support/service.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::json;
use support::{A_WHILE, Running, SOON, as_user, folder, wait_until};
use teredo_notify::code::{CancelError, GetPortError};
use teredo_notify::hub::{Admission, Settled};
use teredo_notify::mib::{
    MIB_INVALID_TEREDO_PORT_NUMBER, MibNotificationType, NotificationHandle, PortNotifications,
    cancel_mib_change_notify2, get_teredo_port, notify_teredo_port_change,
};
use teredo_notify::service::Config;
use teredo_notify::snapshot::Node;
use teredo_notify::watcher::{GatingError, GatingSubscriber, WatchRegistration, Watcher};
use teredo_notify::{Kind, RandomPorts, RandomSnapshot, Snapshot};

fn listen(watcher: &Watcher, initial: bool) -> (WatchRegistration, Receiver<(Kind, u16)>) {
    let (told, heard) = mpsc::channel();
    let registration = watcher
        .register(initial, move |n| _ = told.send((n.kind, n.state.port)))
        .unwrap();
    (registration, heard)
}

fn next<T>(heard: &Receiver<T>) -> T {
    heard.recv_timeout(SOON).expect("nothing was notified")
}

/// N-15: the service dies, comes back, and a registration hears of both without doing anything.
#[test]
fn registrations_survive_a_restart_of_the_service() {
    let folder = folder();
    let path = folder.path().join("s");
    let service = Running::start(&path);
    service.hub.publish(10);
    let watcher = Watcher::new(&path);
    let (_registration, heard) = listen(&watcher, true);
    assert_eq!(next(&heard), (Kind::Initial, 10));
    service.stop();
    assert_eq!(next(&heard), (Kind::Delete, 0));
    assert_eq!(watcher.get_port(), Err(GetPortError::NotReady));
    for port in [10, 20, 30] {
        let service = Running::start(&path);
        service.hub.publish(port);
        assert_eq!(next(&heard), (Kind::Add, port));
        assert_eq!(watcher.get_port(), Ok(port));
        service.stop();
        assert_eq!(next(&heard), (Kind::Delete, 0));
    }
}

/// N-15: the service need not be there at the start. N-02, N-03.
#[test]
fn registrations_may_come_before_the_service() {
    let folder = folder();
    let path = folder.path().join("a/s");
    let watcher = Watcher::new(&path);
    assert_eq!(watcher.get_port(), Err(GetPortError::NotReady));
    let (_with, with) = listen(&watcher, true);
    let (_without, without) = listen(&watcher, false);
    assert_eq!(next(&with), (Kind::Initial, 0));
    let service = Running::start(&path);
    service.hub.publish(10);
    assert_eq!(next(&with), (Kind::Add, 10));
    assert_eq!(next(&without), (Kind::Add, 10));
}

/// N-02, N-11: a port that is there at registration is no change.
#[test]
fn the_port_at_registration_is_not_notified() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    service.hub.publish(10);
    let watcher = Watcher::new(service.path());
    for _ in 0..3 {
        let (_registration, heard) = listen(&watcher, false);
        assert_eq!(watcher.get_port(), Ok(10));
        assert!(heard.recv_timeout(A_WHILE).is_err());
    }
    // While nobody was registered, nobody followed.
    wait_until("the connection is closed", || {
        service.hub.registrations() == 0
    });
    service.hub.publish(20);
    assert_eq!(watcher.get_port(), Ok(20));
    let (_registration, heard) = listen(&watcher, false);
    assert_eq!(watcher.get_port(), Ok(20));
    service.hub.publish(30);
    assert_eq!(next(&heard), (Kind::Change, 30));
}

/// N-14: a callback that is stuck on the thread that reads holds up neither the reading nor anybody else.
#[test]
fn a_stuck_callback_does_not_stop_the_mirror() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let watcher = Watcher::new(service.path());
    let (let_go, held) = mpsc::channel::<()>();
    let (told, slow) = mpsc::channel();
    let _stuck = watcher
        .register(false, move |n| {
            // An error: let go for good.
            let _ = held.recv();
            let _ = told.send(n.state.port);
        })
        .unwrap();
    // Gone before the registration, should this fail.
    let let_go = let_go;
    let (_free, heard) = listen(&watcher, false);
    for port in 1..=50 {
        service.hub.publish(port);
        assert_eq!(next(&heard).1, port);
        assert_eq!(watcher.get_port(), Ok(port));
    }
    // One who comes now is served too, and not by the caller.
    let (_late, late) = listen(&watcher, true);
    assert_eq!(next(&late), (Kind::Initial, 50));
    drop(let_go);
    while next(&slow) != 50 {}
}

/// N-02: the initial notification runs on another thread than the caller's, though nothing comes from the service.
#[test]
fn initial_notifications_run_on_another_thread() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let watcher = Watcher::new(service.path());
    let (_other, others) = listen(&watcher, false);
    service.hub.publish(10);
    assert_eq!(next(&others), (Kind::Add, 10));
    for _ in 0..3 {
        let (told, heard) = mpsc::channel();
        let _registration = watcher
            .register(true, move |_| _ = told.send(std::thread::current().id()))
            .unwrap();
        assert_ne!(next(&heard), std::thread::current().id());
    }
}

/// N-05: one connection for all registrations of a process, which ends with the last of them.
#[test]
fn a_process_has_one_connection() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let watcher = Watcher::new(service.path());
    let registrations: Vec<_> = (0..100).map(|_| listen(&watcher, false)).collect();
    assert_eq!(service.hub.registrations(), 1);
    assert!(watcher.is_connected());
    service.hub.publish(10);
    for (_, heard) in &registrations {
        assert_eq!(next(heard), (Kind::Add, 10));
    }
    drop(registrations);
    assert!(!watcher.is_connected());
    wait_until("the connection is closed", || {
        service.hub.registrations() == 0
    });
}

/// N-19: an iterator and a stream of whole states.
#[test]
fn snapshots_begin_with_the_current_state() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    service.hub.publish(10);
    let watcher = Watcher::new(service.path());
    let mut snapshots = watcher.snapshots().unwrap();
    let mut stream = watcher.stream().unwrap();
    let first = snapshots.next().unwrap();
    assert_eq!(first.port, 10);
    assert_eq!(snapshots.next_within(Duration::ZERO), None);
    service.hub.publish(20);
    let second = snapshots.next().unwrap();
    assert_eq!(second.port, 20);
    assert!(second.sequence > first.sequence);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        assert_eq!(stream.next().await, Some(first));
        assert_eq!(stream.next().await, Some(second));
    });
}

fn in_tokio<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { tokio::time::timeout(SOON, body).await.expect("out of time") })
}

/// N-15, N-16
#[test]
fn a_gate_follows_the_service_and_settles() {
    let folder = folder();
    let path = folder.path().join("s");
    let mut gate = GatingSubscriber::new(&path);
    in_tokio(async {
        assert_eq!(
            gate.next().await,
            Ok(Snapshot {
                sequence: 0,
                port: 0
            }),
            "it is absent"
        );
        let service = Running::start(&path);
        assert_eq!(
            gate.next().await,
            Ok(Snapshot {
                sequence: 0,
                port: 0
            }),
            "it has no port"
        );
        gate.settle(0).await;
        wait_until("the gate is in step", || service.hub.gates()[0].in_sync);

        let sequence = service.hub.publish(10);
        assert_eq!(gate.next().await, Ok(Snapshot { sequence, port: 10 }));
        assert!(!service.hub.is_settled(sequence));
        gate.settle(sequence).await;
        assert_eq!(service.hub.wait_settled(sequence, SOON), Settled::All);

        service.stop();
        assert_eq!(
            gate.next().await,
            Ok(Snapshot { sequence, port: 0 }),
            "it is gone"
        );
        assert!(!gate.is_connected());
        gate.settle(sequence).await;
        let service = Running::start(&path);
        service.hub.publish(20);
        let mut state = gate.next().await.unwrap();
        if state.port == 0 {
            state = gate.next().await.unwrap();
        }
        assert_eq!(state.port, 20);
    });
}

/// N-15, N-16: a port that a service manager keeps for the next client is not gone while that starts, and is gone if
/// there is none.
#[test]
fn a_kept_port_waits_for_the_next_client() {
    let folder = folder();
    let path = folder.path().join("s");
    let mut gate = GatingSubscriber::new(&path);
    let kept = Node {
        kept: true,
        ..Node::default()
    };
    in_tokio(async {
        let service = Running::start(&path);
        service.hub.set_node(kept.clone());
        let sequence = service.hub.publish(10);
        while gate.next().await != Ok(Snapshot { sequence, port: 10 }) {}
        service.stop();
        let gone = Snapshot { sequence, port: 0 };
        let service = Running::start(&path);
        service.hub.set_node(kept);
        service.hub.publish(10);
        let mut state = gate.next().await.unwrap();
        while state.port == 0 {
            assert_ne!(state, gone);
            state = gate.next().await.unwrap();
        }
        service.stop();
        let began = Instant::now();
        assert_eq!(gate.next().await.unwrap().port, 0);
        let waited = began.elapsed();
        assert!(waited >= Duration::from_millis(600), "{waited:?}");
        assert!(waited < Duration::from_secs(1), "{waited:?}");
    });
}

/// N-16: a service that no longer reads does not hold a firewall up: its session ends, and its port counts as gone.
#[test]
fn a_service_that_does_not_read_is_left() {
    let folder = folder();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let mut gate = GatingSubscriber::new(&path);
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let greeting = json!({ "continues": true, "parameters": {
            "subscription": 1, "sequence": 1, "kind": "initial", "port": 10 } });
        stream
            .write_all(format!("{greeting}\0").as_bytes())
            .unwrap();
        // Without a listener nobody connects again.
        stream
    });
    in_tokio(async {
        let state = Snapshot {
            sequence: 1,
            port: 10,
        };
        // It is absent, until the thread listens.
        while gate.next().await != Ok(state) {}
        let stream = serving.join().unwrap();
        // As many as the socket takes, and the one that is on its way.
        let mut settled = 0;
        while tokio::time::timeout(Duration::from_millis(200), gate.settle(1))
            .await
            .is_ok()
        {
            settled += 1;
            assert!(settled < 1_000_000, "the socket takes everything");
        }
        gate.settle(1).await;
        let gone = Snapshot { port: 0, ..state };
        assert_eq!(gate.next().await, Ok(gone));
        drop(stream);
    });
}

/// Who greets well and breaks off, again and again, costs those who follow him next to nothing.
#[test]
fn a_service_that_breaks_off_is_not_stormed() {
    let folder = folder();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let (came, connections) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Until the whole call is there, so that it ends well.
            let call = stream.try_clone().unwrap();
            BufReader::new(call).read_until(0, &mut Vec::new()).unwrap();
            let greeting = json!({ "continues": true, "parameters": {
                "subscription": 1, "sequence": 1, "kind": "initial", "port": 10 } });
            stream
                .write_all(format!("{greeting}\0").as_bytes())
                .unwrap();
            // The test may have ended.
            let _ = came.send(Instant::now());
        }
    });
    let calm = || {
        next(&connections);
        let began = next(&connections);
        for _ in 0..4 {
            next(&connections);
        }
        assert!(began.elapsed() >= Duration::from_millis(150));
    };
    let watcher = Watcher::new(&path);
    let registration = watcher.register(false, |_| {}).unwrap();
    calm();
    drop(registration);
    while connections.recv_timeout(A_WHILE).is_ok() {}

    let mut gate = GatingSubscriber::new(&path);
    let following = std::thread::spawn(move || {
        in_tokio(async {
            for _ in 0..20 {
                gate.next().await.unwrap();
            }
        });
    });
    calm();
    following.join().unwrap();
}

/// N-18
#[test]
fn a_gate_without_permission_is_told_so() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let refused = as_user(65_534, 65_534, || {
        in_tokio(async { GatingSubscriber::new(service.path()).next().await })
    });
    assert_eq!(refused, Err(GatingError::PermissionDenied));
}

/// N-02, N-10, N-11, N-13 by the old names.
#[test]
fn the_old_functions_tell_port_and_type() {
    use MibNotificationType::{
        AddInstance, DeleteInstance, InitialNotification, ParameterNotification,
    };
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    service.hub.publish(0x1234);
    let functions = PortNotifications::new(Watcher::new(service.path()));
    let (told, heard) = mpsc::channel();
    let callback = move |port, kind| _ = told.send((port, kind));
    let handle = functions.notify_teredo_port_change(callback, true).unwrap();
    assert_eq!(
        next(&heard),
        (MIB_INVALID_TEREDO_PORT_NUMBER, InitialNotification)
    );
    assert_eq!(functions.get_teredo_port(), Ok(0x1234));
    service.hub.publish(20);
    service.hub.publish(20);
    service.hub.publish(0);
    service.hub.publish(30);
    assert_eq!(next(&heard), (20, ParameterNotification));
    assert_eq!(next(&heard), (0, DeleteInstance));
    assert_eq!(next(&heard), (30, AddInstance));
    assert_eq!(
        [
            ParameterNotification,
            AddInstance,
            DeleteInstance,
            InitialNotification
        ]
        .map(|kind| kind as u32),
        [0, 1, 2, 3]
    );

    functions.cancel_mib_change_notify2(handle).unwrap();
    assert!(heard.recv().is_err(), "the callback was not dropped");
    assert_eq!(
        functions.cancel_mib_change_notify2(handle),
        Err(CancelError::InvalidHandle)
    );
    let unknown = NotificationHandle::from_raw(12_345.try_into().unwrap());
    assert_eq!(
        functions.cancel_mib_change_notify2(unknown),
        Err(CancelError::InvalidHandle)
    );
}

/// N-04: each callback has its own context back, as it was given, and one that is nothing too.
#[test]
fn callbacks_have_their_context() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let functions = PortNotifications::new(Watcher::new(service.path()));
    let (told, heard) = mpsc::channel();
    for context in [None, Some("first"), Some("second")] {
        let told = told.clone();
        let callback = move |port, _| _ = told.send((context, port));
        functions
            .notify_teredo_port_change(callback, false)
            .unwrap();
    }
    service.hub.publish(4500);
    let mut all = [next(&heard), next(&heard), next(&heard)];
    all.sort_unstable();
    assert_eq!(
        all,
        [(None, 4500), (Some("first"), 4500), (Some("second"), 4500)]
    );
}

/// N-07 by the old names: the handle is known to the callback, and cancelled in it.
#[test]
fn the_old_functions_may_be_called_in_a_callback() {
    use std::sync::{Arc, OnceLock};
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let functions = Arc::new(PortNotifications::new(Watcher::new(service.path())));
    let own: Arc<OnceLock<NotificationHandle>> = Arc::default();
    let (told, heard) = mpsc::channel();
    let (inner, mine) = (Arc::clone(&functions), Arc::clone(&own));
    let callback = move |port, _| {
        let got = inner.get_teredo_port();
        let cancelled = inner.cancel_mib_change_notify2(*mine.wait());
        told.send((port, got, cancelled)).unwrap();
    };
    own.set(
        functions
            .notify_teredo_port_change(callback, false)
            .unwrap(),
    )
    .unwrap();
    service.hub.publish(10);
    assert_eq!(next(&heard), (10, Ok(10), Ok(())));
    assert!(heard.recv().is_err());
}

const CHILD_SOCKET: &str = "TEREDO_SOCKET";

/// The child of the next test: uses the process-wide functions, and never cancels.
#[test]
fn child_process() {
    if std::env::var_os("TEREDO_TEST_CHILD").is_none() {
        return;
    }
    let (told, heard) = mpsc::channel();
    notify_teredo_port_change(move |port, _| _ = told.send(port), false).unwrap();
    let unknown = NotificationHandle::from_raw(12_345.try_into().unwrap());
    assert_eq!(
        cancel_mib_change_notify2(unknown),
        Err(CancelError::InvalidHandle)
    );
    println!("\nregistered {}", get_teredo_port().unwrap());
    println!("\nheard {}", next(&heard));
    std::thread::park();
}

/// N-05: a process that is killed leaves nothing behind. The free functions find the service by the
/// environment.
#[test]
fn registrations_end_with_their_process() {
    use std::io::BufRead;
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    service.hub.publish(10);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process", "--nocapture"])
        .env("TEREDO_TEST_CHILD", "1")
        .env(CHILD_SOCKET, service.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut says = |line: &str| lines.by_ref().any(|said| said.unwrap() == line);
    assert!(says("registered 10"));
    assert_eq!(service.hub.registrations(), 1);
    service.hub.publish(20);
    assert!(says("heard 20"));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the registration has gone", || {
        service.hub.registrations() == 0
    });
}

/// A service that is alive but hangs holds a registration up for no longer than the handshake.
#[test]
fn a_hung_service_is_not_waited_for() {
    let folder = folder();
    let path = folder.path().join("s");
    let _hung = UnixListener::bind(&path).unwrap();
    let watcher = Watcher::new(&path);
    let (_registration, heard) = listen(&watcher, true);
    assert_eq!(next(&heard), (Kind::Initial, 0));
    assert_eq!(watcher.get_port(), Err(GetPortError::NotReady));
}

#[test]
fn the_default_socket_is_the_documented_one() {
    if std::env::var_os(CHILD_SOCKET).is_none() {
        assert_eq!(
            Watcher::default().path(),
            std::path::Path::new("/run/teredo/teredo.sock")
        );
    }
    assert_eq!(Config::new("/x").path, std::path::Path::new("/x"));
}

/// N-16: the return of the last callback settles, across restarts of the service; status names the process.
#[test]
fn the_return_of_a_gating_callback_settles() {
    let folder = folder();
    let path = folder.path().join("s");
    let service = Running::start(&path);
    service.hub.publish(10);
    let watcher = Watcher::gating(&path);
    let (told, heard) = mpsc::channel();
    let (let_go, held) = mpsc::channel::<()>();
    let slow = watcher
        .register(false, move |n| {
            told.send(n.state.port).unwrap();
            let _ = held.recv();
        })
        .unwrap();
    let (_quick, quick) = listen(&watcher, false);
    wait_until("what was announced before is settled", || {
        service.hub.gates().iter().all(|gate| gate.in_sync)
    });
    let gates = service.hub.gates();
    assert_eq!(gates.len(), 1, "one gate a process");
    assert_eq!(gates[0].owner.pid, Some(std::process::id()));
    let sequence = service.hub.publish(20);
    assert_eq!(next(&heard), 20);
    assert_eq!(next(&quick), (Kind::Change, 20));
    assert!(!service.hub.is_settled(sequence), "a callback still runs");
    let_go.send(()).unwrap();
    wait_until("the callback has returned", || {
        service.hub.is_settled(sequence)
    });

    // A cancelled callback is not waited for, nor is a process without registrations.
    let sequence = service.hub.publish(30);
    assert_eq!(next(&heard), 30);
    drop(let_go);
    slow.cancel();
    wait_until("it was cancelled", || service.hub.is_settled(sequence));
    service.stop();
    let service = Running::start(&path);
    wait_until("it gates again", || service.hub.gates().len() == 1);
    let sequence = service.hub.publish(40);
    wait_until("it settles again", || service.hub.is_settled(sequence));
    assert!(quick.iter().any(|(_, port)| port == 40));
    drop(watcher);
}

/// N-15, N-16: a service that takes the settled states late is not gone. As long as there is no room for one, the callback
/// waits.
#[test]
fn a_busy_service_is_not_taken_for_gone() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let watcher = Watcher::gating(service.path());
    let (_registration, heard) = listen(&watcher, false);
    let held = service.client.hold.lock().unwrap();
    let mut control = service.connect();
    control.send(&json!({ "method": "io.teredo.Client.Rebind", "parameters": { "port": 25 } }));
    wait_until("the service is held up", || {
        !service.client.calls.lock().unwrap().is_empty()
    });
    // It does not read, and this thread writes the states.
    let mut port = 0;
    loop {
        port += 1;
        assert!(port < 10_000, "there is room without end");
        service.hub.publish(port);
        match heard.recv_timeout(A_WHILE) {
            Ok((_, told)) => assert_eq!(told, port),
            Err(_) => break,
        }
    }
    drop(held);
    assert_eq!(next(&heard), (Kind::Change, port));
    let sequence = service.hub.publish(port + 1);
    assert_eq!(next(&heard), (Kind::Change, port + 1));
    wait_until("all is settled", || service.hub.is_settled(sequence));
}

/// N-16, N-17: a callback that panics is not waited for any more.
#[test]
fn a_gating_callback_that_panics_no_longer_gates() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let watcher = Watcher::gating(service.path());
    let registration = watcher.register(false, |_| panic!("on purpose")).unwrap();
    for port in [10, 20] {
        let sequence = service.hub.publish(port);
        wait_until("the panic has ended the gate", || {
            service.hub.is_settled(sequence)
        });
    }
    // The panic ends the gate first, on its way out of the callback.
    wait_until("the registration has ended", || !registration.is_active());
}

/// N-16, N-18: without the permission to gate, a callback is notified as ever, and holds up nothing.
#[test]
fn a_gating_watcher_without_permission_follows() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let path = service.path().to_owned();
    as_user(65_534, 65_534, || {
        let watcher = Watcher::gating(path);
        let (_registration, heard) = listen(&watcher, false);
        let sequence = service.hub.publish(10);
        assert!(service.hub.is_settled(sequence));
        assert_eq!(next(&heard), (Kind::Add, 10));
        assert!(service.hub.gates().is_empty());
    });
}

/// N-13, N-15, N-16: a gate that follows the random ports gets the state again when they change, and confirms them by
/// their number; they end with the service. Callbacks of a gating watcher, and other gates, hear nothing of them.
#[test]
fn a_gate_may_follow_the_random_ports() {
    let folder = folder();
    let path = folder.path().join("s");
    let service = Running::start(&path);
    service.hub.publish(10);
    let mut gate = GatingSubscriber::new(&path).with_random_ports();
    in_tokio(async {
        let state = gate.next().await.unwrap();
        let none = RandomSnapshot::default();
        assert_eq!((state.port, gate.random_ports()), (10, Ok(none)));
        let mut ports = RandomPorts::default();
        for port in [50_001, 50_002] {
            ports.insert(port).unwrap();
            let random = service.hub.publish_random(ports);
            assert_eq!(gate.next().await, Ok(state), "the same state");
            assert_eq!(
                gate.random_ports(),
                Ok(RandomSnapshot {
                    sequence: random,
                    ports
                })
            );
            gate.settle(state.sequence).await;
            assert_eq!(service.hub.admission(random), Admission::Pending);
            gate.admit(state.sequence, random).await;
            wait_until("they are admitted", || {
                service.hub.admission(random) == Admission::Admitted
            });
        }
        let mut plain = GatingSubscriber::new(&path);
        assert_eq!(plain.next().await, Ok(state));
        let watcher = Watcher::gating(&path);
        let (told, heard) = mpsc::channel();
        let registration = watcher.register(false, move |n| _ = told.send(n)).unwrap();
        let random = service.hub.publish_random(RandomPorts::default());
        assert_eq!(
            service.hub.admission(random),
            Admission::Refused,
            "two know the port alone"
        );
        assert_eq!(gate.next().await, Ok(state));
        assert!(tokio::time::timeout(A_WHILE, plain.next()).await.is_err());
        assert!(heard.try_recv().is_err());
        drop(registration);

        service.stop();
        assert_eq!(gate.next().await.map(|state| state.port), Ok(0));
        assert_eq!(gate.random_ports(), Ok(none));
    });
}
