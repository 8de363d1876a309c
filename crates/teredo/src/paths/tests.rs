use super::*;
use crate::Instant;

fn path(number: u16) -> PeerPath {
    PeerPath {
        peer: peer(number),
        own: None,
        port: None,
        remote: "192.0.2.1:4096".parse().unwrap(),
        heard: Instant::default(),
    }
}

fn peer(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, number)
}

/// The next change, as a node reports it.
fn poll(changes: &mut PathChanges) -> Option<PathChange> {
    match changes.take_all() {
        true => Some(PathChange::AllWithdrawn),
        false => changes.pop(),
    }
}

/// R4380-7.3.5-01: the queue has a bound, and beyond it all paths are taken back rather than one forgotten.
#[test]
fn a_full_queue_takes_all_paths_back() {
    let mut changes = PathChanges::default();
    changes.report(true);
    for number in 0..=MOST {
        assert!(changes.queue.len() <= MOST);
        changes.withdraw(peer(number as u16));
    }
    changes.offer(path(1));
    assert_eq!(poll(&mut changes), Some(PathChange::AllWithdrawn));
    assert_eq!(poll(&mut changes), None);
    assert!(changes.queue.capacity() <= KEPT);
    changes.offer(path(1));
    assert_eq!(poll(&mut changes), Some(PathChange::Offered(path(1))));
}

/// Nothing waits for a caller that asks for nothing, and one that asks again begins without paths.
#[test]
fn changes_are_reported_on_request() {
    let mut changes = PathChanges::default();
    changes.offer(path(1));
    assert_eq!(poll(&mut changes), None);
    changes.withdraw_all();
    assert_eq!(poll(&mut changes), None);
    changes.report(true);
    changes.offer(path(1));
    changes.report(true);
    assert_eq!(poll(&mut changes), Some(PathChange::AllWithdrawn));
    changes.offer(path(1));
    changes.report(false);
    assert_eq!(poll(&mut changes), None);
}
