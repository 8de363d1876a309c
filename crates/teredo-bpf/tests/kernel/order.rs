//! No packet overtakes one that was left to user space.

use std::time::Duration;

use teredo_bpf::{Outcome, now};
use teredo_lab::until;

use crate::encapsulate::Injector;
use crate::node::{FOREVER, Node, PATIENCE, data, pair, patient_pair};
use crate::packet::udp;

/// Too long for the path in the kernel, so it is left.
fn long(from: &Node, to: &Node) -> Vec<u8> {
    udp(from.own, to.own, (1000, 1000), &data(1280 - 48 + 1))
}

fn short(from: &Node, to: &Node) -> Vec<u8> {
    udp(from.own, to.own, (1000, 1000), b"short")
}

/// R4380-5.2.4-06
#[test]
fn packets_of_the_host_follow_those_in_user_space() {
    let (_internet, near, far) = patient_pair(FOREVER, FOREVER);
    let injector = Injector::new(&near);
    injector.send(&long(&near, &far));
    for behind in 1..=2 {
        injector.send(&short(&near, &far));
        near.await_count(Outcome::Behind, behind);
    }
    near.pass_on(&far);
    injector.send(&short(&near, &far));
    near.await_count(Outcome::Behind, 3);
    for _ in 0..3 {
        near.pass_on(&far);
    }
    injector.send(&short(&near, &far));
    near.await_count(Outcome::Encapsulated, 1);
    assert_eq!(near.count(Outcome::Behind), 3);
}

/// R4380-5.2.4-06
#[test]
fn packets_of_a_peer_follow_those_in_user_space() {
    let (_internet, near, far) = patient_pair(FOREVER, FOREVER);
    far.send_by_user_space(&long(&far, &near), &near);
    for behind in 1..=2 {
        far.send_by_user_space(&short(&far, &near), &near);
        near.await_count(Outcome::Behind, behind);
    }
    for _ in 0..3 {
        near.deliver();
    }
    far.send_by_user_space(&short(&far, &near), &near);
    near.await_count(Outcome::Decapsulated, 1);
    assert_eq!(near.count(Outcome::Behind), 2);
}

/// User space may drop a packet, and says nothing.
#[test]
fn the_wait_for_a_packet_ends() {
    let (_internet, near, far) = pair(FOREVER);
    let injector = Injector::new(&near);
    injector.send(&long(&near, &far));
    near.await_count(Outcome::TooLong, 1);
    until(PATIENCE, "a packet in the kernel", || {
        injector.send(&short(&near, &far));
        (near.count(Outcome::Encapsulated) > 0).then_some(())
    })
    .unwrap();
    assert!(near.count(Outcome::Behind) > 0);
}

/// A packet that user space has dropped holds up no other one as soon as its queues were empty behind two in a row.
#[test]
fn a_packet_is_not_awaited_in_queues_that_are_empty() {
    let (_internet, mut near, far) = patient_pair(FOREVER, FOREVER);
    let injector = Injector::new(&near);
    let before = now();
    injector.send(&long(&near, &far));
    near.take_from_tun(&far);
    // They were empty before it came.
    near.path.queues_empty(0, before).unwrap();
    for behind in 1..=2 {
        injector.send(&short(&near, &far));
        near.await_count(Outcome::Behind, behind);
        near.pass_on(&far);
        near.path.queues_empty(0, now()).unwrap();
    }
    injector.send(&short(&near, &far));
    near.await_count(Outcome::Encapsulated, 1);
}

#[test]
fn a_packet_of_a_peer_is_not_awaited_in_queues_that_are_empty() {
    let (_internet, mut near, far) = patient_pair(FOREVER, FOREVER);
    far.send_by_user_space(&long(&far, &near), &near);
    near.receive();
    for behind in 1..=2 {
        far.send_by_user_space(&short(&far, &near), &near);
        near.await_count(Outcome::Behind, behind);
        near.deliver();
        near.path.queues_empty(0, now()).unwrap();
    }
    far.send_by_user_space(&short(&far, &near), &near);
    near.await_count(Outcome::Decapsulated, 1);
}

