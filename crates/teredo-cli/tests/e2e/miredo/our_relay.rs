//! Our relay with `miredo`'s client, and with `miredo`'s server.

use std::net::{Ipv4Addr, Ipv6Addr};

use teredo_lab::{Capture, NatKind};

use super::daemon::Miredo;
use super::{all_answered, appears, without_batches};
use crate::relay::nothing_of_clients_dropped;
use crate::shell::traces;
use crate::world::*;

/// The addresses of a server that has native IPv6 as well.
const DUAL: [Ipv4Addr; 2] = [SERVER, SECONDARY];
const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);

/// R4380-5.4.1-05, R4380-5.4.1-08, R4380-5.4.2-03: `miredo`'s client and a native host reach each other through our
/// relay, whoever begins: it answers our bubbles from a random link-local address as those of its own relays.
#[test]
fn a_miredo_client_and_a_native_host_meet_through_our_relay() {
    for native_first in [false, true] {
        let world = World::dual_stack(NatKind::PortRestricted);
        let relay_host = world.relay_host(RELAY);
        let native = world.native(NATIVE);
        let _server = world.serve();
        let relay = world.relay(&relay_host, &[]);
        let bob = world.left.host("bob").unwrap();
        let _miredo = Miredo::client(&world, &bob);
        let address = appears(&bob);
        // The daemon's hook adds it a moment later.
        eventually(SECOND * 5, "miredo's default route", || {
            traces(&bob)[2]
                .iter()
                .any(|route| route.starts_with("default"))
        });
        let outside = Capture::start(relay_host.namespace(), relay_host.interface()).unwrap();
        let mut ways = [(&bob, NATIVE), (&native, address)];
        if native_first {
            ways.reverse();
        }
        for (from, to) in ways {
            all_answered(from, to, &format!("native first: {native_first}"));
        }
        nothing_of_clients_dropped(&relay);
        assert_well_formed(&outside, &world.path("."), &[RELAY_PORT]);
    }
}

/// R4380-5.4.1-05: our client, our relay, and `miredo`'s server between them, which forwards our bubbles.
#[test]
fn our_relay_works_by_miredo_server() {
    for native_first in [false, true] {
        let world = World::dual_stack(NatKind::PortRestricted);
        let relay_host = world.relay_host(RELAY);
        let native = world.native(NATIVE);
        let _server = Miredo::server(&world, &world.server);
        let _relay = world.relay(&relay_host, &[]);
        let alice_host = world.left.host("alice").unwrap();
        let alice = world.client_with(&alice_host, &["--server", &DUAL[0].to_string()]);
        let address = alice.address();
        without_batches(&alice_host);
        let mut ways = [(&alice_host, NATIVE), (&native, address)];
        if native_first {
            ways.reverse();
        }
        for (from, to) in ways {
            all_answered(from, to, &format!("native first: {native_first}"));
        }
    }
}
