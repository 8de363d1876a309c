//! Invalid answers: one test for each condition of RFC 4380 §5.2.1, in qualification and in maintenance.

use std::net::SocketAddrV4;

use teredo::client::State;
use teredo::wire::{Authentication, PORT, PrefixInformation};
use teredo::{DropReason, Node, ServerAddress};
use teredo_sim::{ClientId, NatBehaviour, Network, World};

use crate::fake_server::{Answer, FakeServer, correct_checksum, prefix_of};
use crate::internet::*;

/// A client whose server answers with this change.
fn world_with(
    change: impl FnMut(Answer) -> Option<Answer> + 'static,
) -> (World, ClientId, FakeServer) {
    let mut world = World::new(1);
    let server = FakeServer::add(&mut world, SERVER, change);
    let client = client(&mut world, 1, NatBehaviour::cone());
    (world, client, server)
}

/// With this change every answer is worthless. The client goes on asking as if nothing had come, answers nothing, and
/// qualifies at once when correct answers come. In service its address stays, and the service ends as if the server
/// were silent.
fn assert_ignored(change: fn(Answer) -> Answer) {
    let (mut world, client, server) = world_with(move |answer| Some(change(answer)));
    world.run_for(seconds(11));
    assert_eq!(state(&world, client), State::Probe);
    assert_eq!(
        times(Default::default(), &solicitations(&world, client)),
        [0.0, 0.0, 4.0, 4.0, 8.0, 8.0]
    );
    assert_eq!(
        world.capture().sent_by(client).count(),
        6,
        "nothing is answered to an invalid advertisement"
    );
    let dropped: u64 = world
        .client(client)
        .client()
        .drops()
        .iter()
        .map(|(_, count)| count)
        .sum();
    assert_eq!(dropped, 6, "each advertisement has its drop reason");

    server.set(Some);
    qualify(&mut world, client);
    let before = addresses(&world, client);
    server.set(move |answer| Some(change(answer)));
    world.capture_mut().clear();
    let start = world.now();
    assert!(world.run_until(seconds(60), |world| state(world, client)
        != State::Qualified));
    let times = times(start, &solicitations(&world, client));
    // Three for the refresh, then the first two of a new qualification.
    assert_eq!(times.len(), 5, "{times:?}");
    assert!(
        times
            .windows(2)
            .take(3)
            .all(|pair| (pair[1] - pair[0] - 4.0).abs() < 0.002),
        "{times:?}"
    );
    assert_eq!(addresses(&world, client), before);
}

/// The control: without a change these tests would fail.
#[test]
fn a_right_answer_counts() {
    let (mut world, client, _) = world_with(Some);
    qualify(&mut world, client);
    assert_eq!(elapsed(world.now()), ROUND_TRIP);
    world.run_for(seconds(3600));
    assert_eq!(addresses(&world, client).len(), 1);
    assert_eq!(state(&world, client), State::Qualified);
}

