use serde_json::Value;

use super::*;
use crate::observation::Obstacle;
use crate::sample::*;

#[test]
fn the_json_has_what_scripts_rely_on() {
    let trailer = [teredo::wire::Trailer::Nonce(*b"\xde\xad\xbe\xef")];
    let trace = Exchange::new()
        .qualified()
        .send(
            1000,
            LOCAL,
            PRIMARY,
            bubble(teredo(MAPPED), teredo(PEER), &trailer),
        )
        .send(
            1000,
            LOCAL,
            "198.51.100.8:8",
            data(teredo(MAPPED), teredo("198.51.100.8:8")),
        )
        .until(9000)
        .trace();
    let json: Value = serde_json::to_value(&trace).unwrap();
    assert_eq!(json["schema"], "teredo.trace/1");
    assert_eq!(json["not_teredo"], 1);
    let packets = json["packets"].as_array().unwrap();
    assert_eq!(packets[0]["n"], 1);
    assert_eq!(packets[0]["kind"], "solicitation");
    assert_eq!(packets[0]["from"], LOCAL);
    assert_eq!(packets[0]["to"], PRIMARY);
    assert_eq!(packets[0]["nonce"], "0102030405060708");
    assert_eq!(packets[1]["origin"], MAPPED);
    assert_eq!(packets[1]["from_node"], "server-1");
    let last = &packets[4];
    assert_eq!(last["kind"], "indirect-bubble");
    assert_eq!(last["trailers"][0]["type"], 1);
    assert_eq!(last["trailers"][0]["name"], "nonce");
    assert_eq!(last["trailers"][0]["nonce"], "deadbeef");
    assert_eq!(last["findings"][0]["id"], "stall.bubble");
    assert_eq!(last["findings"][0]["grade"], "warn");
    assert_eq!(json["stalls"][0]["packet"], 5);
    assert_eq!(json["nodes"][0]["id"], "client-1");
    assert_eq!(json["nodes"][0]["nat"]["kind"], Value::Null);
    assert_eq!(json["nodes"][0]["nat"]["mapping"], "endpoint-independent");
    assert_eq!(json["nodes"][1]["role"], "server");
}

#[test]
fn a_fate_is_told_and_counts() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let dropped = Fate::Dropped {
        by: Obstacle::ReceiverNat,
        reason: String::from("no mapping"),
    };
    let trace = Exchange::new()
        .qualified()
        .send(1000, LOCAL, PEER, bubble(own, peer, &[]))
        .fated(1100, PEER, LOCAL, bubble(peer, own, &[]), Some(dropped))
        .until(9000)
        .trace();
    let json: Value = serde_json::to_value(&trace.packets[5]).unwrap();
    assert_eq!(json["fate"], "dropped");
    assert_eq!(json["by"], "receiver-nat");
    assert_eq!(json["reason"], "no mapping");
    assert_eq!(trace.stalls.len(), 1, "what was dropped answers nothing");
}

/// A simulator knows both sides of a NAT, and names.
#[test]
fn an_observer_may_know_more_than_a_capture() {
    let mut tracer = Tracer::new(Limits::default());
    tracer.name(end(LOCAL), "alice");
    tracer.observe(&Observation {
        frame: 1,
        time: Duration::ZERO,
        source: end(LOCAL),
        destination: end(PRIMARY),
        public_source: Some(end(MAPPED)),
        inner_destination: None,
        ttl: 64,
        payload: &solicitation(None, false),
        cut: false,
        fate: Some(Fate::Delivered),
    });
    let trace = tracer.finish();
    assert_eq!(trace.nodes[0].name.as_deref(), Some("alice"));
    assert_eq!(trace.nodes[0].mapped, Some(end(MAPPED)));
    assert_eq!(trace.start, None, "a virtual clock has no time of day");
}

#[test]
fn times_beyond_the_calendar_are_left_out() {
    assert_eq!(rfc3339(Duration::MAX), None);
    assert_eq!(rfc3339(END_OF_TIME), None);
    assert!(rfc3339(END_OF_TIME - Duration::from_nanos(1)).is_some());
}

/// A file of simple packets has no time at all.
#[test]
fn frames_without_a_time_have_no_date() {
    let frame = ipv4(LOCAL, PRIMARY, &solicitation(Some(NONCE), false));
    let mut file = pcapng(101, 6, &[]);
    let padded = frame.len().next_multiple_of(4);
    let length = u32::try_from(16 + padded).unwrap();
    for word in [3, length, u32::try_from(frame.len()).unwrap()] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(&frame);
    file.resize(file.len() + padded - frame.len(), 0);
    file.extend_from_slice(&length.to_le_bytes());
    let trace = trace_file(&file, Limits::default()).unwrap();
    assert_eq!((trace.packets.len(), trace.start), (1, None));
    assert_eq!(trace.packets[0].time, None);
}

/// R4380-5.2.4-03: nobody waited for 12 years; one frame has a wrong time.
#[test]
fn one_frame_far_ahead_ends_no_capture() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let at = |end| {
        let bubble = bubble(own, peer, &[]);
        Exchange::new()
            .send(1000, LOCAL, PEER, bubble)
            .until(end)
            .trace()
    };
    assert_eq!(at(400_000_000_000).stalls, []);
    assert_eq!(at(9000).stalls.len(), 1);
}

/// Another program on port 3544 takes no room from the Teredo packets.
#[test]
fn others_on_the_port_are_no_packets_left_out() {
    let limits = Limits {
        packets: 20,
        nodes: 10,
    };
    let mut exchange = Exchange::new();
    for at in 0..30 {
        exchange = exchange.send(at, "192.168.1.5:3544", "203.0.113.77:6881", [0xff; 60]);
    }
    let trace = exchange.qualified().trace_with(limits);
    assert_eq!((trace.packets.len(), trace.left_out), (4, 0));
    assert_eq!((trace.not_teredo, trace.undecided), (20, 10));
}
