//! In virtual time: no test waits.

use super::*;
use crate::mapping::Protocol;

const SECOND: Duration = Duration::from_secs(1);

fn wanted(port: u16) -> Wanted {
    Wanted {
        gateway: [192, 168, 1, 1].into(),
        local: std::net::SocketAddrV4::new([192, 168, 1, 7].into(), port),
    }
}

fn mapping(port: u16, lifetime: Option<u32>) -> Mapping {
    Mapping {
        external: std::net::SocketAddrV4::new([192, 0, 2, 1].into(), port),
        lifetime,
        epoch: Some(1000),
        ..Mapping::intended(wanted(port), Protocol::Pcp)
    }
}

/// A keeper that holds a mapping, and the time when it was given.
fn holding(lifetime: Option<u32>) -> (Keeper, Instant) {
    let now = Instant::now();
    let mut keeper = Keeper::new(None);
    keeper.want(Some(wanted(4000)));
    assert_eq!(keeper.state(), State::Asking);
    assert_eq!(keeper.task(now), Some(Task::Ask(wanted(4000))));
    keeper.finish(now, Ok(mapping(4000, lifetime)));
    (keeper, now)
}

/// R6081-5.3.3-01, R6081-5.3.5-01: before anything else, the mapping that was left is taken back; at the end, the last.
#[test]
fn what_was_left_goes_first_and_the_last_mapping_at_the_end() {
    let now = Instant::now();
    let left = mapping(3999, None);
    let mut keeper = Keeper::new(Some(left));
    keeper.want(Some(wanted(4000)));
    assert_eq!(keeper.task(now), Some(Task::Release(left)));
    assert_eq!(keeper.task(now), None, "one at a time");
    // Even if the router does not answer.
    keeper.finish(now, Err(Refusal::Silent));
    assert_eq!(keeper.task(now), Some(Task::Ask(wanted(4000))));
    keeper.finish(now, Ok(mapping(4000, Some(1200))));
    keeper.want(None);
    assert!(!keeper.is_done());
    assert_eq!(
        keeper.task(now),
        Some(Task::Release(mapping(4000, Some(1200))))
    );
    keeper.finish(now, Ok(mapping(4000, None)));
    assert!(keeper.is_done());
    assert_eq!(
        (keeper.task(now), keeper.timeout(), keeper.state()),
        (None, None, State::Idle)
    );
}

/// RFC 6887 §11.2.1: a mapping is renewed at half of its lifetime, and a router that has forgotten it gives it again.
#[test]
fn a_mapping_is_renewed_at_half_of_its_lifetime() {
    let (mut keeper, now) = holding(Some(1200));
    assert_eq!(keeper.state(), State::Mapped(mapping(4000, Some(1200))));
    let due = now + SECOND * 600;
    assert_eq!(keeper.timeout(), Some(due));
    assert_eq!(keeper.task(due - SECOND), None);
    assert_eq!(
        keeper.task(due),
        Some(Task::Renew(mapping(4000, Some(1200))))
    );
    let again = Mapping {
        epoch: Some(3),
        ..mapping(4000, Some(1200))
    };
    keeper.finish(due, Ok(again));
    assert_eq!(keeper.state(), State::Mapped(again));
    assert_eq!(keeper.timeout(), Some(due + SECOND * 600));
}

/// RFC 6887 §15: a router that gives 136 years is still asked every ten minutes, and counts for a day if it is silent.
#[test]
fn a_lifetime_without_end_does_not_end_the_renewals() {
    let (mut keeper, start) = holding(Some(u32::MAX));
    let due = start + SECOND * 600;
    assert_eq!(keeper.timeout(), Some(due));
    assert!(matches!(keeper.task(due), Some(Task::Renew(_))));
    keeper.finish(due, Err(Refusal::Silent));
    let day = start + SECOND * 86400;
    for (now, holds) in [(day - SECOND, true), (day, false)] {
        assert!(matches!(keeper.task(now), Some(Task::Renew(_))));
        keeper.finish(now, Err(Refusal::Silent));
        assert_eq!(matches!(keeper.state(), State::Mapped(_)), holds);
        keeper.look(now);
    }
}

/// A router that disappears has lost the mapping when its lifetime is over, not before.
#[test]
fn a_silent_router_loses_the_mapping_with_its_lifetime() {
    let (mut keeper, start) = holding(Some(120));
    let mut now = start + SECOND * 60;
    while now < start + SECOND * 120 {
        assert!(matches!(keeper.task(now), Some(Task::Renew(_))), "{now:?}");
        keeper.finish(now, Err(Refusal::Silent));
        assert!(matches!(keeper.state(), State::Mapped(_)));
        now = keeper.timeout().unwrap();
    }
    assert!(matches!(keeper.task(now), Some(Task::Renew(_))));
    keeper.finish(now, Err(Refusal::Silent));
    assert_eq!(keeper.state(), State::Refused(Refusal::Silent));
    assert_eq!(keeper.timeout(), Some(now + PAUSE));
    // It has come back.
    now += PAUSE;
    assert_eq!(keeper.task(now), Some(Task::Ask(wanted(4000))));
    keeper.finish(now, Ok(mapping(4000, Some(120))));
    assert!(matches!(keeper.state(), State::Mapped(_)));
}

