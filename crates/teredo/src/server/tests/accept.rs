use super::*;
use crate::wire::{Ipv6Header, PORT, emit_echo_reply, protocol};

fn packet(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: payload.len() as u16,
        next_header,
        hop_limit: 64,
        source: client(),
        destination: peer(),
    }
    .emit(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// R4380-5.3.1-01, R4380-5.1.1-05: no part of a valid datagram is answered.
#[test]
fn rule_1_malformed() {
    let mut server = server();
    let origin = [&[0, 0, 1, 2, 3, 4, 5, 6][..], &bubble(client(), peer())].concat();
    for valid in [
        solicitation(Flags::default()),
        origin,
        echo(client(), peer()),
    ] {
        expect_sent(&mut server, CLIENT, &valid);
        for len in 0..valid.len() {
            expect_drop(&mut server, CLIENT, &valid[..len], DropReason::Malformed);
        }
    }
    let misplaced = [
        &[0, 0, 1, 2, 3, 4, 5, 6][..],
        &[0, 1, 0, 0],
        &[0; 9],
        &bubble(client(), peer()),
    ]
    .concat();
    expect_drop(&mut server, CLIENT, &misplaced, DropReason::Malformed);
}

/// R4380-5.3.1-02, R4380-5.3-03: bubbles and echo messages, and nothing else.
#[test]
fn rule_2_what_is_relayed() {
    let mut server = server();
    expect_sent(&mut server, CLIENT, &bubble(client(), peer()));
    expect_sent(&mut server, CLIENT, &echo(client(), peer()));
    let mut reply = Vec::new();
    emit_echo_reply(client(), peer(), 64, 7, 1, &[], &mut reply);
    expect_sent(&mut server, CLIENT, &reply);

    for (next_header, len, reason) in [
        (protocol::TCP, 20, DropReason::NotRelayed),
        (protocol::UDP, 8, DropReason::NotRelayed),
        (protocol::NO_NEXT_HEADER, 1, DropReason::NotRelayed),
        (protocol::ICMPV6, 8, DropReason::InvalidIcmpv6),
        (protocol::FRAGMENT, 7, DropReason::Malformed),
        (protocol::HOP_BY_HOP, 4, DropReason::Malformed),
    ] {
        expect_drop(
            &mut server,
            CLIENT,
            &packet(next_header, &vec![0; len]),
            reason,
        );
    }
    let fragment = packet(
        protocol::FRAGMENT,
        &[protocol::ICMPV6, 0, 0, 1, 0, 0, 0, 1, 128, 0, 0, 0],
    );
    expect_drop(&mut server, CLIENT, &fragment, DropReason::NotRelayed);
    for kind in [1, 2, 3, 127, 130, 135, 136, 137] {
        let mut message = [&[kind, 0, 0, 0][..], &[0; 20]].concat();
        let sum = wire::checksum(client(), peer(), protocol::ICMPV6, &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let bytes = packet(protocol::ICMPV6, &message);
        expect_drop(&mut server, CLIENT, &bytes, DropReason::NotRelayed);
    }
}

/// W-01
#[test]
fn routing_headers_are_refused() {
    let mut server = server();
    let routing = [
        &[protocol::NO_NEXT_HEADER, 2, 0, 1, 0, 0, 0, 0][..],
        &NATIVE.octets(),
    ]
    .concat();
    expect_drop(
        &mut server,
        CLIENT,
        &packet(protocol::ROUTING, &routing),
        DropReason::RoutingHeader,
    );
}

/// R4380-5.3.1-03, R4380-5.3.2-07, R4380-GU-01, R4380-GU-02, R4380-GU-05
#[test]
fn rule_3_outer_source() {
    let mut server = server();
    server.set_broadcasts(vec!["198.51.100.255".parse().unwrap()]);
    for from in [
        "0.0.0.1:4096",
        "10.0.0.1:4096",
        "127.0.0.1:4096",
        "169.254.0.1:4096",
        "172.16.0.1:4096",
        "192.88.99.1:4096",
        "192.168.1.2:4096",
        "224.0.0.253:3544",
        "255.255.255.255:4096",
        "198.51.100.255:4096",
        "192.0.2.1:0",
    ] {
        let from: SocketAddrV4 = from.parse().unwrap();
        expect_drop(
            &mut server,
            from,
            &solicitation(Flags::default()),
            DropReason::RefusedSource,
        );
        expect_drop(
            &mut server,
            from,
            &bubble(teredo(PRIMARY, from), peer()),
            DropReason::RefusedSource,
        );
    }
}

/// R4380-5.3.1-06: the embedded mapping is the outer source, including the port.
#[test]
fn rule_5_teredo_source() {
    let mut server = server();
    expect_sent(&mut server, CLIENT, &bubble(client(), peer()));
    expect_sent(&mut server, PEER, &bubble(peer(), client()));
    for from in [
        SocketAddrV4::new(*CLIENT.ip(), CLIENT.port() + 1),
        SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), CLIENT.port()),
        RELAY,
    ] {
        expect_drop(
            &mut server,
            from,
            &bubble(client(), peer()),
            DropReason::SpoofedSource,
        );
        expect_drop(
            &mut server,
            from,
            &echo(client(), NATIVE),
            DropReason::SpoofedSource,
        );
    }
}

