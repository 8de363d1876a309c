//! A broken or malicious local program can do nothing to the service.

#[path = "support/service.rs"]
mod support;

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Running, SOON, as_user, folder, wait_until};
use teredo_notify::call::Caller;
use teredo_notify::service::Config;

fn error_of(reply: &Value) -> &str {
    reply["error"].as_str().unwrap_or("none")
}

fn is_well(service: &Running) {
    service.hub.publish(10);
    assert_eq!(
        Caller::open(service.path()).unwrap().get_port().unwrap(),
        10
    );
}

#[test]
fn wrong_calls_get_clear_errors() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut raw = service.connect();
    let client = |method: &str| format!("io.teredo.Client.{method}");
    for (method, parameters, error, detail) in [
        (
            client("Explode"),
            json!({}),
            "MethodNotFound",
            json!({ "method": client("Explode") }),
        ),
        (
            "io.teredo.Relay.X".to_owned(),
            json!({}),
            "InterfaceNotFound",
            json!({ "interface": "io.teredo.Relay" }),
        ),
        (
            "nonsense".to_owned(),
            json!({}),
            "InterfaceNotFound",
            json!({ "interface": "nonsense" }),
        ),
        (
            "org.varlink.service.GetInterfaceDescription".to_owned(),
            json!({}),
            "InvalidParameter",
            json!({ "parameter": "interface" }),
        ),
        (
            client("Subscribe"),
            json!({ "gate": false }),
            "InvalidParameter",
            json!({ "parameter": "initial" }),
        ),
        (
            client("Subscribe"),
            json!({ "initial": 1, "gate": false }),
            "InvalidParameter",
            json!({ "parameter": "initial" }),
        ),
        (
            client("Subscribe"),
            json!({ "initial": true, "gate": [] }),
            "InvalidParameter",
            json!({ "parameter": "gate" }),
        ),
        (
            client("Subscribe"),
            json!({ "initial": true, "gate": false }),
            "ExpectedMore",
            json!({}),
        ),
        (
            client("Monitor"),
            json!({ "events": [] }),
            "ExpectedMore",
            json!({}),
        ),
        (
            client("Monitor"),
            json!({ "events": ["prot"] }),
            "InvalidParameter",
            json!({ "parameter": "events" }),
        ),
        (
            client("Monitor"),
            json!({}),
            "InvalidParameter",
            json!({ "parameter": "events" }),
        ),
        (
            client("Rebind"),
            json!({ "port": 65_536 }),
            "InvalidParameter",
            json!({ "parameter": "port" }),
        ),
        (
            client("Rebind"),
            json!({ "port": -1 }),
            "InvalidParameter",
            json!({ "parameter": "port" }),
        ),
        (
            client("Rebind"),
            json!({ "port": 0 }),
            "InvalidParameter",
            json!({ "parameter": "port" }),
        ),
        (
            client("Settle"),
            json!({ "subscription": 1.5, "sequence": 0 }),
            "InvalidParameter",
            json!({ "parameter": "subscription" }),
        ),
        (
            client("Settle"),
            json!({ "subscription": 1 }),
            "InvalidParameter",
            json!({ "parameter": "sequence" }),
        ),
        (
            client("GetPort"),
            json!([]),
            "InvalidParameter",
            json!({ "parameter": "parameters" }),
        ),
    ] {
        let reply = raw.call(&json!({ "method": method, "parameters": parameters }));
        assert_eq!(
            error_of(&reply),
            format!("org.varlink.service.{error}"),
            "{method} {parameters}"
        );
        assert_eq!(reply["parameters"], detail, "{method} {parameters}");
    }
    // The connection is none the worse, and fields that nobody knows are skipped.
    let reply =
        raw.call(&json!({ "method": client("GetPort"), "parameters": { "now": 1 }, "x": 2 }));
    assert_eq!(error_of(&reply), "io.teredo.Client.NotReady");
}

#[test]
fn oneway_calls_are_never_answered() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    service.hub.publish(10);
    let mut raw = service.connect();
    for method in [
        "io.teredo.Client.GetPort",
        "io.teredo.Client.Explode",
        "io.teredo.Client.Subscribe",
    ] {
        raw.send(&json!({ "method": method, "oneway": true, "more": true,
            "parameters": { "initial": true, "gate": false } }));
    }
    let reply = raw.call(&json!({ "method": "io.teredo.Client.GetPort" }));
    assert_eq!(reply["parameters"]["port"], 10);
}

#[test]
fn calls_in_one_write_are_answered_in_order() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut raw = service.connect();
    let mut batch = Vec::new();
    for number in 0..200 {
        let method = format!("io.teredo.Client.M{number}");
        write!(batch, "{}\0", json!({ "method": method })).unwrap();
    }
    raw.send_bytes(&batch);
    for number in 0..200 {
        let reply = raw.receive().unwrap();
        assert_eq!(
            reply["parameters"]["method"],
            format!("io.teredo.Client.M{number}")
        );
    }
}

