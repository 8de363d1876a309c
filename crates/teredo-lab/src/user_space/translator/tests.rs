use std::time::Duration;

use etherparse::{
    Icmpv4Type, NetSlice, PacketBuilder, SlicedPacket, TransportSlice, icmpv4::TimeExceededCode,
};

use super::*;

const START: Instant = Instant::from_nanos(0);
const HOST: &str = "192.168.1.2:40000";
const SERVER: &str = "192.0.2.45:3544";
const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

fn socket(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

fn translator(behaviour: NatBehaviour) -> Translator {
    Translator::new(behaviour, &[PUBLIC], 1)
}

fn ip(
    from: SocketAddrV4,
    to: SocketAddrV4,
) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), 9)
}

fn udp(from: &str, to: &str) -> Vec<u8> {
    let (from, to) = (socket(from), socket(to));
    let mut packet = Vec::new();
    let builder = ip(from, to).udp(from.port(), to.port());
    builder.write(&mut packet, b"odd").unwrap();
    packet
}

fn tcp(from: &str, to: &str) -> Vec<u8> {
    let (from, to) = (socket(from), socket(to));
    let mut packet = Vec::new();
    let builder = ip(from, to).tcp(from.port(), to.port(), 7, 100).syn();
    builder.write(&mut packet, b"").unwrap();
    packet
}

fn echo(from: &str, to: &str, request: bool) -> Vec<u8> {
    let (from, to) = (socket(from), socket(to));
    let (id, sequence) = (from.port().max(to.port()), 1);
    let mut packet = Vec::new();
    let builder = match request {
        true => ip(from, to).icmpv4_echo_request(id, sequence),
        false => ip(from, to).icmpv4_echo_reply(id, sequence),
    };
    builder.write(&mut packet, b"odd").unwrap();
    packet
}

/// A router's answer to a packet whose time to live ran out.
fn time_exceeded(from: &str, about: &[u8]) -> Vec<u8> {
    let to = Ipv4Addr::new(about[12], about[13], about[14], about[15]);
    let (from, to) = (socket(from), SocketAddrV4::new(to, 0));
    let kind = Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit);
    let mut packet = Vec::new();
    let builder = ip(from, to).icmpv4(kind);
    builder.write(&mut packet, &about[..28]).unwrap();
    packet
}

/// Source, destination and time to live; every checksum is right.
#[track_caller]
fn read(packet: &[u8]) -> (SocketAddrV4, SocketAddrV4, u8) {
    let sliced = SlicedPacket::from_ip(packet).unwrap();
    let Some(NetSlice::Ipv4(ipv4)) = &sliced.net else {
        panic!("no IPv4: {packet:?}")
    };
    let header = ipv4.header().to_header();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    let (source, destination) = match sliced.transport.as_ref().unwrap() {
        TransportSlice::Udp(udp) => {
            let sum = udp.to_header().calc_checksum_ipv4(&header, udp.payload());
            assert_eq!(sum, Ok(udp.checksum()));
            (udp.source_port(), udp.destination_port())
        }
        TransportSlice::Tcp(tcp) => {
            let sum = tcp.to_header().calc_checksum_ipv4(&header, tcp.payload());
            assert_eq!(sum, Ok(tcp.checksum()));
            (tcp.source_port(), tcp.destination_port())
        }
        TransportSlice::Icmpv4(icmp) => {
            let sum = icmp.icmp_type().calc_checksum(icmp.payload());
            assert_eq!(sum, icmp.checksum());
            match icmp.icmp_type() {
                Icmpv4Type::EchoRequest(echo) => (echo.id, 0),
                Icmpv4Type::EchoReply(echo) => (0, echo.id),
                _ => (0, 0),
            }
        }
        other => panic!("{other:?}"),
    };
    (
        SocketAddrV4::new(header.source.into(), source),
        SocketAddrV4::new(header.destination.into(), destination),
        header.time_to_live,
    )
}

/// The ends of the packet that an ICMP error is about, whose header's checksum is right.
#[track_caller]
fn quoted(error: &[u8]) -> (SocketAddrV4, SocketAddrV4) {
    let inner = &error[28..];
    let (header, ports) = etherparse::Ipv4Header::from_slice(inner).unwrap();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    (
        SocketAddrV4::new(header.source.into(), port(0)),
        SocketAddrV4::new(header.destination.into(), port(2)),
    )
}

