//! Servers that die, that lead nowhere or that are named wrongly, and the paths to them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use teredo_lab::{Capture, NatKind};
use teredo_notify::types::{Phase, Status};

use crate::world::*;

fn reason(status: &Status) -> &str {
    status.reason.as_deref().unwrap_or_default()
}

/// R4380-5.2.5-06: in quiet, a server that dies is given up after 12 s, and it is the reason.
#[test]
fn a_dead_server_is_given_up_in_time() {
    let (world, server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    let status = client.qualified();
    assert_eq!(status.refresh_ms, Some(8000));
    drop(server);
    let died = Instant::now();
    client.until(SECOND * 20, "the loss of the server", |status| {
        status.state != Phase::Qualified && reason(status).contains("192.0.2.45")
    });
    assert!(
        died.elapsed() < Duration::from_secs(13),
        "{:?}",
        died.elapsed()
    );
    let _server = world.serve();
    client.until(SECOND * 20, "the server again", |status| {
        status.state == Phase::Qualified
    });
}

/// R4380-GU-04: nothing leaves to an address that leads nowhere, and the reason names it.
#[test]
fn an_address_that_leads_nowhere_is_named() {
    let world = World::new(NatKind::PortRestricted, NatKind::PortRestricted);
    let host = world.left.host("alice").unwrap();
    let capture = Capture::start(host.namespace(), host.interface()).unwrap();
    for address in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "169.254.7.7"] {
        let client = world.client_with(&host, &["--server", address]);
        client.until(SECOND * 5, "the refusal", |status| {
            status.state == Phase::Offline && reason(status).contains(address)
        });
    }
    let sent = capture.frames();
    assert!(
        sent.iter()
            .all(|frame| frame.udp().is_none_or(|udp| udp.to.port() != 3544))
    );
}

/// R4380-5.2.1-06: both ends name the addresses of a server whose secondary address is not the next one, or that is
/// named by the secondary one.
#[test]
fn servers_are_named_by_their_addresses() {
    let world = World::new(NatKind::PortRestricted, NatKind::PortRestricted);
    let addresses = [Ipv4Addr::new(192, 0, 2, 80), Ipv4Addr::new(192, 0, 2, 90)];
    let far = world.internet.host("far", &addresses).unwrap();
    let arguments = [
        "server",
        "--address",
        "192.0.2.80",
        "--secondary",
        "192.0.2.90",
    ];
    let far_server = start(&far, "far server", &arguments);
    far_server
        .wait_for_line("clients need '--server 192.0.2.80,192.0.2.90'", SECOND * 5)
        .unwrap();
    let host = world.left.host("alice").unwrap();
    {
        let client = world.client_with(&host, &["--server", "192.0.2.80,192.0.2.90"]);
        client.qualified();
    }
    {
        let client = world.client_with(&host, &["--server", "192.0.2.80"]);
        client.until(SECOND * 20, "the silence of 192.0.2.81", |status| {
            reason(status).contains("192.0.2.81") && reason(status).contains("PRIMARY,SECONDARY")
        });
    }
    let client = world.client_with(&host, &["--server", "192.0.2.90"]);
    client.until(SECOND * 20, "the right address", |status| {
        reason(status).contains("192.0.2.90 is the secondary address of server 192.0.2.80")
    });
}

/// R4380-5.2-08: behind a NAT that forgets after 10 s, a quiet client stays reachable.
#[test]
fn a_forgetful_nat_keeps_the_mapping() {
    let (world, _server) = World::with_server();
    world.left.set_mapping_lifetime(SECOND * 10).unwrap();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    let address = client.address();
    let capture = Capture::start(host.namespace(), host.interface()).unwrap();
    let asked = || {
        let frames = capture.frames();
        frames
            .iter()
            .filter(|frame| frame.udp().is_some_and(|udp| udp.to.port() == 3544))
            .count()
    };
    eventually(SECOND * 40, "four refreshes", || asked() >= 4);
    assert_eq!(client.address(), address);
    let other = world.right.host("bob").unwrap();
    let bob = world.client(&other, &[]);
    bob.qualified();
    let answers = teredo_lab::ping(&other, address, 3, SECOND * 5).unwrap();
    assert!(answers.are_all_in_order(3), "{answers:?}");
}

/// R4380-5.1.2-03: a path with an MTU of 1280 that drops fragments is named, and TCP goes on with shorter segments.
#[test]
fn tcp_goes_on_over_a_small_path() {
    let (world, _server) = World::with_server();
    let router = world.left.router();
    let in_router = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let child = router.spawn(command.args(arguments)).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}");
    };
    in_router("ip", &["link", "set", "uplink", "mtu", "1280"]);
    // Longer datagrams that arrive are dropped by the link itself.
    let fragments = "table netdev small { chain out { type filter hook egress device uplink priority 0; \
                     ip frag-off & 0x3fff != 0 drop; }; }";
    in_router("nft", &[fragments]);
    let [alice, bob] = [
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    ];
    let clients = [&alice, &bob].map(|host| world.client(host, &[]));
    let to = clients[1].address();
    for client in &clients {
        client.qualified();
    }
    let there = teredo_lab::ping(&alice, to, 3, SECOND * 5).unwrap();
    assert!(there.are_all_in_order(3), "{there:?}");
    let listener = bob
        .namespace()
        .run(|| TcpListener::bind((to, 4000)).unwrap())
        .unwrap();
    let dialled = alice
        .namespace()
        .run(|| TcpStream::connect((to, 4000)).unwrap())
        .unwrap();
    let (accepted, _) = listener.accept().unwrap();
    const BYTES: usize = 1 << 20;
    for (from, into) in [(&dialled, &accepted), (&accepted, &dialled)] {
        let (mut from, mut into) = (from, into);
        into.set_read_timeout(Some(SECOND * 10)).unwrap();
        from.set_write_timeout(Some(SECOND * 10)).unwrap();
        thread::scope(|scope| {
            scope.spawn(move || from.write_all(&vec![7; BYTES]).unwrap());
            into.read_exact(&mut vec![0; BYTES]).unwrap();
        });
    }
    clients[0].until(SECOND * 10, "the small path", |status| {
        status.state == Phase::Qualified && reason(status).contains("up to 1252 bytes")
    });
    assert_eq!(clients[1].status().reason, None);
}
