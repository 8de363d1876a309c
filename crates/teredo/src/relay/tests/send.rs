use std::collections::BTreeSet;

use super::*;

fn submit(relay: &mut Relay, now: Instant, packet: &[u8]) -> Submission {
    relay.handle_tun(now, packet)
}

/// R4380-5.4.1-01: only packets whose destination is a Teredo address go over UDP.
#[test]
fn only_teredo_destinations_are_tunnelled() {
    for destination in [
        "2001:db8::2",
        "ff02::2",
        "fe80::1",
        "3ffe:831f::1",
        "::1",
        "2002::1",
    ] {
        let packet = data(NATIVE, destination.parse().unwrap());
        let mut relay = relay();
        assert_eq!(
            submit(&mut relay, at(0), &packet),
            Submission::Drop(DropReason::NotTunnelled),
            "{destination}"
        );
        assert_eq!(sent(&mut relay), []);
    }
}

/// R4380-5.4.1-02, R4380-GU-01, R4380-GU-04, R4380-GU-05, R4380-7.4.3-01: nothing is sent if the mapping or the server
/// is not global unicast, or the port is 0.
#[test]
fn refused_destinations_get_nothing() {
    let blocks = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "127.0.0.0",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.88.99.0",
        "192.88.99.255",
        "192.168.0.0",
        "192.168.255.255",
        "224.0.0.0",
        "239.255.255.255",
        "255.255.255.255",
    ];
    for text in blocks {
        let refused: Ipv4Addr = text.parse().unwrap();
        let mapped = teredo(SERVER, SocketAddrV4::new(refused, 4096));
        for target in [mapped, teredo(refused, CLIENT)] {
            let mut relay = relay();
            assert_eq!(
                submit(&mut relay, at(0), &data(NATIVE, target)),
                Submission::Drop(DropReason::RefusedDestination),
                "{text}"
            );
            assert_eq!(sent(&mut relay), [], "silently");
        }
    }
    for text in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "223.255.255.255",
    ] {
        let target = teredo(SERVER, SocketAddrV4::new(text.parse().unwrap(), 4096));
        assert_eq!(
            submit(&mut relay(), at(0), &data(NATIVE, target)),
            Submission::Queued,
            "{text}"
        );
    }
    let nowhere = teredo(SERVER, SocketAddrV4::new(*CLIENT.ip(), 0));
    assert_eq!(
        submit(&mut relay(), at(0), &data(NATIVE, nowhere)),
        Submission::Drop(DropReason::RefusedDestination)
    );
}

/// W-02, R4380-GU-02: the operator's denied networks and the broadcast addresses of attached networks are refused in
/// both directions, and known clients there are forgotten.
#[test]
fn the_operators_list_is_obeyed() {
    let mut relay = trusting(config());
    let mut policy = DestinationPolicy::default();
    policy.deny(Ipv4Addr::new(192, 0, 2, 0), 25);
    policy.set_broadcasts(vec![Ipv4Addr::new(203, 0, 113, 127)]);
    relay.set_destinations(policy);
    assert_eq!(relay.status().trusted_peers, 0);
    assert_eq!(
        submit(&mut relay, at(10), &data(NATIVE, client())),
        Submission::Drop(DropReason::RefusedDestination)
    );
    assert_eq!(
        receive(&mut relay, at(10), CLIENT, &data(client(), NATIVE)),
        "Drop(RefusedSource)"
    );
    let broadcast = teredo(SERVER, "203.0.113.127:4096".parse().unwrap());
    assert_eq!(
        submit(&mut relay, at(10), &data(NATIVE, broadcast)),
        Submission::Drop(DropReason::RefusedDestination)
    );
    let allowed = teredo(SERVER, "203.0.113.126:4096".parse().unwrap());
    assert_eq!(
        submit(&mut relay, at(10), &data(NATIVE, allowed)),
        Submission::Queued
    );
    let mut policy = DestinationPolicy::default();
    policy.deny(SERVER, 32);
    relay.set_destinations(policy);
    assert_eq!(relay.status().underway, 0);
    assert_eq!(
        relay.drops().get(DropReason::QueueFull),
        1,
        "what waited is accounted for"
    );
}

