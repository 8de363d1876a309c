//! Our relay: between clients behind NATs and the native IPv6 Internet, and for its own host.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::{Duration, Instant};

use teredo_lab::{Capture, Host, NatKind, Process};
use teredo_notify::types::{Phase, Role};

use crate::shell::{ask, traces};
use crate::world::*;

const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
const PINGS: u16 = 5;

/// Our server, our relay, a native host, and a qualified client behind a NAT.
struct Stage {
    client: Client,
    alice: Host,
    native: Host,
    relay: Client,
    relay_host: Host,
    _server: Process,
    world: World,
}

fn stage(nat: NatKind, relay: &[&str]) -> Stage {
    let world = World::dual_stack(nat);
    let relay_host = world.relay_host(RELAY);
    let native = world.native(NATIVE);
    let server = world.serve();
    let relay = world.relay(&relay_host, relay);
    let alice = world.left.host("alice").unwrap();
    let client = world.client(&alice, &[]);
    client.qualified();
    Stage {
        client,
        alice,
        native,
        relay,
        relay_host,
        _server: server,
        world,
    }
}

#[track_caller]
fn pings(from: &Host, to: Ipv6Addr, context: &str) {
    let replies = teredo_lab::ping(from, to, PINGS, SECOND * 5).unwrap();
    assert!(
        replies.are_all_in_order(PINGS),
        "{context}, from {}: {replies:?}",
        from.name()
    );
}

/// A relay has dropped nothing but what its host's kernel says to the multicast groups of the interface.
#[track_caller]
pub(crate) fn nothing_of_clients_dropped(relay: &Client) {
    let mut drops = relay.status().drops;
    drops.remove("not_tunnelled");
    assert!(drops.is_empty(), "{drops:?}");
}

/// R4380-5.4-01, R4380-5.4-03, R4380-5.4.1-05, R4380-5.4.2-03, R4380-5.4.2-05: behind every NAT that there is a way
/// through, whoever begins, the first five packets are all answered, in order; on the native side nothing is seen but
/// them, with a hop limit of one less; nothing is malformed, and nothing dropped.
#[test]
fn clients_and_native_hosts_meet() {
    for (nat, native_first) in [
        (NatKind::PortRestricted, false),
        (NatKind::PortRestricted, true),
        (NatKind::Restricted, true),
        (NatKind::Cone, false),
        (NatKind::None, true),
    ] {
        let stage = stage(nat, &[]);
        let address = stage.client.address();
        let outside =
            Capture::start(stage.relay_host.namespace(), stage.relay_host.interface()).unwrap();
        let native = Capture::start(stage.native.namespace(), stage.native.interface()).unwrap();
        let context = format!("{nat:?}, native first: {native_first}");
        let mut ways = [(&stage.alice, NATIVE), (&stage.native, address)];
        if native_first {
            ways.reverse();
        }
        for (from, to) in ways {
            pings(from, to, &context);
        }
        let status = stage.relay.status();
        assert_eq!(
            (status.role, status.state, status.port),
            (Role::Relay, Phase::Qualified, RELAY_PORT)
        );
        assert_eq!(status.peers.trusted, 1, "{status:#?}");
        assert_eq!(status.reason, None);
        nothing_of_clients_dropped(&stage.relay);
        assert!(
            stage.client.status().drops.is_empty(),
            "{:?}",
            stage.client.status().drops
        );
        assert_well_formed(&outside, &stage.world.path("."), &[RELAY_PORT]);

        let seen = tshark(
            &native,
            &stage.world.path("."),
            &[RELAY_PORT],
            &format!("ipv6.addr == {address}"),
            &["ipv6.src", "ipv6.hlim", "icmpv6.type"],
        );
        for packet in &seen {
            assert!(["128", "129"].contains(&packet[2].as_str()), "{packet:?}");
            // From alice's 64, the relay's host and the core take one each; the client's own test by way of the server has 255.
            if packet[0] == address.to_string() {
                let by_server = packet[1] == "253";
                assert!(packet[1] == "62" || by_server, "{packet:?}");
            }
        }
    }
}

