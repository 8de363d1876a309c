use std::net::SocketAddrV4;

use super::*;
use crate::wire::Flags;

fn at(milliseconds: u64) -> Instant {
    Instant::from_nanos(milliseconds * 1_000_000)
}

fn budget() -> Budget {
    Budget::new(SipKeys(1, 2))
}

/// The tokens of a full bucket.
fn burst(rate: Rate) -> u32 {
    (rate.depth / rate.interval) as u32
}

fn outer(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x5000_0000 + number)
}

/// A host in a /32 of its own.
fn native(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2600, number, 0, 0, 0, 0, 0, 1)
}

/// How many of so many attempts in a millisecond succeed.
fn allowed(attempts: u32, mut attempt: impl FnMut(u32) -> bool) -> u32 {
    (0..attempts).filter(|&number| attempt(number)).count() as u32
}

/// W-04: one outer address with ever new sources uses up its own share, and so does one /32, /48 or /64 with ever new
/// outer addresses.
#[test]
fn tests_are_shared_by_outer_address_and_by_prefix() {
    let mut budget = budget();
    let attacker = allowed(1_000, |number| {
        budget.allow_test(at(0), native(number as u16), outer(0), Attempt::First)
    });
    assert_eq!(attacker, burst(TESTS_OUTER));
    assert!(budget.allow_test(at(0), native(2_000), outer(1), Attempt::First));

    for (length, rate) in TESTS_PREFIX {
        let mut budget = self::budget();
        let own = native(1).to_bits();
        let attacker = allowed(1_000, |number| {
            let source = Ipv6Addr::from_bits(own | u128::from(number + 1) << (112 - length));
            budget.allow_test(at(0), source, outer(number), Attempt::First)
        });
        assert!(attacker <= burst(rate), "{attacker} from a /{length}");
        assert!(budget.allow_test(at(0), native(2), outer(0), Attempt::First));
    }
}

/// W-04: invented outer addresses use up the common budget, but not the one of addresses that have answered.
#[test]
fn an_address_that_answered_is_apart_from_the_invented_ones() {
    let mut budget = budget();
    budget.prove(at(0), outer(70_000));
    let attempts = allowed(5_000, |number| {
        budget.allow_test(at(0), native(number as u16), outer(number), Attempt::First)
    });
    assert_eq!(attempts, burst(TESTS_TOTAL));
    assert!(!budget.allow_test(at(0), native(6_000), outer(6_000), Attempt::First));
    assert!(budget.allow_test(at(0), native(6_000), outer(70_000), Attempt::First));
    let late = at(PROVEN_FOR.as_millis() as u64);
    assert!(!budget.is_proven(late, outer(70_000)));
}

/// R4380-7.4-01: the sum of the answers is bounded, and so are those to one address.
#[test]
fn answers_have_one_budget_for_an_address_and_one_for_all() {
    let mut budget = budget();
    let one = allowed(1_000, |_| budget.allow_answer(at(0), outer(0)));
    assert_eq!(one, burst(ANSWERS_OUTER));
    let all = allowed(5_000, |number| {
        budget.allow_answer(at(0), outer(number + 1))
    });
    assert_eq!(one + all, burst(ANSWERS_TOTAL));
    assert!(budget.allow_answer(at(1_000), outer(0)));
    let link = allowed(100, |_| budget.allow_local_answer(at(0), outer(0)));
    assert_eq!(link, burst(ANSWERS_LINK));
}

/// R4380-7.4-01: a server that strangers name gets few bubbles for one of them, some for all of them, and the contacts
/// of the host do not lack them.
#[test]
fn bubbles_have_a_budget_for_each_target() {
    let server = Ipv4Addr::new(198, 51, 100, 99);
    let target = |mapping: Ipv4Addr, port: u16| TeredoAddress {
        server,
        flags: Flags::default(),
        mapped: SocketAddrV4::new(mapping, port),
    };
    let mut budget = budget();
    let one = allowed(1_000, |number| {
        budget.allow_bubbles(at(0), target(outer(0), number as u16), true, Attempt::First)
    });
    assert_eq!(one, burst(DRAWN_MAPPING));
    let all = allowed(1_000, |number| {
        budget.allow_bubbles(at(0), target(outer(number), 1), true, Attempt::First)
    });
    assert_eq!(one + all, burst(DRAWN_SERVER));
    assert!(!budget.allow_bubbles(at(0), target(outer(5_000), 1), true, Attempt::First));
    let own = allowed(2_000, |number| {
        budget.allow_bubbles(at(0), target(outer(number), 1), false, Attempt::First)
    });
    assert_eq!(one + all + own, burst(BUBBLES));
}

/// W-04: when a budget is half used up, there are no repetitions, but first tests.
#[test]
fn first_tests_come_before_repetitions() {
    let mut budget = budget();
    let mut tests = |attempt| {
        allowed(1_000, |number| {
            budget.allow_test(at(0), native(number as u16), outer(number), attempt)
        })
    };
    assert_eq!(tests(Attempt::Repetition), burst(TESTS_TOTAL) / 2);
    assert_eq!(tests(Attempt::First), burst(TESTS_TOTAL) / 2);
}