/// R4380-5.4.1-05, R4380-5.4.1-08, R4380-5.4.1-10, R5991-3.2-02: one bubble goes to the client's server, whatever the
/// cone bit and however many packets come, and none to the mapping.
#[test]
fn the_first_packet_has_a_bubble_sent_through_the_server() {
    let other: Ipv4Addr = "203.0.113.200".parse().unwrap();
    let mut relay = relay();
    let mut tokens = BTreeSet::new();
    for (server, flags) in [
        (SERVER, Flags::default()),
        (SERVER, Flags::CONE),
        (other, Flags::from_bits(0xffff)),
    ] {
        let target = TeredoAddress {
            server,
            flags,
            mapped: CLIENT,
        }
        .to_ipv6();
        for _ in 0..5 {
            assert_eq!(
                submit(&mut relay, at(0), &data(NATIVE, target)),
                Submission::Queued
            );
        }
        let sent = bubbles(&mut relay);
        let [(to, token, asked)] = sent[..] else {
            panic!("{sent:?}")
        };
        assert_eq!((to, asked), (server_port(server), target));
        assert!(token.is_unicast_link_local() && tokens.insert(token));
        assert_eq!(relay.status().trusted_peers, 0);
    }
}

/// R4380-5.4.1-09, R4380-5.4.1-10: the direct bubble to the mapping goes first, so that the relay's own NAT is open
/// when the answer comes.
#[test]
fn direct_bubbles_are_an_option() {
    let mut relay = relay_with(RelayConfig {
        direct_bubbles: true,
        ..config()
    });
    assert_eq!(
        submit(&mut relay, at(0), &data(NATIVE, client())),
        Submission::Queued
    );
    assert_eq!(
        asked(&mut relay),
        [(CLIENT, client()), (server_port(SERVER), client())]
    );
    relay.handle_timeout(at(2000));
    assert_eq!(bubbles(&mut relay).len(), 2);
}

/// R4380-5.4.1-03, R4380-5.2.4-01: a trusted client is sent to at once, for 30 s after it was heard.
#[test]
fn a_trusted_client_is_sent_to() {
    let mut relay = trusting(config());
    let packet = data(NATIVE, client());
    for millis in [1, 10_000, 19_800] {
        assert_eq!(
            submit(&mut relay, at(millis), &packet),
            Submission::Send(CLIENT)
        );
        assert_eq!(sent(&mut relay), []);
    }
    assert_eq!(
        submit(&mut relay, at(29_800), &packet),
        Submission::Send(CLIENT)
    );
    assert_eq!(submit(&mut relay, at(30_000), &packet), Submission::Queued);
}

/// R4380-5.4.1-03: the path of a one-way flow is verified while the flow goes on.
#[test]
fn a_path_in_use_is_verified_anew() {
    let mut relay = trusting(config());
    let packet = data(NATIVE, client());
    assert_eq!(
        submit(&mut relay, at(20_500), &packet),
        Submission::Send(CLIENT)
    );
    assert_eq!(bubbles(&mut relay).len(), 1);
    assert_eq!(
        submit(&mut relay, at(20_600), &packet),
        Submission::Send(CLIENT)
    );
    assert_eq!(bubbles(&mut relay), [], "one is under way");
    assert_eq!(
        receive(&mut relay, at(20_700), CLIENT, &bubble(client(), NATIVE, 0)),
        "Consumed"
    );
    assert_eq!(
        submit(&mut relay, at(50_000), &packet),
        Submission::Send(CLIENT)
    );
}

