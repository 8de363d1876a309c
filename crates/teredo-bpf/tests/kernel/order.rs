//! No packet overtakes one that was left to user space.

use teredo_bpf::Outcome;
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
    // A packet that the kernel has delivered is not taken for one of user space.
    far.send_by_user_space(&long(&far, &near), &near);
    near.await_count(Outcome::TooLong, 2);
    far.send_by_user_space(&short(&far, &near), &near);
    near.await_count(Outcome::Behind, 3);
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
