//! Qualification (RFC 4380 §5.2.1, RFC 5991 §3) with servers that answer.

use std::net::SocketAddrV4;
use std::time::Duration;

use etherparse::{Icmpv6Slice, Ipv6Header};
use teredo::client::{Event, Nat, Reason, State};
use teredo::wire::{Authentication, Flags, TeredoAddress, link_local_flags};
use teredo::{ClientConfig, Submission};
use teredo_sim::{LinkQuality, Mapping, NatBehaviour, Network, PortAssignment};

use crate::fake_server::FakeServer;
use crate::internet::*;
use crate::packets;

/// R4380-4-01, R4380-4-02, R4380-4-04, R4380-5.2-01, R4380-5.2.1-08, R4380-5.2.1-10, R4380-5.2.1-11, R4380-5.2.1-15:
/// both addresses are asked at once, so one round trip yields the mapping and rules out a symmetric NAT.
#[test]
fn one_round_trip_qualifies_behind_every_nat_but_symmetric_ones() {
    let kinds = [
        NatBehaviour::cone(),
        NatBehaviour::restricted(),
        NatBehaviour::port_restricted(),
    ];
    for kind in kinds {
        for ports in [
            PortAssignment::Preserving,
            PortAssignment::Sequential,
            PortAssignment::Random,
        ] {
            let mut world = world(1);
            let client = client(&mut world, 1, NatBehaviour { ports, ..kind });
            assert_eq!(state(&world, client), State::Probe);
            qualify(&mut world, client);
            assert_eq!(elapsed(world.now()), ROUND_TRIP, "{kind:?}");

            let seen = world
                .capture()
                .sent_by(client)
                .next()
                .unwrap()
                .public_source;
            let address = teredo(&world, client);
            assert_eq!((address.server, address.mapped), (SERVER.primary, seen));
            assert_eq!(status(&world, client).nat, Nat::Restricted);
            assert_eq!(status(&world, client).mapped, Some(seen));

            // The same, bit by bit, without the code under test.
            let octets = super::internet::address(&world, client).octets();
            assert_eq!(octets[..8], [0x20, 0x01, 0, 0, 192, 0, 2, 1]);
            assert_eq!(octets[10..12], (seen.port() ^ 0xffff).to_be_bytes());
            assert_eq!(octets[12..], [203 ^ 0xff, 0xff, 113 ^ 0xff, 1 ^ 0xff]);
        }
    }
}

#[test]
fn a_client_without_a_nat_says_so() {
    let mut world = world(1);
    let client = public_client(&mut world, 7);
    qualify(&mut world, client);
    assert_eq!(elapsed(world.now()), Duration::from_millis(40));
    assert_eq!(status(&world, client).nat, Nat::None);
    assert_eq!(teredo(&world, client).mapped, socket("198.51.100.7:40007"));
}

/// R4380-2.9-01, R4380-4-05, R4380-4-06, R4380-5.1.1-01, R4380-5.2.1-01, R4380-5.2.1-02, R4380-5.2.2-04,
/// R4380-5.2.2-05, R5991-3.2-01, R6169-5.2-01: the first packets, parsed by another library.
#[test]
fn solicitations_are_what_the_rfc_says() {
    let mut world = world(1);
    let client = client(&mut world, 1, NatBehaviour::port_restricted());
    let sent = solicitations(&world, client);
    assert_eq!(sent.len(), 2);
    assert_eq!(world.capture().total(), 2, "nothing else is sent");
    for (record, server) in sent.iter().zip([SERVER.primary, SERVER.secondary]) {
        assert_eq!(record.datagram.source, local(1));
        assert_eq!(record.datagram.destination, SocketAddrV4::new(server, 3544));
        let (element, packet) = record.payload().split_at(13);
        assert_eq!(
            element[..4],
            [0, 1, 0, 0],
            "authentication, no identifier, no value"
        );
        assert_eq!(element[12], 0, "confirmation");

        let (header, message) = Ipv6Header::from_slice(packet).unwrap();
        assert_eq!(header.hop_limit, 255);
        assert_eq!(usize::from(header.payload_length), message.len());
        assert_eq!(header.destination_addr(), v6("ff02::2"));
        let source = header.source_addr();
        assert!(source.is_unicast_link_local());
        assert_eq!(source.octets()[8] & 0xc3, 0, "cone, reserved, U and G bit");
        let icmpv6 = Icmpv6Slice::from_slice(message).unwrap();
        assert_eq!((icmpv6.type_u8(), icmpv6.code_u8()), (133, 0));
        assert!(icmpv6.is_checksum_valid(header.source, header.destination));
    }
}

