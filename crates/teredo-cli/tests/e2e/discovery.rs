//! Two hosts of one home, behind a router that does not lead from one to the other.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6, TcpStream};
use std::time::Duration;

use teredo_lab::{Capture, Frame, Host};

use crate::world::*;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 253);

/// The rules that README.md gives an administrator whose firewall drops.
const ADMINISTRATOR: &str = "\
table inet filter {
    set teredo_ports { type inet_service; flags timeout; }
    chain input {
        type filter hook input priority filter; policy drop;
        iifname lo accept
        ct state established,related accept
        udp dport @teredo_ports accept
        ip daddr 224.0.0.253 udp dport 3544 accept
        ip protocol igmp accept
        iifname teredo accept
    }
}";

fn neighbours(world: &World) -> [Host; 2] {
    ["alice", "anna"].map(|name| world.left.host(name).unwrap())
}

fn is_for_the_group(frame: &Frame) -> bool {
    frame
        .udp()
        .is_some_and(|datagram| *datagram.to.ip() == GROUP)
}

/// Waits until each has sent its first local bubble.
#[track_caller]
fn acquainted(capture: &Capture, hosts: &[Host; 2]) {
    eventually(SECOND * 15, "a local bubble of each", || {
        let frames = capture.frames();
        hosts.iter().all(|host| {
            let own = |frame: &&Frame| {
                is_for_the_group(frame)
                    && frame
                        .udp()
                        .is_some_and(|datagram| *datagram.from.ip() == host.ipv4())
            };
            frames.iter().any(|frame| own(&frame))
        })
    });
}

/// R4380-5.2-07, R4380-5.2.8-01, R4380-5.2.8-03, R4380-5.2.8-08, R4380-5.2.4-04, R4380-5.2.4-09: they find each other
/// and talk over the link, which the router sees nothing of; what tshark says of the local bubble.
#[test]
fn neighbours_find_each_other() {
    let (world, _server) = World::with_server();
    let hosts = neighbours(&world);
    let capture = Capture::start(hosts[0].namespace(), hosts[0].interface()).unwrap();
    let outside = Capture::start(world.left.router(), "uplink").unwrap();
    let clients = [&hosts[0], &hosts[1]].map(|host| world.client(host, &[]));
    let [a, b] = [&clients[0], &clients[1]].map(Client::address);
    acquainted(&capture, &hosts);
    for client in &clients {
        let drops = client.status().drops;
        assert!(!drops.contains_key("refused_source"), "{drops:?}");
    }

    let there = teredo_lab::ping(&hosts[0], b, 5, SECOND * 5).unwrap();
    assert!(there.are_all_in_order(5), "alice to anna: {there:?}");
    let back = teredo_lab::ping(&hosts[1], a, 5, SECOND * 5).unwrap();
    assert!(back.are_all_in_order(5), "anna to alice: {back:?}");

    let ports = [&clients[0], &clients[1]].map(|client| client.status().port);
    let bubbles = tshark(
        &capture,
        &world.path("."),
        &[ports[0], ports[1], 3544],
        &format!("ip.src == {} && ip.dst == {GROUP}", hosts[0].ipv4()),
        &[
            "ip.ttl",
            "udp.srcport",
            "udp.dstport",
            "ipv6.src",
            "ipv6.dst",
            "ipv6.nxt",
            "ipv6.plen",
            "ipv6.hlim",
        ],
    );
    assert!(!bubbles.is_empty());
    for bubble in bubbles {
        let (port, own) = (ports[0].to_string(), a.to_string());
        assert_eq!(
            bubble,
            ["1", &port, "3544", &own, "ff02::1", "59", "0", "1"]
        );
    }
    assert_well_formed(&capture, &world.path("."), &ports);
    for frame in outside.frames() {
        let Some(datagram) = frame.udp() else {
            continue;
        };
        assert_ne!(*datagram.to.ip(), GROUP, "a local bubble left the link");
        // All that leaves is for the server: a ping over the public way is from port to port.
        let with_server = [datagram.from.port(), datagram.to.port()].contains(&3544);
        assert!(with_server, "data left the link: {datagram:?}");
    }
}

/// R4380-5.2.8-01: through firewalls that drop, one of an administrator with the rules of the README, and one with a
/// table of the agent's own.
#[test]
fn neighbours_find_each_other_through_their_firewalls() {
    let (world, _server) = World::with_server();
    let hosts = neighbours(&world);
    nft(&hosts[0], ADMINISTRATOR);
    let _agents = [
        world.agent(&hosts[0], &["--set", SET]),
        world.agent(&hosts[1], &[]),
    ];
    let capture = Capture::start(hosts[0].namespace(), hosts[0].interface()).unwrap();
    let clients = [&hosts[0], &hosts[1]].map(|host| world.client(host, &[]));
    let [a, b] = [&clients[0], &clients[1]].map(Client::address);
    acquainted(&capture, &hosts);
    let there = teredo_lab::ping(&hosts[0], b, 5, SECOND * 5).unwrap();
    assert!(there.are_all_in_order(5), "alice to anna: {there:?}");
    let back = teredo_lab::ping(&hosts[1], a, 5, SECOND * 5).unwrap();
    assert!(back.are_all_in_order(5), "anna to alice: {back:?}");
}

/// R4380-7.3.4-01, R4380-5.2.4-11: with neither discovery nor RFC 6081 there is no way, and the program hears of it within
/// the retries instead of waiting for ever.
#[test]
fn without_discovery_the_program_is_told() {
    let (world, _server) = World::with_server();
    let hosts = neighbours(&world);
    let capture = Capture::start(hosts[0].namespace(), hosts[0].interface()).unwrap();
    let alone = ["--no-local-discovery", "--nat-traversal", "rfc4380"];
    let clients = [&hosts[0], &hosts[1]].map(|host| world.client(host, &alone));
    let [_, b] = [&clients[0], &clients[1]].map(Client::address);
    let started = std::time::Instant::now();
    let error = connect(&hosts[0], b).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::HostUnreachable, "{error}");
    assert!(started.elapsed() < SECOND * 10, "{:?}", started.elapsed());
    assert!(!capture.frames().iter().any(is_for_the_group));
}

/// R4380-5.2.4-03, R4380-5.2.4-11: the same for a native host that no relay leads to, and for a Teredo address behind
/// which there is nobody.
#[test]
fn what_cannot_be_reached_is_reported_to_the_program() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    client.qualified();
    let nobody = "2001:0:c000:22d:0:3caf:34ff:8e37".parse().unwrap();
    let native = "2001:db8:6::77".parse().unwrap();
    let outcomes = std::thread::scope(|scope| {
        let host = &host;
        let tries = [nobody, native].map(|to| scope.spawn(move || connect(host, to)));
        tries.map(|outcome| outcome.join().unwrap())
    });
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::HostUnreachable, "{error}");
    }
}

/// R4380-5.2.10-01: any port can be the service port, that of local discovery included, which then is done without.
#[test]
fn the_port_of_local_discovery_can_be_the_service_port() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    client.qualified();
    let moved = client.connect().rebind(Some(3544)).unwrap();
    assert_eq!(moved.port, 3544);
    assert_eq!(client.qualified().port, 3544);
}

/// Connects by TCP, as a program on `host`, and returns the result.
fn connect(host: &Host, to: std::net::Ipv6Addr) -> std::io::Result<()> {
    let to = SocketAddr::V6(SocketAddrV6::new(to, 7777, 0, 0));
    let patience = Duration::from_secs(30);
    host.namespace()
        .run(|| TcpStream::connect_timeout(&to, patience).map(drop))
        .unwrap()
}
