//! More peers than the table holds: entries are evicted while a contact is under way.
//!
//! Two faults of `miredo` 1.2.6 were found in its source, and neither can be provoked at will. Its receiving thread
//! reads a peer's entry after it has released the lock, while the collector may free it. And a host that scans
//! addresses fills the table up to a million entries with queues of up to 1280 bytes each (1.3 GB); nothing makes room.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use teredo::wire::{Flags, TeredoAddress};
use teredo::{ClientConfig, DropReason, Submission};
use teredo_sim::{ClientId, NatBehaviour, Network, World};

use crate::internet::*;
use crate::packets;

fn with_bounds(max_peers: usize, max_total_queue_bytes: usize) -> (World, ClientId) {
    let mut world = world(1);
    let config = ClientConfig {
        max_peers,
        max_total_queue_bytes,
        ..ClientConfig::default()
    };
    let client = client_with(&mut world, 1, NatBehaviour::cone(), config);
    qualify(&mut world, client);
    (world, client)
}

fn invented(number: u32) -> (Ipv6Addr, SocketAddrV4) {
    let mapped = SocketAddrV4::new(Ipv4Addr::from_bits(0x5000_0000 + number), 4444);
    let address = TeredoAddress {
        server: SERVER.primary,
        flags: Flags::default(),
        mapped,
    };
    (address.to_ipv6(), mapped)
}

/// R4380-5.2-06: an entry is evicted while its packet waits, and its slot has another peer when the answer comes. The
/// answer counts for its source, the evicted packet is lost and counted, and nothing is mixed up.
#[test]
fn an_answer_for_an_entry_that_is_gone_finds_a_new_one() {
    let (mut world, client) = with_bounds(1, 1 << 20);
    let own = address(&world, client);
    let mapped = teredo(&world, client).mapped;
    let everybody = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    let [(first, from_first), (second, from_second)] = [1, 2].map(invented);
    for round in 0..3 {
        for to in [first, second] {
            let packet = packets::udp(own, to, round);
            assert_eq!(world.submit(client, &packet), Submission::Queued);
        }
        world.capture_mut().clear();
        world.inject(everybody, from_first, mapped, &packets::bubble(first, own));
        world.run_for(SECOND);
        // The first evicted the second before, and was evicted by the second now: nothing waits for either.
        assert_eq!(data(&world, client), []);
        let packet = packets::udp(own, first, round);
        assert_eq!(world.submit(client, &packet), Submission::Send(from_first));
        world.inject(
            everybody,
            from_second,
            mapped,
            &packets::bubble(second, own),
        );
        world.run_for(SECOND);
        assert_eq!(status(&world, client).peers, 1);
        world.run_for(seconds(301));
    }
    assert_eq!(drops(&world, client, DropReason::QueueFull), 6);
}

/// R4380-5.2-06, R4380-5.2.4-11: a host that scans a hundred thousand addresses exceeds neither the bound of the table
/// nor those of the queues, and the peer in conversation is not forgotten.
#[test]
fn a_scan_of_the_host_keeps_the_bounds() {
    const MAX_PEERS: usize = 1_000;
    const QUEUES: usize = 20_000;
    let (mut world, client) = with_bounds(MAX_PEERS, QUEUES);
    let friend = qualified_client(&mut world, 2, NatBehaviour::port_restricted());
    let own = address(&world, client);
    let to_friend = packets::udp(own, address(&world, friend), 1);
    world.send(client, &to_friend);
    world.run_for(SECOND);
    world.capture_mut().set_limit(1_000);
    let (mut queued, mut refused) = (0_usize, 0_usize);
    for number in 0..100_000 {
        let packet = packets::udp(own, invented(number).0, 1);
        match world.submit(client, &packet) {
            Submission::Queued => queued += 1,
            Submission::Drop(DropReason::QueueFull) => refused += 1,
            other => panic!("{other:?}"),
        }
        assert!(status(&world, client).peers <= MAX_PEERS);
        if number % 1_000 == 0 {
            world.run_for(seconds(1) / 10);
            assert!(matches!(
                world.submit(client, &to_friend),
                Submission::Send(_)
            ));
        }
    }
    // A packet has 49 bytes: so many fit at any time, and an evicted entry takes its packet with it.
    assert!(
        refused > 0 && queued >= QUEUES / 49,
        "{queued} queued, {refused} refused"
    );
    // All contacts are given up.
    world.run_for(seconds(9));
    assert!(matches!(
        world.submit(client, &to_friend),
        Submission::Send(_)
    ));
}
