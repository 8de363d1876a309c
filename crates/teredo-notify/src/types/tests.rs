use std::time::{Duration, SystemTime};

use serde_json::json;

use super::{
    CarriedPackets, Carrier, DataPath, Detail, Event, EventName, Phase, PortKind, Role, Status,
    rfc3339,
};

#[test]
fn a_status_reads_back_what_it_wrote() {
    let status = Status {
        state: Phase::Qualified,
        port: 40_123,
        address: Some("2001:0:c000:201::1".parse().unwrap()),
        mapped: Some("198.51.100.7:40123".parse().unwrap()),
        drops: [("truncated".to_owned(), 3)].into(),
        ..Status::default()
    };
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
}

#[test]
fn the_status_has_every_promised_field_even_when_empty() {
    let json = serde_json::to_value(Status::default()).unwrap();
    for field in [
        "schema",
        "version",
        "role",
        "state",
        "reason",
        "since",
        "uptime_ms",
        "port",
        "configured_port",
        "sequence",
        "address",
        "interface",
        "server",
        "server_address",
        "local",
        "mapped",
        "nat",
        "refresh_ms",
        "peers",
        "counters",
        "drops",
        "firewall",
        "notifications",
    ] {
        assert!(json.get(field).is_some(), "{field} is missing");
    }
}

#[test]
fn a_status_of_a_later_version_is_readable() {
    let status: Status = serde_json::from_value(json!({
        "schema": "teredo.status/1", "role": "gateway", "state": "hibernating", "port": 7,
        "peers": {"total": 1, "famous": 1}, "novelty": {"a": []},
    }))
    .unwrap();
    assert_eq!(
        (status.role, status.state, status.port),
        (Role::Unknown, Phase::Unknown, 7)
    );
    assert_eq!(status.peers.total, 1);
}

/// The object had the counters alone, and programs look for them there.
#[test]
fn the_counters_of_the_data_path_are_beside_its_carrier() {
    let status = Status {
        data_path: DataPath {
            in_use: Carrier::Kernel,
            packets: CarriedPackets { kernel: 9, user: 2 },
            counters: [("rx_calls".to_owned(), 3)].into(),
            ..DataPath::default()
        },
        ..Status::default()
    };
    let json = serde_json::to_value(&status).unwrap();
    let expected = json!({
        "in_use": "kernel", "since": null, "reason": null, "packets": {"kernel": 9, "user": 2}, "rx_calls": 3,
    });
    assert_eq!(json["data_path"], expected);
    assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
}

#[test]
fn a_data_path_of_another_version_is_readable() {
    let read = |json| serde_json::from_value::<DataPath>(json).unwrap();
    let earlier = read(json!({"rx_calls": 3}));
    assert_eq!(earlier.in_use, Carrier::User);
    assert_eq!(earlier.counters["rx_calls"], 3);
    let later = read(json!({"in_use": "hardware", "queues": [1], "rx_calls": 3}));
    assert_eq!(later.in_use, Carrier::Unknown);
    assert_eq!(later.counters, [("rx_calls".to_owned(), 3)].into());
}

#[test]
fn events_are_flat_objects() {
    let port = Event::now(
        3,
        Detail::Port {
            kind: PortKind::Add,
            port: 9,
        },
    );
    let json = serde_json::to_value(&port).unwrap();
    assert_eq!(json["schema"], "teredo.event/1");
    assert_eq!(json["event"], "port");
    assert_eq!(json["kind"], "add");
    assert_eq!(json["port"], 9);
    assert_eq!(json["sequence"], 3);
    assert_eq!(serde_json::from_value::<Event>(json).unwrap(), port);

    let lost = serde_json::to_value(Event::now(0, Detail::Lost { count: 2 })).unwrap();
    assert_eq!(lost["event"], "lost");
}

#[test]
fn an_event_of_a_later_version_is_readable() {
    let event: Event = serde_json::from_value(json!({
        "schema": "teredo.event/1", "time": "2026-11-22T16:00:00.000000Z", "sequence": 1,
        "event": "eclipse", "of": "the sun",
    }))
    .unwrap();
    assert_eq!(event.detail, Detail::Unknown);
}

#[test]
fn event_names_are_read_and_refused() {
    for name in EventName::ALL {
        assert_eq!(name.to_string().parse(), Ok(name));
        assert_eq!(serde_json::to_value(name).unwrap(), name.to_string());
    }
    let refused = "prot".parse::<EventName>().unwrap_err();
    assert!(refused.to_string().contains("\"prot\""));
}

#[test]
fn times_follow_the_calendar() {
    for (seconds, micros, text) in [
        (0, 0, "1970-01-01T00:00:00.000000Z"),
        (951_782_399, 999_999, "2000-02-28T23:59:59.999999Z"),
        (951_782_400, 0, "2000-02-29T00:00:00.000000Z"),
        (1_709_251_200, 5, "2024-03-01T00:00:00.000005Z"),
        (4_102_444_800, 0, "2100-01-01T00:00:00.000000Z"),
        (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
    ] {
        let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, micros * 1000);
        assert_eq!(rfc3339(time), text);
    }
    assert_eq!(
        rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
        "1970-01-01T00:00:00.000000Z"
    );
    assert_eq!(
        rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)),
        "9999-12-31T23:59:59.999999Z"
    );
}

/// A service of a later version may know more kinds: the port tells what has happened.
#[test]
fn a_kind_of_change_from_a_later_version_is_a_change() {
    let kind: crate::Kind = serde_json::from_str(r#""moved""#).unwrap();
    assert_eq!(kind, crate::Kind::Change);
    let kind: PortKind = serde_json::from_str(r#""moved""#).unwrap();
    assert_eq!(kind, PortKind::Change);
}
