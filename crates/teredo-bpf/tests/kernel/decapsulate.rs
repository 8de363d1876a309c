//! Datagrams of peers: what the kernel delivers, and what it leaves to user space.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use teredo::wire::{TeredoAddress, protocol};
use teredo_bpf::{Outcome, Side};
use teredo_lab::{Receive, until};
use tun_rs::{DeviceBuilder, Layer};

use crate::node::{FOREVER, Node, PATIENCE, Watch, acquaint, data, pair, strangers};
use crate::packet::{packet, udp, with_ecn, with_extension};

/// A socket of the host at `near`, and a packet of `far` for it.
fn addressed(near: &Node, far: &Node, text: &[u8]) -> (UdpSocket, Vec<u8>) {
    let socket = near.inner_socket();
    let port = socket.local_addr().unwrap().port();
    (socket, udp(far.own, near.own, (1000, port), text))
}

fn assert_delivered(socket: &UdpSocket, text: &[u8]) {
    let mut buffer = [0; 2048];
    let len = socket.receive(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], text);
}

/// A peer's datagram is left to user space, whole, and for this reason.
fn assert_left(outcome: Outcome, change: impl FnOnce(&Node, &Node) -> Vec<u8>) {
    let (_internet, near, far) = pair(FOREVER);
    let datagram = change(&near, &far);
    far.send_by_user_space(&datagram, &near);
    near.await_count(outcome, 1);
    assert_eq!(near.receive(), (datagram, far.local.into()));
    assert_eq!(near.count(Outcome::Decapsulated), 0);
}

/// R4380-5.2.3-06
#[test]
fn a_datagram_of_a_known_peer_is_delivered_without_user_space() {
    let (_internet, near, far) = pair(FOREVER);
    let (socket, packet) = addressed(&near, &far, b"in the kernel");
    far.send_by_user_space(&packet, &near);
    assert_delivered(&socket, b"in the kernel");
    near.await_count(Outcome::Decapsulated, 1);
    near.assert_nothing_received();
    let traffic = near.path.traffic(far.own).unwrap().unwrap();
    assert_eq!((traffic.packets_in, traffic.bytes_in), (1, 61));
    assert!(traffic.heard > traffic.let_in.unwrap());
}

#[test]
fn an_unknown_peer_is_left() {
    let (_internet, near, far) = strangers(FOREVER);
    let (_socket, packet) = addressed(&near, &far, b"who?");
    far.send_by_user_space(&packet, &near);
    assert_eq!(near.receive().0, packet);
    assert_eq!(near.path.outcomes().unwrap().iter().count(), 0);
}

/// R6169-2.2-01: the right address from another port is an imposter, as far as the kernel knows.
#[test]
fn another_source_port_is_left() {
    let (_internet, near, far) = pair(FOREVER);
    let (_socket, packet) = addressed(&near, &far, b"from elsewhere");
    let other = far.host.udp_socket((*far.local.ip(), 40001)).unwrap();
    other.send_to(&packet, near.local).unwrap();
    near.await_count(Outcome::WrongMapping, 1);
    assert_eq!(near.receive(), (packet, other.local_addr().unwrap()));
    // Nor does it prove anything about the peer's own datagrams.
    assert_eq!(near.count(Outcome::Decapsulated), 0);
}

/// The packet is for a port that is not the service port any more.
#[test]
fn another_port_of_ours_is_left() {
    let (_internet, near, far) = pair(FOREVER);
    let (_socket, packet) = addressed(&near, &far, b"to elsewhere");
    let other = near.host.udp_socket((*near.local.ip(), 40001)).unwrap();
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = other.local_addr().unwrap();
    far.service.send_to(&packet, to).unwrap();
    near.await_count(Outcome::WrongMapping, 1);
    assert_delivered(&other, &packet);
}

/// R4380-5.2.3-03
#[test]
fn another_inner_destination_is_left() {
    assert_left(Outcome::WrongAddress, |near, far| {
        let other = Ipv6Addr::from_bits(near.own.to_bits() ^ 1);
        udp(far.own, other, (1000, 1000), b"for whom?")
    });
}

/// R6081-4-01: what follows the packet is the business of user space.
#[test]
fn trailers_are_left() {
    assert_left(Outcome::WrongLength, |near, far| {
        let mut datagram = udp(far.own, near.own, (1000, 1000), b"and a nonce");
        datagram.extend_from_slice(&[0x01, 4, 1, 2, 3, 4]);
        datagram
    });
}

