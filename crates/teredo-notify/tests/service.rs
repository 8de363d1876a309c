//! The local service as clients see it, one of them written by others.

#[path = "support/service.rs"]
mod support;

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Running, as_member, as_user, folder, wait_until};
use teredo_notify::call::{CallError, Caller};
use teredo_notify::hub::Admission;
use teredo_notify::service::{Config, Outcome};
use teredo_notify::types::{Detail, EventName, Phase, PortKind};
use teredo_notify::{Kind, RandomPorts, Snapshot};
use varlink::MethodCall;

type Foreign = MethodCall<Value, Value, varlink::Error>;

fn foreign(service: &Running) -> Arc<RwLock<varlink::Connection>> {
    varlink::Connection::with_address(&format!("unix:{}", service.path().display())).unwrap()
}

fn call(
    connection: &Arc<RwLock<varlink::Connection>>,
    method: &str,
    parameters: Value,
) -> Result<Value, varlink::Error> {
    Foreign::new(Arc::clone(connection), method.to_owned(), parameters).call()
}

fn error_name(result: Result<Value, varlink::Error>) -> String {
    match result.unwrap_err().kind() {
        varlink::ErrorKind::VarlinkErrorReply(reply) => reply.error.clone().unwrap().into_owned(),
        other => format!("{other:?}"),
    }
}

fn group_of(config: Config, group: u32) -> Config {
    Config {
        group: Some(group),
        ..config
    }
}

#[test]
fn a_foreign_client_is_told_what_the_service_is() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut info = varlink::OrgVarlinkServiceClient::new(foreign(&service));
    use varlink::OrgVarlinkServiceInterface;
    let interfaces = info.get_info().unwrap().interfaces;
    assert_eq!(interfaces, ["org.varlink.service", "io.teredo.Client"]);
    for interface in interfaces {
        let description = info
            .get_interface_description(interface.to_string())
            .unwrap();
        let text = description.description.unwrap();
        assert!(text.contains(&format!("interface {interface}\n")), "{text}");
    }
    let refused = info
        .get_interface_description("io.teredo.Server".to_owned())
        .unwrap_err();
    assert!(
        matches!(refused.kind(), varlink::ErrorKind::InterfaceNotFound(_)),
        "{refused:?}"
    );
}

/// N-10, N-18
#[test]
fn a_foreign_client_gets_the_port_and_the_status() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let client = foreign(&service);
    let none = call(&client, "io.teredo.Client.GetPort", json!({}));
    assert_eq!(error_name(none), "io.teredo.Client.NotReady");
    service.hub.publish(40_123);
    let port = call(&client, "io.teredo.Client.GetPort", json!({})).unwrap();
    assert_eq!(port, json!({ "port": 40_123 }));
    let status = call(&client, "io.teredo.Client.GetStatus", json!({})).unwrap();
    assert_eq!(status["status"]["schema"], "teredo.status/1");
    assert_eq!(status["status"]["port"], 40_123, "the hub knows the port");
    assert_eq!(status["status"]["sequence"], 1);
    assert_eq!(status["status"]["state"], "qualified");
}

/// N-11, N-19: a stream to a foreign client, with the state in every reply.
#[test]
fn a_foreign_client_follows_the_port() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    service.hub.publish(10);
    let parameters = json!({ "initial": true, "gate": false });
    let mut stream = Foreign::new(foreign(&service), "io.teredo.Client.Subscribe", parameters);
    let mut next = {
        let stream = stream.more().unwrap();
        move || {
            let reply = stream.next().unwrap().unwrap();
            (
                reply["sequence"].clone(),
                reply["kind"].clone(),
                reply["port"].clone(),
            )
        }
    };
    assert_eq!(next(), (json!(1), json!("initial"), json!(10)));
    service.hub.publish(20);
    assert_eq!(next(), (json!(2), json!("change"), json!(20)));
    service.hub.publish(0);
    assert_eq!(next(), (json!(3), json!("delete"), json!(0)));
    service.hub.publish(30);
    assert_eq!(next(), (json!(4), json!("add"), json!(30)));
}