/// A batch from a pipe: what was sent before the end is answered.
#[test]
fn a_client_may_finish_sending_before_it_reads() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut raw = service.connect();
    raw.send(&json!({ "method": "org.varlink.service.GetInfo" }));
    raw.send(&json!({ "method": "io.teredo.Client.GetPort" }));
    raw.0.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(raw.receive().unwrap()["parameters"]["interfaces"].is_array());
    assert_eq!(
        error_of(&raw.receive().unwrap()),
        "io.teredo.Client.NotReady"
    );
    assert_eq!(raw.receive(), None);
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let deep = "[".repeat(60_000);
    for garbage in [
        &b"\0"[..],
        b"{\0",
        b"[]\0",
        b"\xff\xfe\xfd\0",
        b"{\"method\":\"\xff\"}\0",
        b"GET / HTTP/1.1\r\n\r\n\0",
        deep.as_bytes(),
        b"\0\0\0\0",
    ] {
        let mut raw = service.connect();
        raw.send_bytes(garbage);
        raw.send_bytes(b"\0");
        assert_eq!(raw.receive(), None, "{garbage:.20?}");
    }
    is_well(&service);
}

#[test]
fn a_message_without_end_is_cut_off() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut raw = service.connect();
    let piece = [b' '; 4096];
    let mut sent = 0;
    while raw.0.write_all(&piece).is_ok() {
        sent += piece.len();
        assert!(sent < 16 << 20, "the service takes whatever comes");
    }
    is_well(&service);
}

/// A call that wants an answer cannot have one while a stream is open.
#[test]
fn a_call_into_a_stream_ends_the_connection() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut raw = service.connect();
    raw.call(
        &json!({ "method": "io.teredo.Client.Subscribe", "more": true,
        "parameters": { "initial": true, "gate": false } }),
    );
    raw.send(&json!({ "method": "io.teredo.Client.GetPort" }));
    assert_eq!(raw.receive(), None);
    wait_until("the subscription has ended", || {
        service.hub.registrations() == 0
    });
    is_well(&service);
}

/// N-18: a gate's number is no secret, and does not let anyone else confirm.
#[test]
fn a_stream_does_not_let_others_settle() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let mut agent = service.connect();
    let first = agent.call(
        &json!({ "method": "io.teredo.Client.Subscribe", "more": true,
        "parameters": { "initial": true, "gate": true } }),
    );
    let sequence = service.hub.publish(10);
    as_user(65_534, 65_534, || {
        let mut raw = service.connect();
        raw.call(
            &json!({ "method": "io.teredo.Client.Subscribe", "more": true,
            "parameters": { "initial": true, "gate": false } }),
        );
        raw.send(
            &json!({ "method": "io.teredo.Client.Settle", "oneway": true, "parameters": {
            "subscription": first["parameters"]["subscription"], "sequence": sequence } }),
        );
        // This ends the connection, after the confirmation was read.
        raw.send(&json!({ "method": "io.teredo.Client.GetPort" }));
        assert_eq!(raw.receive(), None);
    });
    assert!(!service.hub.is_settled(sequence));
}

/// One user cannot take every connection and keep the firewall out.
#[test]
fn connections_are_limited_for_each_user() {
    let folder = folder();
    let path = folder.path().join("s");
    let config = Config {
        connections: 8,
        ..Config::new(&path)
    };
    let service = Running::try_start(&config).unwrap();
    service.hub.publish(10);
    let get_port = json!({ "method": "io.teredo.Client.GetPort" });
    let greedy: Vec<_> = as_user(65_534, 65_534, || {
        (0..6)
            .map(|_| {
                let mut raw = service.connect();
                // May fail where the service has closed already.
                let _ = raw.0.write_all(format!("{get_port}\0").as_bytes());
                let admitted = raw.receive().is_some();
                (raw, admitted)
            })
            .collect()
    });
    assert_eq!(greedy.iter().filter(|(_, admitted)| *admitted).count(), 2);
    let mut root: Vec<_> = (0..6).map(|_| service.connect()).collect();
    for raw in &mut root {
        assert_eq!(raw.call(&get_port)["parameters"]["port"], 10);
    }
    let mut one_more = service.connect();
    assert_eq!(one_more.receive(), None, "the limit for all");
    drop(greedy);
    wait_until("places are free again", || {
        let mut raw = service.connect();
        let _ = raw.0.write_all(format!("{get_port}\0").as_bytes());
        raw.receive().is_some()
    });
}

/// All ordinary users together make a thousand calls a second, after a burst; root does not wait for them.
#[test]
fn work_is_rationed() {
    let folder = folder();
    let service = Running::start(&folder.path().join("s"));
    let call = json!({ "method": "io.teredo.Client.GetStatus", "oneway": true });
    let batch = format!("{call}\0").repeat(5_096);
    let begun = Instant::now();
    let mut greedy: Vec<_> = [65_533, 65_534]
        .into_iter()
        .map(|uid| {
            as_user(uid, uid, || {
                let raw = service.connect();
                let mut writer = raw.0.try_clone().unwrap();
                let batch = batch.clone();
                raw.0.set_read_timeout(Some(SOON)).unwrap();
                let sent = std::thread::spawn(move || writer.write_all(batch.as_bytes()));
                (raw, Some(sent))
            })
        })
        .collect();
    let asked = Instant::now();
    let mut root = Caller::open(service.path()).unwrap();
    root.get_status().unwrap();
    // The ordinary users wait more than five.
    assert!(asked.elapsed() < Duration::from_secs(2), "root waits");
    for (raw, sent) in &mut greedy {
        let get_port = format!("{}\0", json!({ "method": "io.teredo.Client.GetPort" }));
        sent.take().unwrap().join().unwrap().unwrap();
        raw.send_bytes(get_port.as_bytes());
        assert_eq!(
            error_of(&raw.receive().unwrap()),
            "io.teredo.Client.NotReady"
        );
    }
    // 10,194 calls, of which 4,096 are the burst.
    assert!(
        begun.elapsed() > Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}