/// L-02, L-03: a client is neither its own server nor the relay.
#[test]
fn loops_are_refused() {
    for (target, reason) in [
        (teredo(SERVER, server_port(SERVER)), DropReason::SelfLoop),
        (teredo(SERVER, SERVICE), DropReason::OwnAddress),
    ] {
        let mut relay = relay();
        assert_eq!(
            submit(&mut relay, at(0), &data(NATIVE, target)),
            Submission::Drop(reason)
        );
        assert_eq!(sent(&mut relay), []);
        assert!(matches!(
            relay.handle_udp(
                at(0),
                TeredoAddress::from_ipv6(target).unwrap().mapped,
                *SERVICE.ip(),
                &data(target, NATIVE)
            ),
            Reception::Drop(_)
        ));
        assert_eq!(sent(&mut relay), []);
    }
    let service = SocketAddrV4::new(*SERVICE.ip(), PORT);
    let mut relay = relay_with(RelayConfig {
        service,
        ..config()
    });
    assert_eq!(
        submit(
            &mut relay,
            at(0),
            &data(NATIVE, teredo(*SERVICE.ip(), CLIENT))
        ),
        Submission::Drop(DropReason::OwnAddress),
        "its bubble would come back"
    );
}

/// L-04, R6169-2.2-01: sources from the native side are native and can be answered.
#[test]
fn the_source_is_native() {
    for (source, reason) in [
        ("2001:0:cb00:7178::1", DropReason::SpoofedSource),
        ("fe80::1", DropReason::NotTunnelled),
        ("fd00::1", DropReason::NotTunnelled),
        ("ff02::1", DropReason::NotTunnelled),
        ("::", DropReason::NotTunnelled),
        ("::ffff:192.0.2.1", DropReason::NotTunnelled),
    ] {
        let packet = data(source.parse().unwrap(), client());
        assert_eq!(
            submit(&mut relay(), at(0), &packet),
            Submission::Drop(reason),
            "{source}"
        );
    }
}

/// R4380-5.4-02, R-HSR-01: a host-specific relay sends for its own host only.
#[test]
fn a_host_specific_relay_sends_for_its_host() {
    let mut relay = relay_with(RelayConfig {
        served: Served::Host(vec![OWN]),
        ..config()
    });
    assert_eq!(
        submit(&mut relay, at(0), &data(NATIVE, client())),
        Submission::Drop(DropReason::WrongSource)
    );
    assert_eq!(
        submit(&mut relay, at(0), &data(OWN, client())),
        Submission::Queued
    );
    assert_eq!(asked(&mut relay), [(server_port(SERVER), client())]);
    relay.set_served(Served::Host(vec![NATIVE]));
    assert_eq!(
        submit(&mut relay, at(0), &data(NATIVE, client())),
        Submission::Queued
    );
}

/// R4380-5.4.1-06, R4380-5.4.1-07: four bubbles in 6 s, and then an error about each queued packet, except ICMPv6
/// errors and multicast.
#[test]
fn a_silent_client_is_given_up() {
    let mut relay = relay();
    let mut error = vec![1, 3, 0, 0, 0, 0, 0, 0];
    let checksum = wire::checksum(NATIVE, client(), protocol::ICMPV6, &error);
    error[2..4].copy_from_slice(&checksum.to_be_bytes());
    let packet = data(NATIVE, client());
    let _ = submit(&mut relay, at(0), &packet);
    let _ = submit(
        &mut relay,
        at(0),
        &ipv6(NATIVE, client(), protocol::ICMPV6, &error),
    );
    let mut times = vec![0; bubbles(&mut relay).len()];
    while let Some((at, Timer::Contact)) = relay.poll_timeout() {
        relay.handle_timeout(at);
        let out = sent(&mut relay);
        for (to, bytes) in out {
            match to {
                Destination::Udp(to) => {
                    assert_eq!(to, server_port(SERVER));
                    times.push(at.as_nanos() / 1_000_000);
                }
                Destination::Secondary(_) | Destination::Random { .. } => {
                    panic!("a relay has one port")
                }
                Destination::Host => {
                    assert_eq!(at.as_nanos(), 8_000_000_000);
                    let about = Ipv6Packet::parse(&bytes).unwrap();
                    assert_eq!((about.source(), about.destination()), (OWN, NATIVE));
                    assert_eq!(about.payload()[..2], [1, 3], "address unreachable");
                    assert_eq!(about.payload()[8..], packet);
                    times.push(u64::MAX);
                }
            }
        }
    }
    assert_eq!(times, [0, 2000, 4000, 6000, u64::MAX]);
    assert_eq!(relay.drops().get(DropReason::PeerUnreachable), 2);
    assert_eq!(relay.status().underway, 0);
    assert_eq!(
        receive(&mut relay, at(9000), CLIENT, &bubble(client(), NATIVE, 255)),
        "Drop(UnverifiedSource)"
    );
}

