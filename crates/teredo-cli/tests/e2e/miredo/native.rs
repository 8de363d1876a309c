//! To the native IPv6 Internet by a `miredo` relay, and back.

use std::net::{Ipv4Addr, Ipv6Addr};

use teredo_lab::{Capture, Host, NatKind};

use super::daemon::Miredo;
use super::{all_answered, only_one_port, without_batches};
use crate::world::*;

/// The addresses of a server that has native IPv6 as well.
const DUAL: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 65), Ipv4Addr::new(192, 0, 2, 66)];
const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);

/// Our server forwards the bubble of the relay, and the echo request of our client.
#[test]
fn our_client_and_a_native_host_meet_by_our_server() {
    meet(|_, host| {
        let process = start(
            host,
            "server",
            &["server", "--address", &DUAL[0].to_string()],
        );
        process.wait_for_line("serving", SECOND * 5).unwrap();
        process
    });
}

/// `miredo`'s server does, which forwards no echo request that is longer than 88 bytes.
#[test]
fn our_client_and_a_native_host_meet_by_miredo_server() {
    meet(Miredo::server);
}

fn meet<S>(serve: fn(&World, &Host) -> S) {
    for native_first in [false, true] {
        let world = World::new(NatKind::PortRestricted, NatKind::None);
        let attach = |name, v4: &[Ipv4Addr], v6| world.internet.native_host(name, v4, v6).unwrap();
        let server = attach("dual", &DUAL, "2001:db8:1::1".parse().unwrap());
        let relay = attach("relay", &[RELAY], "2001:db8:2::1".parse().unwrap());
        let native = attach("native", &[], NATIVE);
        world
            .internet
            .announce("2001::".parse().unwrap(), 32, &relay)
            .unwrap();
        let _relay = Miredo::relay(&world, &relay);
        let _server = serve(&world, &server);

        let alice = world.left.host("alice").unwrap();
        let client = world.client_with(&alice, &["--server", &DUAL[0].to_string()]);
        let (address, port) = (client.address(), client.status().port);
        without_batches(&alice);
        let inside = Capture::start(alice.namespace(), alice.interface()).unwrap();
        let mut ways = [(&alice, NATIVE), (&native, address)];
        if native_first {
            ways.reverse();
        }
        for (from, to) in ways {
            all_answered(
                from,
                to,
                if native_first {
                    "native first"
                } else {
                    "ours first"
                },
            );
        }
        only_one_port(&inside, port);
        assert_well_formed(&inside, &world.path("."), &[port]);
    }
}
