use super::*;
use crate::wire::{Authentication, Origin, Trailer};

/// R4380-5.3.1-13, R4380-5.3.1-14, R4380-7.4.1-01: to the embedded mapping, from the primary address, with an origin
/// for the server's own clients only.
#[test]
fn bubbles_are_passed_on() {
    let mut server = server();
    let own = bubble(peer(), client());
    for local in [PRIMARY, SECONDARY] {
        let sent = receive(&mut server, PEER, local, &own);
        let mut expected = Vec::new();
        Origin(PEER).emit(&mut expected);
        expected.extend_from_slice(&own);
        assert_eq!(
            sent,
            Ok(Sent {
                to: CLIENT,
                source: PRIMARY,
                bytes: expected
            })
        );
    }
    let foreign = bubble(client(), peer());
    assert_eq!(
        expect_sent(&mut server, CLIENT, &foreign),
        Sent {
            to: PEER,
            source: PRIMARY,
            bytes: foreign.clone()
        }
    );
    assert_eq!(server.counters().forwarded, 3);
}

/// Only the server itself adds an origin.
#[test]
fn elements_of_the_sender_are_not_passed_on() {
    let mut server = server();
    let packet = bubble(peer(), client());
    let mut bytes = Vec::new();
    Authentication::nonce_only([1; 8]).emit(&mut bytes);
    Origin("198.51.100.66:666".parse().unwrap()).emit(&mut bytes);
    bytes.extend_from_slice(&packet);
    let sent = expect_sent(&mut server, PEER, &bytes);
    let datagram = Datagram::parse(&sent.bytes).unwrap();
    assert_eq!(
        (datagram.authentication, datagram.origin),
        (None, Some(Origin(PEER)))
    );
    assert_eq!(datagram.packet.as_bytes(), packet);
}

/// R4380-5.3.1-15, A-08: trailers are forwarded unchanged, known or not.
#[test]
fn trailers_are_passed_on() {
    let mut server = server();
    let trailers = [1, 4, 0xde, 0xad, 0xbe, 0xef, 0x7f, 1, 0, 0xff];
    let bytes = [&bubble(peer(), client())[..], &trailers].concat();
    let sent = expect_sent(&mut server, PEER, &bytes);
    let datagram = Datagram::parse(&sent.bytes).unwrap();
    assert_eq!(datagram.trailers.as_bytes(), trailers);
    assert_eq!(
        datagram.trailers.iter().next(),
        Some(Trailer::Nonce([0xde, 0xad, 0xbe, 0xef]))
    );
}

/// R4380-7.4-01: there is room for trailers and no more; otherwise a server would relay data.
#[test]
fn bytes_behind_a_packet_are_bounded() {
    let mut server = server();
    for packet in [
        bubble(peer(), client()),
        echo(peer(), client()),
        solicitation(Flags::default()),
    ] {
        for (surplus, passes) in [(64, true), (65, false), (60_000, false)] {
            let bytes = [packet.clone(), vec![0; surplus]].concat();
            if passes {
                let sent = expect_sent(&mut server, PEER, &bytes);
                assert!(sent.bytes.len() <= bytes.len() + 8);
            } else {
                expect_drop(&mut server, PEER, &bytes, DropReason::Oversized);
            }
        }
    }
}

/// R4380-7.4-01: an echo of ordinary size passes, a large one does not.
#[test]
fn echo_is_bounded() {
    let mut server = server();
    for (len, passes) in [(80, true), (81, false), (1000, false)] {
        let mut bytes = Vec::new();
        emit_echo_request(peer(), client(), 64, 7, 1, &vec![0; len], &mut bytes);
        if passes {
            expect_sent(&mut server, PEER, &bytes);
        } else {
            expect_drop(&mut server, PEER, &bytes, DropReason::Oversized);
        }
    }
}

/// the hop limit is decremented as in any router, except that a bubble with hop limit 0 passes too.
#[test]
fn hop_limit() {
    let mut server = server();
    for (hop_limit, expected) in [(255, Some(254)), (2, Some(1)), (1, None), (0, None)] {
        let mut bytes = Vec::new();
        emit_echo_request(peer(), client(), hop_limit, 7, 1, b"ping", &mut bytes);
        match expected {
            None => expect_drop(&mut server, PEER, &bytes, DropReason::HopLimit),
            Some(expected) => {
                let sent = expect_sent(&mut server, PEER, &bytes);
                bytes[7] = expected;
                assert_eq!(
                    Datagram::parse(&sent.bytes).unwrap().packet.as_bytes(),
                    bytes
                );
            }
        }
    }
    for hop_limit in [0, 1, 255] {
        let mut bytes = Vec::new();
        emit_bubble(peer(), client(), hop_limit, &mut bytes);
        let sent = expect_sent(&mut server, PEER, &bytes);
        assert_eq!(
            Datagram::parse(&sent.bytes).unwrap().packet.as_bytes(),
            bytes
        );
    }
}

