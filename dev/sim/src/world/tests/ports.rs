//! Further UDP ports of a client's host, each with mappings of its own.

use super::*;

/// A client that was never started, behind a NAT, and a host of the Internet at 192.0.2.1.
fn stage(behaviour: NatBehaviour) -> (World, ClientId, RawId) {
    let mut world = World::new(1);
    let peer = world.add_raw(Network::Internet, &[ip("192.0.2.1")]);
    let nat = world.add_nat(behaviour, [203, 0, 113, 1]);
    let client = world.add_idle_client(nat, socket("10.0.0.2:5000"), ClientConfig::default());
    (world, client, peer)
}

/// RFC 6081 §6.3: behind a port-preserving symmetric NAT, a fresh port is the same outside, and the peer reaches it.
#[test]
fn a_further_port_has_its_own_mapping() {
    let (mut world, client, peer) = stage(NatBehaviour::symmetric_preserving());
    let peer_socket = socket("192.0.2.1:7");
    for port in [6000, 7000] {
        assert_eq!(
            world.open_port(client, port),
            Some(SocketAddrV4::new(ip("10.0.0.2"), port))
        );
    }
    for port in [5000, 6000, 7000] {
        world.send_from(client, port, peer_socket, None, b"out");
    }
    world.run_for(MS * 100);
    let seen: Vec<_> = world.raw(peer).received().to_vec();
    let sources: Vec<_> = seen.iter().map(|received| received.what.source).collect();
    let expected = ["203.0.113.1:5000", "203.0.113.1:6000", "203.0.113.1:7000"].map(socket);
    assert_eq!(sources, expected);

    for to in sources {
        world.inject(peer, peer_socket, to, b"in");
    }
    world.run_for(MS * 100);
    let ports = world.client(client).received().iter();
    assert_eq!(
        ports
            .map(|received| received.what.destination.port())
            .collect::<Vec<_>>(),
        [6000, 7000]
    );
}

#[test]
fn a_closed_port_has_no_listener() {
    let (mut world, client, peer) = stage(NatBehaviour::cone());
    let peer_socket = socket("192.0.2.1:7");
    world.open_port(client, 6000).unwrap();
    assert_eq!(world.open_port(client, 6000), None);
    assert_eq!(world.open_port(client, 5000), None);
    assert_eq!(world.client(client).ports().count(), 1);
    world.send_from(client, 6000, peer_socket, Some(3), b"out");
    world.run_for(MS * 100);
    world.close_port(client, 6000);
    world.inject(peer, peer_socket, socket("203.0.113.1:6000"), b"in");
    world.run_for(MS * 100);
    assert_eq!(fates(&world)[1], Fate::NoListener);
    assert_eq!(world.client(client).received().len(), 0);
}

#[test]
fn output_is_kept_as_far_as_told() {
    let (mut world, one, two) = pair(1);
    world.keep_output(2);
    for number in 0..9 {
        world.inject(one, socket("192.0.2.1:5"), socket("192.0.2.2:6"), &[number]);
    }
    world.run_for(MS * 100);
    let received = world.raw(two).received();
    assert!((2..=4).contains(&received.len()));
    assert_eq!(received.last().unwrap().what.payload, [8]);
    world.keep_output(0);
    assert!(world.raw(two).received().is_empty());
}