/// N-11: an orderly end reaches all subscribers first, and does not wait for one that does not read.
#[test]
fn every_subscriber_gets_the_end_before_its_connection_closes() {
    let folder = folder();
    let service = Running::start(&folder.path().join("socket"));
    let subscribe = json!({
        "method": "io.teredo.Client.Subscribe",
        "parameters": { "initial": true, "gate": false },
        "more": true,
    });
    let mut subscribers: Vec<_> = (0..500).map(|_| service.connect()).collect();
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.call(&subscribe)["parameters"]["kind"], "initial");
    }
    // Its replies fill the socket, since it reads none.
    let mut deaf = service.connect();
    let ask = json!({
        "method": "org.varlink.service.GetInterfaceDescription",
        "parameters": { "interface": "io.teredo.Client" },
    });
    deaf.send_bytes(format!("{ask}\0").repeat(500).as_bytes());
    for port in 1..20 {
        service.hub.publish(port);
    }
    service.hub.publish(0);
    let asked = Instant::now();
    service.stop();
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    for mut subscriber in subscribers {
        let last = std::iter::from_fn(|| subscriber.receive())
            .last()
            .expect("an event");
        assert_eq!(
            (&last["parameters"]["kind"], &last["parameters"]["port"]),
            (&json!("delete"), &json!(0))
        );
    }
}

/// N-03: without initial, nothing is sent until something changes.
#[test]
fn a_subscriber_may_do_without_the_initial_state() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    service.hub.publish(10);
    let mut raw = service.connect();
    raw.send(
        &json!({ "method": "io.teredo.Client.Subscribe", "more": true,
        "parameters": { "initial": false, "gate": false } }),
    );
    assert!(raw.is_silent());
    service.hub.publish(20);
    let reply = raw.receive().unwrap();
    assert_eq!(reply["parameters"]["kind"], "change");
    assert_eq!(reply["continues"], true);
}

/// N-16: an agent needs one connection: it confirms on the one that carries its stream.
#[test]
fn a_gate_settles_on_its_own_connection() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut agent = service.connect();
    let first = agent.call(
        &json!({ "method": "io.teredo.Client.Subscribe", "more": true,
        "parameters": { "initial": true, "gate": true } }),
    );
    let subscription = first["parameters"]["subscription"].clone();

    let sequence = service.hub.publish(10);
    assert_eq!(agent.receive().unwrap()["parameters"]["sequence"], sequence);
    assert!(!service.hub.is_settled(sequence));
    let gate = &service.hub.gates()[0];
    assert_eq!(gate.owner.pid, Some(std::process::id()));
    assert!(gate.owner.command.is_some());

    agent.send(
        &json!({ "method": "io.teredo.Client.Settle", "oneway": true,
        "parameters": { "subscription": subscription, "sequence": sequence } }),
    );
    wait_until("the gate has settled", || service.hub.is_settled(sequence));

    let mut status = Caller::open(service.path()).unwrap();
    let firewall = status.get_status().unwrap().firewall;
    assert_eq!(firewall.len(), 1);
    assert!(firewall[0].in_sync && firewall[0].settle_us.is_some());
    assert_eq!(firewall[0].sequence, Some(sequence));

    // The reply to a call that wants one would come after the end of the stream: the stream goes on.
    let sequence = service.hub.publish(20);
    assert_eq!(agent.receive().unwrap()["parameters"]["sequence"], sequence);
    agent.send(&json!({ "method": "io.teredo.Client.Settle",
        "parameters": { "subscription": subscription, "sequence": sequence } }));
    wait_until("the gate has settled again", || {
        service.hub.is_settled(sequence)
    });
    let sequence = service.hub.publish(30);
    assert_eq!(agent.receive().unwrap()["parameters"]["sequence"], sequence);
}