/// R4380-5.2.1-06, R4380-5.2.1-07, R4380-5.2.5-03
#[test]
fn without_an_origin_indication() {
    assert_ignored(|answer| Answer {
        origin: None,
        ..answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.1-07, R4380-5.2.5-03
#[test]
fn from_an_ipv6_source_that_is_not_link_local() {
    assert_ignored(|answer| Answer {
        source: v6("2001:db8::1"),
        ..answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.1-07, R4380-5.2.5-03
#[test]
fn with_a_hop_limit_below_255() {
    assert_ignored(|answer| Answer {
        rewrite: |packet| packet[7] = 254,
        ..answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.1-07, R4380-5.2.5-03
#[test]
fn with_a_wrong_checksum() {
    assert_ignored(|answer| Answer {
        rewrite: |packet| packet[42] ^= 1,
        ..answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.1-07, R4380-5.2.5-03
#[test]
fn with_a_code_other_than_zero() {
    assert_ignored(|answer| Answer {
        rewrite: |packet| {
            packet[41] = 1;
            correct_checksum(packet);
        },
        ..answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.1-07, R4380-5.2.5-03
#[test]
fn shorter_than_sixteen_bytes() {
    assert_ignored(|answer| Answer {
        rewrite: |packet| {
            packet.truncate(40 + 12);
            packet[5] = 12;
            correct_checksum(packet);
        },
        ..answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.1-07, R4380-5.2.5-03
#[test]
fn with_an_option_of_length_zero() {
    assert_ignored(|answer| Answer {
        rewrite: |packet| {
            packet.extend([1, 0, 0, 0, 0, 0, 0, 0]);
            packet[5] += 8;
            correct_checksum(packet);
        },
        ..answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.1-07, R4380-5.2.5-03
#[test]
fn to_another_link_local_address() {
    assert_ignored(|answer| Answer {
        destination: v6("fe80::1"),
        ..answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.1-07, R4380-5.2.5-03
#[test]
fn without_a_prefix() {
    assert_ignored(|mut answer| {
        answer.advertisement.prefixes.clear();
        answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.1-07, R4380-5.2.5-03
#[test]
fn with_two_prefixes() {
    assert_ignored(|mut answer| {
        answer.advertisement.prefixes.push(prefix_of(SERVER));
        answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.1-07, R4380-5.2.5-03
#[test]
fn with_the_prefix_of_another_server() {
    assert_ignored(|mut answer| {
        answer.advertisement.prefixes = vec![prefix_of(OTHER_SERVER)];
        answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.1-07, R4380-5.2.5-03: the secondary address has no prefix of its own.
#[test]
fn with_the_prefix_of_the_secondary_address() {
    let secondary = ServerAddress {
        primary: SERVER.secondary,
        secondary: SERVER.primary,
    };
    let prefix = prefix_of(secondary);
    assert_ne!(prefix, prefix_of(SERVER));
    assert_ignored(|mut answer| {
        answer.advertisement.prefixes[0].prefix = teredo::wire::server_prefix(SERVER.secondary);
        answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.5-03, R-OLD-01
#[test]
fn with_the_prefix_of_the_time_before_the_rfc() {
    assert_ignored(|mut answer| {
        let mut octets = answer.advertisement.prefixes[0].prefix.octets();
        octets[..4].copy_from_slice(&[0x3f, 0xfe, 0x83, 0x1f]);
        answer.advertisement.prefixes[0].prefix = octets.into();
        answer
    });
}

/// R4380-5.2.1-06, R4380-5.2.5-03
#[test]
fn with_a_prefix_of_another_length() {
    assert_ignored(|mut answer| {
        answer.advertisement.prefixes[0] = PrefixInformation {
            length: 32,
            ..prefix_of(SERVER)
        };
        answer
    });
}

/// R4380-4-03, R4380-GU-04: others would send to the address in the origin.
#[test]
fn with_an_origin_that_is_not_global() {
    assert_ignored(|answer| Answer {
        origin: Some(socket("10.0.0.1:40001")),
        ..answer
    });
    assert_ignored(|answer| Answer {
        origin: Some(socket("127.0.0.1:40001")),
        ..answer
    });
    assert_ignored(|answer| Answer {
        origin: Some(socket("224.0.0.253:40001")),
        ..answer
    });
}

/// R4380-GU-05
#[test]
fn with_an_origin_of_port_zero() {
    assert_ignored(|answer| Answer {
        origin: Some(socket("203.0.113.1:0")),
        ..answer
    });
}

/// R4380-5.2.2-01, R4380-7.2.1-01
#[test]
fn without_the_authentication_element() {
    assert_ignored(|answer| Answer {
        nonce: None,
        ..answer
    });
}

/// R4380-5.2.2-02, R4380-7.2.1-01
#[test]
fn with_another_nonce() {
    assert_ignored(|mut answer| {
        answer.nonce.as_mut().unwrap()[7] ^= 1;
        answer
    });
}

/// R4380-5.1.1-04: authentication comes first in the payload, or the payload is malformed.
#[test]
fn with_the_origin_before_the_authentication() {
    assert_ignored(|answer| Answer {
        rewrite_payload: |payload| payload[..13 + 8].rotate_left(Authentication::MIN_LEN),
        ..answer
    });
}

/// R4380-5.1.1-05: a truncated payload is invalid.
#[test]
fn cut_short() {
    for keep in [0, 1, 3, 12, 13, 20, 21, 60, 100] {
        let (mut world, client, server) = world_with(|_| None);
        server.set(move |mut answer| {
            answer.rewrite_payload = match keep {
                0 => |payload| payload.truncate(0),
                1 => |payload| payload.truncate(1),
                3 => |payload| payload.truncate(3),
                12 => |payload| payload.truncate(12),
                13 => |payload| payload.truncate(13),
                20 => |payload| payload.truncate(20),
                21 => |payload| payload.truncate(21),
                60 => |payload| payload.truncate(60),
                _ => |payload| payload.truncate(100),
            };
            Some(answer)
        });
        world.run_for(seconds(11));
        assert_eq!(state(&world, client), State::Probe, "{keep} bytes");
        assert_eq!(world.capture().sent_by(client).count(), 6);
    }
}

/// R4380-5.2.1-06: an answer comes from the address that was asked.
#[test]
fn from_another_address_or_port() {
    assert_ignored(|answer| Answer {
        from: SocketAddrV4::new(v4("192.0.2.99"), PORT),
        ..answer
    });
    assert_ignored(|answer| Answer {
        from: SocketAddrV4::new(*answer.from.ip(), 3545),
        ..answer
    });
}

/// a nonzero confirmation byte means that the key has expired; the mapping is valid either way.
#[test]
fn a_confirmation_byte_does_not_spoil_an_answer() {
    let (mut world, client, _) = world_with(|answer| {
        Some(Answer {
            confirmation: 1,
            ..answer
        })
    });
    qualify(&mut world, client);
}

/// R4380-5.2.1-08: the origin is the mapping, whatever the outer header.
#[test]
fn the_mapping_comes_from_the_origin() {
    let (mut world, client, _) = world_with(|answer| {
        Some(Answer {
            origin: Some(socket("198.51.100.200:999")),
            ..answer
        })
    });
    qualify(&mut world, client);
    assert_eq!(teredo(&world, client).mapped, socket("198.51.100.200:999"));
}

/// R4380-5.2.2-02, R4380-7.2.1-01: a host that does not see the solicitation cannot forge the answer, and an old answer
/// is worthless.
#[test]
fn forged_and_repeated_answers_in_service_change_nothing() {
    let (mut world, client, server) = world_with(Some);
    qualify(&mut world, client);
    let spoofer = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    let mut answer = world
        .capture()
        .sent_by(server.host)
        .next()
        .unwrap()
        .payload()
        .to_vec();
    let right = answer[4];
    // Another origin, and all values of a byte of the nonce, including the right one.
    answer[13 + 3] ^= 1;
    let events = world.client(client).events().len();
    for first in 0..=255 {
        answer[4] = right.wrapping_add(first);
        world.inject(
            spoofer,
            SocketAddrV4::new(SERVER.primary, PORT),
            socket("203.0.113.1:40001"),
            &answer,
        );
    }
    world.run_for(SECOND);
    assert_eq!(world.client(client).events().len(), events);
    assert_eq!(
        drops(&world, client, DropReason::UnsolicitedAdvertisement),
        256
    );
}
