use serde_json::json;

use super::*;

#[test]
fn the_set_and_the_block_are_read() {
    let listing = json!({ "nftables": [
        { "metainfo": {} },
        { "set": { "family": "inet", "table": "filter", "name": "other", "elem": [1] } },
        { "set": { "family": "inet", "table": "filter", "name": "teredo_ports",
                   "elem": [{ "elem": { "val": 40_001, "timeout": 15, "expires": 12 } }, 40_002] } },
        { "rule": { "family": "inet", "table": "teredo", "chain": "inside",
                    "expr": [{ "accept": null }] } },
        { "rule": { "family": "inet", "table": "teredo", "chain": "inside",
                    "expr": [{ "counter": { "packets": 17, "bytes": 3 } }, { "drop": null }] } },
    ]});
    let (open, dropped) = read(&listing);
    assert_eq!(open, Some(BTreeSet::from([40_001, 40_002])));
    assert_eq!(dropped, Some(17));
    assert_eq!(read(&json!({ "nftables": [] })), (None, None));
}

#[test]
fn bound_ports_are_read() {
    let table = "  sl  local_address rem_address   st\n \
         12: 00000000:9C41 00000000:0000 07 0\n \
         13: FD0000E0:0DD8 00000000:0000 07 0\n";
    assert_eq!(bound_ports(table), BTreeSet::from([40_001, 3_544]));
}

#[test]
fn the_teredo_address_is_read() {
    let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
         20010db8000600000000000000000001 02 80 00 80     eth0\n\
         20010000c000022d000046103a9b9cfe 03 80 00 80   teredo\n";
    let address = "2001:0:c000:22d:0:4610:3a9b:9cfe".parse().unwrap();
    assert_eq!(teredo_address(table), Some(address));
    assert_eq!(teredo_address("nonsense\n"), None);
}

fn look_at(seconds: u64, open: &[u16], bound: &[u16]) -> Look {
    Look {
        at: Duration::from_secs(seconds),
        open: Some(open.iter().copied().collect()),
        bound: bound.iter().copied().collect(),
        dropped: Some(seconds),
        address: None,
    }
}

/// A port may outlive its reason by the lease, and not by more.
#[test]
fn a_stale_exception_is_a_breach_after_the_lease() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::new(folder.path().to_owned()));
    let observer = Exceptions {
        journal: Arc::clone(&journal),
        state: Mutex::default(),
        over: AtomicBool::new(false),
    };
    observer.judge(look_at(0, &[4_000], &[4_000]));
    observer.judge(look_at(10, &[4_000, 4_001], &[4_001]));
    observer.judge(look_at(25, &[4_000, 4_001], &[4_001]));
    assert_eq!(journal.broken_count(), 0);
    // In use again for a moment: the count begins anew.
    observer.judge(look_at(26, &[4_000], &[4_000]));
    observer.judge(look_at(27, &[4_000], &[]));
    observer.judge(look_at(42, &[4_000], &[]));
    assert_eq!(journal.broken_count(), 0);
    observer.judge(look_at(44, &[4_000], &[]));
    assert_eq!(journal.broken_count(), 1);
    let breach = &journal.breaches()[0];
    assert_eq!(breach.invariant, Invariant::StaleException);
    assert!(breach.text.contains("port 4000"), "{}", breach.text);
}

/// A block that was put back counts from zero.
#[test]
fn drops_are_counted_across_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let observer = Exceptions {
        journal: Arc::new(Journal::new(folder.path().to_owned())),
        state: Mutex::default(),
        over: AtomicBool::new(false),
    };
    for dropped in [Some(5), Some(9), None, Some(2), Some(3)] {
        observer.judge(Look {
            dropped,
            ..look_at(1, &[], &[])
        });
    }
    assert_eq!(observer.counts().1, 9 + 3);
}
