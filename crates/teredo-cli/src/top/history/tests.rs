use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn look(seconds: u32, port: u16, sequence: u64, rx_bytes: u64) -> Look {
    let at = SECOND * seconds;
    Look {
        at,
        wall: SystemTime::UNIX_EPOCH + at,
        status: Status {
            port,
            sequence,
            counters: Counters {
                rx_bytes,
                ..Counters::default()
            },
            ..Status::default()
        },
        peers: None,
    }
}

fn ports(history: &History) -> Vec<(u16, u64)> {
    history
        .ports()
        .map(|since| (since.port, since.unseen))
        .collect()
}

/// A change that was undone between two looks shows, and so does a service that was restarted on the same port.
#[test]
fn each_port_is_noted_once() {
    let mut history = History::default();
    for (seconds, port, sequence) in [
        (0, 5, 1),
        (1, 5, 1),
        (2, 6, 4),
        (3, 6, 6),
        (4, 0, 1),
        (5, 0, 1),
    ] {
        history.observe(look(seconds, port, sequence, 0));
    }
    assert_eq!(ports(&history), [(0, 0), (6, 1), (6, 2), (5, 0)]);
    for change in 0..1000 {
        history.observe(look(6, change % 2 + 1, u64::from(change), 0));
    }
    assert_eq!(history.ports().count(), MAX_PORTS);
}

#[test]
fn rates_are_those_between_looks() {
    let mut history = History::default();
    for (seconds, rx_bytes) in [(0, 1000), (2, 5000), (3, 100), (3, 200)] {
        history.observe(look(seconds, 1, 1, rx_bytes));
    }
    let rates: Vec<_> = history.traffic().rx.iter().collect();
    // The third is after a restart, the fourth has no time.
    assert_eq!(rates, [2000, 100, 100_000]);
    for _ in 0..1000 {
        history.observe(look(4, 1, 1, 0));
    }
    assert_eq!(history.traffic().rx.iter().len(), MAX_RATES);
}

/// Peers and reasons that the node no longer names are forgotten.
#[test]
fn what_is_gone_is_forgotten() {
    let mut history = History::default();
    let peer: Peer = serde_json::from_str(r#"{"address":"2001::1"}"#).expect("a peer");
    let address = peer.address;
    for seconds in 0..2 {
        let mut look = look(seconds, 1, 1, 0);
        look.peers = Some(vec![peer.clone()]);
        look.status.drops.insert("malformed".into(), 1);
        history.observe(look);
    }
    assert!(history.of_peer(&address).is_some() && history.of_drop("malformed").is_some());
    history.observe(look(2, 1, 1, 0));
    assert!(history.of_peer(&address).is_none() && history.of_drop("malformed").is_none());
}
