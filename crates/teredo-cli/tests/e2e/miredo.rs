//! Our client and our server together with Debian's `miredo` 1.2.6: each sends what the other needs.
//!
//! `miredo` sends its bubbles with hop limit 0, from a link-local address whose identifier only it can check, and
//! trusts any node that sends that identifier back. It never repeats a bubble by itself, and releases the packets that
//! waited last first.

mod behind_nats;
pub(crate) mod daemon;
mod faults;
mod moved;
mod native;
mod our_relay;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use teredo::wire::{Datagram, PORT};
use teredo_lab::{Capture, Frame, Host, NatKind, until};
use teredo_notify::types::{Phase, Status};

use self::daemon::{Miredo, address_of, appears, bound};
use crate::scenes::side_by_side;
use crate::world::*;

const PINGS: u16 = 5;

const ICMPV6: u8 = 58;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;

const LEFT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// R4380-4-01, R4380-4-02, R4380-4-05, R4380-4-06, R4380-5.2.1-08, R4380-5.2.1-10, R4380-5.2.1-11, R4380-2.9-01,
/// R5991-3.1-02, R5991-3.2-01: a client is qualified by the first round trip, its address is the mapping bit by bit, and
/// its port is the one that the kernel has bound.
#[test]
fn our_client_qualifies_with_miredo_server_in_one_round_trip() {
    for nat in [NatKind::PortRestricted, NatKind::Restricted, NatKind::Cone] {
        qualify_with_miredo_server(nat);
    }
}

fn qualify_with_miredo_server(nat: NatKind) {
    let world = World::new(nat, NatKind::None);
    let alice_host = world.left.host("alice").unwrap();
    // From here on the NAT's ports are not those of its hosts.
    world.left.change_mappings().unwrap();
    let server = Miredo::server(&world, &world.server);
    let inside = Capture::start(alice_host.namespace(), alice_host.interface()).unwrap();
    let outside = Capture::start(world.server.namespace(), world.server.interface()).unwrap();

    // The server is held until both of its addresses were asked: one round trip is all that there is.
    server.signal(Signal::STOP);
    let alice = world.client(&alice_host, &[]);
    let solicitations = messages(&outside, SOLICITATION, 2);
    server.signal(Signal::CONT);
    let address = appears(&alice_host);
    let status = alice.qualified();

    let mapped = solicitations[0].udp().unwrap().from;
    for (solicitation, server) in solicitations.iter().zip([SERVER, SECONDARY]) {
        let datagram = solicitation.udp().unwrap();
        assert_eq!(
            (datagram.from, datagram.to),
            (mapped, SocketAddrV4::new(server, PORT))
        );
    }
    assert_eq!(*mapped.ip(), LEFT);
    assert_ne!(
        mapped.port(),
        status.port,
        "the NAT shows the client's own port"
    );
    assert_is_the_mapping(address, mapped);
    assert_eq!(
        (status.address, status.mapped),
        (Some(address), Some(mapped))
    );
    assert_eq!(status.nat.as_deref(), Some("restricted"));

    let output = run(
        &alice_host,
        teredo().args(["port", "--socket"]).arg(&alice.socket),
    );
    let port: u16 = String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .parse()
        .unwrap();
    // The service port, and local discovery's, which is the group's alone.
    let bound = bound(&alice_host);
    let group = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 253), PORT);
    let ports = bound.iter().filter(|bound| **bound != group);
    let ports: Vec<_> = ports.map(SocketAddrV4::port).collect();
    assert_eq!((port, ports), (status.port, vec![port]));

    let answered = messages(&inside, ADVERTISEMENT, 1)[0].time;
    let asked = messages(&inside, SOLICITATION, 2);
    assert!(
        asked
            .iter()
            .all(|solicitation| solicitation.time < answered),
        "nothing is asked after the first answer"
    );
    only_one_port(&inside, port);
    assert_well_formed(&inside, &world.path("."), &[port]);
    tshark_agrees(&world, &inside, mapped, port);
}

/// Checks that tshark reads the same in the solicitations and the advertisements.
#[track_caller]
fn tshark_agrees(world: &World, inside: &Capture, mapped: SocketAddrV4, port: u16) {
    let fields = ["ip.dst", "udp.srcport", "ipv6.hlim", "ipv6.src"];
    let asked = tshark(
        inside,
        &world.path("."),
        &[port],
        "icmpv6.type == 133",
        &fields,
    );
    for (row, server) in asked.iter().zip([SERVER, SECONDARY]) {
        assert_eq!(
            row[..3],
            [server.to_string(), port.to_string(), "255".to_owned()]
        );
        let source: Ipv6Addr = row[3].parse().unwrap();
        assert_eq!(source.octets()[8] & 0x80, 0, "the cone bit of {source}");
    }
    let fields = [
        "ip.src",
        "teredo.orig.addr",
        "teredo.orig.port",
        "icmpv6.opt.prefix",
    ];
    let mut answers = tshark(
        inside,
        &world.path("."),
        &[port],
        "icmpv6.type == 134",
        &fields,
    );
    answers.sort();
    let expected = [SERVER, SECONDARY].map(|server| {
        vec![
            server.to_string(),
            mapped.ip().to_string(),
            mapped.port().to_string(),
            "2001:0:c000:22d::".to_owned(),
        ]
    });
    assert_eq!((asked.len(), answers), (2, expected.to_vec()));
}

