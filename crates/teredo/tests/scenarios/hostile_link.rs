//! The powers of a hostile host on the link that sends local bubbles (RFC 4380 §5.2.8, §7.3).

use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::wire::{Flags, Origin, TeredoAddress};
use teredo::{DropReason, Submission};
use teredo_sim::{ClientId, NatBehaviour, RawId, World};

use crate::internet::*;
use crate::packets;

const ALL_NODES: &str = "ff02::1";
const DISCOVERY: &str = "224.0.0.253:3544";

/// Client 1 on a link with a hostile host at 10.0.0.66, behind a NAT at 203.0.113.1 that hairpins.
fn stage() -> (World, ClientId, RawId) {
    let mut world = world(1);
    let behaviour = NatBehaviour {
        hairpin: true,
        ..NatBehaviour::port_restricted()
    };
    let nat = nat(&mut world, 1, behaviour);
    let client = world.add_client(nat, local(1), &[SERVER]);
    qualify(&mut world, client);
    join(&mut world, client);
    let hostile = world.add_raw(nat, &[v4("10.0.0.66")]);
    world.run_for(seconds(15));
    world.capture_mut().clear();
    (world, client, hostile)
}

/// A Teredo address behind the client's NAT.
fn behind(port: u16) -> TeredoAddress {
    TeredoAddress {
        server: SERVER.primary,
        flags: Flags::default(),
        mapped: SocketAddrV4::new([203, 0, 113, 1].into(), port),
    }
}

fn announce(world: &mut World, hostile: RawId, from: &str, claimed: Ipv6Addr) {
    let bubble = packets::bubble(claimed, v6(ALL_NODES));
    world.inject(hostile, socket(from), socket(DISCOVERY), &bubble);
    world.run_for(SECOND / 100);
}

/// R4380-5.2.8-04, R4380-5.2.8-05, R4380-5.2.8-06, L-03: each condition by itself.
#[test]
fn what_is_no_local_bubble_is_refused() {
    let (mut world, client, hostile) = stage();
    let own = address(&world, client);
    let good = behind(50_000).to_ipv6();
    let foreign = TeredoAddress {
        mapped: socket("203.0.113.2:50000"),
        ..behind(0)
    };
    let own_again = TeredoAddress {
        flags: Flags::from_random(77),
        ..teredo(&world, client)
    };
    let server_refused = TeredoAddress {
        server: v4("127.0.0.1"),
        ..behind(50_000)
    };
    let refused = DropReason::LocalBubbleRefused;
    for (from, claimed, reason) in [
        ("10.0.0.66:5000", v6("2001:db8::1"), refused),
        ("10.0.0.66:5000", v6("fe80::1"), refused),
        ("10.0.1.66:5000", good, refused),
        ("198.51.100.9:5000", good, refused),
        ("10.0.0.255:5000", good, refused),
        ("10.0.0.66:0", good, refused),
        ("10.0.0.66:5000", foreign.to_ipv6(), refused),
        ("10.0.0.66:5000", behind(0).to_ipv6(), refused),
        ("10.0.0.66:5000", server_refused.to_ipv6(), refused),
        ("10.0.0.66:5000", own, DropReason::OwnAddress),
        (
            "10.0.0.66:5000",
            own_again.to_ipv6(),
            DropReason::OwnAddress,
        ),
    ] {
        let before = drops(&world, client, reason);
        announce(&mut world, hostile, from, claimed);
        let counted = drops(&world, client, reason) - before;
        assert_eq!(counted, 1, "{claimed} from {from}: not {reason}");
    }
    // A unicast copy, and packets that are no bubbles.
    let bubble = packets::bubble(good, v6(ALL_NODES));
    world.inject(hostile, socket("10.0.0.66:5000"), local(1), &bubble);
    let udp = packets::udp(good, v6(ALL_NODES), 1);
    let hello = packets::bubble(good, own);
    let mut origin = Vec::new();
    Origin(socket("10.0.0.66:5000")).emit(&mut origin);
    origin.extend(&bubble);
    for payload in [&udp[..], &hello, &origin, &bubble[..39]] {
        world.inject(
            hostile,
            socket("10.0.0.66:5000"),
            socket(DISCOVERY),
            payload,
        );
    }
    world.run_for(SECOND);
    assert_eq!(drops(&world, client, DropReason::LocalDiscovery), 1);
    assert_eq!(drops(&world, client, DropReason::Malformed), 4);
    assert_eq!(status(&world, client).neighbours, 0);
    assert_eq!(bubbles(&world, client).len(), 0, "{}", world.capture());
    // The valid one is accepted.
    announce(&mut world, hostile, "10.0.0.66:5000", good);
    assert_eq!(status(&world, client).neighbours, 1);
    assert_eq!(bubbles(&world, client).len(), 1);
}

