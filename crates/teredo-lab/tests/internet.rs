//! The internet itself: who reaches whom, and what is left of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use teredo_lab::{Home, Host, Internet, LabError, NatKind, Receive, until};

const SECOND: Duration = Duration::from_secs(1);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 45);
const SERVER_2: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 46);
const LEFT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

fn socket(host: &Host, address: impl Into<IpAddr>, port: u16) -> UdpSocket {
    let socket = host.udp_socket((address.into(), port)).unwrap();
    socket.set_read_timeout(Some(SECOND)).unwrap();
    socket
}

/// Sends a datagram and returns where it seems to come from.
fn probe(from: &UdpSocket, to: &UdpSocket) -> std::io::Result<SocketAddr> {
    from.send_to(b"probe", to.local_addr()?)?;
    let mut buffer = [0; 16];
    let (length, seen) = to.receive_from(&mut buffer)?;
    assert_eq!(&buffer[..length], b"probe");
    Ok(seen)
}

fn two_homes(internet: &Internet, kind: NatKind) -> (Home, Home) {
    let left = internet.home("left", kind, LEFT).unwrap();
    let right = internet.home("right", kind, RIGHT).unwrap();
    (left, right)
}

#[test]
fn public_hosts_reach_each_other_by_every_address() {
    let internet = Internet::new().unwrap();
    let server = internet.host("server", &[SERVER, SERVER_2]).unwrap();
    let other = internet.host("other", &[RIGHT]).unwrap();
    assert_eq!(server.addresses(), [IpAddr::from(SERVER), SERVER_2.into()]);
    let here = socket(&other, RIGHT, 0);
    for address in [SERVER, SERVER_2] {
        let there = socket(&server, address, 3544);
        assert_eq!(probe(&here, &there).unwrap(), here.local_addr().unwrap());
        assert_eq!(probe(&there, &here).unwrap(), there.local_addr().unwrap());
    }
}

#[test]
fn a_home_host_reaches_the_internet_and_gets_its_answer() {
    let internet = Internet::new().unwrap();
    let server = internet.host("server", &[SERVER]).unwrap();
    let home = internet
        .home("left", NatKind::PortRestricted, LEFT)
        .unwrap();
    let alice = home.host("alice").unwrap();
    assert_eq!(alice.ipv4(), Ipv4Addr::new(192, 168, 1, 2));
    let inside = socket(&alice, Ipv4Addr::UNSPECIFIED, 0);
    let there = socket(&server, SERVER, 3544);
    let seen = probe(&inside, &there).unwrap();
    assert_eq!(seen.ip(), LEFT);
    there.send_to(b"answer", seen).unwrap();
    assert_eq!(inside.receive(&mut [0; 16]).unwrap(), 6);
}

#[test]
fn hosts_of_one_home_share_a_link() {
    let internet = Internet::new().unwrap();
    let home = internet.home("left", NatKind::Cone, LEFT).unwrap();
    let (alice, anna) = (home.host("alice").unwrap(), home.host("anna").unwrap());
    let (here, there) = (
        socket(&alice, alice.ipv4(), 0),
        socket(&anna, anna.ipv4(), 0),
    );
    assert_eq!(probe(&here, &there).unwrap(), here.local_addr().unwrap());

    // Local discovery of RFC 4380 §5.2.8 is multicast on the link.
    let group = Ipv4Addr::new(224, 0, 0, 253);
    let listener = socket(&anna, Ipv4Addr::UNSPECIFIED, 3544);
    listener.join_multicast_v4(&group, &anna.ipv4()).unwrap();
    let sender = socket(&alice, alice.ipv4(), 3544);
    sender.send_to(b"discovery", (group, 3544)).unwrap();
    let (_, from) = listener.receive_from(&mut [0; 16]).unwrap();
    assert_eq!(from.ip(), alice.ipv4());
}

#[test]
fn native_ipv6_and_an_announced_prefix() {
    let internet = Internet::new().unwrap();
    let native: Ipv6Addr = "2001:db8:6::1".parse().unwrap();
    let relay_native: Ipv6Addr = "2001:db8:7::1".parse().unwrap();
    let v6 = internet.native_host("v6", &[], native).unwrap();
    let relay = internet
        .native_host("relay", &[RIGHT], relay_native)
        .unwrap();
    let (here, there) = (socket(&v6, native, 0), socket(&relay, relay_native, 0));
    assert_eq!(probe(&here, &there).unwrap(), here.local_addr().unwrap());

    internet
        .announce("2001::".parse().unwrap(), 32, &relay)
        .unwrap();
    let capture = teredo_lab::Capture::start(relay.namespace(), relay.interface()).unwrap();
    let teredo: Ipv6Addr = "2001:0:c000:22d:8000:63bf:3fff:fdd2".parse().unwrap();
    here.send_to(b"to the relay", (teredo, 9)).unwrap();
    capture
        .wait_for(
            SECOND,
            "a packet for a Teredo address at the relay",
            |frame| {
                frame
                    .ip()
                    .is_some_and(|ip| ip[0] >> 4 == 6 && ip[24..40] == teredo.octets())
            },
        )
        .unwrap();
}