/// R4380-5.4.1-07: errors are limited, so that packets that wait in vain cause no flood. A network has a share of them,
/// so that others learn of theirs.
#[test]
fn errors_are_limited() {
    let mut relay = relay();
    for number in 0..1000_u16 {
        let crowd = Ipv6Addr::new(0x2001, 0xdb8 + number % 50, 0, 0, 0, 0, 0, 1);
        for source in [NATIVE, crowd] {
            let _ = submit(&mut relay, at(0), &data(source, client()));
        }
    }
    while let Some((at, Timer::Contact)) = relay.poll_timeout() {
        relay.handle_timeout(at);
    }
    let errors: Vec<_> = sent(&mut relay)
        .into_iter()
        .filter(|(to, _)| *to == Destination::Host)
        .map(|(_, error)| Ipv6Packet::parse(&error).unwrap().destination())
        .collect();
    assert_eq!(errors.len(), 100);
    let to_one = errors.iter().filter(|&&to| to == NATIVE).count();
    assert_eq!(to_one, 25);
}

/// R4380-7.3.5-01: a client that answers with another packet, or one that answers the token of a direct bubble, has not
/// proven that its server passed the bubble on, so the bubble counts.
#[test]
fn only_proven_answers_return_bubbles() {
    for (direct_bubbles, with_token, reached) in
        [(false, true, 1000), (false, false, 125), (true, true, 125)]
    {
        let mut relay = relay_with(RelayConfig {
            direct_bubbles,
            ..config()
        });
        let mut queued = 0;
        for number in 0..1000_u32 {
            let from = SocketAddrV4::new(Ipv4Addr::from_bits(0x0500_0000 + number), 4096);
            let target = teredo(SERVER, from);
            if submit(&mut relay, at(0), &data(NATIVE, target)) == Submission::Queued {
                queued += 1;
                let token = bubbles(&mut relay)[0].1;
                let to = if with_token { token } else { NATIVE };
                let answer = bubble(target, to, 0);
                assert_eq!(receive(&mut relay, at(0), from, &answer), "Consumed");
                let _ = sent(&mut relay);
            }
        }
        assert_eq!(queued, reached, "{direct_bubbles} {with_token}");
    }
}

/// R4380-5.4.1-07: each client has a bounded queue.
#[test]
fn the_queue_is_bounded() {
    let mut relay = relay_with(RelayConfig {
        max_queue_bytes: 500,
        ..config()
    });
    let taken: Vec<_> = (0..20)
        .map(|_| submit(&mut relay, at(0), &data(NATIVE, client())))
        .collect();
    assert_eq!(
        taken
            .iter()
            .filter(|&&taken| taken == Submission::Queued)
            .count(),
        10
    );
    assert_eq!(taken[10], Submission::Drop(DropReason::QueueFull));
    assert_eq!(relay.status().queued_bytes, 490);
}

/// R4380-5.4.2-05: a packet above the tunnel's MTU is answered with that MTU.
#[test]
fn packets_too_big_are_answered() {
    let mut relay = trusting(config());
    let largest = ipv6(NATIVE, client(), protocol::UDP, &[0; 1240]);
    assert_eq!(
        submit(&mut relay, at(0), &largest),
        Submission::Send(CLIENT)
    );
    let larger = ipv6(NATIVE, client(), protocol::UDP, &[0; 1241]);
    assert_eq!(
        submit(&mut relay, at(0), &larger),
        Submission::Drop(DropReason::TooBig)
    );
    let out = sent(&mut relay);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].0, Destination::Host);
    let error = Ipv6Packet::parse(&out[0].1).unwrap();
    assert_eq!(error.payload()[..8][4..], 1280_u32.to_be_bytes());
    assert_eq!(error.destination(), NATIVE);

    let mut silent = trusting(RelayConfig {
        error_source: None,
        ..config()
    });
    assert_eq!(
        submit(&mut silent, at(0), &larger),
        Submission::Drop(DropReason::TooBig)
    );
    assert_eq!(sent(&mut silent), []);
}