/// Out and back in: addresses, ports and checksums are right, and one step of the time to live is made up for.
#[test]
fn datagrams_connections_and_pings_find_their_way_back() {
    let mut nat = translator(NatBehaviour::port_restricted());
    for (out, port) in [
        (udp(HOST, SERVER), 3544),
        (tcp(HOST, SERVER), 3544),
        (echo("192.168.1.2:40000", "192.0.2.45:0", true), 0),
    ] {
        let mut packet = out;
        let side = nat.translate(START, Side::Inside, &mut packet);
        assert_eq!(side, Some(Side::Outside));
        let (source, destination, ttl) = read(&packet);
        assert_eq!(source, SocketAddrV4::new(PUBLIC, 40_000));
        assert_eq!(destination, SocketAddrV4::new([192, 0, 2, 45].into(), port));
        assert_eq!(ttl, 10);
    }
    for (back, from) in [
        (udp(SERVER, "198.51.100.1:40000"), 3544),
        (tcp(SERVER, "198.51.100.1:40000"), 3544),
        (echo("192.0.2.45:0", "198.51.100.1:40000", false), 0),
    ] {
        let mut packet = back;
        let side = nat.translate(START, Side::Outside, &mut packet);
        assert_eq!(side, Some(Side::Inside), "{:?}", nat.discards());
        let (source, destination, _) = read(&packet);
        assert_eq!(source.port(), from);
        assert_eq!(destination, socket(HOST));
    }
}

/// RFC 1624: a checksum that is wrong stays wrong, and one that is absent stays absent (RFC 768).
#[test]
fn checksums_are_adjusted_and_not_made_anew() {
    let mut nat = translator(NatBehaviour::port_restricted());
    for (wrong, expected) in [([0, 0], true), ([0x12, 0x34], false)] {
        let mut packet = udp(HOST, SERVER);
        packet[26..28].copy_from_slice(&wrong);
        nat.translate(START, Side::Inside, &mut packet).unwrap();
        assert_eq!(packet[26..28] == [0, 0], expected);
        packet[26..28].copy_from_slice(&[0, 0]);
        let (header, rest) = etherparse::UdpHeader::from_slice(&packet[20..]).unwrap();
        let sum = header.calc_checksum_ipv4_raw([198, 51, 100, 1], [192, 0, 2, 45], rest);
        assert_ne!(sum, Ok(0x1234));
    }
}

/// RFC 5508 §4.2: an error about a datagram that left is for the host, about the host's own socket.
#[test]
fn an_error_about_an_outbound_datagram_comes_in() {
    let mut nat = translator(NatBehaviour::symmetric_sequential());
    let mut out = udp(HOST, SERVER);
    nat.translate(START, Side::Inside, &mut out).unwrap();
    let mut error = time_exceeded("192.0.2.254:0", &out);
    let side = nat.translate(START, Side::Outside, &mut error);
    assert_eq!(side, Some(Side::Inside));
    let (from, to, _) = read(&error);
    assert_eq!(
        (*from.ip(), *to.ip()),
        ([192, 0, 2, 254].into(), *socket(HOST).ip())
    );
    assert_eq!(quoted(&error), (socket(HOST), socket(SERVER)));

    // About a datagram that nobody has sent.
    let mut other = udp("198.51.100.1:7", SERVER);
    let mut error = time_exceeded("192.0.2.254:0", &other);
    assert_eq!(nat.translate(START, Side::Outside, &mut error), None);
    assert_eq!(nat.discards()[0].reason, DiscardReason::Unrelated);
    other.clear();
}

/// RFC 5508 §4.3: an error about a datagram that came in goes out, about the public socket.
#[test]
fn an_error_about_an_inbound_datagram_goes_out() {
    let mut nat = translator(NatBehaviour::port_restricted());
    nat.translate(START, Side::Inside, &mut udp(HOST, SERVER))
        .unwrap();
    let mut inbound = udp(SERVER, "198.51.100.1:40000");
    nat.translate(START, Side::Outside, &mut inbound).unwrap();
    let mut error = time_exceeded("192.168.1.2:0", &inbound);
    assert_eq!(
        nat.translate(START, Side::Inside, &mut error),
        Some(Side::Outside)
    );
    let (from, to, _) = read(&error);
    assert_eq!((*from.ip(), *to.ip()), (PUBLIC, *socket(SERVER).ip()));
    assert_eq!(
        quoted(&error),
        (socket(SERVER), socket("198.51.100.1:40000"))
    );
}