/// N-16: or on another one, and is told what is wrong there.
#[test]
fn a_gate_settles_on_another_connection() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut agent = service.connect();
    let first = agent.call(
        &json!({ "method": "io.teredo.Client.Subscribe", "more": true,
        "parameters": { "initial": true, "gate": true } }),
    );
    let subscription = first["parameters"]["subscription"].clone();
    let sequence = service.hub.publish(10);

    let client = foreign(&service);
    let settle = |subscription: &Value, sequence: u64| {
        let parameters = json!({ "subscription": subscription, "sequence": sequence });
        call(&client, "io.teredo.Client.Settle", parameters)
    };
    assert_eq!(
        error_name(settle(&json!(9999), sequence)),
        "io.teredo.Client.UnknownSubscription"
    );
    assert!(
        settle(&subscription, sequence + 1).is_err(),
        "not announced yet"
    );
    assert!(!service.hub.is_settled(sequence));
    settle(&subscription, sequence).unwrap();
    assert!(service.hub.is_settled(sequence));
}

/// N-05, N-16: the death of a gating subscriber is seen while its stream is open.
#[test]
fn a_gate_that_dies_holds_up_nobody() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut agent = service.connect();
    agent.call(
        &json!({ "method": "io.teredo.Client.Subscribe", "more": true,
        "parameters": { "initial": true, "gate": true } }),
    );
    let sequence = service.hub.publish(10);
    assert!(!service.hub.is_settled(sequence));
    drop(agent);
    wait_until("the gate has gone", || service.hub.is_settled(sequence));
    wait_until("nothing is left of it", || service.hub.registrations() == 0);
}

/// N-14: a subscriber that does not read holds up nobody, costs one reply, and has the last state in the
/// end. N-16: nor does its stuck stream keep a gate from settling.
#[test]
fn a_subscriber_that_does_not_read_holds_up_nobody() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut deaf = service.connect();
    deaf.send(
        &json!({ "method": "io.teredo.Client.Subscribe", "more": true,
        "parameters": { "initial": true, "gate": true } }),
    );
    let subscription = deaf.receive().unwrap()["parameters"]["subscription"].clone();
    let mut quick = Caller::open(service.path())
        .unwrap()
        .subscribe(true)
        .unwrap();
    assert_eq!(quick.next().unwrap().unwrap().kind, Kind::Initial);

    // Far more than the socket's buffers hold.
    for round in 0..20_000_u64 {
        let sequence = service.hub.publish((round % 60_000 + 1) as u16);
        if round % 8 == 0 {
            while quick.next().unwrap().unwrap().state.sequence < sequence {}
        }
    }
    let last = service.hub.snapshot();
    deaf.send(
        &json!({ "method": "io.teredo.Client.Settle", "oneway": true,
        "parameters": { "subscription": subscription, "sequence": last.sequence } }),
    );
    wait_until("the deaf one has settled", || {
        service.hub.is_settled(last.sequence)
    });

    let mut known = 0;
    let mut replies = 0;
    while known != last.sequence {
        let reply = deaf.receive().unwrap();
        let sequence = reply["parameters"]["sequence"].as_u64().unwrap();
        assert!(sequence > known, "out of order");
        known = sequence;
        replies += 1;
    }
    assert!(replies < 20_000, "nothing was coalesced");
}

/// N-18
#[test]
fn everyone_may_read() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    service.hub.publish(10);
    as_user(65_534, 65_534, || {
        let open = || Caller::open(service.path()).unwrap();
        assert_eq!(open().get_port().unwrap(), 10);
        assert_eq!(open().get_status().unwrap().port, 10);
        assert!(open().subscribe(true).unwrap().next().unwrap().is_ok());
        assert!(open().monitor(&[]).unwrap().next().unwrap().is_ok());
    });
}

