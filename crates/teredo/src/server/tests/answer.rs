use super::*;
use crate::wire::{
    Icmpv6, MAC_LEN, PrefixInformation, RouterAdvertisement, emit_echo_reply, server_link_local,
};

const NONCE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn advertisement_of(sent: &Sent) -> (Datagram<'_>, RouterAdvertisement) {
    let datagram = Datagram::parse(&sent.bytes).unwrap();
    let Ok(Icmpv6::RouterAdvertisement(advertisement)) = Icmpv6::parse(&datagram.packet) else {
        panic!("{datagram}");
    };
    (datagram, advertisement)
}

/// R4380-5.3.1-04, R4380-5.3.2-01, R4380-5.3.2-02, R4380-5.3.2-03, R4380-5.3.2-04, R4380-5.3.2-05, R4380-5.1.2-01,
/// R4380-4-04, R5991-3.2-04
#[test]
fn a_solicitation_is_answered() {
    let mut server = server();
    let sent = expect_sent(&mut server, CLIENT, &solicitation(Flags::default()));
    assert_eq!((sent.to, sent.source), (CLIENT, PRIMARY));
    let (datagram, advertisement) = advertisement_of(&sent);
    assert_eq!(datagram.authentication, None);
    assert_eq!(datagram.origin, Some(Origin(CLIENT)));
    assert_eq!(datagram.packet.source(), server_link_local(PRIMARY));
    assert_eq!(
        datagram.packet.destination(),
        "fe80::3caf:3f57:fefd".parse::<Ipv6Addr>().unwrap()
    );
    assert_eq!(datagram.packet.hop_limit(), 255);
    assert_eq!(
        advertisement,
        RouterAdvertisement {
            hop_limit: 0,
            flags: 0,
            router_lifetime: 0,
            reachable_time: 0,
            retrans_timer: 2000,
            prefixes: vec![PrefixInformation {
                prefix: "2001:0:cb00:7178::".parse().unwrap(),
                length: 64,
                on_link: false,
                autonomous: true,
                valid_lifetime: u32::MAX,
                preferred_lifetime: u32::MAX,
            }],
            mtu: Some(1280),
        }
    );
    assert_eq!(server.counters().advertisements, 1);
}

/// R4380-5.3.2-06, R5991-3.2-03, R4380-5.3-02: the four combinations; and A-11: the prefix is always the same.
#[test]
fn the_cone_bit_selects_the_source() {
    let mut server = server();
    for (local, flags, source) in [
        (PRIMARY, Flags::default(), PRIMARY),
        (PRIMARY, Flags::CONE, SECONDARY),
        (SECONDARY, Flags::default(), SECONDARY),
        (SECONDARY, Flags::CONE, PRIMARY),
    ] {
        let solicitation = solicitation(flags);
        let sent = receive(&mut server, CLIENT, local, &solicitation).unwrap();
        assert_eq!((sent.to, sent.source), (CLIENT, source), "{local} {flags}");
        let (datagram, advertisement) = advertisement_of(&sent);
        assert_eq!(datagram.packet.source(), server_link_local(PRIMARY));
        assert_eq!(
            advertisement.prefixes[0].prefix,
            wire::server_prefix(PRIMARY)
        );
    }
}

/// A server with one address cannot detect a cone NAT.
#[test]
fn a_server_with_one_address_does_not_feign_a_cone_nat() {
    let config = ServerConfig::new(ServerAddress {
        primary: PRIMARY,
        secondary: PRIMARY,
    });
    let mut server = Server::new(config, [0; 32]);
    expect_drop(
        &mut server,
        CLIENT,
        &solicitation(Flags::CONE),
        DropReason::NotRelayed,
    );
    assert_eq!(
        expect_sent(&mut server, CLIENT, &solicitation(Flags::default())).source,
        PRIMARY
    );
}

/// R4380-5.3.2-04: the identifiers of deployed clients are repeated unchanged; only the cone bit counts.
#[test]
fn any_identifier_is_echoed() {
    let mut server = server();
    for (source, expected) in [
        ("fe80::8000:5445:5245:444f", SECONDARY),
        ("fe80::8000:ffff:ffff:fffe", SECONDARY),
        ("fe80::ffff:ffff:fffd", PRIMARY),
        ("fe80:1:2:3:7fff:ffff:ffff:ffff", PRIMARY),
    ] {
        let source: Ipv6Addr = source.parse().unwrap();
        let mut bytes = Vec::new();
        emit_router_solicitation(source, &mut bytes);
        let sent = expect_sent(&mut server, CLIENT, &bytes);
        assert_eq!(sent.source, expected, "{source}");
        assert_eq!(advertisement_of(&sent).0.packet.destination(), source);
    }
}

