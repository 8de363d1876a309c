//! Packets of the host: what the kernel sends, and what it leaves to user space.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv6TClass, UdpGsoSegment};
use socket2::{Domain, Protocol, Socket, Type};
use teredo::wire::protocol;
use teredo_bpf::{Outcome, Side, now};
use teredo_lab::{Capture, Receive};

use crate::node::{FOREVER, Node, PATIENCE, data, pair, strangers};
use crate::packet::{packet, udp, with_extension};

/// Sends packets as they are, as if the host had made them.
pub(crate) struct Injector(Socket);

impl Injector {
    pub(crate) fn new(node: &Node) -> Self {
        const IPPROTO_RAW: i32 = 255;
        let open = || Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(IPPROTO_RAW)));
        Self(node.host.namespace().run(open).unwrap().unwrap())
    }

    pub(crate) fn send(&self, packet: &[u8]) {
        let mut to = [0; 16];
        to.copy_from_slice(&packet[24..40]);
        let to = SocketAddr::from((Ipv6Addr::from(to), 0)).into();
        assert_eq!(self.0.send_to(packet, &to).unwrap(), packet.len());
    }
}

/// The host sends a packet that is left to user space, for this reason.
fn assert_left(outcome: Outcome, change: impl FnOnce(&Node, &Node) -> Vec<u8>) {
    let (_internet, near, far) = pair(FOREVER);
    let packet = change(&near, &far);
    Injector::new(&near).send(&packet);
    near.await_count(outcome, 1);
    assert_eq!(near.take_from_tun(&far), packet);
    assert_eq!(near.count(Outcome::Encapsulated), 0);
    far.assert_nothing_received();
}

/// R4380-5.2.4-02, R9601-6.1.3-01: the datagram goes to the proven mapping, from the service port, and is Not-ECT outside.
#[test]
fn a_packet_to_a_known_peer_leaves_without_user_space() {
    let (internet, near, mut far) = pair(FOREVER);
    let capture = Capture::start(internet.core(), "to-near").unwrap();
    let socket = near.inner_socket();
    setsockopt(&socket, Ipv6TClass, &1).unwrap();
    let from = socket.local_addr().unwrap();
    let receiver = far.inner_socket();
    let to = receiver.local_addr().unwrap();
    socket.send_to(b"in the kernel", to).unwrap();
    let mut buffer = [0; 64];
    let (len, source) = receiver.receive_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..len], source), (&b"in the kernel"[..], from));

    near.await_count(Outcome::Encapsulated, 1);
    far.await_count(Outcome::Decapsulated, 1);
    assert_eq!(near.count(Outcome::EncapsulatedBytes), 40 + 8 + 13);
    assert_eq!(near.poll_tun(&far), None, "user space has no part in it");
    far.assert_nothing_received();
    let frame = capture
        .wait_for(PATIENCE, "the datagram", |frame| {
            frame
                .udp()
                .is_some_and(|udp| udp.payload.ends_with(b"in the kernel"))
        })
        .unwrap();
    let datagram = frame.udp().unwrap();
    assert_eq!((datagram.from, datagram.to), (near.local, far.local));
    let header = &frame.data[14..34];
    assert_eq!(header[0], 0x45);
    assert_eq!(header[1], 0, "Not-ECT");
    assert_eq!(header[6..8], [0, 0], "it may be fragmented");
    assert_eq!(header[8], 64);
    let words = header
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "its checksum");
    assert_eq!(frame.data[40..42], [0, 0], "none of UDP");

    let traffic = near.path.traffic(far.own).unwrap().unwrap();
    assert_eq!((traffic.packets_out, traffic.bytes_out), (1, 61));
    assert!(traffic.sent.is_some_and(|at| at <= now()));
    let traffic = far.path.remove(near.own).unwrap().unwrap();
    assert_eq!((traffic.packets_in, traffic.bytes_in), (1, 61));
}

#[test]
fn a_packet_to_an_unknown_peer_is_left() {
    let (_internet, near, far) = strangers(FOREVER);
    let packet = udp(near.own, far.own, (1000, 1000), b"whose?");
    Injector::new(&near).send(&packet);
    assert_eq!(near.take_from_tun(&far), packet);
    assert_eq!(near.path.outcomes().unwrap().iter().count(), 0);
}

/// R6169-2.2-01
#[test]
fn a_packet_with_another_source_is_left() {
    assert_left(Outcome::WrongAddress, |near, far| {
        let other = Ipv6Addr::from_bits(near.own.to_bits() ^ 1);
        udp(other, far.own, (1000, 1000), b"spoofed")
    });
}

#[test]
fn a_packet_that_is_too_long_is_left() {
    let (_internet, near, far) = pair(FOREVER);
    let injector = Injector::new(&near);
    injector.send(&udp(near.own, far.own, (1000, 1000), &data(1280 - 48 + 1)));
    near.await_count(Outcome::TooLong, 1);
    near.pass_on(&far);
    far.deliver();
    injector.send(&udp(near.own, far.own, (1000, 1000), &data(1280 - 48)));
    near.await_count(Outcome::Encapsulated, 1);
    far.await_count(Outcome::Decapsulated, 1);
}