/// R4380-5.3.1-12, R4380-GU-01, R4380-GU-04, R4380-GU-05, R4380-7.4.3-01
#[test]
fn refused_destinations() {
    let mut server = server();
    server.set_broadcasts(vec!["198.51.100.255".parse().unwrap()]);
    for mapped in [
        "0.0.0.0:4096",
        "10.1.2.3:4096",
        "127.0.0.1:53",
        "169.254.1.1:4096",
        "172.31.255.255:4096",
        "192.88.99.1:4096",
        "192.168.0.1:4096",
        "224.0.0.253:3544",
        "255.255.255.255:4096",
        "198.51.100.255:4096",
        "192.0.2.1:0",
    ] {
        let mapped = mapped.parse().unwrap();
        for server_field in [PRIMARY, FOREIGN_SERVER] {
            let destination = teredo(server_field, mapped);
            expect_drop(
                &mut server,
                CLIENT,
                &bubble(client(), destination),
                DropReason::RefusedDestination,
            );
            expect_drop(
                &mut server,
                CLIENT,
                &echo(client(), destination),
                DropReason::RefusedDestination,
            );
        }
        let destination = teredo(PRIMARY, mapped);
        expect_drop(
            &mut server,
            RELAY,
            &bubble(NATIVE, destination),
            DropReason::RefusedDestination,
        );
        expect_drop(
            &mut server,
            RELAY,
            &echo(NATIVE, destination),
            DropReason::RefusedDestination,
        );
    }
}

/// R4380-5.3.1-10
#[test]
fn destinations_that_are_not_global() {
    let mut server = server();
    for destination in [
        "ff02::1",
        "ff0e::1",
        "fe80::1",
        "fec0::1",
        "fd00::1",
        "::",
        "::1",
        "::192.0.2.1",
        "::ffff:192.0.2.1",
        "3ffe:831f:cb00:7178:0:efff:3fff:fdfe",
    ] {
        let destination = destination.parse().unwrap();
        expect_drop(
            &mut server,
            CLIENT,
            &bubble(client(), destination),
            DropReason::NotTunnelled,
        );
        expect_drop(
            &mut server,
            CLIENT,
            &echo(client(), destination),
            DropReason::NotTunnelled,
        );
    }
}

/// R4380-5.3.1-11: the packet leaves unchanged except for its hop limit, without the elements around it.
#[test]
fn to_the_ipv6_internet() {
    let mut server = server();
    let mut packet = echo(client(), NATIVE);
    let mut bytes = Vec::new();
    Authentication::nonce_only([1; 8]).emit(&mut bytes);
    bytes.extend_from_slice(&packet);
    bytes.extend_from_slice(&[1, 4, 0, 0, 0, 0]);
    let sent = expect_sent(&mut server, CLIENT, &bytes);
    packet[7] -= 1;
    assert_eq!((sent.to, sent.bytes), (INTERNET, packet));
    assert_eq!(server.counters().to_native, 1);

    for hop_limit in [0, 1] {
        let mut bytes = Vec::new();
        emit_echo_request(client(), NATIVE, hop_limit, 7, 1, b"ping", &mut bytes);
        expect_drop(&mut server, CLIENT, &bytes, DropReason::HopLimit);
    }
}

/// W-02: nothing goes to a translator or to another special-purpose network, unless the operator names it.
#[test]
fn special_purpose_networks_get_nothing() {
    let mut open = server();
    let mut naming = Server::new(
        ServerConfig {
            serve: ["2001:db8::/32", "64:ff9b::/96"]
                .map(|net| net.parse().unwrap())
                .to_vec(),
            ..open.config().clone()
        },
        [0; 32],
    );
    for (destination, by_open, by_naming) in [
        ("64:ff9b::a00:1", false, true),
        ("64:ff9b:1::a00:1", false, false),
        ("2002:a00:1::1", false, false),
        ("100::1", false, false),
        ("2001:db8::1", true, true),
        ("2a00::1", true, false),
    ] {
        for (server, passes) in [(&mut open, by_open), (&mut naming, by_naming)] {
            for packet in [echo, bubble].map(|make| make(client(), destination.parse().unwrap())) {
                let outcome = receive(server, CLIENT, PRIMARY, &packet);
                match outcome {
                    Ok(sent) => assert!(passes && sent.to == INTERNET, "{destination}"),
                    Err(reason) => assert!(
                        !passes && reason == DropReason::NotServed,
                        "{destination}: {reason}"
                    ),
                }
            }
        }
    }
}

/// W-02: the operator's denied networks are neither sent to nor answered.
#[test]
fn denied_networks_are_refused() {
    let mut config = server().config().clone();
    config.destinations.deny(*CLIENT.ip(), 29);
    let mut server = Server::new(config, [0; 32]);
    for datagram in [
        solicitation(Flags::default()),
        echo(client(), NATIVE),
        echo(client(), wire::server_link_local(PRIMARY)),
    ] {
        expect_drop(&mut server, CLIENT, &datagram, DropReason::RefusedSource);
    }
    expect_drop(
        &mut server,
        PEER,
        &bubble(peer(), client()),
        DropReason::RefusedDestination,
    );
}