/// R4380-5.3.1-07, R4380-5.3.1-08, R4380-7.4.2-01: relays reach this server's clients only.
#[test]
fn rules_6_and_7_native_source() {
    let mut server = server();
    let sent = expect_sent(&mut server, RELAY, &bubble(NATIVE, client()));
    assert_eq!(sent.to, CLIENT);
    assert_eq!(
        Datagram::parse(&sent.bytes).unwrap().origin,
        Some(Origin(RELAY))
    );

    let sent = expect_sent(
        &mut server,
        RELAY,
        &bubble("fe80::1234".parse().unwrap(), client()),
    );
    assert_eq!(
        sent.to, CLIENT,
        "relays in the field use a link-local source"
    );

    for destination in [peer(), NATIVE, ALL_ROUTERS, teredo(SECONDARY, CLIENT)] {
        expect_drop(
            &mut server,
            RELAY,
            &bubble(NATIVE, destination),
            DropReason::SpoofedSource,
        );
    }
    for source in [
        "ff02::1",
        "::",
        "::1",
        "3ffe:831f:cb00:7178:0:efff:3fff:fdfe",
    ] {
        expect_drop(
            &mut server,
            RELAY,
            &bubble(source.parse().unwrap(), client()),
            DropReason::SpoofedSource,
        );
    }
}

/// A datagram for another address of the machine is not for the server.
#[test]
fn only_the_two_addresses_serve() {
    let mut server = server();
    let bytes = solicitation(Flags::default());
    for (local, served) in [(PRIMARY, true), (SECONDARY, true), (FOREIGN_SERVER, false)] {
        let outcome = receive(&mut server, CLIENT, local, &bytes);
        if served {
            assert_eq!(outcome.map(|sent| sent.to), Ok(CLIENT));
        } else {
            assert_eq!(outcome, Err(DropReason::WrongDestination));
        }
    }
}

/// L-01, R4380-5.3.1-16: by rule 6, with any native source.
#[test]
fn loop_by_a_native_source() {
    let mut server = server();
    for own in [PRIMARY, SECONDARY] {
        let looping = teredo(PRIMARY, SocketAddrV4::new(own, PORT));
        expect_drop(
            &mut server,
            RELAY,
            &bubble(NATIVE, looping),
            DropReason::SelfLoop,
        );
        expect_drop(
            &mut server,
            RELAY,
            &echo(NATIVE, looping),
            DropReason::SelfLoop,
        );
        expect_drop(
            &mut server,
            CLIENT,
            &bubble(client(), looping),
            DropReason::SelfLoop,
        );
    }
}

/// L-01: by rule 5, with a forged outer source that is the server itself.
#[test]
fn loop_by_a_forged_outer_source() {
    let mut server = server();
    for own in [PRIMARY, SECONDARY] {
        let own = SocketAddrV4::new(own, PORT);
        let looping = teredo(PRIMARY, own);
        expect_drop(
            &mut server,
            own,
            &bubble(looping, looping),
            DropReason::SelfLoop,
        );
        expect_drop(
            &mut server,
            own,
            &bubble(looping, client()),
            DropReason::SelfLoop,
        );
        expect_drop(
            &mut server,
            own,
            &bubble(NATIVE, client()),
            DropReason::SelfLoop,
        );
        expect_drop(
            &mut server,
            own,
            &solicitation(Flags::default()),
            DropReason::SelfLoop,
        );
    }
}

/// L-01: bubbles keep their hop limit, but must not loop between two servers.
#[test]
fn no_loop_over_two_servers() {
    let mut here = server();
    let there_address = ServerAddress::adjacent(FOREIGN_SERVER);
    let mut there = Server::new(ServerConfig::new(there_address), [0; 32]);
    let here_socket = SocketAddrV4::new(PRIMARY, PORT);
    let there_socket = SocketAddrV4::new(FOREIGN_SERVER, PORT);
    let sources = [
        NATIVE,
        client(),
        teredo(PRIMARY, here_socket),
        teredo(FOREIGN_SERVER, here_socket),
    ];
    for source in sources {
        for destination in [
            teredo(PRIMARY, there_socket),
            teredo(FOREIGN_SERVER, there_socket),
        ] {
            for from in [CLIENT, RELAY, there_socket] {
                let Ok(sent) = receive(&mut here, from, PRIMARY, &bubble(source, destination))
                else {
                    continue;
                };
                assert_eq!(sent.to, there_socket);
                let outcome = receive(&mut there, here_socket, FOREIGN_SERVER, &sent.bytes);
                assert!(outcome.is_err(), "{outcome:?}");
            }
        }
    }
}