#[test]
fn a_host_can_be_readdressed_and_its_link_cut() {
    let internet = Internet::new().unwrap();
    let server = internet.host("server", &[SERVER]).unwrap();
    let home = internet
        .home("left", NatKind::PortRestricted, LEFT)
        .unwrap();
    let alice = home.host("alice").unwrap();
    let there = socket(&server, SERVER, 3544);

    let new = Ipv4Addr::new(192, 168, 1, 77);
    alice.readdress(new).unwrap();
    assert_eq!(alice.addresses(), [IpAddr::from(new)]);
    let inside = socket(&alice, new, 0);
    probe(&inside, &there).unwrap();
    assert!(
        alice
            .udp_socket((Ipv4Addr::new(192, 168, 1, 2), 0))
            .is_err()
    );

    alice.set_link_down().unwrap();
    assert!(inside.send_to(b"x", (SERVER, 3544)).is_err());
    alice.set_link_up().unwrap();
    probe(&inside, &there).unwrap();

    assert!(matches!(
        alice.readdress(home.gateway()),
        Err(LabError::NotInHome(_))
    ));
    assert!(matches!(
        alice.readdress(SERVER),
        Err(LabError::NotInHome(_))
    ));
    let anna = home.host("anna").unwrap();
    assert!(matches!(
        alice.readdress(anna.ipv4()),
        Err(LabError::AddressTaken(_))
    ));
}

#[test]
fn names_and_addresses_are_checked() {
    let internet = Internet::new().unwrap();
    for name in ["", "Server", "a/b", "more-than-12-b"] {
        assert!(
            matches!(internet.host(name, &[SERVER]), Err(LabError::Name(_))),
            "{name:?}"
        );
    }
    let _server = internet.host("server", &[SERVER]).unwrap();
    assert!(matches!(
        internet.host("server", &[SERVER_2]),
        Err(LabError::NameTaken(_))
    ));
    assert!(matches!(
        internet.host("again", &[SERVER]),
        Err(LabError::AddressTaken(_))
    ));
    let dns = Ipv4Addr::new(8, 8, 8, 8);
    assert!(matches!(
        internet.host("dns", &[dns]),
        Err(LabError::NotRouted(_))
    ));
    // A refused pair leaves neither of its addresses taken.
    assert!(internet.host("pair", &[SERVER_2, SERVER]).is_err());
    internet.host("single", &[SERVER_2]).unwrap();
}

#[test]
fn a_datagram_to_nobody_vanishes_without_an_error() {
    let internet = Internet::new().unwrap();
    let server = internet.host("server", &[SERVER]).unwrap();
    let socket = socket(&server, SERVER, 0);
    socket.connect((RIGHT, 9)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    socket.send(b"x").unwrap();
    let error = socket.receive(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
}

#[test]
fn several_internets_do_not_see_each_other() {
    let internets: Vec<Internet> = (0..3).map(|_| Internet::new().unwrap()).collect();
    let sockets: Vec<_> = internets
        .iter()
        .map(|internet| {
            let server = internet.host("server", &[SERVER]).unwrap();
            let client = internet.host("client", &[RIGHT]).unwrap();
            let sockets = (socket(&server, SERVER, 3544), socket(&client, RIGHT, 4000));
            (server, client, sockets)
        })
        .collect();
    for (_, _, (server, client)) in &sockets {
        assert_eq!(probe(client, server).unwrap(), client.local_addr().unwrap());
    }
    for (_, _, (server, _)) in &sockets {
        server.set_nonblocking(true).unwrap();
        assert!(
            server.receive(&mut [0; 1]).is_err(),
            "a datagram came from another internet"
        );
    }
}

/// The far end of a link vanishes with the namespace that it was in.
#[test]
fn a_dropped_host_is_gone() {
    let internet = Internet::new().unwrap();
    let home = internet
        .home("left", NatKind::PortRestricted, LEFT)
        .unwrap();
    let alice = home.host("alice").unwrap();
    let interfaces = || home.router().run(interface_names).unwrap();
    assert!(interfaces().contains(&"to-alice".to_owned()));
    drop(alice);
    until(
        5 * SECOND,
        "the router's interface to a dropped host to vanish",
        || (!interfaces().contains(&"to-alice".to_owned())).then_some(()),
    )
    .unwrap();

    let core = internet.core().clone();
    assert!(
        core.run(interface_names)
            .unwrap()
            .contains(&"to-left".to_owned())
    );
    drop((home, internet));
    until(
        5 * SECOND,
        "the core's interface to a dropped home to vanish",
        || (core.run(interface_names).unwrap() == ["lo"]).then_some(()),
    )
    .unwrap();
}

fn interface_names() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    table
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect()
}

#[test]
fn two_homes_are_built_quickly() {
    let start = Instant::now();
    let internet = Internet::new().unwrap();
    let _server = internet.host("server", &[SERVER, SERVER_2]).unwrap();
    let (left, right) = two_homes(&internet, NatKind::Restricted);
    let _hosts = (left.host("alice").unwrap(), right.host("bob").unwrap());
    let took = start.elapsed();
    println!("two homes: {took:?}");
    // 300 ms on an idle machine; the tests share theirs with each other.
    assert!(took < 3 * SECOND, "{took:?}");
}
