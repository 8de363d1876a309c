use super::*;
use crate::wire::{Authentication, Origin, Trailer};

/// R4380-5.4.2-01: only an IPv6 packet is accepted; authentication and origin are for servers and clients.
#[test]
fn only_ipv6_packets_are_taken() {
    let mut relay = trusting(config());
    let packet = data(client(), NATIVE);
    let mut with_origin = Vec::new();
    Origin(CLIENT).emit(&mut with_origin);
    with_origin.extend_from_slice(&packet);
    let mut with_authentication = Vec::new();
    Authentication::nonce_only([1; 8]).emit(&mut with_authentication);
    with_authentication.extend_from_slice(&packet);
    let cases: [&[u8]; 6] = [
        &[],
        &[0; 8],
        &packet[..40],
        &packet[1..],
        &with_origin,
        &with_authentication,
    ];
    for bytes in cases {
        assert_eq!(receive(&mut relay, at(1), CLIENT, bytes), "Drop(Malformed)");
    }
    assert!(receive(&mut relay, at(1), CLIENT, &packet).starts_with("Deliver"));
}

/// R4380-5.4.2-02, R4380-7.4.3-02: the source is a Teredo address, and the datagram comes from the mapping in it, to
/// the bit. The replies of an echo service meet neither condition.
#[test]
fn the_outer_source_vouches_for_the_inner_one() {
    let packet = data(client(), NATIVE);
    let mut relay = trusting(config());
    for from in ["192.0.2.1:4097", "192.0.2.2:4096", "203.0.113.120:3544"] {
        let reception = receive(&mut relay, at(1), from.parse().unwrap(), &packet);
        assert_eq!(reception, "Drop(MappingMismatch)", "{from}");
    }
    for source in [
        NATIVE,
        Ipv6Addr::LOCALHOST,
        "fe80::1".parse().unwrap(),
        "3ffe:831f::1".parse().unwrap(),
    ] {
        let reception = receive(&mut relay, at(1), CLIENT, &data(source, NATIVE));
        assert_eq!(reception, "Drop(SpoofedSource)", "{source}");
    }
    // A reflected bubble of the relay itself.
    let reflected = bubble(NATIVE, client(), 255);
    assert_eq!(
        receive(&mut relay, at(1), CLIENT, &reflected),
        "Drop(SpoofedSource)"
    );
    assert_eq!(sent(&mut relay), []);
}

/// R4380-5.4.2-03, R4380-5.4-04: a client that nothing was sent to gets through once it has answered a bubble that only
/// it can have received. A stranger can provoke nothing else. Its packets wait, and pass in order: after a restart of the
/// relay, or when another one takes its address over, the client loses none.
#[test]
fn a_stranger_has_to_answer_first() {
    let mut relay = relay();
    let packet = data(client(), NATIVE);
    for number in 0..3 {
        let packet = ipv6(client(), NATIVE, protocol::UDP, &[number; 9]);
        assert_eq!(receive(&mut relay, at(0), CLIENT, &packet), "Consumed");
    }
    let out = bubbles(&mut relay);
    let [(to, token, target)] = out[..] else {
        panic!("{out:?}")
    };
    assert_eq!((to, target), (server_port(SERVER), client()));

    // The packets of a forger.
    for guess in [NATIVE, OWN, Ipv6Addr::from_bits(0xfe80 << 112)] {
        assert_eq!(
            receive(&mut relay, at(1), CLIENT, &bubble(client(), guess, 255)),
            "Drop(UnverifiedSource)"
        );
    }
    assert_eq!(receive(&mut relay, at(1), CLIENT, &packet), "Consumed");
    assert_eq!((sent(&mut relay), relay.counters().to_native), (vec![], 0));

    assert_eq!(
        receive(&mut relay, at(2), CLIENT, &bubble(client(), token, 0)),
        "Consumed"
    );
    let passed = [0, 1, 2].map(|number| ipv6(client(), NATIVE, protocol::UDP, &[number; 9]));
    let passed = passed.into_iter().chain([packet.clone()]);
    let passed: Vec<_> = passed.map(|packet| (Destination::Host, packet)).collect();
    assert_eq!((sent(&mut relay), relay.counters().to_native), (passed, 4));
    assert!(receive(&mut relay, at(3), CLIENT, &packet).starts_with("Deliver"));
}

