//! The order of a flow, from its very first packet on, which waits while its path is being found.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::sync::Barrier;

use teredo_lab::{Host, NatKind, Receive};

use crate::world::*;

/// As many at once as fit into the queue of an interface, and of a peer.
const BURST: u32 = 100;
const BURSTS: u32 = 10;
const TOTAL: u32 = BURST * BURSTS;

/// R4380-5.2.4-06: two clients send each other numbered datagrams, from the first on, one after the other and both at
/// once, and every one arrives in its place.
#[test]
fn between_two_clients_every_datagram_arrives_in_its_place() {
    for nats in [
        [NatKind::PortRestricted, NatKind::PortRestricted],
        [NatKind::OpenInput, NatKind::OpenInput],
    ] {
        for together in [false, true] {
            let world = World::new(nats[0], nats[1]);
            let _server = world.serve();
            let (alice, bob) = (
                world.left.host("alice").unwrap(),
                world.right.host("bob").unwrap(),
            );
            let clients = [world.client(&alice, &[]), world.client(&bob, &[])];
            let [a, b] = clients.each_ref().map(Client::address);
            let [at_a, at_b] = [(&alice, a), (&bob, b)].map(|(host, own)| socket(host, own));
            let there = || in_order(&at_a, &at_b, "alice to bob");
            let back = || in_order(&at_b, &at_a, "bob to alice");
            if together {
                let start = Barrier::new(2);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        start.wait();
                        there();
                    });
                    start.wait();
                    // On a socket of its own, since the other thread reads from this one.
                    let [from, to] = [(&bob, b), (&alice, a)].map(|(host, own)| socket(host, own));
                    in_order(&from, &to, "bob to alice, meanwhile");
                });
            } else {
                there();
                back();
            }
        }
    }
}

/// R4380-5.2.4-06, R4380-5.2.9-01: a client and a native host do, by a relay of `miredo`. The client begins: what waits
/// in such a relay leaves in the reverse order.
#[test]
fn between_a_client_and_a_native_host_every_datagram_arrives_in_its_place() {
    let world = World::new(NatKind::PortRestricted, NatKind::None);
    let Native {
        server,
        relay,
        native,
        address,
    } = Native::new(&world);
    let _relay = crate::miredo::relay(&world, &relay);
    let primary = server.ipv4().to_string();
    let process = start(&server, "server", &["server", "--address", &primary]);
    process.wait_for_line("serving", SECOND * 5).unwrap();
    let alice = world.left.host("alice").unwrap();
    let client = world.client_with(&alice, &["--server", &primary]);
    let (inside, outside) = (socket(&alice, client.address()), socket(&native, address));
    in_order(&inside, &outside, "alice to the native host");
    in_order(&outside, &inside, "the native host to alice");
}

/// R4380-5.2.4-06, R4380-5.4.1-05: by our relay they do, whoever begins.
#[test]
fn by_our_relay_every_datagram_arrives_in_its_place_whoever_begins() {
    for native_begins in [false, true] {
        let world = World::new(NatKind::PortRestricted, NatKind::None);
        let Native {
            server,
            relay,
            native,
            address,
        } = Native::new(&world);
        let _relay = world.relay(&relay, &[]);
        let primary = server.ipv4().to_string();
        let process = start(&server, "server", &["server", "--address", &primary]);
        process.wait_for_line("serving", SECOND * 5).unwrap();
        let alice = world.left.host("alice").unwrap();
        let client = world.client_with(&alice, &["--server", &primary]);
        let (inside, outside) = (socket(&alice, client.address()), socket(&native, address));
        if native_begins {
            in_order(&outside, &inside, "the native host first");
            in_order(&inside, &outside, "alice second");
        } else {
            in_order(&inside, &outside, "alice first");
            in_order(&outside, &inside, "the native host second");
        }
    }
}

/// The native IPv6 Internet: a server that has it too, a host for a relay, and a host without IPv4.
pub(crate) struct Native {
    pub(crate) server: Host,
    pub(crate) relay: Host,
    pub(crate) native: Host,
    pub(crate) address: Ipv6Addr,
}

impl Native {
    pub(crate) fn new(world: &World) -> Self {
        let attach = |name, v4: &[&str], v6: &str| {
            let v4: Vec<_> = v4.iter().map(|address| address.parse().unwrap()).collect();
            let v6 = v6.parse().unwrap();
            world.internet.native_host(name, &v4, v6).unwrap()
        };
        let address = "2001:db8:6::1";
        let native = Self {
            server: attach("dual", &["192.0.2.65", "192.0.2.66"], "2001:db8:1::1"),
            relay: attach("relay", &["192.0.2.99"], "2001:db8:2::1"),
            native: attach("native", &[], address),
            address: address.parse().unwrap(),
        };
        let prefix = "2001::".parse().unwrap();
        world.internet.announce(prefix, 32, &native.relay).unwrap();
        native
    }
}

/// A socket on a host's Teredo or native address.
pub(crate) fn socket(host: &Host, own: Ipv6Addr) -> UdpSocket {
    let bind = || UdpSocket::bind(SocketAddrV6::new(own, 0, 0, 0));
    let socket = host.namespace().run(bind).unwrap().unwrap();
    socket.set_read_timeout(Some(SECOND * 10)).unwrap();
    socket
}

/// Sends numbered datagrams in bursts, each when the one before has arrived.
#[track_caller]
pub(crate) fn in_order(from: &UdpSocket, to: &UdpSocket, context: &str) {
    let target = to.local_addr().unwrap();
    let mut arrived = Vec::new();
    for burst in 0..BURSTS {
        for number in burst * BURST..(burst + 1) * BURST {
            from.send_to(&number.to_be_bytes(), target).unwrap();
        }
        for _ in 0..BURST {
            let mut number = [0; 4];
            let (length, sender) = to.receive_from(&mut number).unwrap_or_else(|error| {
                panic!("{context}: {error} after {} datagrams", arrived.len())
            });
            assert_eq!(
                (length, sender),
                (4, from.local_addr().unwrap()),
                "{context}"
            );
            arrived.push(u32::from_be_bytes(number));
        }
    }
    assert!(
        arrived.iter().copied().eq(0..TOTAL),
        "{context}: {arrived:?}"
    );
}
