//! Two NATs in a row, such as a home's behind a carrier's: the first bubble ends between them, and a router says so.

use std::time::SystemTime;

use teredo::wire::{Datagram, PORT};
use teredo_lab::{Capture, Host, NatKind};

use crate::world::*;

/// The indirect bubbles of a host: one for each attempt to reach a peer. The peers do not ask back, because both clients
/// know RFC 4380 alone.
fn attempts(capture: &Capture, host: &Host) -> usize {
    let frames = capture.frames();
    let indirect = frames.iter().filter(|frame| {
        frame.udp().is_some_and(|datagram| {
            *datagram.from.ip() == host.ipv4()
                && *datagram.to.ip() == SERVER
                && Datagram::parse(datagram.payload).is_ok_and(|parsed| parsed.packet.is_bubble())
        })
    });
    indirect.count()
}

/// R4380-5.2.4-06: a client behind a home's and a carrier's NAT needs one attempt: by the time the peer's answer comes, the
/// report has made it open both. The same if the peer is behind two NATs, too, or behind a router with open input.
#[test]
fn the_first_attempt_gets_through_two_nats() {
    for right in [
        NatKind::PortRestricted,
        NatKind::OpenInput,
        NatKind::Carrier,
    ] {
        // The links of the lab have no delay, so the answer may be there before the client has read the report.
        let is_in_time = (0..5).any(|_| the_first_attempt_gets_through_to(right));
        assert!(is_in_time, "{right:?}");
    }
}

/// Whether the report was faster than the answer. If so, there was one attempt.
fn the_first_attempt_gets_through_to(right: NatKind) -> bool {
    let world = World::new(NatKind::Carrier, right);
    let _server = world.serve();
    let hosts = [
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    ];
    let [alice, bob] = &hosts;
    let captures = hosts
        .each_ref()
        .map(|host| Capture::start(host.namespace(), "eth0").unwrap());
    let by_rfc4380 = ["--nat-traversal", "rfc4380"];
    let clients = hosts.each_ref().map(|host| world.client(host, &by_rfc4380));
    let [_, b] = clients.each_ref().map(Client::address);

    let replies = teredo_lab::ping(alice, b, 3, SECOND * 10).unwrap();
    assert!(replies.are_all_in_order(3), "{right:?}: {replies:?}");
    assert_eq!(attempts(&captures[1], bob), 0, "{right:?}");
    for client in &clients {
        let log = client.process.lines().join("\n");
        assert!(!log.contains("the kernel refuses"), "{log}");
    }
    // The first bubble ends between the NATs, and the second one opens both.
    let opened = direct(&captures[0], alice).nth(1).unwrap();
    let answered = direct(&captures[1], bob).next().unwrap();
    let is_in_time = opened < answered;
    assert!(
        !is_in_time || attempts(&captures[0], alice) == 1,
        "{right:?}"
    );
    is_in_time
}

/// When the host sent to its peer.
fn direct(capture: &Capture, host: &Host) -> impl Iterator<Item = SystemTime> {
    let own = host.ipv4();
    capture.frames().into_iter().filter_map(move |frame| {
        let datagram = frame.udp()?;
        let to = *datagram.to.ip();
        let is_direct = *datagram.from.ip() == own && datagram.to.port() != PORT && to != SERVER;
        is_direct.then_some(frame.time)
    })
}