/// R4380-5.1.1-01, R4380-5.1.1-02: elements in front of the packet are the business of user space.
#[test]
fn an_origin_indication_and_an_authentication_are_left() {
    let (_internet, near, far) = pair(FOREVER);
    let (_socket, packet) = addressed(&near, &far, b"behind another element");
    let origin = [0, 0, 0x63, 0xbf, 0x39, 0xcc, 0x9b, 0xf8];
    let authentication = [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for element in [&origin[..], &authentication] {
        let datagram = [element, &packet].concat();
        far.send_by_user_space(&datagram, &near);
        assert_eq!(near.receive().0, datagram);
    }
    assert_eq!(near.count(Outcome::Decapsulated), 0);
}

/// R6169-2.3-01, W-01
#[test]
fn a_routing_header_is_left() {
    assert_left(Outcome::NextHeader, |near, far| {
        let packet = udp(far.own, near.own, (1000, 1000), b"by another way");
        with_extension(&packet, protocol::ROUTING, [0; 7])
    });
}

#[test]
fn other_extension_headers_are_left() {
    assert_left(Outcome::NextHeader, |near, far| {
        let packet = udp(far.own, near.own, (1000, 1000), b"with an option");
        with_extension(
            &packet,
            protocol::DESTINATION_OPTIONS,
            [0, 1, 4, 0, 0, 0, 0],
        )
    });
}

#[test]
fn an_inner_fragment_is_left() {
    assert_left(Outcome::NextHeader, |near, far| {
        let packet = udp(far.own, near.own, (1000, 1000), b"a part");
        with_extension(&packet, protocol::FRAGMENT, [0, 0, 1, 0, 0, 0, 1])
    });
}

#[test]
fn a_bubble_is_left() {
    assert_left(Outcome::NextHeader, |near, far| {
        packet(far.own, near.own, protocol::NO_NEXT_HEADER, &[])
    });
}

#[test]
fn an_advertisement_is_left() {
    assert_left(Outcome::Icmpv6Type, |near, far| {
        let advertisement = [134, 0, 0, 0, 0, 0, 0, 0];
        packet(far.own, near.own, protocol::ICMPV6, &advertisement)
    });
}

#[test]
fn the_answer_to_a_first_packet_is_left() {
    assert_left(Outcome::TcpSyn, |near, far| {
        let mut header = [0; 20];
        header[12] = 5 << 4;
        header[13] = 0x12;
        packet(far.own, near.own, protocol::TCP, &header)
    });
}

#[test]
fn an_exhausted_hop_limit_is_left() {
    assert_left(Outcome::HopLimit, |near, far| {
        let mut packet = udp(far.own, near.own, (1000, 1000), b"at its end");
        packet[7] = 0;
        packet
    });
}

#[test]
fn a_packet_that_is_too_long_is_left() {
    assert_left(Outcome::TooLong, |near, far| {
        udp(far.own, near.own, (1000, 1000), &data(1280 - 48 + 1))
    });
}

/// R6040-4.1-01: marks of routers reach the packet, and one that its sender would not understand is left.
#[test]
fn congestion_outside_is_reported_inside() {
    const NOT_ECT: u8 = 0;
    const ECT1: u8 = 1;
    const ECT0: u8 = 2;
    const CE: u8 = 3;
    let (_internet, near, far) = pair(FOREVER);
    let watch = Watch::start(&near);
    let (socket, packet) = addressed(&near, &far, b"marked");
    let mut delivered = 0;
    for inner in [NOT_ECT, ECT1, ECT0, CE] {
        for outer in [NOT_ECT, ECT1, ECT0, CE] {
            let packet = with_ecn(packet.clone(), inner);
            SockRef::from(&far.service)
                .set_tos_v4(outer.into())
                .unwrap();
            far.send_by_user_space(&packet, &near);
            if (inner, outer) == (NOT_ECT, CE) {
                near.await_count(Outcome::Congestion, 1);
                assert_eq!(near.receive().0, packet);
                continue;
            }
            assert_delivered(&socket, b"marked");
            delivered += 1;
            near.await_count(Outcome::Decapsulated, delivered);
            let expected = match (inner, outer) {
                (ECT0 | ECT1, CE) => CE,
                (ECT0, ECT1) => ECT1,
                _ => inner,
            };
            let expected = with_ecn(packet, expected);
            watch.await_packet(&expected);
        }
    }
    assert_eq!(delivered, 15);
}

/// An IPv4 header in front of a UDP datagram, with these flags and offset of a fragment.
fn ipv4(
    from: SocketAddrV4,
    to: SocketAddrV4,
    fragment: u16,
    options: &[u8],
    part: &[u8],
) -> Vec<u8> {
    let header_len = 20 + options.len();
    let mut bytes = vec![0x40 | (header_len / 4) as u8, 0];
    bytes.extend_from_slice(&((header_len + part.len()) as u16).to_be_bytes());
    bytes.extend_from_slice(&[0x12, 0x34]);
    bytes.extend_from_slice(&fragment.to_be_bytes());
    // The kernel fills in the checksum.
    bytes.extend_from_slice(&[64, protocol::UDP, 0, 0]);
    bytes.extend_from_slice(&from.ip().octets());
    bytes.extend_from_slice(&to.ip().octets());
    bytes.extend_from_slice(options);
    bytes.extend_from_slice(part);
    bytes
}

/// A UDP datagram without a checksum.
fn outer_udp(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in [from.port(), to.port(), 8 + payload.len() as u16, 0] {
        bytes.extend_from_slice(&field.to_be_bytes());
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// Opens a socket for IPv4 packets with their headers.
fn raw(node: &Node) -> Socket {
    const IPPROTO_RAW: i32 = 255;
    let open = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW)));
    node.host.namespace().run(open).unwrap().unwrap()
}