/// The packets of a stranger cost little memory, and those of one that does not answer are lost, and counted.
#[test]
fn few_packets_of_a_stranger_wait() {
    let mut relay = relay();
    let packet = data(client(), NATIVE);
    let receptions: Vec<_> = (0..10)
        .map(|_| receive(&mut relay, at(0), CLIENT, &packet))
        .collect();
    assert_eq!(receptions[..8], ["Consumed"; 8]);
    assert_eq!(receptions[8..], ["Drop(UnverifiedSource)"; 2]);
    assert_eq!(relay.drops().get(DropReason::UnverifiedSource), 2);
    relay.handle_timeout(at(2000));
    assert_eq!(relay.drops().get(DropReason::UnverifiedSource), 10);
    assert_eq!(relay.status().underway, 0);
    assert_eq!(bubbles(&mut relay).len(), 1);
    // All strangers together.
    let mut held = 0;
    for number in 0..4000_u32 {
        let address = Ipv4Addr::from_bits(0x0500_0000 + number * 0x1_0100);
        let from = SocketAddrV4::new(address, 4096);
        let source = teredo(Ipv4Addr::from_bits(0x0600_0000 + number), from);
        let now = at(10_000 + u64::from(number) * 10);
        relay.handle_timeout(now);
        for _ in 0..8 {
            let reception = receive(&mut relay, now, from, &data(source, NATIVE));
            held += usize::from(reception == "Consumed");
        }
        let lost = relay.drops().get(DropReason::UnverifiedSource) - 10;
        assert!(
            held as u64 - lost <= 2048,
            "{held} of which {lost} are lost"
        );
    }
}

/// Two relays with one address: the answer to the one proves nothing to the other, and it asks itself.
#[test]
fn an_answer_to_another_relay_of_the_address_proves_nothing() {
    let (mut first, mut second) = (relay(), relay_with_seed([8; 32]));
    let packet = data(NATIVE, client());
    assert_eq!(first.handle_tun(at(0), &packet), Submission::Queued);
    let asked = bubbles(&mut first);
    let answer = bubble(client(), asked[0].1, 255);
    assert_eq!(
        receive(&mut second, at(1), CLIENT, &answer),
        "Drop(UnverifiedSource)"
    );
    assert_eq!(sent(&mut second), []);
    // The client's own packets wait there, for the answer to the second relay.
    let data = data(client(), NATIVE);
    assert_eq!(receive(&mut second, at(2), CLIENT, &data), "Consumed");
    let asked = bubbles(&mut second);
    let answer = bubble(client(), asked[0].1, 255);
    assert_eq!(receive(&mut second, at(3), CLIENT, &answer), "Consumed");
    assert_eq!(sent(&mut second), [(Destination::Host, data)]);
    assert_eq!(first.status().trusted_peers, 0);
}

/// W-04, R4380-7.4-01: all strangers together provoke a limited number of bubbles, and none for packets that would be
/// refused anyway.
#[test]
fn strangers_provoke_a_limited_number_of_bubbles() {
    let mut relay = relay();
    for number in 0..10_000_u32 {
        // From networks everywhere.
        let from = SocketAddrV4::new(Ipv4Addr::new(5, number as u8, 0, (number >> 8) as u8), 4096);
        let source = teredo(Ipv4Addr::from_bits(0x0600_0000 + number), from);
        let now = at(u64::from(number) / 10);
        assert!(
            receive(&mut relay, now, from, &data(source, client())).starts_with("Drop(SelfLoop")
        );
        assert_eq!(
            receive(&mut relay, now, from, &bubble(source, NATIVE, 255)),
            "Drop(UnverifiedSource)"
        );
        let _ = receive(&mut relay, now, from, &data(source, NATIVE));
    }
    let provoked = bubbles(&mut relay).len();
    assert!((190..=201).contains(&provoked), "{provoked} in a second");
    assert_eq!(
        relay.drops().get(DropReason::TestLimit),
        10_000 - provoked as u64
    );
}

