//! Two clients behind two NATs, our server between them.

use std::time::Duration;

use teredo_lab::{Capture, NatKind};

use crate::world::*;

/// Two clients ping each other; no packet of the first five is lost, none is reordered. R4380-5.2.4-06.
#[test]
fn two_clients_reach_each_other_from_the_first_packet_on() {
    for nats in [
        [NatKind::PortRestricted, NatKind::PortRestricted],
        [NatKind::Restricted, NatKind::PortRestricted],
        [NatKind::Cone, NatKind::PortRestricted],
        [NatKind::None, NatKind::PortRestricted],
    ] {
        let world = World::new(nats[0], nats[1]);
        let _server = world.serve();
        let (alice_host, bob_host) = (
            world.left.host("alice").unwrap(),
            world.right.host("bob").unwrap(),
        );
        let (alice, bob) = (world.client(&alice_host, &[]), world.client(&bob_host, &[]));
        let capture = Capture::start(alice_host.namespace(), alice_host.interface()).unwrap();
        let (a, b) = (alice.address(), bob.address());

        let there = teredo_lab::ping(&alice_host, b, 5, Duration::from_secs(5)).unwrap();
        assert!(
            there.are_all_in_order(5),
            "{nats:?}, alice to bob: {there:?}"
        );
        let back = teredo_lab::ping(&bob_host, a, 5, Duration::from_secs(5)).unwrap();
        assert!(back.are_all_in_order(5), "{nats:?}, bob to alice: {back:?}");
        assert_well_formed(&capture, &world.path("."), &[alice.status().port]);
    }
}