/// The stack joins them, and hands over the whole.
#[test]
fn outer_fragments_are_left() {
    const MORE: u16 = 0x2000;
    let (_internet, near, far) = pair(FOREVER);
    let (_socket, packet) = addressed(&near, &far, &data(1000));
    let datagram = outer_udp(far.local, near.local, &packet);
    let (first, second) = datagram.split_at(512);
    let socket = raw(&far);
    let to = SocketAddr::from(near.local).into();
    for (fragment, part) in [(MORE, first), (512 / 8, second)] {
        let bytes = ipv4(far.local, near.local, fragment, &[], part);
        socket.send_to(&bytes, &to).unwrap();
    }
    assert_eq!(near.receive(), (packet, far.local.into()));
    assert_eq!(near.count(Outcome::Decapsulated), 0);
}

#[test]
fn outer_options_are_left() {
    let (_internet, near, far) = pair(FOREVER);
    let (_socket, packet) = addressed(&near, &far, b"with options");
    let datagram = outer_udp(far.local, near.local, &packet);
    let no_operation = [1, 1, 1, 1];
    let bytes = ipv4(far.local, near.local, 0, &no_operation, &datagram);
    let to = SocketAddr::from(near.local).into();
    raw(&far).send_to(&bytes, &to).unwrap();
    assert_eq!(near.receive(), (packet, far.local.into()));
    assert_eq!(near.count(Outcome::Decapsulated), 0);
}

/// Its length is that of many; user space cuts it.
#[test]
fn a_joined_train_is_left() {
    let (_internet, near, far) = pair(FOREVER);
    setsockopt(&near.service, UdpGroSegment, &true).unwrap();
    let (_socket, packet) = addressed(&near, &far, &data(500));
    let train = packet.repeat(3);
    setsockopt(&far.service, UdpGsoSegment, &(packet.len() as i32)).unwrap();
    far.send_by_user_space(&train, &near);
    near.await_count(Outcome::WrongLength, 1);
    assert_eq!(near.receive().0, train);
    assert_eq!(near.count(Outcome::Decapsulated), 0);
}

/// A relay delivers to the networks that it serves, and to no other.
#[test]
fn a_relay_delivers_to_the_networks_that_it_serves() {
    let (_internet, mut near, far) = pair(FOREVER);
    let mut entry = near.entry(&far);
    entry.side = Side::Relay;
    near.path.insert(far.own, &entry).unwrap();
    acquaint(&near, &far);
    near.path
        .serve("2001:db8::".parse().unwrap(), 32, true)
        .unwrap();
    let watch = Watch::start(&near);
    let served = udp(
        far.own,
        "2001:db8:1::1".parse().unwrap(),
        (1000, 1000),
        b"native",
    );
    far.send_by_user_space(&served, &near);
    near.await_count(Outcome::Decapsulated, 1);
    watch.await_packet(&served);
    // This host has no route to it, and the network of its error is not served.
    near.await_count(Outcome::NotServed, 1);
    let teredo = TeredoAddress::from_ipv6(far.own).unwrap();
    let others = ["2a00::1".parse().unwrap(), teredo.to_ipv6(), near.own];
    for (number, other) in (2..).zip(others) {
        let packet = udp(far.own, other, (1000, 1000), b"not served");
        far.send_by_user_space(&packet, &near);
        near.await_count(Outcome::NotServed, number);
        assert_eq!(near.receive().0, packet);
    }
}

/// A virtual link hands on a datagram of user space without its checksum, which a relay must not fill in at the place where the
/// packet has something else by now.
#[test]
fn a_packet_of_a_datagram_without_its_checksum_can_be_forwarded() {
    let (_internet, mut near, far) = pair(FOREVER);
    let mut entry = near.entry(&far);
    entry.side = Side::Relay;
    near.path.insert(far.own, &entry).unwrap();
    acquaint(&near, &far);
    let native: Ipv6Addr = "2001:db8:1::2".parse().unwrap();
    near.path.serve(native, 64, true).unwrap();
    // Nothing finishes checksums behind this interface, so the kernel does.
    let link = || {
        DeviceBuilder::new()
            .name("native0")
            .layer(Layer::L3)
            .ipv6("2001:db8:1::1".parse::<Ipv6Addr>().unwrap(), 64_u8)
            .build_sync()
            .unwrap()
    };
    let link = near.host.namespace().run(link).unwrap();
    link.set_nonblocking(true).unwrap();
    near.run("sysctl", "-qw net.ipv6.conf.all.forwarding=1");
    for ecn in [0, 1] {
        let packet = with_ecn(udp(far.own, native, (1000, 1000), b"native"), ecn);
        let mut forwarded = packet.clone();
        forwarded[7] -= 1;
        far.send_by_user_space(&packet, &near);
        let mut buffer = [0; 2048];
        until(PATIENCE, "the packet", || {
            let len = link.recv(&mut buffer).ok()?;
            (buffer[..len] == forwarded).then_some(())
        })
        .unwrap();
    }
    near.await_count(Outcome::Decapsulated, 2);
}