/// N-18
#[test]
fn steering_needs_root_or_the_group() {
    let folder = folder();
    let config = group_of(Config::new(folder.path().join("s")), 4242);
    let service = Running::try_start(&config).unwrap();
    let try_all = || {
        let open = || Caller::open(service.path()).unwrap();
        let steered = [
            open().rebind(Some(30_000)).is_ok(),
            open().stop().is_ok(),
            open().start().is_ok(),
        ];
        let gate = service
            .connect()
            .call(&json!({ "method": "io.teredo.Client.Subscribe",
            "more": true, "parameters": { "initial": true, "gate": true } }));
        let settle = service
            .connect()
            .call(&json!({ "method": "io.teredo.Client.Settle",
            "parameters": { "subscription": 9999, "sequence": 0 } }));
        wait_until("the gate has gone", || service.hub.gates().is_empty());
        let denied = "org.varlink.service.PermissionDenied";
        [
            steered[0],
            steered[1],
            steered[2],
            gate["error"] != denied,
            settle["error"] != denied,
        ]
    };
    assert_eq!(as_user(65_534, 65_534, try_all), [false; 5]);
    assert!(
        service.client.calls.lock().unwrap().is_empty(),
        "it was done all the same"
    );
    let refused = as_user(65_534, 65_534, || {
        Caller::open(service.path()).unwrap().stop()
    });
    assert!(
        matches!(refused, Err(CallError::PermissionDenied)),
        "{refused:?}"
    );

    assert_eq!(
        as_user(65_534, 4242, try_all),
        [true; 5],
        "a member of the group"
    );
    // More groups than the first buffer has room for; no database knows the user.
    let many: Vec<u32> = (4_200..4_300).collect();
    assert_eq!(
        as_member(4_000_000, 65_534, &many, try_all),
        [true; 5],
        "by a supplementary group"
    );
    assert_eq!(as_member(0, 4_242, &[], try_all), [true; 5], "root");
}

#[test]
fn steering_is_passed_on_and_answered() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut client = Caller::open(service.path()).unwrap();
    assert_eq!(
        client.start().unwrap(),
        Outcome {
            port: 40_000,
            settled: true
        }
    );
    assert_eq!(client.rebind(None).unwrap().port, 50_000);
    assert_eq!(client.rebind(Some(30_000)).unwrap().port, 30_000);
    assert_eq!(client.get_port().unwrap(), 30_000);
    assert_eq!(client.stop().unwrap().port, 0);
    assert!(matches!(client.get_port(), Err(CallError::NotReady)));
    assert!(matches!(
        client.rebind(Some(22)),
        Err(CallError::PortInUse(22))
    ));
    assert!(matches!(client.rebind(Some(23)), Err(CallError::Failed(why)) if why == "no telnet"));
    assert!(matches!(client.rebind(Some(24)), Err(CallError::NotReady)));
    assert!(matches!(
        client.rebind(Some(0)),
        Err(CallError::Protocol(_))
    ));
    assert_eq!(
        *service.client.calls.lock().unwrap(),
        ["start", "rebind None", "rebind Some(30000)", "stop"]
    );
}

/// Subscribers hear of what is announced though the service's thread is held up; and those who find no place for
/// that hear of it from their tasks.
#[test]
fn the_publishing_thread_writes_to_subscribers() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let subscribe = json!({ "method": "io.teredo.Client.Subscribe", "more": true,
        "parameters": { "initial": true, "gate": false } });
    let mut first = service.connect();
    assert_eq!(first.call(&subscribe)["parameters"]["kind"], "initial");
    let hold = service.client.hold.lock().unwrap();
    service
        .connect()
        .send(&json!({ "method": "io.teredo.Client.Rebind", "parameters": { "port": 25 } }));
    wait_until("the service's thread is held up", || {
        !service.client.calls.lock().unwrap().is_empty()
    });
    for port in 1..=5 {
        service.hub.publish(port);
        assert_eq!(first.receive().unwrap()["parameters"]["port"], port);
    }
    drop(hold);

    // More than are written to directly.
    let mut subscribers: Vec<_> = (0..150).map(|_| service.connect()).collect();
    for subscriber in &mut subscribers {
        subscriber.send(&subscribe);
    }
    for subscriber in &mut subscribers {
        assert_eq!(
            subscriber.receive().unwrap()["parameters"]["kind"],
            "initial"
        );
    }
    service.hub.publish(7);
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.receive().unwrap()["parameters"]["port"], 7);
    }
}