#[test]
fn a_mapping_without_lifetime_ends_after_four_silences() {
    let (mut keeper, start) = holding(None);
    let mut now = start;
    for silence in 0..MOST_SILENCES {
        assert!(matches!(keeper.state(), State::Mapped(_)), "{silence}");
        now = keeper.timeout().unwrap();
        assert!(matches!(keeper.task(now), Some(Task::Renew(_))));
        keeper.finish(now, Err(Refusal::Malformed(Protocol::Upnp)));
    }
    assert!(matches!(keeper.state(), State::Refused(_)));
    assert!(now - start < PERMANENT + SECOND * 60);
}

/// A mapping that leads to another host by now is not used any more, and not taken back either.
#[test]
fn a_mapping_of_another_host_is_neither_used_nor_taken_back() {
    for refusal in [
        Refusal::OtherHost(4000),
        Refusal::Taken(4000),
        Refusal::NotListed(4000),
    ] {
        let (mut keeper, now) = holding(Some(1200));
        let due = now + SECOND * 600;
        keeper.task(due);
        keeper.finish(due, Err(refusal.clone()));
        assert_eq!(keeper.state(), State::Refused(refusal));
        assert_eq!(keeper.task(due), None);
        keeper.want(None);
        assert_eq!(keeper.task(due), None);
        assert!(keeper.is_done());
    }
}

#[test]
fn the_mapping_moves_with_the_port() {
    let (mut keeper, now) = holding(Some(1200));
    keeper.want(Some(wanted(5000)));
    assert_eq!(keeper.state(), State::Asking);
    assert!(matches!(keeper.task(now), Some(Task::Release(old)) if old.local.port() == 4000));
    keeper.finish(now, Err(Refusal::Silent));
    assert_eq!(keeper.task(now), Some(Task::Ask(wanted(5000))));
    keeper.finish(now, Ok(mapping(5000, Some(1200))));
    assert!(matches!(keeper.state(), State::Mapped(new) if new.local.port() == 5000));
}

/// A question that was given up may have been understood, so its mapping is taken back, too.
#[test]
fn a_question_that_was_given_up_is_undone() {
    let now = Instant::now();
    let mut keeper = Keeper::new(None);
    keeper.want(Some(wanted(4000)));
    keeper.task(now);
    keeper.want(None);
    let intent = Mapping::intended(wanted(4000), Protocol::Upnp);
    keeper.abandon(Some(intent));
    assert_eq!(keeper.task(now), Some(Task::Release(intent)));
    keeper.finish(now, Err(Refusal::Silent));
    assert!(keeper.is_done());
}

/// R6081-5.3.5-01: a mapping that the router may have made without an answer leaves with the port, and at the end.
#[test]
fn a_mapping_that_was_not_confirmed_is_taken_back() {
    for next in [None, Some(wanted(5000))] {
        let now = Instant::now();
        let mut keeper = Keeper::new(None);
        keeper.want(Some(wanted(4000)));
        keeper.task(now);
        keeper.finish(now, Err(Refusal::Silent));
        let intent = Mapping::intended(wanted(4000), Protocol::Upnp);
        keeper.unconfirmed(intent);
        assert_eq!(keeper.task(now), None, "it is still wanted");
        keeper.want(next);
        assert!(!keeper.is_done());
        assert_eq!(keeper.task(now), Some(Task::Release(intent)));
        keeper.finish(now, Ok(intent));
        assert_eq!(keeper.task(now), next.map(Task::Ask));
    }
}

/// A mapping without a lifetime stays on the router after the keeper has given it up.
#[test]
fn a_permanent_mapping_of_a_silent_router_is_taken_back_at_the_end() {
    let (mut keeper, mut now) = holding(None);
    for _ in 0..MOST_SILENCES {
        now = keeper.timeout().unwrap();
        keeper.task(now);
        keeper.finish(now, Err(Refusal::Silent));
    }
    assert!(matches!(keeper.state(), State::Refused(_)));
    keeper.want(None);
    assert_eq!(keeper.task(now), Some(Task::Release(mapping(4000, None))));
    keeper.finish(now, Err(Refusal::Silent));
    assert!(keeper.is_done());
}

/// R6081-5.3.3-03: the client works without a mapping, and the pauses grow.
#[test]
fn the_pauses_after_refusals_grow_to_an_hour() {
    let mut now = Instant::now();
    let mut keeper = Keeper::new(None);
    keeper.want(Some(wanted(4000)));
    let mut pauses = Vec::new();
    for _ in 0..40 {
        assert!(matches!(keeper.task(now), Some(Task::Ask(_))));
        keeper.finish(now, Err(Refusal::Silent));
        assert_eq!(keeper.task(now), None);
        let next = keeper.timeout().unwrap();
        pauses.push((next - now).as_secs());
        now = next;
    }
    assert_eq!(pauses[..8], [30, 60, 120, 240, 480, 960, 1920, 3600]);
    assert!(pauses[8..].iter().all(|&pause| pause == 3600));
    // Another network is asked at once.
    keeper.want(Some(wanted(4001)));
    assert!(keeper.task(now).is_some());
}

/// Others may cause a look, but not a flood of them.
#[test]
fn looks_that_others_cause_are_rare() {
    let (mut keeper, now) = holding(Some(1200));
    let mut renewals = 0;
    for milliseconds in (0..30_000).step_by(10) {
        let now = now + Duration::from_millis(milliseconds);
        keeper.look(now);
        if keeper.task(now).is_some() {
            keeper.finish(now, Ok(mapping(4000, Some(1200))));
            renewals += 1;
        }
    }
    assert_eq!(renewals, 3);
}