/// R4380-4-05, R4380-4-06, R4380-4-08, R4380-5.2.1-13, R5991-3.1-01, R5991-3.1-02, R6169-5.1-01: over 500 starts, each
/// of the twelve random bits is set about half of the time, and all others stay clear, also behind a cone NAT.
#[test]
fn the_random_flag_bits_are_random_and_the_others_zero() {
    const STARTS: u64 = 500;
    let mut counts = [0; 16];
    for seed in 0..STARTS {
        let mut world = world(seed);
        let client = qualified_client(&mut world, 1, NatBehaviour::cone());
        let flags = teredo(&world, client).flags.bits();
        assert_eq!(flags & !Flags::RANDOM_MASK, 0, "{flags:#06x}");
        for (bit, count) in counts.iter_mut().enumerate() {
            *count += u32::from(flags >> bit & 1);
        }
    }
    for (bit, count) in counts
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| Flags::RANDOM_MASK >> bit & 1 == 1)
    {
        assert!(
            (200..300).contains(&count),
            "bit {bit} is set in {count} of {STARTS}"
        );
    }
}

/// R5991-4-01: the bits do not follow from time, port or address, which are the same here.
#[test]
fn the_random_flag_bits_depend_on_the_seed_alone() {
    let flags = |seed| {
        let mut world = world(seed);
        let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
        (
            teredo(&world, client).flags,
            teredo(&world, client).mapped,
            world.now(),
        )
    };
    let ((first, mapped, at), (second, mapped_again, at_again)) = (flags(1), flags(2));
    assert_eq!((mapped, at), (mapped_again, at_again));
    assert_ne!(first, second);
    assert_eq!(flags(1).0, first);
}

/// R4380-5.1.2-02: the event with the address has the MTU of the interface.
#[test]
fn the_events_of_a_qualification_come_in_order() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let address = address(&world, client);
    let mapped = socket("203.0.113.1:40001");
    let events: Vec<_> = world
        .client(client)
        .events()
        .iter()
        .map(|event| event.what)
        .collect();
    assert_eq!(
        events,
        [
            Event::StateChanged {
                state: State::Probe,
                reason: None
            },
            Event::AddressUp {
                address,
                mapped,
                server: SERVER,
                mtu: 1280
            },
            Event::StateChanged {
                state: State::Qualified,
                reason: None
            },
        ]
    );
}

/// R4380-5.2-04: packets of the host before qualification are refused, and only solicitations are sent.
#[test]
fn nothing_is_carried_before_qualification() {
    let mut world = world(1);
    let client = client(&mut world, 1, NatBehaviour::restricted());
    let source = TeredoAddress {
        server: SERVER.primary,
        flags: Flags::default(),
        mapped: socket("203.0.113.1:40001"),
    };
    let packet = packets::udp(source.to_ipv6(), v6("2001:db8::1"), 1);
    assert_eq!(
        world.submit(client, &packet),
        Submission::Drop(teredo::DropReason::NotQualified)
    );
    world.run_for(seconds(20));
    assert_eq!(
        world.capture().sent_by(client).count(),
        solicitations(&world, client).len()
    );
}

