use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use super::*;
use crate::PathChange;
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
    peer.verified(at(100), MAPPING.into());
    assert_eq!(peer.path(at(129)), Some(MAPPING.into()));
    assert_eq!(peer.path(at(130)), None);
    peer.heard(at(130));
    assert_eq!(peer.path(at(159)), Some(MAPPING.into()));
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

/// An outer address.
fn outer(number: u16) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from_bits(0x5000_0000 + u32::from(number)))
}

/// A peer that contacted the host from an address of its own.
fn stranger(peers: &mut Peers, number: u16) -> u32 {
    peers.find_or_insert(at(0), host(number), outer(number))
}

/// R4380-5.2-06: the table is bounded, and the least recently used stranger goes first, trusted or not.
#[test]
fn strangers_make_room_first() {
    let mut peers = table(3);
    let used = peers.find_or_insert(at(0), host(1), None);
    assert_eq!(peers.verify(at(0), used, MAPPING.into()).count(), 0);
    peers.touch_used(used);
    stranger(&mut peers, 2);
    stranger(&mut peers, 3);
    for number in 4..1000 {
        let slot = stranger(&mut peers, number);
        if number % 2 == 0 {
            assert_eq!(peers.verify(at(0), slot, MAPPING.into()).count(), 0);
        }
        assert_eq!(peers.len(), 3);
    }
    assert_eq!(peers.trusted_len(), 2);
    assert!(peers.find(&host(1)).is_some());
    assert!(peers.find(&host(2)).is_none());
    assert!(peers.find(&host(998)).is_some());
    assert!(peers.find(&host(999)).is_some());
}

/// R4380-5.2-06, R4380-7.3.3-01: peers that the host answered displace neither those that it contacted nor a few
/// strangers that came just now.
#[test]
fn answered_peers_displace_neither_contacts_of_the_host_nor_newcomers() {
    let mut peers = table(64);
    for number in 0..8 {
        peers.find_or_insert(at(0), host(number), None);
    }
    for number in 100..400 {
        let slot = stranger(&mut peers, number);
        peers.touch_used(slot);
        assert!(peers.len() <= 64);
    }
    for number in 500..508 {
        stranger(&mut peers, number);
    }
    let kept = |numbers: std::ops::Range<u16>| {
        numbers
            .filter(|&number| peers.find(&host(number)).is_some())
            .count()
    };
    assert_eq!((kept(0..8), kept(500..508), peers.len()), (8, 8, 64));
}

/// R4380-5.2-06, R4380-7.3.3-01: one outer address has a 64th of the table, whatever the inner sources; an entry in use
/// stays.
#[test]
fn one_outer_address_has_a_share_of_the_table() {
    let mut peers = table(6400);
    let in_use = peers.find_or_insert(at(0), host(0), outer(7));
    for number in 1..2_000 {
        peers.peer_mut(in_use).heard(at(number.into()));
        peers.find_or_insert(at(number.into()), host(number), outer(7));
    }
    assert_eq!(peers.len(), 100);
    assert!(peers.find(&host(0)).is_some(), "it is in use");
    assert!(peers.find(&host(1_999)).is_some());
    // A contact of the host does not count, and a proven path counts for its own address.
    peers.begin(in_use);
    peers.find_or_insert(at(2_000), host(2_000), outer(7));
    assert_eq!(peers.len(), 101);
    let moved = peers.find(&host(2_000)).unwrap();
    assert_eq!(peers.verify(at(2_000), moved, MAPPING.into()).count(), 0);
    peers.find_or_insert(at(2_000), host(2_001), outer(7));
    assert_eq!(peers.len(), 102);
    assert_eq!(peers.peer(moved).came_from(), Some(*MAPPING.ip()));
}

/// R4380-5.2-06: whatever the class, an entry that was not used for 300 s goes; a full table does not wait so long for
/// answered peers without a path.
#[test]
fn entries_age() {
    let mut peers = table(64);
    peers.find_or_insert(at(0), host(1), None);
    stranger(&mut peers, 2);
    let slot = stranger(&mut peers, 3);
    peers.touch_used(slot);
    peers.age(at(299));
    assert_eq!(peers.len(), 3);
    peers.age(at(300));
    assert_eq!(peers.len(), 0);

    let mut peers = table(16);
    for number in 0..8 {
        let slot = stranger(&mut peers, number);
        peers.touch_used(slot);
    }
    for number in 100..116 {
        peers.find_or_insert(at(31), host(number), outer(number));
    }
    let strangers = (100..116).filter(|&number| peers.find(&host(number)).is_some());
    assert_eq!(strangers.count(), 16);
}

/// R4380-5.2.4-11, R4380-7.3.3-01: answers to strangers fill half of the queues, and the oldest make room; the host's
/// own contacts have the other half.
#[test]
fn answers_to_strangers_leave_room_for_the_host() {
    let mut peers = table(64);
    for number in 0..10 {
        let slot = stranger(&mut peers, number);
        assert!(peers.enqueue(at(number.into()), slot, &[0; 1000]));
    }
    assert_eq!(peers.take_evicted_packets(), 8);
    let newest = peers.find(&host(9)).unwrap();
    let own = peers.find_or_insert(at(10), host(100), None);
    assert!(peers.enqueue(at(10), own, &[1; 2500]));
    // What the host began itself no longer counts.
    peers.begin(newest);
    assert!(peers.enqueue(at(10), newest, &[0; 500]));
    let slot = stranger(&mut peers, 11);
    assert!(peers.enqueue(at(11), slot, &[0; 1000]));
    assert_eq!(peers.take_queue(newest).len(), 2);
}