/// RFC 4787 §6, REQ-9: the receiver sees the public source.
#[test]
fn hairpinning() {
    let mut nat = translator(NatBehaviour {
        hairpin: true,
        ..NatBehaviour::cone()
    });
    nat.translate(START, Side::Inside, &mut udp(HOST, SERVER))
        .unwrap();
    let mut packet = udp("192.168.1.3:50000", "198.51.100.1:40000");
    assert_eq!(
        nat.translate(START, Side::Inside, &mut packet),
        Some(Side::Inside)
    );
    let (source, destination, _) = read(&packet);
    assert_eq!(source, socket("198.51.100.1:50000"));
    assert_eq!(destination, socket(HOST));
}

#[test]
fn the_router_answers_pings_from_both_sides() {
    let mut nat = translator(NatBehaviour::port_restricted());
    for (side, from) in [
        (Side::Outside, "192.0.2.45:9"),
        (Side::Inside, "192.168.1.2:9"),
    ] {
        let mut packet = echo(from, "198.51.100.1:0", true);
        assert_eq!(nat.translate(START, side, &mut packet), Some(side));
        let (source, destination, _) = read(&packet);
        assert_eq!((*source.ip(), destination), (PUBLIC, socket(from)));
    }
}

/// Each dropped packet has a reason, and no more than 4096 are kept.
#[test]
fn refused_packets_are_kept_with_their_reason() {
    let mut nat = translator(NatBehaviour::port_restricted());
    let late = START + Duration::from_secs(1);
    let mut cases = vec![
        (
            udp(SERVER, "198.51.100.1:5"),
            DiscardReason::Refused(Refusal::NoMapping),
        ),
        (
            udp(SERVER, "198.51.100.9:5"),
            DiscardReason::Refused(Refusal::NoMapping),
        ),
        (Vec::new(), DiscardReason::Malformed),
        (vec![0x46; 20], DiscardReason::Malformed),
    ];
    let mut fragment = udp(SERVER, "198.51.100.1:5");
    fragment[7] = 1;
    cases.push((fragment, DiscardReason::Fragment));
    let mut sctp = udp(SERVER, "198.51.100.1:5");
    sctp[9] = 132;
    cases.push((sctp, DiscardReason::Protocol));
    let mut cut = udp(SERVER, "198.51.100.1:5");
    cut.truncate(24);
    cut[3] = 24;
    cases.push((cut, DiscardReason::Malformed));
    for (mut packet, reason) in cases {
        assert_eq!(nat.translate(late, Side::Outside, &mut packet), None);
        assert_eq!(nat.discards().last().unwrap().reason, reason);
    }
    for _ in 0..2 * KEPT_DISCARDS {
        nat.translate(late, Side::Outside, &mut udp(SERVER, "198.51.100.1:5"));
    }
    assert_eq!(nat.discards().len(), KEPT_DISCARDS);
}

proptest::proptest! {
    /// No bytes make it panic.
    #[test]
    fn any_bytes(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120), inside: bool) {
        let mut nat = translator(NatBehaviour::cone());
        let side = if inside { Side::Inside } else { Side::Outside };
        if let [first, _, high, low, ..] = &mut bytes[..] {
            *first = 0x45;
            (*high, *low) = (0, 0);
        }
        let length = bytes.len() as u8;
        if let Some(low) = bytes.get_mut(3) {
            *low = length;
        }
        nat.translate(START, side, &mut bytes);
    }
}