/// A lane finds its queue empty while a packet is on its way to it, behind the program.
#[test]
fn a_packet_that_is_late_in_its_queue_is_awaited() {
    let (_internet, mut near, far) = patient_pair(FOREVER, FOREVER);
    let injector = Injector::new(&near);
    injector.send(&long(&near, &far));
    near.await_count(Outcome::TooLong, 1);
    near.path.queues_empty(0, now()).unwrap();
    for behind in 1..=3 {
        injector.send(&short(&near, &far));
        near.await_count(Outcome::Behind, behind);
    }
    for _ in 0..4 {
        near.pass_on(&far);
    }
    injector.send(&short(&near, &far));
    near.await_count(Outcome::Encapsulated, 1);
    assert_eq!(near.count(Outcome::Behind), 3);
}

#[test]
fn a_datagram_that_is_late_in_its_queue_is_awaited() {
    let (_internet, mut near, far) = patient_pair(FOREVER, FOREVER);
    far.send_by_user_space(&long(&far, &near), &near);
    near.await_count(Outcome::TooLong, 1);
    near.path.queues_empty(0, now()).unwrap();
    for behind in 1..=3 {
        far.send_by_user_space(&short(&far, &near), &near);
        near.await_count(Outcome::Behind, behind);
    }
    for _ in 0..4 {
        near.deliver();
    }
    far.send_by_user_space(&short(&far, &near), &near);
    near.await_count(Outcome::Decapsulated, 1);
    assert_eq!(near.count(Outcome::Behind), 3);
}

/// User space is too slow for all of the flow, and few of it are left.
#[test]
fn a_fast_flow_does_not_wait_for_its_sample() {
    let (_internet, near, far) = patient_pair(FOREVER, FOREVER);
    let injector = Injector::new(&near);
    injector.send(&long(&near, &far));
    for _ in 0..256 {
        injector.send(&short(&near, &far));
    }
    near.await_count(Outcome::Behind, 256);
    injector.send(&short(&near, &far));
    near.await_count(Outcome::Encapsulated, 1);
}

/// Packets that the kernel never carries keep coming: those that it could carry would overtake one after the other.
#[test]
fn a_mixed_flow_stays_in_user_space() {
    let (_internet, near, far) = patient_pair(FOREVER, FOREVER);
    let injector = Injector::new(&near);
    for behind in 1..=300 {
        injector.send(&long(&near, &far));
        injector.send(&short(&near, &far));
        near.await_count(Outcome::Behind, behind);
    }
    assert_eq!(near.count(Outcome::Encapsulated), 0);
}

#[test]
fn a_mixed_flow_of_a_peer_stays_in_user_space() {
    let (_internet, near, far) = patient_pair(FOREVER, FOREVER);
    for behind in 1..=300 {
        far.send_by_user_space(&long(&far, &near), &near);
        far.send_by_user_space(&short(&far, &near), &near);
        near.await_count(Outcome::Behind, behind);
    }
    assert_eq!(near.count(Outcome::Decapsulated), 0);
}

/// Packets that user space passes on without having been left them, from before the entry, do not hide a later one.
#[test]
fn packets_from_before_an_entry_do_not_count() {
    let (_internet, near, far) = patient_pair(FOREVER, FOREVER);
    for _ in 0..3 {
        near.send_by_user_space(&short(&near, &far), &far);
    }
    let injector = Injector::new(&near);
    injector.send(&long(&near, &far));
    injector.send(&short(&near, &far));
    near.await_count(Outcome::Behind, 1);
}

/// Packets from before an entry may be in the queues; the lane knows when they are not.
#[test]
fn an_entry_waits_for_its_lane() {
    let (_internet, mut near, far) = patient_pair(FOREVER, FOREVER);
    let mut entry = near.entry(&far);
    (entry.lane, entry.added) = (3, Some(Duration::from_secs(7)));
    near.path.insert(far.own, &entry).unwrap();
    crate::node::acquaint(&near, &far);
    let injector = Injector::new(&near);
    for (lane, second) in [(3, 6), (2, 7)] {
        let at = Duration::from_secs(second);
        near.path.queues_empty(lane, at).unwrap();
        let before = near.count(Outcome::Behind);
        injector.send(&short(&near, &far));
        near.await_count(Outcome::Behind, before + 1);
        near.pass_on(&far);
    }
    near.path.queues_empty(3, Duration::from_secs(7)).unwrap();
    injector.send(&short(&near, &far));
    near.await_count(Outcome::Encapsulated, 1);
}