/// R4380-5.2-06: among equals, the recently used entry stays.
#[test]
fn the_least_recently_used_entry_goes() {
    let mut peers = table(2);
    for number in [1, 2] {
        let slot = peers.find_or_insert(at(0), host(number), None);
        assert_eq!(peers.verify(at(0), slot, MAPPING.into()).count(), 0);
    }
    peers.touch(peers.find(&host(1)).unwrap());
    peers.find_or_insert(at(0), host(3), None);
    assert!(peers.find(&host(1)).is_some());
    assert!(peers.find(&host(2)).is_none());
}

/// R4380-5.2.4-11: each queue is bounded, and so are all together.
#[test]
fn queues_are_bounded() {
    let mut peers = table(10);
    let (a, b) = (
        peers.find_or_insert(at(0), host(1), None),
        peers.find_or_insert(at(0), host(2), None),
    );
    assert!(peers.enqueue(at(0), a, &[1; 1500]));
    assert!(peers.enqueue(at(0), a, &[2; 1500]));
    assert!(!peers.enqueue(at(0), a, &[3; 1]), "the peer's bound");
    assert!(peers.enqueue(at(0), b, &[4; 2000]));
    assert!(
        !peers.enqueue(at(0), b, &[5; 1]),
        "the bound of all together"
    );
    let released: Vec<_> = peers
        .verify(at(0), a, MAPPING.into())
        .map(|packet| packet[0])
        .collect();
    assert_eq!(released, [1, 2], "in order");
    assert!(peers.enqueue(at(0), b, &[6; 1000]), "what left makes room");
}

#[test]
fn deadlines_follow_contacts_and_evictions() {
    let mut peers = table(1);
    let contact = |due| Contact {
        probe: Probe::Echo { nonce: [0; 16] },
        attempts: 1,
        due,
        withheld: false,
    };
    let slot = peers.find_or_insert(at(0), host(1), None);
    peers.set_contact(slot, contact(at(2)), None);
    peers.set_contact(slot, contact(at(4)), None);
    assert_eq!(peers.next_deadline(), Some(at(4)));
    assert!(peers.enqueue(at(0), slot, &[0; 40]));
    assert_eq!(peers.due(at(3)), None);
    assert_eq!(peers.due(at(4)), Some(slot));
    peers.find_or_insert(at(0), host(2), None);
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
        let now = Instant::from_nanos(round);
        let outer = outer((state >> 40) as u16 % 8).filter(|_| state >> 63 == 0);
        let slot = peers.find_or_insert(now, host((state >> 33) as u16 % 64), outer);
        match (state >> 58) % 8 {
            0 => peers.touch(slot),
            5 => peers.touch_used(slot),
            6 => peers.begin(slot),
            7 => peers.age(now),
            1 => assert!(peers.verify(at(round), slot, MAPPING.into()).count() <= 30),
            2 => {
                peers.enqueue(at(0), slot, &[0; 100]);
            }
            3 => {
                let due = Instant::from_nanos(round) + Duration::from_secs(2);
                peers.set_contact(
                    slot,
                    Contact {
                        probe: Probe::Bubbles,
                        attempts: 1,
                        due,
                        withheld: false,
                    },
                    None,
                );
            }
            _ => peers.end_contact(slot),
        }
        assert!(peers.len() <= 16);
        peers.assert_consistent();
    }
    peers.clear();
    assert_eq!((peers.len(), peers.next_deadline()), (0, None));
}

/// R4380-5.2-06: an offered path ends with its entry, however that goes, and with what proves it.
#[test]
fn an_offer_ends_with_its_entry() {
    let withdrawn = PathChange::Withdrawn(host(1));
    type End = fn(&mut Peers, u32);
    let ends: [(End, PathChange); 6] = [
        (|peers, slot| peers.refute(at(1), slot), withdrawn),
        (|peers, slot| peers.lose_port(slot, 5000), withdrawn),
        (|peers, _| _ = peers.retain(|_, _| false), withdrawn),
        (|peers, _| peers.age(at(1000)), withdrawn),
        (
            |peers, slot| _ = peers.enqueue(at(1), slot, &[0; 40]),
            withdrawn,
        ),
        (|peers, _| _ = peers.clear(), PathChange::AllWithdrawn),
    ];
    for (end, expected) in ends {
        let mut peers = table(4);
        peers.report_paths(true);
        let slot = peers.find_or_insert(at(0), host(1), None);
        let path = Path::new(Some(5000), MAPPING);
        assert_eq!(peers.verify(at(0), slot, path).count(), 0);
        peers.offer(slot, path, host(9));
        assert!(matches!(peers.poll_path(), Some(PathChange::Offered(_))));
        let _ = peers.peer_mut(slot);
        assert_eq!(peers.poll_path(), None);
        end(&mut peers, slot);
        assert_eq!(peers.poll_path(), Some(expected));
        assert_eq!(peers.poll_path(), None);
    }
}