/// R4380-7.4-01, R4380-7.3.3-01: a hostile host that claims to be ever other clients draws a few answers to one address,
/// and neither it nor a host whose address it forges keeps a new neighbour from its answer.
#[test]
fn claims_from_one_address_share_one_budget() {
    let (mut world, client, hostile) = stage();
    for number in 0..2_000 {
        let claimed = behind(10_000 + number).to_ipv6();
        let bubble = packets::bubble(claimed, v6(ALL_NODES));
        world.inject(
            hostile,
            socket("10.0.0.77:5000"),
            socket(DISCOVERY),
            &bubble,
        );
        world.run_for(SECOND / 100);
    }
    let answers = bubbles(&world, client)
        .iter()
        .filter(|record| record.datagram.destination == socket("10.0.0.77:5000"))
        .count();
    assert!((8..=8 + 2 * 20).contains(&answers), "{answers} in 20 s");
    let before = bubbles(&world, client).len();
    announce(
        &mut world,
        hostile,
        "10.0.0.66:5000",
        behind(50_000).to_ipv6(),
    );
    assert_eq!(bubbles(&world, client).len(), before + 1);
}

/// A client and a peer behind the same hairpinning NAT, in conversation through it.
fn in_conversation() -> (World, [ClientId; 2], RawId) {
    let (mut world, client, hostile) = stage();
    let peer = world.add_client(nat_of(&world), local(2), &[SERVER]);
    qualify(&mut world, peer);
    let packet = packets::udp(address(&world, client), address(&world, peer), 0);
    world.send(client, &packet);
    world.run_for(SECOND);
    let mapped = teredo(&world, peer).mapped;
    assert_eq!(world.submit(client, &packet), Submission::Send(mapped));
    (world, [client, peer], hostile)
}

/// The only NAT.
fn nat_of(world: &World) -> teredo_sim::Network {
    world.network_of(world.clients().next().unwrap())
}

/// R4380-5.2.3-15, R4380-7.3.3-01: a forged local bubble, and packets after it, redirect no path in use, not even when
/// the path is verified again.
#[test]
fn a_path_in_use_is_not_redirected() {
    let (mut world, [client, peer], hostile) = in_conversation();
    let (own, claimed) = (address(&world, client), address(&world, peer));
    let mapped = teredo(&world, peer).mapped;
    let packet = packets::udp(own, claimed, 1);
    for _ in 0..100 {
        announce(&mut world, hostile, "10.0.0.66:5000", claimed);
        let hello = packets::bubble(claimed, own);
        world.inject(hostile, socket("10.0.0.66:5000"), local(1), &hello);
        world.run_for(SECOND);
        assert_eq!(world.submit(client, &packet), Submission::Send(mapped));
    }
    let captured = data(&world, client)
        .iter()
        .filter(|record| *record.datagram.destination.ip() == v4("10.0.0.66"))
        .count();
    assert_eq!(captured, 0);
}

