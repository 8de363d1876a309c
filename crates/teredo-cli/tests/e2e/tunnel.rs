//! Two clients behind two NATs, our server between them.

use std::net::Ipv6Addr;
use std::process::Command;
use std::time::Duration;

use teredo_lab::{Capture, Host, NatKind};

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

/// R6081-5.6.4.2-02: two hosts of one home, whose router does not hairpin, meet by their local addresses without local
/// discovery; behind a symmetric NAT, too.
#[test]
fn hosts_of_one_home_meet_by_their_local_addresses() {
    for nat in [NatKind::PortRestricted, NatKind::Symmetric] {
        let world = World::new(nat, NatKind::None);
        let _server = world.serve();
        let hosts = ["alice", "anna"].map(|name| world.left.host(name).unwrap());
        let clients = hosts
            .each_ref()
            .map(|host| world.client(host, &["--no-local-discovery"]));
        let addresses = clients
            .each_ref()
            .map(|client| client.qualified().address.unwrap());
        pings(&hosts[0], addresses[1]);
        pings(&hosts[1], addresses[0]);
    }
}

/// Two clients of one host, with all defaults: each answers from its own address through its own tunnel, before and after
/// the other is restarted, and its inside is closed.
#[test]
fn two_clients_of_one_host() {
    let (world, _server) = World::with_server();
    let [host, far] = [(&world.left, "alice"), (&world.right, "bob")]
        .map(|(home, name)| home.host(name).unwrap());
    let _agent = world.agent(&host, &[]);
    let bob = world.client(&far, &[]);
    bob.qualified();
    let mut first = world.client(&host, &[]);
    let socket = world.path("second.sock");
    let arguments = ["--server", "192.0.2.45", "--interface", "teredo-b"];
    let second = Client {
        process: start_client(&host, &socket, &arguments),
        socket,
    };
    let addresses = [&first, &second].map(|client| client.qualified().address.unwrap());
    assert_ne!(addresses[0], addresses[1]);
    for (client, address) in [&first, &second].into_iter().zip(addresses) {
        pings(&far, address);
        client.until(SECOND, "a closed inside", |status| {
            status.protected == Some(true)
        });
    }
    first.process.kill().unwrap();
    pings(&far, addresses[1]);
    first.restart(&host, &["--server", "192.0.2.45"]);
    let again = first.qualified().address.unwrap();
    pings(&far, again);
    pings(&far, addresses[1]);
    // The default route of one goes behind that of the other: nothing is wrong with either.
    let routes = run(
        &host,
        Command::new("ip").args(["-6", "route", "show", "default"]),
    );
    let routes = String::from_utf8(routes.stdout).unwrap();
    for interface in ["dev teredo ", "dev teredo-b "] {
        assert!(routes.contains(interface), "{routes}");
    }
    for client in [&first, &second] {
        assert_eq!(client.status().reason, None);
    }
    second.process.terminate(SECOND * 5).unwrap();
    let rules = run(&host, Command::new("ip").args(["-6", "rule"]));
    let rules = String::from_utf8(rules.stdout).unwrap();
    assert_eq!(rules.matches("lookup 3544").count(), 1, "{rules}");
}

#[track_caller]
fn pings(from: &Host, to: Ipv6Addr) {
    let replies = teredo_lab::ping(from, to, 3, SECOND * 5).unwrap();
    assert!(replies.are_all_in_order(3), "{to}: {replies:?}");
}