/// W-04, R4380-7.3.5-01: a stranger's address and its networks have shares of those bubbles, whatever its ports and inner
/// sources, so that others are still asked. An answer returns the share.
#[test]
fn a_stranger_has_a_share_of_the_provoked_bubbles() {
    let mut relay = relay();
    let mut flood = |address: &dyn Fn(u32) -> Ipv4Addr| {
        for number in 0..2000_u32 {
            let from = SocketAddrV4::new(address(number), 1024 + number as u16);
            let source = teredo(Ipv4Addr::from_bits(0x0600_0000 + number), from);
            let _ = receive(&mut relay, at(0), from, &data(source, NATIVE));
        }
        bubbles(&mut relay).len()
    };
    assert_eq!(flood(&|_| Ipv4Addr::new(5, 0, 0, 1)), 25, "an address");
    assert_eq!(
        flood(&|number| Ipv4Addr::new(5, 0, 0, number as u8)),
        12,
        "a /24"
    );
    assert_eq!(
        flood(&|number| Ipv4Addr::new(5, 0, number as u8, 1)),
        13,
        "a /16"
    );
    for _ in 0..1000 {
        let packet = data(client(), NATIVE);
        assert_eq!(receive(&mut relay, at(0), CLIENT, &packet), "Consumed");
        let asked = bubbles(&mut relay);
        let [(_, token, _)] = asked[..] else {
            panic!("{asked:?}")
        };
        assert_eq!(
            receive(&mut relay, at(0), CLIENT, &bubble(client(), token, 0)),
            "Consumed"
        );
        let mut policy = DestinationPolicy::default();
        policy.deny(*CLIENT.ip(), 32);
        relay.set_destinations(policy);
        relay.set_destinations(DestinationPolicy::default());
    }
}

/// R4380-5.4.2-04: not an open relay.
#[test]
fn only_what_is_served_is_forwarded() {
    let served = Served::Networks(vec![
        "2001:db8::/48".parse().unwrap(),
        "2001:db8:5::/48".parse().unwrap(),
    ]);
    let mut relay = trusting(RelayConfig { served, ..config() });
    for (destination, expected) in [
        ("2001:db8::7", "Deliver"),
        ("2001:db8:5:6::7", "Deliver"),
        ("2001:db8:1::7", "Drop(NotServed)"),
        ("2a00::1", "Drop(NotServed)"),
        ("ff0e::1", "Drop(NotTunnelled)"),
        ("fe80::1", "Drop(NotTunnelled)"),
        ("fd00::1", "Drop(NotTunnelled)"),
        ("::1", "Drop(NotTunnelled)"),
        ("::", "Drop(NotTunnelled)"),
        ("::ffff:192.0.2.1", "Drop(NotTunnelled)"),
    ] {
        let packet = data(client(), destination.parse().unwrap());
        let reception = receive(&mut relay, at(1), CLIENT, &packet);
        assert!(
            reception.starts_with(expected),
            "{destination}: {reception}"
        );
    }
    assert!(
        receive(
            &mut trusting(config()),
            at(1),
            CLIENT,
            &data(client(), "2a00::1".parse().unwrap())
        )
        .starts_with("Deliver")
    );
}

/// R4380-5.4.2-04, W-02: nothing passes between a client and a translator or another special-purpose network, in either
/// direction, unless the operator names it.
#[test]
fn special_purpose_networks_are_not_served() {
    let named = Served::Networks(vec![
        "::/0".parse().unwrap(),
        "64:ff9b::/96".parse().unwrap(),
    ]);
    for (address, is_named) in [
        ("64:ff9b::a00:1", true),
        ("64:ff9b:1::a00:1", false),
        ("2002:a00:1::1", false),
        ("100::1", false),
    ] {
        let address = address.parse().unwrap();
        for (served, passes) in [
            (Served::Networks(Vec::new()), false),
            (named.clone(), is_named),
        ] {
            let mut relay = trusting(RelayConfig { served, ..config() });
            let out = receive(&mut relay, at(1), CLIENT, &data(client(), address));
            let into = relay.handle_tun(at(1), &data(address, client()));
            if passes {
                assert!(out.starts_with("Deliver"), "{address}: {out}");
                assert_eq!(into, Submission::Send(CLIENT));
            } else {
                assert_eq!(out, "Drop(NotServed)", "{address}");
                assert_eq!(into, Submission::Drop(DropReason::NotServed), "{address}");
            }
        }
    }
}

/// R4380-5.4-02, R-HSR-01: a host-specific relay accepts packets for its own addresses only.
#[test]
fn a_host_specific_relay_takes_its_own() {
    let mut relay = trusting(RelayConfig {
        served: Served::Host(vec![NATIVE]),
        ..config()
    });
    assert!(receive(&mut relay, at(1), CLIENT, &data(client(), NATIVE)).starts_with("Deliver"));
    assert_eq!(
        receive(&mut relay, at(1), CLIENT, &data(client(), OWN)),
        "Drop(NotServed)"
    );
}

