//! The second port of the search for a longer refresh interval, and firewalls (RFC 4380 §5.2.7).

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo_lab::{Capture, NatKind};

use crate::miredo::daemon::Miredo;
use crate::world::*;

/// Lets everything out, and in what was asked for and what is for a port in the set; counts what else comes by UDP.
const CLOSED: &str = "\
table inet filter {
    set teredo_ports { type inet_service; flags timeout; }
    counter dropped_in { }
    chain input {
        type filter hook input priority filter; policy drop;
        iifname { lo, teredo } accept
        ct state established,related accept
        udp dport @teredo_ports accept
        meta l4proto udp counter name dropped_in drop
    }
}";

/// R4380-5.2.7-01, R4380-5.2.7-08, R4380-5.2.7-09: the second port asks the server right after the first, is announced
/// to nobody, and no firewall is opened for it: a stranger's datagram that the NAT lets through is dropped by the host.
#[test]
fn the_second_port_makes_no_hole() {
    let world = World::new(NatKind::Cone, NatKind::PortRestricted);
    let _server = world.serve();
    let host = world.left.host("alice").unwrap();
    nft(&host, CLOSED);
    let _agent = world.agent(&host, &["--set", SET]);
    let capture = Capture::start(host.namespace(), host.interface()).unwrap();
    let client = world.client(&host, &["--determine-refresh"]);
    let service = client.qualified().port;
    let second = || {
        let frames = capture.frames();
        let mut asked = frames.iter().filter_map(|frame| {
            let datagram = frame.udp()?;
            let own = *datagram.from.ip() == host.ipv4() && datagram.to.port() == 3544;
            (own && datagram.from.port() != service).then_some(datagram.from.port())
        });
        asked.next()
    };
    eventually(SECOND * 5, "the second port asks the server", || {
        second().is_some()
    });
    let second = second().unwrap();
    assert_eq!(client.connect().get_port().unwrap(), service);
    assert_eq!(open_ports(&host), [u64::from(service)]);

    let stranger = world
        .internet
        .host("stranger", &[Ipv4Addr::new(203, 0, 113, 66)])
        .unwrap();
    let socket = stranger
        .udp_socket((Ipv4Addr::new(203, 0, 113, 66), 5000))
        .unwrap();
    let before = counted(&host, "dropped_in");
    eventually(SECOND * 5, "the drop of a stranger's datagram", || {
        let mapped = SocketAddrV4::new(world.left.public(), second);
        socket.send_to(b"hello", mapped).unwrap();
        counted(&host, "dropped_in") > before
    });
    let status = client.status();
    assert_eq!(status.refresh_ms, Some(30_000));
    assert!(status.drops.is_empty(), "{:?}", status.drops);
}

/// R4380-5.2.7-04, R4380-5.2.7-05: behind a Linux router with random ports, the server passes the bubbles on.
#[test]
fn the_server_passes_the_bubbles_on() {
    let world = World::new(NatKind::Symmetric, NatKind::PortRestricted);
    let _server = world.serve();
    finds_a_longer_interval(&world);
}

/// The same with `miredo`'s server.
#[test]
fn miredo_server_passes_the_bubbles_on() {
    let world = World::new(NatKind::Symmetric, NatKind::PortRestricted);
    let _server = Miredo::server(&world, &world.server);
    finds_a_longer_interval(&world);
}

/// The router forgets an exchange after 7 s, and a flow that has lasted after 12 s.
#[track_caller]
fn finds_a_longer_interval(world: &World) {
    let router = world.left.router();
    for (path, seconds) in [
        ("net/netfilter/nf_conntrack_udp_timeout", "7"),
        ("net/netfilter/nf_conntrack_udp_timeout_stream", "12"),
    ] {
        router.set_sysctl(path, seconds).unwrap();
    }
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &["--determine-refresh", "--refresh-interval", "5"]);
    client.qualified();
    eventually(SECOND * 30, "an interval of 10 s", || {
        client.status().refresh_ms == Some(10_000)
    });
    let status = client.status();
    assert!(status.drops.is_empty(), "{:?}", status.drops);
}