/// N-16: control returns when the gates have settled.
#[test]
fn rebind_waits_for_the_gates() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut agent = service.connect();
    let first = agent.call(
        &json!({ "method": "io.teredo.Client.Subscribe", "more": true,
        "parameters": { "initial": true, "gate": true } }),
    );
    let mut control = service.connect();
    control.send(&json!({ "method": "io.teredo.Client.Rebind", "parameters": { "port": 77 } }));
    let told = agent.receive().unwrap();
    assert_eq!(told["parameters"]["port"], 77);
    assert!(control.is_silent(), "it did not wait");
    agent.send(
        &json!({ "method": "io.teredo.Client.Settle", "oneway": true, "parameters": {
        "subscription": first["parameters"]["subscription"],
        "sequence": told["parameters"]["sequence"],
    } }),
    );
    assert_eq!(
        control.receive().unwrap()["parameters"],
        json!({ "port": 77, "settled": true })
    );
}

fn state_event(state: Phase) -> Detail {
    Detail::State {
        state,
        reason: None,
        address: None,
        mapped: None,
        nat: None,
        server: None,
    }
}

#[test]
fn a_monitor_begins_with_the_current_state() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    service.hub.publish(10);
    let mut monitor = Caller::open(service.path()).unwrap().monitor(&[]).unwrap();
    let mut next = || monitor.next().unwrap().unwrap();
    let first = next();
    assert_eq!(
        first.detail,
        Detail::Port {
            kind: PortKind::Current,
            port: 10
        }
    );
    assert_eq!(
        (first.schema.as_str(), first.sequence),
        ("teredo.event/1", 1)
    );
    assert!(matches!(
        next().detail,
        Detail::State {
            state: Phase::Qualified,
            ..
        }
    ));
    service.hub.publish(20);
    assert_eq!(
        next().detail,
        Detail::Port {
            kind: PortKind::Change,
            port: 20
        }
    );
    service.events.publish(state_event(Phase::Offline));
    let event = next();
    assert_eq!(event.detail, state_event(Phase::Offline));
    assert_eq!(event.sequence, 2);
}

#[test]
fn a_monitor_gets_what_it_asks_for() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let open = |events| {
        Caller::open(service.path())
            .unwrap()
            .monitor(events)
            .unwrap()
    };
    let mut ports = open(&[EventName::Port]);
    let mut states = open(&[EventName::State]);
    assert!(
        matches!(ports.next(), Some(Ok(event)) if event.detail.name() == Some(EventName::Port))
    );
    assert!(
        matches!(states.next(), Some(Ok(event)) if event.detail.name() == Some(EventName::State))
    );
    service.events.publish(state_event(Phase::Probe));
    service.hub.publish(10);
    let port = ports.next().unwrap().unwrap();
    assert_eq!(
        port.detail,
        Detail::Port {
            kind: PortKind::Add,
            port: 10
        }
    );
    assert_eq!(
        states.next().unwrap().unwrap().detail,
        state_event(Phase::Probe)
    );
    let timed_out = states.next_within(support::A_WHILE);
    assert!(
        matches!(timed_out, Err(CallError::TimedOut)),
        "{timed_out:?}"
    );
    service.events.publish(state_event(Phase::Dormant));
    assert_eq!(
        states.next().unwrap().unwrap().detail,
        state_event(Phase::Dormant)
    );
}

/// N-14 for monitors: what is lost is counted; the port never is.
#[test]
fn a_slow_monitor_is_told_what_it_has_lost() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut monitor = Caller::open(service.path()).unwrap().monitor(&[]).unwrap();
    for _ in 0..2 {
        monitor.next().unwrap().unwrap();
    }
    const PUBLISHED: u64 = 50_000;
    for _ in 0..PUBLISHED {
        service.events.publish(state_event(Phase::Probe));
    }
    service.hub.publish(10);
    service.events.publish(state_event(Phase::Offline));
    let (mut seen, mut lost, mut port) = (0, 0, 0);
    loop {
        match monitor.next().unwrap().unwrap().detail {
            Detail::Lost { count } => lost += count,
            Detail::State {
                state: Phase::Probe,
                ..
            } => seen += 1,
            Detail::Port { port: now, .. } => port = now,
            _ => break,
        }
    }
    assert!(lost > 0);
    assert_eq!(seen + lost, PUBLISHED);
    assert_eq!(port, 10);
}

