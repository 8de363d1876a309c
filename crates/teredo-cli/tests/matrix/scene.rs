//! A cell is played: an internet is made of its parts, and its clients and a native host talk.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::Instant;

use teredo::wire::PORT;
use teredo_lab::{Capture, Host, Process};

use crate::cell::{Cell, Make};
use crate::daemon::{Miredo, appears, bound};
use crate::transfer::{data, transfer};
use crate::world::*;

/// The addresses of a server that has native IPv6 as well.
const DUAL: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 65), Ipv4Addr::new(192, 0, 2, 66)];
const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);

const PINGS: u16 = 3;
/// `miredo` repeats a bubble when there is another packet, 3 s later at the earliest.
const PATIENCE: std::time::Duration = SECOND.saturating_mul(12);

/// A running part; it ends with this.
enum Part {
    OurServer(#[expect(dead_code, reason = "held for its end")] Process),
    OurNode(#[expect(dead_code, reason = "held for its end")] Client),
    Miredo(#[expect(dead_code, reason = "held for its end")] Miredo),
}

/// Fails, with what went wrong, unless everything gets through.
pub(crate) fn play(cell: Cell) {
    let world = World::new(cell.left.nat, cell.right.nat);
    let attach = |name, v4: &[Ipv4Addr], v6| world.internet.native_host(name, v4, v6).unwrap();
    let server_host = attach("dual", &DUAL, "2001:db8:1::1".parse().unwrap());
    let relay_host = attach("relay", &[RELAY], "2001:db8:2::1".parse().unwrap());
    let native = attach("native", &[], NATIVE);
    world
        .internet
        .announce("2001::".parse().unwrap(), 32, &relay_host)
        .unwrap();
    let alice = world.left.host("alice").unwrap();
    let bob = world.right.host("bob").unwrap();
    for host in [&alice, &bob, &relay_host] {
        without_batches(host);
    }
    let captures = [&alice, &server_host]
        .map(|host| Capture::start(host.namespace(), host.interface()).unwrap());

    let mut server = serve(cell.server, &world, &server_host);
    let mut relay = relay_for(cell.relay, &world, &relay_host);
    let (_a, a) = client(cell.left.client, &world, &alice);
    let (_b, b) = client(cell.right.client, &world, &bob);

    // The clients, and what their server has to do with them once they know each other: nothing.
    answered(&alice, b);
    answered(&bob, a);
    let data = data(1);
    transfer(&alice, &bob, b, &data, || {
        drop(server.take());
        server = serve(cell.server, &world, &server_host);
    });
    transfer(&bob, &alice, a, &data, || {});

    // By way of the relay, found with the help of the server that has just come.
    answered(&alice, NATIVE);
    answered(&native, b);
    transfer(&alice, &native, NATIVE, &data, || {});
    transfer(&native, &alice, a, &data, || {
        drop(relay.take());
        relay = relay_for(cell.relay, &world, &relay_host);
    });
    // A client that has a path goes on using it for 30 s, and a `miredo` relay that has just come knows nobody whom no
    // native host has written to.
    answered(&native, b);
    answered(&bob, NATIVE);
    assert!(server.is_some() && relay.is_some());

    let ports: Vec<_> = bound(&alice)
        .iter()
        .chain(&bound(&bob))
        .map(|socket| socket.port())
        .chain([PORT, RELAY_PORT])
        .collect();
    for capture in captures {
        assert_complete(&capture);
        assert_well_formed(&capture, &world.path("."), &ports);
    }
}

fn serve(make: Make, world: &World, host: &Host) -> Option<Part> {
    Some(match make {
        Make::Miredo => Part::Miredo(Miredo::server(world, host)),
        Make::Ours => {
            let address = DUAL[0].to_string();
            let process = start(host, "server", &["server", "--address", &address]);
            process.wait_for_line("serving", SECOND * 5).unwrap();
            Part::OurServer(process)
        }
    })
}

fn relay_for(make: Make, world: &World, host: &Host) -> Option<Part> {
    Some(match make {
        Make::Miredo => Part::Miredo(Miredo::relay(world, host)),
        Make::Ours => Part::OurNode(world.relay(host, &[])),
    })
}

/// Starts a client, and waits until the kernel has its address.
fn client(make: Make, world: &World, host: &Host) -> (Part, Ipv6Addr) {
    match make {
        Make::Miredo => {
            let miredo = Miredo::client_of(world, host, DUAL[0]);
            (Part::Miredo(miredo), appears(host))
        }
        Make::Ours => {
            let client = world.client_with(host, &["--server", &DUAL[0].to_string()]);
            client.address();
            (Part::OurNode(client), appears(host))
        }
    }
}

/// Waits until a burst of echo requests is answered as a whole: `miredo` may drop the first.
#[track_caller]
fn answered(from: &Host, to: Ipv6Addr) {
    let start = Instant::now();
    let mut last = None;
    while start.elapsed() < PATIENCE {
        // `miredo`'s route comes a moment after its address.
        let replies = teredo_lab::ping(from, to, PINGS, SECOND * 4);
        match replies {
            Ok(replies) if replies.order.len() == usize::from(PINGS) => return,
            _ => last = Some(replies),
        }
    }
    panic!("{} to {to}: no answer: {last:?}", from.name());
}

/// Makes the kernel cut batches up on the host already, so that a capture shows every datagram.
#[track_caller]
fn without_batches(host: &Host) {
    let mut ip = Command::new("ip");
    ip.args(["link", "set", "dev", host.interface(), "gso_max_segs", "1"]);
    let output = run(host, &mut ip);
    assert!(
        output.status.success(),
        "ip: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Nothing was captured and forgotten again.
#[track_caller]
fn assert_complete(capture: &Capture) {
    let frames = capture.frames();
    let bytes: usize = frames.iter().map(|frame| frame.data.len()).sum();
    assert!(
        !frames.is_empty() && frames.len() < 65_536 && bytes < 63 << 20,
        "{} frames, {bytes} bytes",
        frames.len()
    );
}
