use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use super::*;
use crate::slots::Bounds;

const MAPPING: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4096);

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn table(peers: usize) -> Peers {
    Peers::new(
        Bounds {
            peers,
            queue_bytes: 3000,
            total_queue_bytes: 5000,
        },
        [1, 2, 3, 4],
    )
}

fn host(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number)
}

/// R4380-5.2-05, R4380-5.2.4-01: an entry has a mapping, trust and the time of the last reception, and is valid for 30
/// s after that.
#[test]
fn a_path_is_valid_for_thirty_seconds() {
    let mut peer = Peer::default();
    assert_eq!(peer.path(at(100)), None);
    peer.verified(at(100), MAPPING);
    assert_eq!(peer.path(at(129)), Some(MAPPING));
    assert_eq!(peer.path(at(130)), None);
    peer.heard(at(130));
    assert_eq!(peer.path(at(159)), Some(MAPPING));
}

/// R4380-5.2.6-04: two seconds between bubbles.
#[test]
fn bubbles_keep_two_seconds_apart() {
    let mut peer = Peer::default();
    assert!(peer.may_bubble(at(0), BubbleCause::Ask));
    peer.bubble_sent(at(0), BubbleCause::Ask);
    assert!(!peer.may_bubble(at(1), BubbleCause::Ask));
    assert!(!peer.may_bubble(at(1), BubbleCause::Answer));
    assert!(peer.may_bubble(at(2), BubbleCause::Answer));
}

/// R4380-5.2.6-05, R4380-5.2.6-06: four bubbles, then silence until 300 s have passed.
#[test]
fn four_bubbles_in_three_hundred_seconds() {
    let mut peer = Peer::default();
    for seconds in [0, 2, 4, 6] {
        assert!(
            peer.may_bubble(at(seconds), BubbleCause::Ask),
            "at {seconds} s"
        );
        peer.bubble_sent(at(seconds), BubbleCause::Ask);
    }
    assert!(!peer.may_bubble(at(8), BubbleCause::Ask));
    assert!(!peer.may_bubble(at(299), BubbleCause::Ask));
    assert!(peer.may_bubble(at(300), BubbleCause::Ask));
    assert!(
        peer.may_bubble(at(8), BubbleCause::Answer),
        "an answer has a count of its own"
    );
}

/// R4380-5.2.6-05, R4380-5.2.6-06: any 300 s contain at most four bubbles, whenever they begin.
#[test]
fn the_three_hundred_seconds_slide() {
    let mut peer = Peer::default();
    for seconds in [0, 294, 296, 298, 300] {
        assert!(
            peer.may_bubble(at(seconds), BubbleCause::Answer),
            "at {seconds} s"
        );
        peer.bubble_sent(at(seconds), BubbleCause::Answer);
    }
    assert!(!peer.may_bubble(at(302), BubbleCause::Answer));
    assert!(!peer.may_bubble(at(593), BubbleCause::Answer));
    assert!(peer.may_bubble(at(594), BubbleCause::Answer));
}

/// R4380-5.2.6-07: a direct response resets the count.
#[test]
fn a_direct_response_resets_the_count() {
    let mut peer = Peer::default();
    for seconds in [0, 2, 4, 6] {
        peer.bubble_sent(at(seconds), BubbleCause::Ask);
    }
    peer.heard(at(7));
    assert!(peer.may_bubble(at(8), BubbleCause::Ask));
}

/// R4380-5.2-06: the table is bounded, and the least recently used stranger goes first, trusted or not.
#[test]
fn strangers_make_room_first() {
    let mut peers = table(3);
    let used = peers.find_or_insert(host(1));
    assert_eq!(peers.verify(at(0), used, MAPPING).count(), 0);
    peers.touch_used(used);
    peers.find_or_insert(host(2));
    peers.find_or_insert(host(3));
    for number in 4..1000 {
        let slot = peers.find_or_insert(host(number));
        if number % 2 == 0 {
            assert_eq!(peers.verify(at(0), slot, MAPPING).count(), 0);
        }
        assert_eq!(peers.len(), 3);
    }
    assert_eq!(peers.trusted_len(), 2);
    assert!(peers.find(&host(1)).is_some());
    assert!(peers.find(&host(2)).is_none());
    assert!(peers.find(&host(998)).is_some());
    assert!(peers.find(&host(999)).is_some());
}

/// R4380-5.2-06: among equals, the recently used entry stays.
#[test]
fn the_least_recently_used_entry_goes() {
    let mut peers = table(2);
    for number in [1, 2] {
        let slot = peers.find_or_insert(host(number));
        assert_eq!(peers.verify(at(0), slot, MAPPING).count(), 0);
    }
    peers.touch(peers.find(&host(1)).unwrap());
    peers.find_or_insert(host(3));
    assert!(peers.find(&host(1)).is_some());
    assert!(peers.find(&host(2)).is_none());
}

/// R4380-5.2.4-11: each queue is bounded, and so are all together.
#[test]
fn queues_are_bounded() {
    let mut peers = table(10);
    let (a, b) = (peers.find_or_insert(host(1)), peers.find_or_insert(host(2)));
    assert!(peers.enqueue(a, &[1; 1500]));
    assert!(peers.enqueue(a, &[2; 1500]));
    assert!(!peers.enqueue(a, &[3; 1]), "the peer's bound");
    assert!(peers.enqueue(b, &[4; 2000]));
    assert!(!peers.enqueue(b, &[5; 1]), "the bound of all together");
    let released: Vec<_> = peers
        .verify(at(0), a, MAPPING)
        .map(|packet| packet[0])
        .collect();
    assert_eq!(released, [1, 2], "in order");
    assert!(peers.enqueue(b, &[6; 1000]), "what left makes room");
}

#[test]
fn deadlines_follow_contacts_and_evictions() {
    let mut peers = table(1);
    let contact = |due| Contact {
        probe: Probe::Echo { nonce: [0; 16] },
        attempts: 1,
        due,
    };
    let slot = peers.find_or_insert(host(1));
    peers.set_contact(slot, contact(at(2)), None);
    peers.set_contact(slot, contact(at(4)), None);
    assert_eq!(peers.next_deadline(), Some(at(4)));
    assert!(peers.enqueue(slot, &[0; 40]));
    assert_eq!(peers.due(at(3)), None);
    assert_eq!(peers.due(at(4)), Some(slot));
    peers.find_or_insert(host(2));
    assert_eq!(peers.next_deadline(), None);
    assert_eq!(peers.take_evicted_packets(), 1);
    assert_eq!(peers.take_evicted_packets(), 0);
}

/// A long random life keeps index, lists and budget consistent.
#[test]
fn a_long_life_keeps_the_table_consistent() {
    let mut peers = table(16);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..20_000u64 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let slot = peers.find_or_insert(host((state >> 33) as u16 % 64));
        match (state >> 59) % 5 {
            0 => peers.touch(slot),
            1 => assert!(peers.verify(at(round), slot, MAPPING).count() <= 3000),
            2 => {
                peers.enqueue(slot, &[0; 100]);
            }
            3 => {
                let due = Instant::from_nanos(round) + Duration::from_secs(2);
                peers.set_contact(
                    slot,
                    Contact {
                        probe: Probe::Bubbles,
                        attempts: 1,
                        due,
                    },
                    None,
                );
            }
            _ => peers.end_contact(slot),
        }
        assert!(peers.len() <= 16);
        assert!(peers.trusted_len() <= peers.len());
    }
    peers.clear();
    assert_eq!((peers.len(), peers.next_deadline()), (0, None));
}