/// R4380-5.2.1-11: a NAT that maps by destination makes the ports differ; there is no service.
#[test]
fn a_symmetric_nat_is_found_by_its_ports() {
    for mapping in [Mapping::AddressDependent, Mapping::AddressAndPortDependent] {
        let mut world = world(1);
        let behaviour = NatBehaviour {
            mapping,
            ..NatBehaviour::symmetric()
        };
        let client = client_with(&mut world, 1, behaviour, by_rfc4380());
        world.run_for(ROUND_TRIP);
        let mapped: Vec<_> = solicitations(&world, client)
            .iter()
            .map(|record| record.public_source)
            .collect();
        assert_ne!(mapped[0].port(), mapped[1].port());
        assert_eq!(state(&world, client), State::Offline);
        assert_eq!(
            reason(&world, client),
            Some(Reason::SymmetricNat {
                primary: mapped[0],
                secondary: mapped[1]
            })
        );
        assert_eq!(status(&world, client).nat, Nat::Symmetric);
        assert_eq!(status(&world, client).address, None);
        assert_eq!(addresses(&world, client), []);
    }
}

/// R4380-5.2.1-11: the address alone may also differ, if a NAT has several.
#[test]
fn a_symmetric_nat_is_found_by_its_addresses() {
    let mut world = teredo_sim::World::new(1);
    FakeServer::add(&mut world, SERVER, |mut answer| {
        if *answer.asked.ip() == SERVER.secondary {
            answer.origin = Some(SocketAddrV4::new(v4("203.0.113.200"), answer.to.port()));
        }
        Some(answer)
    });
    let client = client_with(&mut world, 1, NatBehaviour::restricted(), by_rfc4380());
    world.run_for(ROUND_TRIP);
    assert_eq!(
        reason(&world, client),
        Some(Reason::SymmetricNat {
            primary: socket("203.0.113.1:40001"),
            secondary: socket("203.0.113.200:40001")
        })
    );
}

/// R4380-5.2.10-01: a reserved port makes a client behind a symmetric NAT qualify.
#[test]
fn a_port_forward_overcomes_a_symmetric_nat() {
    let mut world = world(1);
    let nat = nat(&mut world, 1, NatBehaviour::symmetric());
    world.nat_mut(nat).forward(5544, local(1));
    let client = world.add_client(nat, local(1), &[SERVER]);
    qualify(&mut world, client);
    assert_eq!(teredo(&world, client).mapped, socket("203.0.113.1:5544"));
}

/// R4380-5.2.10-02: several clients behind one symmetric NAT need a port each.
#[test]
fn two_clients_behind_a_symmetric_nat_need_two_forwards() {
    let mut world = world(1);
    let nat = nat(&mut world, 1, NatBehaviour::symmetric());
    world.nat_mut(nat).forward(5541, local(1));
    world.nat_mut(nat).forward(5542, local(2));
    let [one, two, three] = [1, 2, 3].map(|number| world.add_client(nat, local(number), &[SERVER]));
    qualify(&mut world, one);
    qualify(&mut world, two);
    assert_ne!(teredo(&world, one).mapped, teredo(&world, two).mapped);
    world.run_for(seconds(30));
    assert_eq!(
        status(&world, three).nat,
        Nat::Symmetric,
        "a client without a port of its own"
    );
}

/// R4380-5.2-03: the client uses the given port, and several clients behind one NAT work.
#[test]
fn twenty_clients_behind_one_nat_all_qualify() {
    let mut world = world(1);
    let nat = nat(&mut world, 1, NatBehaviour::port_restricted());
    let clients: Vec<_> = (1..=20)
        .map(|number| world.add_client(nat, local(number), &[SERVER]))
        .collect();
    for (client, number) in clients.into_iter().zip(1..) {
        qualify(&mut world, client);
        assert_eq!(teredo(&world, client).mapped.port(), local(number).port());
    }
}

/// R4380-5.2.2-03: over 1000 solicitations no nonce comes twice.
#[test]
fn nonces_are_all_different() {
    let mut world = world(1);
    world.set_silent(SERVER.primary, true);
    world.set_silent(SERVER.secondary, true);
    let client = client(&mut world, 1, NatBehaviour::restricted());
    assert!(world.run_until(seconds(1_000_000), |world| world.capture().total() >= 1000));
    let payloads = solicitations(&world, client);
    let mut nonces: Vec<_> = payloads
        .iter()
        .map(|record| Authentication::parse(record.payload()).unwrap().0.nonce)
        .collect();
    let count = nonces.len();
    assert!(count >= 1000);
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), count);
}