/// R4380-5.3.2-10: the nonce is repeated without an identifier if there is no secret.
#[test]
fn the_nonce_comes_back() {
    let mut server = server();
    for element in [
        Authentication::nonce_only(NONCE),
        Authentication {
            identifier: b"alice",
            value: &[7; MAC_LEN],
            nonce: NONCE,
            confirmation: 1,
        },
    ] {
        let mut bytes = Vec::new();
        element.emit(&mut bytes);
        bytes.extend(solicitation(Flags::default()));
        let sent = expect_sent(&mut server, CLIENT, &bytes);
        let (datagram, _) = advertisement_of(&sent);
        assert_eq!(
            datagram.authentication,
            Some(Authentication::nonce_only(NONCE))
        );
        assert_eq!(datagram.origin, Some(Origin(CLIENT)));
        assert_eq!(sent.bytes.len(), 13 + 8 + 96);
    }
}

/// A client's nonce is for that client: the answer to a solicitation without the element has none.
#[test]
fn no_nonce_is_leaked() {
    let mut server = server();
    let mut victim = Vec::new();
    Authentication::nonce_only([0x5e; 8]).emit(&mut victim);
    victim.extend(solicitation(Flags::default()));
    for _ in 0..3 {
        expect_sent(&mut server, CLIENT, &victim);
        let sent = expect_sent(&mut server, PEER, &solicitation(Flags::default()));
        assert_eq!(advertisement_of(&sent).0.authentication, None);
        assert!(!sent.bytes.windows(4).any(|bytes| bytes == [0x5e; 4]));
    }
}

/// R4380-5.3.2-11
#[test]
fn invalid_solicitations() {
    let mut server = server();
    let good = solicitation(Flags::default());
    expect_sent(&mut server, CLIENT, &good);
    for (at, value) in [(7, 254), (41, 1), (43, 0xff)] {
        let mut bad = good.clone();
        bad[at] = value;
        expect_drop(&mut server, CLIENT, &bad, DropReason::InvalidIcmpv6);
    }
    let mut short = good.clone();
    short.truncate(44);
    short[5] = 4;
    expect_drop(&mut server, CLIENT, &short, DropReason::InvalidIcmpv6);
}

/// Rule 4 applies to the address of all routers only.
#[test]
fn a_solicitation_to_elsewhere_is_not_answered() {
    let mut server = server();
    for destination in [server_link_local(PRIMARY), peer(), client()] {
        let mut bytes = solicitation(Flags::default());
        bytes[24..40].copy_from_slice(&destination.octets());
        bytes[42..44].fill(0);
        let source = "fe80::3caf:3f57:fefd".parse().unwrap();
        let sum = wire::checksum(source, destination, wire::protocol::ICMPV6, &bytes[40..]);
        bytes[42..44].copy_from_slice(&sum.to_be_bytes());
        expect_drop(&mut server, CLIENT, &bytes, DropReason::SpoofedSource);
    }
}

/// Rule 5 also accepts a solicitation from a client's Teredo address, but none is ever forwarded.
#[test]
fn a_solicitation_is_answered_or_dropped() {
    let mut server = server();
    let mut bytes = Vec::new();
    emit_router_solicitation(client(), &mut bytes);
    let sent = expect_sent(&mut server, CLIENT, &bytes);
    assert_eq!(sent.source, PRIMARY);
    assert_eq!(advertisement_of(&sent).0.packet.destination(), client());

    for (from, source, destination) in [
        (CLIENT, client(), peer()),
        (CLIENT, client(), NATIVE),
        (RELAY, NATIVE, client()),
    ] {
        let mut bytes = Vec::new();
        emit_router_solicitation(source, &mut bytes);
        bytes[24..40].copy_from_slice(&destination.octets());
        bytes[42..44].fill(0);
        let sum = wire::checksum(source, destination, wire::protocol::ICMPV6, &bytes[40..]);
        bytes[42..44].copy_from_slice(&sum.to_be_bytes());
        expect_drop(&mut server, from, &bytes, DropReason::NotRelayed);
    }
}

/// R4380-5.3.1-09: a client may ping its server.
#[test]
fn an_echo_request_is_answered() {
    let mut server = server();
    for (local, destination) in [
        (PRIMARY, server_link_local(PRIMARY)),
        (SECONDARY, server_link_local(PRIMARY)),
        (PRIMARY, ALL_ROUTERS),
    ] {
        let request = echo(client(), destination);
        let sent = receive(&mut server, CLIENT, local, &request);
        let mut expected = Vec::new();
        emit_echo_reply(
            server_link_local(PRIMARY),
            client(),
            64,
            7,
            1,
            b"ping",
            &mut expected,
        );
        assert_eq!(
            sent,
            Ok(Sent {
                to: CLIENT,
                source: local,
                bytes: expected
            })
        );
    }
    assert_eq!(server.counters().echo_replies, 3);
}

/// R4380-5.3.1-08: a ping with any other source than the client's own address is not answered.
#[test]
fn an_echo_request_of_another_is_not_answered() {
    let mut server = server();
    let link_local_source = link_local(Flags::default(), CLIENT);
    for source in [peer(), NATIVE, link_local_source] {
        expect_drop(
            &mut server,
            CLIENT,
            &echo(source, server_link_local(PRIMARY)),
            DropReason::SpoofedSource,
        );
    }
    expect_drop(
        &mut server,
        CLIENT,
        &bubble(client(), server_link_local(PRIMARY)),
        DropReason::NotRelayed,
    );
}
