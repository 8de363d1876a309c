use std::collections::BTreeMap;

use super::*;

fn episodes(seed: u64, count: usize) -> Vec<Episode> {
    Plan::new(seed).take(count).collect()
}

#[test]
fn a_seed_gives_one_sequence_and_another_seed_another() {
    assert_eq!(episodes(7, 200), episodes(7, 200));
    assert_ne!(episodes(7, 200), episodes(8, 200));
}

/// A report names a seed, and a later version must not silently play another run for it.
#[test]
fn the_sequence_of_a_seed_is_kept() {
    let names: Vec<_> = Plan::new(1)
        .take(6)
        .flat_map(|episode| episode.faults)
        .map(|fault| fault.describe())
        .collect();
    assert_eq!(names, KEPT);
}

const KEPT: &[&str] = &[
    "client-descriptors for 3.9 s, and a new port",
    "port-changed",
    "server-moved",
    "delay for 4.9 s, and a new port",
    "server-killed",
    "server-killed",
    "client-killed",
    "server-stopped for 7.4 s, and a new port",
];

#[test]
fn the_first_round_has_every_kind_once() {
    let mut firsts: Vec<Kind> = Plan::new(3)
        .take(Kind::ALL.len())
        .map(|episode| episode.faults[0].kind)
        .collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts.len(), Kind::ALL.len());
}

/// Each program lives for four rounds without a fault that may end it, and every kind comes as often as that permits.
#[test]
fn each_program_is_spared_once_in_a_cycle() {
    let mut plan = Plan::new(3);
    let mut lives = BTreeMap::new();
    let mut counts = BTreeMap::new();
    while plan.rounds <= CYCLE {
        let episode = plan.next().unwrap();
        if plan.rounds > CYCLE {
            break;
        }
        *counts.entry(episode.faults[0].kind).or_insert(0) += 1;
        for role in Role::ALL {
            let ended = episode.faults.iter().any(|fault| fault.kind.may_end(role));
            let (life, longest) = lives.entry(role).or_insert((0, 0));
            *life = if ended { 0 } else { *life + 1 };
            *longest = (*longest).max(*life);
        }
    }
    for (role, (_, longest)) in lives {
        let without = Kind::ALL.iter().filter(|kind| !kind.may_end(role)).count();
        assert!(longest >= SPARING * without, "{role:?}: {longest} episodes");
    }
    for kind in Kind::ALL {
        let ends = Role::ALL.iter().any(|&role| kind.may_end(role));
        let times = if ends { CYCLE - SPARING } else { CYCLE };
        assert_eq!(counts[&kind], times, "{kind:?}");
    }
}

#[test]
fn every_name_is_another_one() {
    let mut names = Kind::ALL.map(Kind::name).to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Kind::ALL.len());
}

#[test]
fn what_is_drawn_lies_within_its_limits() {
    let mut pairs = 0;
    for episode in episodes(11, 5_000) {
        assert!(CALM.contains(&(episode.calm.as_millis() as u64)));
        for fault in &episode.faults {
            let (shortest, longest) = fault.kind.lasts();
            let tenths = (fault.length.as_millis() / 100) as u32;
            assert!((shortest..=longest).contains(&tenths), "{fault:?}");
            assert_eq!(fault.loss > 0, fault.kind == Kind::Loss, "{fault:?}");
            assert!(fault.loss <= 20, "{fault:?}");
            let (bound, reason) = fault.bound();
            assert!(bound > fault.length.min(Duration::from_secs(1)));
            assert!(!reason.is_empty());
        }
        if let [first, second] = &episode.faults[..] {
            pairs += 1;
            assert!(may_coincide(first.kind, second.kind), "{episode:?}");
        }
    }
    assert!((1_000..1_500).contains(&pairs), "{pairs} of 5000 are pairs");
}

/// The block cannot be put back by programs that are away: such a pair would break an invariant by itself.
#[test]
fn a_flush_never_meets_an_absent_guard() {
    for guard in [
        Kind::Killed(Role::Client),
        Kind::Stopped(Role::Agent),
        Kind::NameService,
        Kind::Memory(Role::Agent),
    ] {
        assert!(!may_coincide(Kind::RulesetFlushed, guard), "{guard:?}");
        assert!(!may_coincide(guard, Kind::RulesetFlushed), "{guard:?}");
    }
    assert!(may_coincide(Kind::RulesetFlushed, Kind::NatReboot));
    assert!(may_coincide(
        Kind::Killed(Role::Agent),
        Kind::Killed(Role::Client)
    ));
}