/// R9601-6.1.3-01: what the native host marks as capable of ECN, or as congested, leaves the relay in datagrams that
/// are not; the marks inside stay.
#[test]
fn the_outer_ecn_field_is_zero() {
    let stage = stage(NatKind::PortRestricted, &[]);
    let address = stage.client.address();
    let outside =
        Capture::start(stage.relay_host.namespace(), stage.relay_host.interface()).unwrap();
    // A capture sees what the kernel is given, a batch as one datagram.
    let interface = stage.relay_host.interface();
    let whole = run(
        &stage.relay_host,
        Command::new("ip").args(["link", "set", "dev", interface, "gso_max_segs", "1"]),
    );
    assert!(whole.status.success());
    pings(&stage.native, address, "first");
    let socket = stage.native.udp_socket((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    for ecn in 1..=3 {
        socket2::SockRef::from(&socket).set_tclass_v6(ecn).unwrap();
        socket.send_to(b"marked", (address, 9)).unwrap();
    }
    let rows = || {
        tshark(
            &outside,
            &stage.world.path("."),
            &[RELAY_PORT],
            "ip.src == 192.0.2.99 && ipv6.nxt == 17",
            &["ip.dsfield.ecn", "ipv6.tclass.ecn"],
        )
    };
    eventually(SECOND * 5, "three marked packets", || rows().len() == 3);
    let mut inner: Vec<_> = rows()
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    inner.sort();
    let expected = ["1", "2", "3"].map(|ecn| ("0".to_owned(), ecn.to_owned()));
    assert_eq!(inner, expected);
}

/// R4380-5.4.2-04, W-02: a relay with `--serve` lets clients reach that network alone, and one with `--deny` has
/// nothing to do with these clients.
#[test]
fn a_relay_serves_and_denies_what_it_is_told() {
    let stage = stage(NatKind::PortRestricted, &["--serve", "2001:db8:6::/48"]);
    pings(&stage.alice, NATIVE, "served");
    let other = stage
        .world
        .internet
        .native_host("other", &[], "2001:db8:7::1".parse().unwrap())
        .unwrap();
    // The test of the path comes and goes, what follows is refused.
    let replies =
        teredo_lab::ping(&stage.alice, "2001:db8:7::1".parse().unwrap(), 1, SECOND).unwrap();
    assert_eq!(replies.order, [0_u16; 0]);
    let dropped = || stage.relay.status().drops.get("not_served").copied();
    eventually(SECOND * 5, "a refused packet", || dropped() >= Some(1));
    drop(other);

    drop(stage.relay);
    let denying = stage
        .world
        .relay(&stage.relay_host, &["--deny", "198.51.100.0/24"]);
    let _ = teredo_lab::ping(
        &stage.native,
        stage.client.address(),
        1,
        Duration::from_millis(200),
    )
    .unwrap();
    eventually(SECOND * 5, "a packet to a denied client", || {
        denying.status().drops.contains_key("refused_destination")
    });
}

/// R4380-5.4.2-03: a relay is killed in the middle and started again: nothing of it is left in between, and what the
/// client sends gets through again without waiting for the client to notice.
#[test]
fn a_killed_relay_leaves_nothing_and_comes_back() {
    let mut stage = stage(NatKind::PortRestricted, &[]);
    pings(&stage.alice, NATIVE, "before");
    stage.relay.process.kill().unwrap();
    eventually(SECOND, "the end of the interface", || {
        traces(&stage.relay_host).iter().all(Vec::is_empty)
    });
    stage.relay = stage.world.relay(&stage.relay_host, &[]);
    let start = Instant::now();
    eventually(SECOND * 5, "an answer through the new relay", || {
        let replies =
            teredo_lab::ping(&stage.alice, NATIVE, 1, Duration::from_millis(300)).unwrap();
        !replies.order.is_empty()
    });
    assert!(start.elapsed() < SECOND * 2, "{:?}", start.elapsed());
    pings(&stage.native, stage.client.address(), "after");

    stage.relay.process.terminate(SECOND * 5).unwrap();
    assert!(traces(&stage.relay_host).iter().all(Vec::is_empty));
}

/// N-01, N-16: a firewall agent follows a relay's port as it does a client's, and the relay works behind it.
#[test]
fn a_firewall_follows_a_relay() {
    let world = World::dual_stack(NatKind::PortRestricted);
    let relay_host = world.relay_host(RELAY);
    let native = world.native(NATIVE);
    let _server = world.serve();
    nft(&relay_host, DEFAULT_DROP);
    // Without Neighbor Discovery there is no native side.
    for chain in ["input", "output"] {
        nft(
            &relay_host,
            &format!("insert rule inet filter {chain} meta l4proto ipv6-icmp accept"),
        );
    }
    let _agent = world.agent(&relay_host, &["--set", SET]);
    let relay = world.relay(&relay_host, &["--port", "4000"]);
    assert_eq!(open_ports(&relay_host), [4000]);
    let alice_host = world.left.host("alice").unwrap();
    let alice = world.client(&alice_host, &[]);
    // What is forwarded is none of this ruleset's business.
    pings(&native, alice.address(), "behind a firewall");
    assert_eq!(counted(&relay_host, "dropped_out"), 0);
    let status = relay.status();
    assert!(
        status.firewall.iter().all(|gate| gate.in_sync),
        "{status:#?}"
    );
    relay.process.terminate(SECOND * 5).unwrap();
    eventually(SECOND, "an empty set", || {
        open_ports(&relay_host).is_empty()
    });
}

/// A relay says what the host lacks, and what cannot be asked of it.
#[test]
fn a_relay_says_what_is_missing() {
    let world = World::dual_stack(NatKind::PortRestricted);
    let host = world
        .internet
        .native_host("relay", &[RELAY], "2001:db8:2::1".parse().unwrap())
        .unwrap();
    let relay = world.relay(&host, &[]);
    relay
        .process
        .wait_for_line("net.ipv6.conf.all.forwarding=1", SECOND)
        .unwrap();
    let reason = relay.status().reason.unwrap();
    assert!(reason.contains("forwards no IPv6"), "{reason}");
    host.namespace()
        .set_sysctl("net/ipv6/conf/all/forwarding", "1")
        .unwrap();
    assert_eq!(relay.status().reason, None);

    let human = ask(&host, &relay, &["status"]);
    assert!(
        human.stdout.contains("teredo  relay relaying"),
        "{}",
        human.stdout
    );
    let port = ask(&host, &relay, &["port"]);
    assert_eq!(port.stdout.trim(), "3545");
    let rebind = ask(&host, &relay, &["rebind"]);
    assert!(
        rebind.stderr.contains("a relay keeps its port"),
        "{}",
        rebind.stderr
    );
}

/// R-HSR-01, R-HSR-02, R-HSR-03, R4380-5.4-02, R4380-5.5-03: a host with native IPv6 talks to a client through its own
/// relay, whoever begins: over UDP, from its native address, though the internet has no relay at all; and it has no
/// Teredo address.
#[test]
fn a_host_relays_for_itself() {
    for host_first in [false, true] {
        let world = World::dual_stack(NatKind::PortRestricted);
        let host = world.internet.native_host("hsr", &[RELAY], NATIVE).unwrap();
        let _server = world.serve();
        let relay = world.relay_with(&host, &["--host"]);
        let alice_host = world.left.host("alice").unwrap();
        let alice = world.client(&alice_host, &[]);
        let address = alice.address();
        let wire = Capture::start(host.namespace(), host.interface()).unwrap();
        let mut ways = [(&alice_host, NATIVE), (&host, address)];
        if host_first {
            ways.reverse();
        }
        for (from, to) in ways {
            pings(from, to, &format!("host first: {host_first}"));
        }
        let [_, addresses, routes] = traces(&host);
        assert_eq!(addresses, [""; 0], "an unnumbered interface");
        assert!(
            routes.iter().any(|route| route.starts_with("2001::/32")),
            "{routes:?}"
        );
        assert_well_formed(&wire, &world.path("."), &[RELAY_PORT]);
        // Of what is not in a UDP datagram, only the client's tests from its server are for Teredo addresses.
        let bare = tshark(
            &wire,
            &world.path("."),
            &[RELAY_PORT],
            "ipv6.dst == 2001::/32 && !udp",
            &["ipv6.src", "ipv6.dst"],
        );
        assert_eq!(bare, Vec::<Vec<String>>::new(), "over native IPv6");
        let status = relay.status();
        assert_eq!((status.peers.trusted, status.reason), (1, None));
        assert!(status.drops.is_empty(), "{:?}", status.drops);
    }
}

/// R4380-5.4-01: a relay whose route another interface has gets no packet. It is offline and says why, and serves again
/// when the route is free.
#[test]
fn a_relay_without_its_route_is_offline() {
    let world = World::new(NatKind::PortRestricted, NatKind::PortRestricted);
    let host = world.relay_host(RELAY);
    let relay = world.relay(&host, &[]);
    relay.until(SECOND * 10, "an open relay", |status| {
        status.state == Phase::Qualified
    });
    let route = |arguments: &str| {
        let mut command = Command::new("ip");
        command.args(["-6", "route"]).args(arguments.split(' '));
        assert!(run(&host, &mut command).status.success(), "{arguments}");
    };
    route("replace 2001::/32 dev lo metric 1024");
    let status = relay.until(SECOND * 10, "a relay that is offline", |status| {
        status.state == Phase::Offline
    });
    let reason = status.reason.unwrap_or_default();
    assert!(
        reason.contains("another interface has this route"),
        "{reason}"
    );
    route("delete 2001::/32 dev lo metric 1024");
    relay.until(SECOND * 10, "a relay that serves again", |status| {
        status.state == Phase::Qualified
    });
}

/// Behind a symmetric NAT: a native host and the client reach each other through our relay. Either side may begin, the
/// exchange outlasts a path, and TCP works, too. RFC 6081 has no such way.
#[test]
fn a_symmetric_client_and_a_native_host_meet() {
    let stage = stage(NatKind::Symmetric, &[]);
    let address = stage.client.address();
    assert_eq!(stage.client.status().nat.as_deref(), Some("symmetric"));
    pings(&stage.alice, NATIVE, "the client begins");
    pings(&stage.native, address, "the native host answers back");
    // Another client; here the native host begins.
    let home =
        stage
            .world
            .internet
            .home("others", NatKind::Symmetric, Ipv4Addr::new(203, 0, 113, 77));
    let home = home.unwrap();
    let host = home.host("carol").unwrap();
    let carol = stage.world.client(&host, &[]);
    let address = carol.qualified().address.unwrap();
    pings(&stage.native, address, "the native host begins");
    nothing_of_clients_dropped(&stage.relay);
}
