//! Packets without the checksum that hardware would fill in: to whom they go.

use std::time::Duration;

use teredo::wire::{checksum, protocol};
use teredo_bpf::{Outcome, now};

use crate::encapsulate::Injector;
use crate::node::{FOREVER, Node, acquaint, data, pair, strangers, strangers_with_offloads};
use crate::packet::{packet, udp};

/// The same packet as the kernel leaves it to hardware: with the sum of the pseudo header in place of the checksum.
fn unfinished(packet: &[u8], from: &Node, to: &Node) -> Vec<u8> {
    let nothing = vec![0; packet.len() - 40];
    let sum = !checksum(from.own, to.own, protocol::UDP, &nothing);
    let mut packet = packet.to_vec();
    packet[46..48].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// `node` knows the peer by an entry that needs checksums.
fn needs_checksums(node: &mut Node, peer: &Node) {
    let mut entry = node.entry(peer);
    entry.needs_checksums = true;
    node.path.insert(peer.own, &entry).unwrap();
}

/// The stack lets the datagrams of `node` to `peer` pass, who has no path in the kernel.
fn prove(node: &Node, peer: &Node) {
    let bubble = packet(node.own, peer.own, protocol::NO_NEXT_HEADER, &[]);
    node.send_by_user_space(&bubble, peer);
    assert_eq!(peer.receive().0, bubble);
}

fn bare(node: &Node, peer: &Node) -> Option<Duration> {
    node.path.traffic(peer.own).unwrap().unwrap().bare
}

/// Between virtual machines and namespaces a packet travels without the checksum that hardware would fill in. The kernel at the
/// other end knows that, but a user space there would get a packet that is damaged.
#[test]
fn a_missing_checksum_is_completed_if_the_peer_needs_it() {
    let (_internet, mut near, far) = strangers(FOREVER);
    needs_checksums(&mut near, &far);
    prove(&near, &far);
    let injector = Injector::new(&near);
    // Odd and even, and around the parts in which the sum is computed.
    for len in [16, 17, 119, 120, 121, 1000, 1231, 1232] {
        let complete = udp(near.own, far.own, (1000, 1000), &data(len));
        injector.send(&unfinished(&complete, &near, &far));
        assert_eq!(far.receive().0, complete, "{len} bytes");
    }
    near.await_count(Outcome::Encapsulated, 8);
}

/// UDP has no checksum of 0 (RFC 8200 section 8.1).
#[test]
fn a_completed_checksum_is_never_0() {
    let (_internet, mut near, far) = strangers(FOREVER);
    needs_checksums(&mut near, &far);
    prove(&near, &far);
    let mut data = data(18);
    let complete = udp(near.own, far.own, (1000, 1000), &data);
    let sum = u16::from_be_bytes([complete[46], complete[47]]);
    let word = u16::from_be_bytes([data[0], data[1]]);
    // One's complement: adding the checksum to a word of the data makes the sum all ones, so the checksum is 0.
    let (word, carry) = word.overflowing_add(sum);
    data[..2].copy_from_slice(&(word + u16::from(carry)).to_be_bytes());
    let mut complete = udp(near.own, far.own, (1000, 1000), &data);
    let without = unfinished(&complete, &near, &far);
    complete[46..48].copy_from_slice(&[0xff, 0xff]);
    Injector::new(&near).send(&without);
    assert_eq!(far.receive().0, complete);
    near.await_count(Outcome::Encapsulated, 1);
}

/// The kernel forgets that the checksum was missing: hardware behind a virtual link, such as that of the machine's host, would
/// compute it again, with the complete one in the sum.
#[test]
fn a_completed_checksum_is_not_computed_again() {
    let (internet, mut near, far) = strangers_with_offloads(FOREVER);
    // As hardware does it: what still lacks a checksum gets it on the way to `far`.
    internet
        .core()
        .set_missing_checksums("to-far", false)
        .unwrap();
    needs_checksums(&mut near, &far);
    prove(&near, &far);
    let socket = near.inner_socket();
    let from = socket.local_addr().unwrap().port();
    let content = data(100);
    socket.send_to(&content, (far.own, 1000)).unwrap();
    let complete = udp(near.own, far.own, (from, 1000), &content);
    // The kernel has chosen a flow label.
    assert_eq!(far.receive().0[4..], complete[4..]);
    near.await_count(Outcome::Encapsulated, 1);
}

/// The kernel cuts nothing off that would leave less than an IPv4 header.
#[test]
fn a_short_packet_without_a_checksum_is_left() {
    let (_internet, mut near, far) = strangers(FOREVER);
    needs_checksums(&mut near, &far);
    prove(&near, &far);
    let complete = udp(near.own, far.own, (1000, 1000), &data(15));
    let injector = Injector::new(&near);
    injector.send(&unfinished(&complete, &near, &far));
    near.await_count(Outcome::NoChecksum, 1);
    near.pass_on(&far);
    injector.send(&complete);
    near.await_count(Outcome::Encapsulated, 1);
}

/// A peer is sent packets without a checksum for 30 s after it has shown that it takes them.
#[test]
fn a_packet_without_a_checksum_goes_to_a_peer_that_takes_it() {
    let (_internet, mut near, far) = strangers(FOREVER);
    let injector = Injector::new(&near);
    let complete = udp(near.own, far.own, (1000, 1000), b"for hardware at the end");
    let without = unfinished(&complete, &near, &far);
    let mut entry = near.entry(&far);
    entry.needs_checksums = true;
    for (age, arrives) in [(29, &without), (30, &complete)] {
        entry.bare = Some(now().checked_sub(Duration::from_secs(age)).unwrap());
        near.path.insert(far.own, &entry).unwrap();
        near.send_by_user_space(&complete, &far);
        assert_eq!(far.receive().0, complete);
        injector.send(&without);
        assert_eq!(&far.receive().0, arrives);
    }
    near.await_count(Outcome::Encapsulated, 2);
}

/// A datagram without a UDP checksum shows it, whether user space gets the packet or the kernel delivers it; others do not.
#[test]
fn a_peer_shows_that_it_takes_them() {
    let (_internet, mut near, mut far) = strangers(FOREVER);
    needs_checksums(&mut near, &far);
    needs_checksums(&mut far, &near);
    acquaint(&near, &far);
    let socket = near.inner_socket();
    let port = socket.local_addr().unwrap().port();
    let data = udp(far.own, near.own, (1000, port), b"in the kernel");
    far.send_by_user_space(&data, &near);
    near.await_count(Outcome::Decapsulated, 1);
    assert_eq!(bare(&near, &far), None);

    far.send_bare(&data, &near);
    near.await_count(Outcome::Decapsulated, 2);
    let shown = bare(&near, &far).unwrap();

    let before = near.path.traffic(far.own).unwrap().unwrap().let_in;
    let bubble = packet(far.own, near.own, protocol::NO_NEXT_HEADER, &[]);
    far.send_bare(&bubble, &near);
    assert_eq!(near.receive().0, bubble);
    assert!(bare(&near, &far).unwrap() > shown);
    let traffic = near.path.traffic(far.own).unwrap().unwrap();
    assert!(traffic.let_in > before, "it has passed the rules");

    // The way back works by what was shown.
    let complete = udp(near.own, far.own, (1000, 1000), b"back");
    Injector::new(&near).send(&unfinished(&complete, &near, &far));
    near.await_count(Outcome::Encapsulated, 1);
    far.await_count(Outcome::Decapsulated, 1);
    assert!(bare(&far, &near).is_some(), "so does `encapsulate`");
}

/// It has passed the rules as any other of user space has.
#[test]
fn a_datagram_without_a_checksum_is_a_proof_on_its_way_out() {
    let (_internet, near, far) = pair(FOREVER);
    let before = near.path.traffic(far.own).unwrap().unwrap().let_out;
    let bubble = packet(near.own, far.own, protocol::NO_NEXT_HEADER, &[]);
    near.send_bare(&bubble, &far);
    assert_eq!(far.receive().0, bubble);
    let traffic = near.path.traffic(far.own).unwrap().unwrap();
    assert!(traffic.let_out > before);
}

/// An interface with hardware behind it has nothing to note.
#[test]
fn without_the_need_nothing_is_noted() {
    let (_internet, near, far) = pair(FOREVER);
    let bubble = packet(far.own, near.own, protocol::NO_NEXT_HEADER, &[]);
    far.send_bare(&bubble, &near);
    assert_eq!(near.receive().0, bubble);
    assert_eq!(bare(&near, &far), None);
}