/// R4380-5.2.1-11: another port for the secondary address is a symmetric NAT, and there is no service.
#[test]
fn our_client_tells_a_symmetric_nat_by_miredo_server() {
    let world = World::new(NatKind::Symmetric, NatKind::None);
    let _server = Miredo::server(&world, &world.server);
    let alice_host = world.left.host("alice").unwrap();
    let alice = world.client(&alice_host, &["--nat-traversal", "rfc4380"]);
    let symmetric = |status: &Status| status.nat.as_deref() == Some("symmetric");
    let status = alice.until(QUALIFICATION, "the client's verdict on its NAT", symmetric);
    assert_eq!((status.state, status.address), (Phase::Offline, None));
    assert_eq!(address_of(&alice_host), None);
}

/// A `miredo` client qualifies with our server, and our client and it reach each other.
#[test]
fn miredo_and_our_client_meet_by_our_server() {
    meet(World::serve);
}

/// Our client and a `miredo` client reach each other by `miredo`'s server.
#[test]
fn miredo_and_our_client_meet_by_miredo_server() {
    meet(|world| Miredo::server(world, &world.server));
}

/// A `miredo` relay, for tests that are not about `miredo`; it ends when this is dropped.
pub(crate) fn relay(world: &World, host: &Host) -> impl Drop {
    Miredo::relay(world, host)
}

/// Who has the first packet for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Ours,
    Theirs,
    Both,
}

/// Behind every pair of NATs that there is a way through, whoever begins, everything is answered.
fn meet<S>(serve: fn(&World) -> S) {
    let pairs = [
        [NatKind::PortRestricted, NatKind::PortRestricted],
        [NatKind::Restricted, NatKind::PortRestricted],
        [NatKind::Cone, NatKind::PortRestricted],
        [NatKind::PortRestricted, NatKind::Cone],
    ];
    let scenes =
        pairs.map(|nats| [First::Ours, First::Theirs, First::Both].map(|first| (nats, first)));
    side_by_side(scenes.concat(), |(nats, first)| {
        meet_behind(nats, first, serve);
    });
}

fn meet_behind<S>(nats: [NatKind; 2], first: First, serve: fn(&World) -> S) {
    let world = World::new(nats[0], nats[1]);
    let _server = serve(&world);
    let (alice, bob) = (
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    );
    world.right.change_mappings().unwrap();
    let outside = Capture::start(world.server.namespace(), world.server.interface()).unwrap();
    let _miredo = Miredo::client(&world, &bob);
    let bob_address = appears(&bob);
    assert_is_the_mapping(
        bob_address,
        messages(&outside, SOLICITATION, 1)[0].udp().unwrap().from,
    );

    let client = world.client(&alice, &[]);
    let (alice_address, port) = (client.address(), client.status().port);
    without_batches(&alice);
    let inside = Capture::start(alice.namespace(), alice.interface()).unwrap();
    let context = format!("{nats:?}, first {first:?}");
    let ours = || all_answered(&alice, bob_address, &context);
    let theirs = || all_answered(&bob, alice_address, &context);
    match first {
        First::Ours => [ours(), theirs()],
        First::Theirs => [theirs(), ours()],
        First::Both => std::thread::scope(|scope| {
            let theirs = scope.spawn(theirs);
            [ours(), theirs.join().unwrap()]
        }),
    };

    for kind in [ECHO_REQUEST, ECHO_REPLY] {
        messages(&inside, kind, 2 * usize::from(PINGS));
    }
    only_one_port(&inside, port);
    assert_well_formed(&inside, &world.path("."), &[port]);
    let bubbles = bubbles(&world, &inside, port);
    match first {
        First::Ours => answered_by_miredo(&bubbles, bob_address),
        First::Theirs => answered_by_us(&bubbles),
        First::Both => {}
    }
}

#[track_caller]
fn all_answered(from: &Host, to: Ipv6Addr, context: &str) {
    let replies = teredo_lab::ping(from, to, PINGS, SECOND * 5).unwrap();
    let mut answered = replies.order.clone();
    answered.sort_unstable();
    assert!(
        answered.iter().copied().eq(0..PINGS),
        "{context}, from {}: {replies:?}",
        from.name()
    );
}

/// The captured bubbles, as tshark shows them.
struct Bubble {
    from: String,
    to: [String; 2],
    source: String,
    destination: String,
    hop_limit: String,
    origin: [String; 2],
}