#[test]
fn a_packet_that_the_way_does_not_take_is_left() {
    let (_internet, mut near, far) = pair(FOREVER);
    let mut entry = near.entry(&far);
    entry.longest = 1000;
    near.path.insert(far.own, &entry).unwrap();
    crate::node::acquaint(&near, &far);
    let injector = Injector::new(&near);
    injector.send(&udp(near.own, far.own, (1000, 1000), &data(1001 - 48)));
    near.await_count(Outcome::TooLong, 1);
    near.pass_on(&far);
    injector.send(&udp(near.own, far.own, (1000, 1000), &data(1000 - 48)));
    near.await_count(Outcome::Encapsulated, 1);
}

#[test]
fn lengths_that_disagree_are_left() {
    assert_left(Outcome::WrongLength, |near, far| {
        let mut packet = udp(near.own, far.own, (1000, 1000), b"longer than it says");
        packet.push(0);
        packet
    });
}

/// R6169-2.3-01
#[test]
fn a_routing_header_is_left() {
    assert_left(Outcome::NextHeader, |near, far| {
        let packet = udp(near.own, far.own, (1000, 1000), b"by another way");
        with_extension(&packet, protocol::ROUTING, [0; 7])
    });
}

#[test]
fn a_fragment_is_left() {
    assert_left(Outcome::NextHeader, |near, far| {
        let packet = udp(near.own, far.own, (1000, 1000), b"a part");
        with_extension(&packet, protocol::FRAGMENT, [0, 0, 1, 0, 0, 0, 1])
    });
}

#[test]
fn a_bubble_is_left() {
    assert_left(Outcome::NextHeader, |near, far| {
        packet(near.own, far.own, protocol::NO_NEXT_HEADER, &[])
    });
}

#[test]
fn a_message_of_neighbour_discovery_is_left() {
    const NEIGHBOUR_SOLICITATION: u8 = 135;
    assert_left(Outcome::Icmpv6Type, |near, far| {
        let message = [NEIGHBOUR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
        packet(near.own, far.own, protocol::ICMPV6, &message)
    });
}

#[test]
fn the_first_packet_of_a_connection_is_left() {
    assert_left(Outcome::TcpSyn, |near, far| {
        let mut header = [0; 20];
        header[12] = 5 << 4;
        header[13] = 0x02;
        packet(near.own, far.own, protocol::TCP, &header)
    });
}

#[test]
fn a_packet_of_another_protocol_is_left() {
    const SCTP: u8 = 132;
    assert_left(Outcome::NextHeader, |near, far| {
        packet(near.own, far.own, SCTP, &[0; 12])
    });
}

/// The kernel would lose them all after encapsulation.
#[test]
fn segments_of_udp_are_left() {
    let (_internet, near, far) = pair(FOREVER);
    let (socket, receiver) = (near.inner_socket(), far.inner_socket());
    setsockopt(&socket, UdpGsoSegment, &1000).unwrap();
    let to = receiver.local_addr().unwrap();
    socket.send_to(&data(3000), to).unwrap();
    near.await_count(Outcome::UdpSegments, 1);
    for _ in 0..3 {
        assert_eq!(near.take_from_tun(&far).len(), 40 + 8 + 1000);
    }
    assert_eq!(near.count(Outcome::Encapsulated), 0);
}

/// R4380-5.2.4-01, R4380-5.2.4-02: 30 s after it was heard last, a peer is not sent to.
#[test]
fn a_silent_peer_is_left() {
    let (_internet, mut near, far) = strangers(FOREVER);
    let mut entry = near.entry(&far);
    let injector = Injector::new(&near);
    let packet = udp(near.own, far.own, (1000, 1000), b"still there?");
    for (age, outcome) in [(29, Outcome::Encapsulated), (30, Outcome::Silent)] {
        entry.heard = now().checked_sub(Duration::from_secs(age)).unwrap();
        near.path.insert(far.own, &entry).unwrap();
        near.send_by_user_space(&packet, &far);
        injector.send(&packet);
        near.await_count(outcome, 1);
    }
}

#[test]
fn a_closed_path_leaves_everything() {
    let (_internet, mut near, far) = pair(FOREVER);
    let injector = Injector::new(&near);
    let packet = udp(near.own, far.own, (1000, 1000), b"settled?");
    near.path.close().unwrap();
    injector.send(&packet);
    near.await_count(Outcome::Closed, 1);
    near.pass_on(&far);
    // What was proven before is void.
    near.path.open().unwrap();
    injector.send(&packet);
    near.await_count(Outcome::Unproven, 1);
    near.pass_on(&far);
    injector.send(&packet);
    near.await_count(Outcome::Encapsulated, 1);
}

/// A relay carries packets of the networks that it serves.
#[test]
fn a_relay_sends_for_the_networks_that_it_serves() {
    let (_internet, mut near, far) = pair(FOREVER);
    let mut entry = near.entry(&far);
    entry.side = Side::Relay;
    near.path.insert(far.own, &entry).unwrap();
    crate::node::acquaint(&near, &far);
    near.path
        .serve("2001:db8::".parse().unwrap(), 32, true)
        .unwrap();
    near.path
        .serve("2001:db8:bad::".parse().unwrap(), 48, false)
        .unwrap();
    let injector = Injector::new(&near);
    for (source, outcome) in [
        ("2001:db8:1::1", Outcome::Encapsulated),
        ("2001:db8:bad::1", Outcome::NotServed),
    ] {
        let source = source.parse().unwrap();
        injector.send(&udp(source, far.own, (1000, 1000), b"native"));
        near.await_count(outcome, 1);
    }
    injector.send(&udp(
        "2a00::1".parse().unwrap(),
        far.own,
        (1000, 1000),
        b"native",
    ));
    near.await_count(Outcome::NotServed, 2);
}