/// L-03, L-04: packets between clients do not go through a relay, and the relay's own packets do not come back.
#[test]
fn teredo_to_teredo_is_refused() {
    let mut relay = trusting(config());
    let other = teredo(SERVER, "192.0.2.10:8192".parse().unwrap());
    assert_eq!(
        receive(&mut relay, at(1), CLIENT, &data(client(), other)),
        "Drop(SelfLoop)"
    );
    let own = teredo(SERVER, SERVICE);
    assert_eq!(
        receive(&mut relay, at(1), SERVICE, &data(own, NATIVE)),
        "Drop(OwnAddress)"
    );
    assert_eq!(sent(&mut relay), []);
}

/// R4380-5.4.2-05: bubbles are consumed, with any hop limit and for any address; `miredo` sends them with hop limit 0.
#[test]
fn bubbles_are_consumed() {
    let mut relay = trusting(config());
    for hop_limit in [0, 1, 21, 255] {
        for to in [
            NATIVE,
            OWN,
            "fe80::1".parse().unwrap(),
            "2001:db8:ffff::".parse().unwrap(),
        ] {
            assert_eq!(
                receive(&mut relay, at(1), CLIENT, &bubble(client(), to, hop_limit)),
                "Consumed"
            );
        }
    }
    assert_eq!(relay.counters().bubbles_received, 17);
    assert_eq!(relay.counters().to_native, 0);
}

/// R4380-5.4.2-03, R4380-5.4.1-07: any packet of a client makes it trusted, not only a bubble, and queued packets leave
/// in order.
#[test]
fn any_packet_releases_what_waits() {
    let mut relay = relay();
    let waiting: Vec<_> = (0..5)
        .map(|number| ipv6(NATIVE, client(), protocol::UDP, &[number; 9]))
        .collect();
    for packet in &waiting {
        assert_eq!(relay.handle_tun(at(0), packet), Submission::Queued);
    }
    let _ = sent(&mut relay);
    assert!(receive(&mut relay, at(1), CLIENT, &data(client(), NATIVE)).starts_with("Deliver"));
    let released: Vec<_> = sent(&mut relay);
    let expected: Vec<_> = waiting
        .into_iter()
        .map(|packet| (Destination::Udp(CLIENT), packet))
        .collect();
    assert_eq!(released, expected);
    assert_eq!(relay.counters().to_clients, 5);
}

/// R4380-5.4.2-03: a packet keeps a client trusted for 30 s more.
#[test]
fn what_is_heard_renews_the_trust() {
    let mut relay = trusting(config());
    for seconds in (0..300).step_by(29) {
        assert!(
            receive(
                &mut relay,
                at(seconds * 1000),
                CLIENT,
                &data(client(), NATIVE)
            )
            .starts_with("Deliver")
        );
    }
    // It is a stranger again, whose packet waits.
    let late = receive(&mut relay, at(330_000), CLIENT, &data(client(), NATIVE));
    assert_eq!(late, "Consumed");
}

/// W-01, R6169-2.3-01: a packet with a routing header is neither acted on nor forwarded.
#[test]
fn routing_headers_are_refused() {
    let mut relay = trusting(config());
    let routed = ipv6(
        client(),
        NATIVE,
        protocol::ROUTING,
        &[17, 0, 0, 1, 0, 0, 0, 0],
    );
    assert_eq!(
        receive(&mut relay, at(1), CLIENT, &routed),
        "Drop(RoutingHeader)"
    );
}

/// R4380-5.2.3-02: trailers do no harm.
#[test]
fn trailers_are_cut_off() {
    let mut relay = trusting(config());
    let packet = data(client(), NATIVE);
    let mut bytes = packet.clone();
    Trailer::Nonce([1, 2, 3, 4]).emit(&mut bytes);
    assert_eq!(
        relay.handle_udp(at(1), CLIENT, *SERVICE.ip(), &bytes),
        Reception::Deliver(&packet)
    );
    let mut unknown = packet.clone();
    unknown.extend([0x7f, 0]);
    assert_eq!(
        receive(&mut relay, at(1), CLIENT, &unknown),
        "Drop(UnknownTrailer)"
    );
}

#[test]
fn the_sweep_forgets_the_silent_and_then_sleeps() {
    let mut relay = trusting(RelayConfig {
        max_peers: 100,
        ..config()
    });
    assert_eq!(relay.status().trusted_peers, 1);
    let mut wakeups = 0;
    while let Some((at, timer)) = relay.poll_timeout() {
        assert_eq!(timer, Timer::Sweep);
        relay.handle_timeout(at);
        wakeups += 1;
    }
    assert_eq!(relay.status().trusted_peers, 0);
    assert_eq!(wakeups, 30);
}