#[track_caller]
fn bubbles(world: &World, inside: &Capture, port: u16) -> Vec<Bubble> {
    let fields = [
        "ip.src",
        "ip.dst",
        "udp.dstport",
        "ipv6.src",
        "ipv6.dst",
        "ipv6.hlim",
        "teredo.orig.addr",
        "teredo.orig.port",
    ];
    let rows = tshark(
        inside,
        &world.path("."),
        &[port],
        "ipv6.nxt == 59 && ipv6.plen == 0",
        &fields,
    );
    let bubbles = rows.into_iter().map(|row| {
        let [
            from,
            to,
            to_port,
            source,
            destination,
            hop_limit,
            origin,
            origin_port,
        ] = row.try_into().unwrap();
        Bubble {
            from,
            to: [to, to_port],
            source,
            destination,
            hop_limit,
            origin: [origin, origin_port],
        }
    });
    bubbles.collect()
}

/// Checks that `miredo` answers directly, from its Teredo address.
#[track_caller]
fn answered_by_miredo(bubbles: &[Bubble], address: Ipv6Addr) {
    let theirs = bubbles
        .iter()
        .find(|bubble| bubble.hop_limit == "0")
        .expect("a bubble of miredo");
    assert_eq!(
        [&theirs.source, &theirs.from],
        [&address.to_string(), &RIGHT.to_string()]
    );
}

/// Checks that `miredo` asks by the server, from a link-local address, and that our answer goes back to that address at
/// the origin of the bubble.
#[track_caller]
fn answered_by_us(bubbles: &[Bubble]) {
    let from_server =
        |bubble: &&Bubble| bubble.hop_limit == "0" && bubble.from == SERVER.to_string();
    let theirs = bubbles
        .iter()
        .find(from_server)
        .expect("a bubble of miredo by the server");
    assert!(theirs.source.starts_with("fe80:"), "{}", theirs.source);
    let ours = bubbles
        .iter()
        .find(|bubble| bubble.destination == theirs.source)
        .expect("an answer of ours");
    assert_eq!(ours.source, theirs.destination);
    assert_eq!(
        ours.to, theirs.origin,
        "where the answer went, and the origin"
    );
}

/// Makes the kernel cut the client's batches up on the host already, as the network card of a real host does, and not
/// carry them from namespace to namespace as they are: a capture then shows every datagram.
#[track_caller]
fn without_batches(host: &Host) {
    let output = run(
        host,
        Command::new("ip").args(["link", "set", "dev", host.interface(), "gso_max_segs", "1"]),
    );
    assert!(
        output.status.success(),
        "ip: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Everything that the host sent left from its one port.
#[track_caller]
fn only_one_port(inside: &Capture, port: u16) {
    let outgoing = |frame: &Frame| {
        frame
            .udp()
            .is_some_and(|datagram| datagram.from.ip().is_private())
    };
    inside
        .wait_for(SECOND * 5, "a datagram of the host", outgoing)
        .unwrap();
    let frames = inside.frames();
    let own = frames
        .iter()
        .filter_map(Frame::udp)
        .filter(|datagram| datagram.from.ip().is_private());
    let mut ports: Vec<_> = own.map(|datagram| datagram.from.port()).collect();
    ports.dedup();
    assert_eq!(ports, [port]);
}

/// The Teredo address, bit by bit (RFC 4380 §4): the prefix, the server, no flag but the random ones of RFC 5991,
/// the mapping inverted.
#[track_caller]
fn assert_is_the_mapping(address: Ipv6Addr, mapped: SocketAddrV4) {
    let octets = address.octets();
    let flags = u16::from_be_bytes([octets[8], octets[9]]);
    assert_eq!(octets[..4], [0x20, 0x01, 0, 0], "{address}");
    assert_eq!(octets[4..8], SERVER.octets(), "{address}");
    assert_eq!(flags & 0xc300, 0, "{address}");
    assert_eq!(
        octets[10..12],
        (!mapped.port()).to_be_bytes(),
        "{address}, mapped {mapped}"
    );
    assert_eq!(
        octets[12..],
        mapped.ip().octets().map(|octet| !octet),
        "{address}, mapped {mapped}"
    );
}

/// The Teredo packets with an ICMPv6 message of this type, once there are as many as that.
#[track_caller]
fn messages(capture: &Capture, kind: u8, count: usize) -> Vec<Frame> {
    let look = || {
        let mut frames = capture.frames();
        frames.retain(|frame| {
            frame
                .udp()
                .is_some_and(|datagram| is_icmpv6(datagram.payload, kind))
        });
        (frames.len() >= count).then_some(frames)
    };
    until(
        QUALIFICATION,
        format_args!("{count} messages of type {kind}"),
        look,
    )
    .unwrap()
}

fn is_icmpv6(payload: &[u8], kind: u8) -> bool {
    let Ok(inner) = Datagram::parse(payload) else {
        return false;
    };
    inner.packet.next_header() == ICMPV6 && inner.packet.payload().first() == Some(&kind)
}
