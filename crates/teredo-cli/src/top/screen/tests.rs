use std::collections::BTreeMap;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use teredo_notify::types::{Counters, Phase, Status};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A client after so many seconds, whose traffic rises.
fn look(seconds: u32) -> Look {
    let sent = u64::from(seconds * seconds) * 1024;
    let wall = SystemTime::UNIX_EPOCH + SECOND * seconds;
    let counters = Counters {
        rx_bytes: sent * 3,
        tx_bytes: sent,
        ..Counters::default()
    };
    let peer = serde_json::from_value(serde_json::json!({
        "address": "2001:0:c000:22d:1234:63bf:3fff:fdd2",
        "state": "trusted",
        "path": "198.51.100.7:40000",
        "heard_ms": 1200,
        "counters": counters,
    }));
    Look {
        at: SECOND * seconds,
        wall,
        status: Status {
            state: Phase::Qualified,
            since: Some("1970-01-01T00:00:00.000000Z".into()),
            port: if seconds < 3 { 40001 } else { 40002 },
            sequence: if seconds < 3 { 1 } else { 2 },
            address: "2001:0:c000:22d:8000:63bf:3fff:fdd2".parse().ok(),
            interface: Some("teredo".into()),
            server: Some("192.0.2.45".into()),
            mapped: "192.0.2.7:40000".parse().ok(),
            counters,
            drops: BTreeMap::from([
                ("malformed".into(), 7),
                ("mapping_mismatch".into(), u64::from(seconds) * 2),
                ("too_big".into(), 0),
            ]),
            ..Status::default()
        },
        peers: Some(vec![peer.expect("a peer")]),
    }
}

fn drawn(history: &History, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    let now = SystemTime::UNIX_EPOCH + SECOND * 90;
    terminal
        .draw(|frame| draw(frame, history, now))
        .expect("drawn");
    let buffer = terminal.backend().buffer();
    let line = |row: u16| -> String {
        let cells = (0..width).map(|column| buffer[(column, row)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..height).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_client_at_work() {
    let mut history = History::default();
    (0..6).for_each(|seconds| history.observe(look(seconds)));
    let expected = include_str!("client.txt");
    let drawn = drawn(&history, 120, 30);
    assert_eq!(drawn.trim_end(), expected.trim_end(), "\n{drawn}");
}

/// The last state stays, with a word of warning.
#[test]
fn a_service_that_is_gone() {
    let mut history = History::default();
    history.observe(look(0));
    history.gone("cannot connect to /run/teredo/teredo.sock".into());
    let drawn = drawn(&history, 100, 24);
    assert!(
        drawn.contains("cannot connect to /run/teredo/teredo.sock: the last state is shown"),
        "{drawn}"
    );
    assert!(drawn.contains("40001"), "{drawn}");
}

/// Whatever the window, nothing panics, and no control character of a server's name gets through.
#[test]
fn every_size_can_be_drawn() {
    let mut history = History::default();
    assert_eq!(drawn(&history, 3, 1).trim(), "");
    let mut look = look(0);
    look.status.server = Some("\u{1b}[31mevil".into());
    look.peers = None;
    history.observe(look);
    for (width, height) in [(1, 1), (5, 2), (20, 5), (40, 60), (300, 100)] {
        assert!(!drawn(&history, width, height).contains('\u{1b}'));
    }
}

#[test]
fn bars_are_relative_to_the_highest() {
    let mut history = History::default();
    for (seconds, _) in (0..9).zip(0..) {
        history.observe(look(seconds));
    }
    let rates = &history.traffic().rx;
    assert_eq!(bars(rates, 8).chars().next_back(), Some('█'));
    assert_eq!(bars(rates, 3).chars().count(), 3);
    assert_eq!(bars(&Rates::default(), 3), "");
}