/// N-12: subscribe first, then ask.
#[test]
fn what_changes_after_a_subscription_is_in_its_stream() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut stream = Caller::open(service.path())
        .unwrap()
        .subscribe(true)
        .unwrap();
    let Snapshot { sequence, .. } = stream.next().unwrap().unwrap().state;
    let asked = Caller::open(service.path()).unwrap().get_port();
    assert!(matches!(asked, Err(CallError::NotReady)));
    service.hub.publish(10);
    assert!(stream.next().unwrap().unwrap().state.sequence > sequence);
}

fn random_ports(ports: &[u16]) -> RandomPorts {
    RandomPorts::try_from(ports).unwrap()
}

fn subscribe(gate: bool, random: Option<bool>) -> Value {
    json!({ "method": "io.teredo.Client.Subscribe", "more": true,
        "parameters": { "initial": true, "gate": gate, "random": random } })
}

/// N-13, N-16: random ports go to the gates that ask for them, with the state and their own number. Gates that do not,
/// subscribers and monitors hear nothing; to confirm the port is not to confirm them.
#[test]
fn random_ports_go_to_gates_that_ask() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let sequence = service.hub.publish(10);
    let [mut plain, mut ordinary, mut greedy] = std::array::from_fn(|_| service.connect());
    assert_eq!(
        ordinary.call(&subscribe(false, None))["parameters"]["port"],
        10
    );
    // Only a gate gets them.
    let first = greedy.call(&subscribe(false, Some(true)));
    assert_eq!(first["parameters"].get("random"), None);
    let mut monitor = service.connect();
    monitor.call(&json!({ "method": "io.teredo.Client.Monitor", "more": true,
        "parameters": { "events": ["port"] } }));

    let mut agent = service.connect();
    let first = agent.call(&subscribe(true, Some(true)));
    assert_eq!(
        first["parameters"]["random"],
        json!({ "sequence": 0, "ports": [] })
    );
    let subscription = first["parameters"]["subscription"].clone();
    let random = service.hub.publish_random(random_ports(&[50_002, 50_001]));
    let state = agent.receive().unwrap()["parameters"].clone();
    assert_eq!(
        state["random"],
        json!({ "sequence": random, "ports": [50_001, 50_002] })
    );
    assert_eq!(
        (&state["port"], &state["sequence"]),
        (&json!(10), &json!(sequence))
    );
    assert_eq!(state["kind"], "change");

    let settle = |random: Option<u64>| {
        json!({ "method": "io.teredo.Client.Settle", "oneway": true,
            "parameters": { "subscription": subscription, "sequence": sequence, "random": random } })
    };
    agent.send(&settle(None));
    wait_until("the port is settled", || service.hub.gates()[0].in_sync);
    assert_eq!(service.hub.admission(random), Admission::Pending);
    agent.send(&settle(Some(random)));
    wait_until("they are admitted", || {
        service.hub.admission(random) == Admission::Admitted
    });
    let mut caller = Caller::open(service.path()).unwrap();
    let status = caller.get_status().unwrap();
    assert_eq!(
        (status.random_ports, &status.firewall[0].random_trouble),
        (2, &None)
    );
    assert_eq!(status.notifications.changes.change, 0);

    let first = plain.call(&subscribe(true, None));
    assert_eq!(first["parameters"].get("random"), None);
    let subscription = first["parameters"]["subscription"].clone();
    let random = service.hub.publish_random(random_ports(&[50_003]));
    assert_eq!(service.hub.admission(random), Admission::Refused);
    let refused = caller.get_status().unwrap().firewall[1]
        .random_trouble
        .clone();
    assert!(refused.is_some_and(|reason| reason.contains("service port alone")));
    let mut other = service.connect();
    let answer = other.call(&json!({ "method": "io.teredo.Client.Settle",
        "parameters": { "subscription": subscription, "sequence": sequence, "random": random } }));
    assert_eq!(answer["error"], "io.teredo.Client.UnknownSubscription");
    for silent in [&mut plain, &mut ordinary, &mut greedy, &mut monitor] {
        assert!(silent.is_silent());
    }
}
