use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::PathChange;

const KEYS: SipKeys = SipKeys(3, 4);

fn tick(seconds: u64) -> Tick {
    Tick::at(at(seconds * 1000))
}

fn table(capacity: usize) -> Table {
    Table::new(capacity, KEYS)
}

/// R4380-5.4-03, R4380-5.2.4-01: an entry is valid for 30 s after the last reception, and never longer.
#[test]
fn an_entry_is_valid_for_thirty_seconds() {
    let mut peers = table(10);
    for start in [0, 20, 50, 99, 100] {
        peers.heard(key(1), Tick::at(at(start)));
        assert!(peers.find(key(1), Tick::at(at(start + 29_800))).is_some());
        assert!(peers.find(key(1), Tick::at(at(start + 30_000))).is_none());
    }
    assert!(peers.find(key(2), tick(0)).is_none());
}

/// R4380-5.2-06, R4380-7.3.5-01: the table never exceeds its bound, and a full one keeps the entries in use.
#[test]
fn a_full_table_keeps_the_peers_in_use() {
    for capacity in [1, 2, 9, 100, 5000] {
        let mut peers = table(capacity);
        let used = capacity as u32 / 10;
        for number in 0..20 * capacity as u32 {
            // Twenty seconds in all, so nothing expires. Some entries are used all the time, half of them in one
            // direction.
            let now = Tick::at(at(u64::from(number) * 1000 / capacity as u64));
            peers.heard(key(1_000_000 + number), now);
            if number % (used + 1) == 0 {
                for peer in 0..used {
                    match peers.find(key(peer), now) {
                        Some(entry) if peer % 2 == 0 => entry.sent(now),
                        _ => peers.heard(key(peer), now),
                    }
                }
            }
            assert!(peers.len() <= capacity);
        }
        assert_eq!(peers.len(), capacity);
        let kept = (0..used).filter(|&peer| peers.find(key(peer), tick(19)).is_some());
        assert_eq!(kept.count(), used as usize, "of a capacity of {capacity}");
    }
}

/// R4380-7.3.5-01: a million peers take at most 40 bytes each at any moment while the table grows, and the memory is
/// given back.
#[test]
fn entries_are_small_at_every_size() {
    let mut peers = table(1 << 20);
    for number in 0..1_000_000 {
        peers.heard(key(number), tick(0));
        if number > 50_000 && number % 10_000 == 0 {
            let each = peers.bytes() as f64 / peers.len() as f64;
            assert!(each <= 40.0, "{each} bytes a peer with {number} peers");
        }
    }
    assert_eq!(peers.len(), 1_000_000);
    for _ in 0..32 {
        peers.sweep(tick(31));
    }
    assert_eq!(peers.len(), 0);
    assert!(
        peers.bytes() < 200_000,
        "{} bytes for nobody",
        peers.bytes()
    );
}

#[derive(Clone, Debug)]
enum Step {
    Heard(u32),
    Sent(u32),
    Pass(u64),
    Sweep,
    Refuse(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..60u32).prop_map(Step::Heard),
        4 => (0..60u32).prop_map(Step::Sent),
        2 => (0..4000u64).prop_map(Step::Pass),
        1 => Just(Step::Pass(31_000)),
        1 => Just(Step::Sweep),
        1 => (0..60u32).prop_map(Step::Refuse),
    ]
}

/// R4380-7.3.5-01: if more paths end at once than are reported one by one, all end, and no mark stays.
#[test]
fn very_many_paths_end_together() {
    const MANY: u32 = 70_000;
    let mut peers = table(MANY as usize);
    peers.report_paths(true);
    let remote = "192.0.2.1:4096".parse().unwrap();
    for number in 0..MANY {
        peers.heard(key(number), tick(0));
        peers.offer(key(number), tick(0), remote);
        assert!(matches!(peers.poll_path(), Some(PathChange::Offered(_))));
    }
    let few = |number: u32| number < 3;
    peers.retain(|other| (0..3).any(|number| other == key(number)));
    assert_eq!(peers.poll_path(), Some(PathChange::AllWithdrawn));
    assert_eq!(peers.poll_path(), None);
    for number in 0..MANY {
        let peer = peers.find(key(number), tick(0));
        assert_eq!(
            peer.map(|peer| peer.is_offered()),
            few(number).then_some(false)
        );
    }
}

proptest! {
    /// R4380-5.4-03: until it is full, the table is a map from peers to the time when they were heard.
    #[test]
    fn the_table_is_a_map(steps in prop::collection::vec(step(), 0..400), capacity in 60..5000usize) {
        let mut peers = table(capacity);
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        let mut millis = 0;
        for step in steps {
            let now = Tick::at(at(millis));
            match step {
                Step::Heard(number) => {
                    peers.heard(key(number), now);
                    model.insert(number, millis);
                }
                Step::Sent(number) => {
                    if let Some(peer) = peers.find(key(number), now) {
                        peer.sent(now);
                    }
                }
                Step::Pass(time) => millis += time,
                Step::Sweep => peers.sweep(now),
                Step::Refuse(number) => {
                    peers.retain(|other| other != key(number));
                    model.remove(&number);
                }
            }
            let now = Tick::at(at(millis));
            for number in 0..60 {
                let heard = model.get(&number);
                let found = peers.find(key(number), now).is_some();
                // Between the two, it depends on the tenth of a second.
                if heard.is_some_and(|heard| millis - heard <= 29_800) {
                    prop_assert!(found, "{number} was forgotten");
                } else if heard.is_none_or(|heard| millis - heard >= 30_000) {
                    prop_assert!(!found, "{number} is not valid");
                }
            }
            prop_assert!(peers.len() <= 60);
        }
    }

    /// R4380-5.2-06: a table that is always full keeps its bound, finds its newest entry, and knows its size.
    #[test]
    fn a_full_table_stays_consistent(numbers in prop::collection::vec(0..200u32, 0..600), capacity in 1..40usize) {
        let mut peers = table(capacity);
        for (time, &number) in numbers.iter().enumerate() {
            let now = Tick::at(at(time as u64 * 100));
            peers.heard(key(number), now);
            prop_assert!(peers.find(key(number), now).is_some());
            let found = (0..200).filter(|&number| peers.find(key(number), now).is_some()).count();
            prop_assert!(found <= peers.len() && peers.len() <= capacity);
            if time < 290 {
                prop_assert_eq!(found, peers.len());
            }
        }
    }
}
