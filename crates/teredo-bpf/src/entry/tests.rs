use std::collections::HashMap;

use super::*;

const HEADER: &str = include_str!("../../programs/path.h");

/// The fields of `struct peer`, and where the compiler puts them.
fn fields() -> (HashMap<&'static str, usize>, usize) {
    let (_, rest) = HEADER.split_once("struct peer {").unwrap();
    let (body, _) = rest.split_once("};").unwrap();
    let mut at = 0_usize;
    let mut fields = HashMap::new();
    for line in body.lines() {
        let line = line.rsplit("*/").next().unwrap().trim();
        let Some((kind, name)) = line
            .strip_suffix(';')
            .and_then(|line| line.rsplit_once(' '))
        else {
            continue;
        };
        let (len, align): (usize, usize) = match kind {
            "struct address" => (16, 4),
            "__u64" => (8, 8),
            "__u32" => (4, 4),
            "__u16" => (2, 2),
            "__u8" => (1, 1),
            other => panic!("{other}"),
        };
        at = at.next_multiple_of(align);
        fields.insert(name, at);
        at += len;
    }
    (fields, at)
}

#[test]
fn the_layout_is_that_of_the_programs() {
    let (fields, len) = fields();
    assert_eq!(len, LEN);
    assert_eq!(fields.len(), 36);
    for (name, at) in [
        ("own", 0),
        ("local", LOCAL),
        ("remote", REMOTE),
        ("local_port", LOCAL_PORT),
        ("remote_port", REMOTE_PORT),
        ("longest", LONGEST),
        ("ttl", TTL),
        ("flags", FLAGS),
        ("underlay", UNDERLAY),
        ("overlay", OVERLAY),
        ("heard", HEARD),
        ("sent", SENT),
        ("let_in", LET_IN),
        ("let_out", LET_OUT),
        ("packets_in", PACKETS_IN),
        ("bytes_in", BYTES_IN),
        ("packets_out", PACKETS_OUT),
        ("bytes_out", BYTES_OUT),
        ("bare", BARE),
        ("added", ADDED),
        ("lane", LANE),
    ] {
        assert_eq!(fields[name], at, "{name}");
    }
}

#[test]
fn an_entry_has_no_proof_and_no_traffic_yet() {
    let interfaces = Interfaces {
        overlay: 3,
        underlay: 2,
    };
    let local = "192.0.2.1:40000".parse().unwrap();
    let remote = "198.51.100.1:50000".parse().unwrap();
    let heard = Duration::from_secs(7);
    let entry = Entry::new(Side::Relay, local, remote, interfaces, heard);
    let traffic = Traffic::from_bytes(&entry.to_bytes());
    let expected = Traffic {
        heard,
        ..Traffic::default()
    };
    assert_eq!(traffic, expected);
}

#[test]
fn no_packet_is_longer_than_those_of_a_tunnel() {
    let interfaces = Interfaces {
        overlay: 3,
        underlay: 2,
    };
    let address = "192.0.2.1:40000".parse().unwrap();
    let mut entry = Entry::new(Side::Relay, address, address, interfaces, Duration::ZERO);
    entry.longest = 9000;
    assert_eq!(
        entry.to_bytes()[LONGEST..LONGEST + 2],
        1280_u16.to_ne_bytes()
    );
}