/// A datagram in three parts, of which the first has the ports.
fn parts(from: &str, to: &str, id: u16) -> [Vec<u8>; 3] {
    let (from, to) = (socket(from), socket(to));
    let mut whole = Vec::new();
    let builder = ip(from, to).udp(from.port(), to.port());
    builder.write(&mut whole, &[7; 40]).unwrap();
    [(0, 24), (24, 40), (40, 48)].map(|(start, end)| {
        let mut header = etherparse::Ipv4Header::from_slice(&whole).unwrap().0;
        header.identification = id;
        header.dont_fragment = false;
        header.more_fragments = end < 48;
        header.fragment_offset = (start as u16 / 8).try_into().unwrap();
        header.total_len = 20 + (end - start) as u16;
        header.header_checksum = header.calc_header_checksum();
        let mut part = header.to_bytes().to_vec();
        part.extend_from_slice(&whole[20 + start..20 + end]);
        part
    })
}

/// The addresses and the time to live of a part, whose checksum is right.
#[track_caller]
fn header(part: &[u8]) -> (Ipv4Addr, Ipv4Addr, u8) {
    let (header, _) = etherparse::Ipv4Header::from_slice(part).unwrap();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    (
        header.source.into(),
        header.destination.into(),
        header.time_to_live,
    )
}

/// RFC 4787 §11, REQ-14: fragments pass in their order, out and back in. The checksum of the whole stays right.
#[test]
fn fragments_follow_their_first() {
    let mut nat = translator(NatBehaviour {
        ports: teredo_nat::PortAssignment::Random,
        ..NatBehaviour::port_restricted()
    });
    let mut payload = Vec::new();
    let mut whole = parts(HOST, SERVER, 5);
    for part in &mut whole {
        assert_eq!(
            nat.translate(START, Side::Inside, part),
            Some(Side::Outside)
        );
        assert_eq!(header(part), (PUBLIC, *socket(SERVER).ip(), 10));
        payload.extend_from_slice(&part[20..]);
    }
    let ip_header = etherparse::Ipv4Header::from_slice(&whole[0]).unwrap().0;
    let (udp, rest) = etherparse::UdpHeader::from_slice(&payload).unwrap();
    assert_eq!(udp.calc_checksum_ipv4(&ip_header, rest), Ok(udp.checksum));
    assert_ne!(udp.source_port, socket(HOST).port());

    let mapped = SocketAddrV4::new(PUBLIC, udp.source_port).to_string();
    for mut part in parts(SERVER, &mapped, 6) {
        assert_eq!(
            nat.translate(START, Side::Outside, &mut part),
            Some(Side::Inside)
        );
        assert_eq!(
            header(&part),
            (*socket(SERVER).ip(), *socket(HOST).ip(), 10)
        );
    }
}

/// Those without a first one that passed are dropped, and the ways of so many datagrams are kept.
#[test]
fn fragments_without_their_first_are_dropped() {
    let mut nat = translator(NatBehaviour::port_restricted());
    let [mut first, mut early, _] = parts(HOST, SERVER, 1);
    assert_eq!(nat.translate(START, Side::Inside, &mut early), None);
    let out = nat.translate(START, Side::Inside, &mut first);
    assert_eq!(out, Some(Side::Outside));
    let mut drops = |id, now, side: Side, from: &str, to: &str| {
        let [_, mut later, _] = parts(from, to, id);
        nat.translate(now, side, &mut later).is_none()
    };
    assert!(!drops(1, START, Side::Inside, HOST, SERVER));
    assert!(
        drops(2, START, Side::Inside, HOST, SERVER),
        "another datagram"
    );
    assert!(
        drops(1, START, Side::Inside, "192.168.1.3:40000", SERVER),
        "another host"
    );
    assert!(
        drops(1, START, Side::Outside, SERVER, HOST),
        "the other side"
    );
    let late = START + Duration::from_secs(31);
    assert!(drops(1, late, Side::Inside, HOST, SERVER), "too late");
    // A refused first fragment leads nowhere.
    let [mut first, mut later, _] = parts(SERVER, "198.51.100.1:9", 3);
    assert_eq!(nat.translate(START, Side::Outside, &mut first), None);
    assert_eq!(nat.translate(START, Side::Outside, &mut later), None);
    for id in 10..=265 {
        let [mut first, ..] = parts(HOST, SERVER, id);
        assert!(nat.translate(START, Side::Inside, &mut first).is_some());
    }
    let mut last = |id| {
        let [_, mut later, _] = parts(HOST, SERVER, id);
        nat.translate(START, Side::Inside, &mut later)
    };
    assert_eq!((last(1), last(10)), (None, Some(Side::Outside)));
}
