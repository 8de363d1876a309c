//! Two NATs in a row, such as a home's behind a carrier's: the first bubble ends between them, and a router says so.

use teredo::wire::Datagram;
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
        assert_eq!(attempts(&captures[0], alice), 1, "{right:?}");
        assert_eq!(attempts(&captures[1], bob), 0, "{right:?}");
        for client in &clients {
            let log = client.process.lines().join("\n");
            assert!(!log.contains("the kernel refuses"), "{log}");
        }
    }
}
