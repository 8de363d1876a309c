use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn key() -> HostKey {
    "web".parse().unwrap()
}

fn entry() -> Entry {
    Entry {
        host: key(),
        address: Some("2001:0:c000:201::1".parse().unwrap()),
        local: Some("192.0.2.7:4500".parse().unwrap()),
        mapped: Some("198.51.100.1:61000".parse().unwrap()),
        sequence: 7,
        boot: String::from("9a3b"),
        time: Duration::from_micros(1_790_000_000_123_456),
        uptime: Some(Duration::from_micros(5_000_001)),
        lease: None,
    }
}

fn decode(value: &Value) -> Result<Entry, EntryError> {
    Entry::decode(&key(), value.to_string().as_bytes())
}

/// The contract: these names, and port 0 is no port.
#[test]
fn the_fields_are_those_of_the_schema() {
    let value: Value = serde_json::from_slice(&entry().encode()).unwrap();
    assert_eq!(
        value,
        json!({
            "schema": "teredo.port/1",
            "host": "web",
            "address": "2001:0:c000:201::1",
            "local": { "address": "192.0.2.7", "port": 4500 },
            "mapped": { "address": "198.51.100.1", "port": 61000 },
            "sequence": 7,
            "boot": "9a3b",
            "time": "2026-09-21T14:13:20.123456Z",
            "uptime_us": 5_000_001,
        })
    );
    let none = Entry {
        local: None,
        mapped: None,
        address: None,
        ..entry()
    };
    let value: Value = serde_json::from_slice(&none.encode()).unwrap();
    assert_eq!(value["local"], json!({ "address": null, "port": 0 }));
    assert_eq!(value["address"], Value::Null);
    assert_eq!(decode(&value).unwrap(), none);
    // Another program may leave the lease out.
    let short = Entry {
        lease: Some(Duration::from_millis(2_500)),
        ..entry()
    };
    let value: Value = serde_json::from_slice(&short.encode()).unwrap();
    assert_eq!(value["lease"], 2.5);
    assert_eq!(decode(&value).unwrap(), short);
}

#[test]
fn what_it_does_not_know_is_left_out() {
    let mut value: Value = serde_json::from_slice(&entry().encode()).unwrap();
    value["later"] = json!({ "a": [1, 2] });
    value["local"]["more"] = json!(1);
    value["mapped"] = Value::Null;
    assert_eq!(
        decode(&value).unwrap(),
        Entry {
            mapped: None,
            ..entry()
        }
    );
}

#[test]
fn what_is_no_entry_of_the_key_is_refused_by_name() {
    let good: Value = serde_json::from_slice(&entry().encode()).unwrap();
    let with = |field: &str, content: Value| {
        let mut value = good.clone();
        value[field] = content;
        decode(&value).unwrap_err()
    };
    assert!(matches!(
        with("schema", json!("teredo.port/2")),
        EntryError::Schema
    ));
    assert!(matches!(with("host", json!("mail")), EntryError::OtherHost));
    assert!(matches!(with("boot", json!("")), EntryError::Field("boot")));
    assert!(matches!(
        with("boot", json!("b".repeat(65))),
        EntryError::Field("boot")
    ));
    assert!(matches!(
        with("time", json!("yesterday")),
        EntryError::Field("time")
    ));
    assert!(matches!(
        with("time", json!("1969-01-01T00:00:00Z")),
        EntryError::Field("time")
    ));
    assert!(matches!(
        with("sequence", json!(-1)),
        EntryError::Malformed(_)
    ));
    assert!(matches!(
        with("local", json!({ "port": 65536 })),
        EntryError::Malformed(_)
    ));
    assert!(matches!(
        with("more", json!("x".repeat(MAX_ENTRY))),
        EntryError::TooLong
    ));
    assert!(matches!(
        Entry::decode(&key(), b"{"),
        Err(EntryError::Malformed(_))
    ));
    for address in [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "169.254.1.1",
        "224.0.0.253",
        "255.255.255.255",
        "240.0.0.1",
    ] {
        let error = with("local", json!({ "address": address, "port": 4500 }));
        assert!(
            matches!(error, EntryError::Address(_)),
            "{address}: {error}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..1100)) {
        let _ = Entry::decode(&key(), &bytes);
    }
}