/// R4380-5.2.8-07: the last bubble gives the address of a neighbour, but a path on the link also stays while it is in
/// use, and is verified where it leads.
#[test]
fn a_path_on_the_link_is_not_redirected_either() {
    let (mut world, _, [a, b]) = neighbours(1, NatBehaviour::port_restricted());
    for client in [a, b] {
        join(&mut world, client);
    }
    let hostile = world.add_raw(world.network_of(a), &[v4("10.0.0.66")]);
    world.run_for(seconds(2));
    let packet = packets::udp(address(&world, a), address(&world, b), 1);
    world.send(a, &packet);
    world.run_for(SECOND);
    world.capture_mut().clear();
    for _ in 0..100 {
        let (own, claimed) = (address(&world, a), address(&world, b));
        announce(&mut world, hostile, "10.0.0.66:5000", claimed);
        let hello = packets::bubble(claimed, own);
        world.inject(hostile, socket("10.0.0.66:5000"), local(1), &hello);
        world.run_for(SECOND);
        assert_eq!(world.submit(a, &packet), Submission::Send(local(2)));
    }
    let verified = bubbles(&world, a)
        .iter()
        .filter(|record| record.datagram.destination == local(2))
        .count();
    assert!(verified >= 3, "verified {verified} times in 100 s");
}

/// R4380-5.2.4-06: a false claim of a host that is silent afterwards cuts nobody off.
#[test]
fn a_false_claim_does_not_cut_off() {
    let (mut world, client, hostile) = stage();
    let peer = world.add_client(nat_of(&world), local(2), &[SERVER]);
    qualify(&mut world, peer);
    let claimed = address(&world, peer);
    announce(&mut world, hostile, "10.0.0.66:5000", claimed);
    assert_eq!(status(&world, client).neighbours, 1);
    let packet = packets::udp(address(&world, client), address(&world, peer), 0);
    assert_eq!(world.submit(client, &packet), Submission::Queued);
    assert!(
        world.run_until(SECOND, |world| !delivered(world, peer).is_empty()),
        "{}",
        world.capture()
    );
}

/// R4380-5.2-06, R4380-7.3.3-01, R4380-7.4-01: of ten thousand claims a second, a limited number is answered and a
/// bounded number remembered, and the peer in conversation stays.
#[test]
fn a_flood_of_local_bubbles_is_bounded() {
    let (mut world, [client, peer], hostile) = in_conversation();
    world.capture_mut().clear();
    let peers = status(&world, client).peers;
    for number in 0..10_000_u16 {
        let claimed = behind(10_000 + number).to_ipv6();
        let bubble = packets::bubble(claimed, v6(ALL_NODES));
        let from = format!("10.0.0.66:{}", 20_000 + number);
        world.inject(hostile, socket(&from), socket(DISCOVERY), &bubble);
    }
    world.run_for(SECOND);
    let status = status(&world, client);
    assert_eq!(status.peers, peers, "local bubbles make no peers");
    assert!(status.neighbours <= 256);
    let answers = bubbles(&world, client).len();
    assert!(answers <= 16 + 10 + 1, "{answers} bubbles");
    let packet = packets::udp(address(&world, client), address(&world, peer), 1);
    let mapped = teredo(&world, peer).mapped;
    assert_eq!(world.submit(client, &packet), Submission::Send(mapped));
}

/// R4380-5.2.6-04, R4380-5.2.6-05: a neighbour that sends nothing else is answered four times in 300 s, 2 s apart.
#[test]
fn answers_to_one_neighbour_are_limited() {
    let (mut world, client, hostile) = stage();
    let start = world.now();
    for _ in 0..100 {
        announce(
            &mut world,
            hostile,
            "10.0.0.66:5000",
            behind(50_000).to_ipv6(),
        );
        world.run_for(SECOND / 2 - SECOND / 100);
    }
    let answers: Vec<_> = bubbles(&world, client)
        .into_iter()
        .filter(|record| record.datagram.destination == socket("10.0.0.66:5000"))
        .collect();
    let times: Vec<_> = times(start, &answers).iter().map(|at| at.floor()).collect();
    assert_eq!(times, [0.0, 2.0, 4.0, 6.0]);
    assert!(drops(&world, client, DropReason::LocalBubbleLimit) > 90);
}