/// R5991-3.1-03: an answer that comes twice, late or out of order changes nothing.
#[test]
fn a_bad_link_does_not_confuse_a_client() {
    for seed in 0..50 {
        let mut world = world(seed);
        let network = nat(&mut world, 1, NatBehaviour::port_restricted());
        *world.nat_link_mut(network) = LinkQuality {
            jitter: Duration::from_millis(200),
            reorder: true,
            duplication: 0.5,
            ..LinkQuality::with_delay(Duration::from_millis(20))
        };
        let client = world.add_client(network, local(1), &[SERVER]);
        qualify(&mut world, client);
        world.run_for(seconds(300));
        assert_eq!(state(&world, client), State::Qualified);
        assert_eq!(
            addresses(&world, client).len(),
            1,
            "one address, never another"
        );
    }
}

/// R4380-5.2.1-03: with a fifth of all datagrams lost, repeats make up for it.
#[test]
fn losses_are_made_up_for_by_repetition() {
    for seed in 0..50 {
        let mut world = world(seed);
        let nat = nat(&mut world, 1, NatBehaviour::port_restricted());
        world.nat_link_mut(nat).loss = 0.2;
        let client = world.add_client(nat, local(1), &[SERVER]);
        qualify(&mut world, client);
    }
}

/// R6169-2.1-01: a stopped client sends nothing, and its address goes down; a start makes another one.
#[test]
fn stop_and_start() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let before = address(&world, client);
    world.stop(client);
    assert_eq!(addresses(&world, client), [(before, true), (before, false)]);
    let total = world.capture().total();
    world.run_for(seconds(600));
    assert_eq!(world.capture().total(), total);
    assert_eq!(
        (state(&world, client), reason(&world, client)),
        (State::Offline, Some(Reason::Stopped))
    );

    world.start(client, &[SERVER]);
    qualify(&mut world, client);
    assert_eq!(
        addresses(&world, client).last(),
        Some(&(address(&world, client), true))
    );
}

/// R4380-4-04: deployed clients use any source for their solicitations, and the server answers it.
#[test]
fn the_server_answers_identifiers_of_all_kinds() {
    let mut world = world(1);
    let from = socket("198.51.100.4:4444");
    let raw = world.add_raw(Network::Internet, &[*from.ip()]);
    for identifier in [
        "fe80::5445:5245:444f",
        "fe80::3caf:3f57:fefd",
        "fe80::ffff:ffff:fffd",
    ] {
        let mut solicitation = Vec::new();
        teredo::wire::emit_router_solicitation(v6(identifier), &mut solicitation);
        world.inject(
            raw,
            from,
            SocketAddrV4::new(SERVER.primary, 3544),
            &solicitation,
        );
        world.run_for(SECOND);
        let answer = world.raw(raw).received().last().unwrap();
        assert_eq!(answer.what.source, SocketAddrV4::new(SERVER.primary, 3544));
        let (source, destination) = packets::endpoints(&answer.what.payload);
        assert_eq!(destination, v6(identifier));
        assert!(link_local_flags(&source).is_cone());
    }
    assert_eq!(world.raw(raw).received().len(), 3);
}

/// R4380-5.2-08: another interval may be asked for.
#[test]
fn settings_of_time_are_followed() {
    let config = ClientConfig {
        refresh_interval: seconds(8),
        solicitation_timeout: seconds(1),
        solicitation_attempts: 5,
        ..ClientConfig::default()
    };
    let mut world = world(1);
    let client = client_with(&mut world, 1, NatBehaviour::restricted(), config);
    qualify(&mut world, client);
    let start = world.now();
    world.capture_mut().clear();
    world.set_silent(SERVER.primary, true);
    world.run_for(seconds(12));
    let times = times(start, &solicitations(&world, client));
    assert!((6.0..8.0).contains(&times[0]));
    assert!(
        times[..5]
            .windows(2)
            .all(|pair| (pair[1] - pair[0] - 1.0).abs() < 0.002),
        "{times:?}"
    );
}
