//! Floods of forged ICMP errors about the client's bubbles (RFC 5927).

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::DropReason;
use teredo_sim::{ClientId, IcmpError, IcmpKind, NatBehaviour, Network, Quotation, World};

use crate::internet::*;
use crate::packets;

/// The forger's knowledge and claims.
#[derive(Clone, Copy, Debug)]
struct Forgery {
    kind: IcmpKind,
    /// Of the address of the reporter; the last byte changes.
    reporter: [u8; 3],
    quotes: Quotes,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Quotes {
    Nothing,
    TheBubble,
    Another,
}

impl Forgery {
    fn error(self, world: &World, victim: ClientId, to: ClientId, number: u8) -> IcmpError {
        let mut bubble = packets::bubble(address(world, victim), address(world, to));
        // The client's hop limit.
        bubble[7] = 255;
        let quoted = match self.quotes {
            Quotes::Nothing => Quotation::of(&[]),
            Quotes::TheBubble => Quotation::of(&bubble),
            Quotes::Another => Quotation::of(&[0x60, 0, 0, 1]),
        };
        let [a, b, c] = self.reporter;
        IcmpError {
            kind: self.kind,
            reporter: Ipv4Addr::new(a, b, c, number),
            source: teredo(world, victim).mapped,
            destination: teredo(world, to).mapped,
            length: 40,
            quoted,
        }
    }
}

fn forgeries() -> impl Iterator<Item = Forgery> {
    let kinds = [
        IcmpKind::TimeExceeded,
        IcmpKind::PortUnreachable,
        IcmpKind::HostUnreachable,
    ];
    let quotes = [Quotes::Nothing, Quotes::TheBubble, Quotes::Another];
    kinds.into_iter().flat_map(move |kind| {
        let reporters = [[198, 51, 100], [10, 9, 8]];
        reporters.into_iter().flat_map(move |reporter| {
            quotes.map(|quotes| Forgery {
                kind,
                reporter,
                quotes,
            })
        })
    })
}

fn send(world: &mut World, from: ClientId, to: ClientId, number: u8) {
    let packet = packets::udp(address(world, from), address(world, to), number);
    let _ = world.submit(from, &packet);
}

fn numbers(world: &World, client: ClientId) -> Vec<u8> {
    let delivered = delivered(world, client);
    delivered
        .iter()
        .map(|packet| packets::number(packet))
        .collect()
}

/// Lets time pass, with two forged errors a millisecond: one about each peer.
fn flood(
    world: &mut World,
    forgery: Option<Forgery>,
    victim: ClientId,
    peers: [ClientId; 2],
    ms: u32,
) {
    for number in 0..ms {
        if let Some(forgery) = forgery {
            for peer in peers {
                let error = forgery.error(world, victim, peer, number as u8);
                world.inject_error(Network::Internet, error);
            }
        }
        world.run_for(Duration::from_millis(1));
    }
}

/// The course of a run: what a client's known and new peers have received, and the bubbles that it sent.
fn run(forgery: Option<Forgery>, open_input: bool) -> ([Vec<u8>; 2], Vec<(SocketAddrV4, u8)>) {
    let mut world = world(1);
    let victim = qualified_client(&mut world, 1, NatBehaviour::port_restricted());
    let known = qualified_client(&mut world, 2, NatBehaviour::port_restricted());
    let new = match open_input {
        true => qualified_client(&mut world, 3, NatBehaviour::open_input()),
        false => qualified_client(&mut world, 3, NatBehaviour::port_restricted()),
    };
    send(&mut world, victim, known, 0);
    world.run_for(SECOND);
    world.capture_mut().clear();
    let peers = [known, new];
    flood(&mut world, forgery, victim, peers, 500);
    send(&mut world, victim, new, 0);
    for number in 1..=3 {
        send(&mut world, victim, known, number);
        flood(&mut world, forgery, victim, peers, 500);
    }
    let mismatches = drops(&world, victim, DropReason::IcmpMismatch);
    let is_counted = forgery.is_some_and(|forgery| {
        (forgery.kind, forgery.quotes) == (IcmpKind::TimeExceeded, Quotes::Another)
    });
    assert_eq!(mismatches > 0, is_counted, "{forgery:?}: {mismatches}");
    let sent = bubbles(&world, victim);
    let sent = sent
        .iter()
        .map(|record| (record.datagram.destination, record.datagram.ttl));
    (peers.map(|peer| numbers(&world, peer)), sent.collect())
}

/// Established peers are kept, and new contacts succeed at once. Errors make the client send no more: those from
/// outside at most end the copies of a bubble, and those from inside let them go further.
#[test]
fn a_flood_of_errors_costs_no_peer_and_no_packet() {
    let count = |sent: &[(SocketAddrV4, u8)]| sent.len();
    let (calm, without) = run(None, false);
    assert_eq!(calm, [vec![0, 1, 2, 3], vec![0]]);
    for forgery in forgeries() {
        let (received, sent) = run(Some(forgery), false);
        assert_eq!(received, calm, "{forgery:?}");
        // Without any report, a bubble has two copies.
        assert!(count(&sent) <= count(&without) + 2, "{forgery:?}: {sent:?}");
        assert!(
            sent.iter().all(|&(_, ttl)| ttl <= 4 || ttl == 64),
            "{sent:?}"
        );
    }
}

/// The same with a peer whose router has open input, and a forger without a private address.
#[test]
fn errors_from_elsewhere_keep_no_peer_with_open_input_away() {
    for forgery in forgeries().filter(|forgery| forgery.reporter[0] == 198) {
        let (received, sent) = run(Some(forgery), true);
        assert_eq!(
            received,
            [vec![0, 1, 2, 3], vec![0]],
            "{forgery:?}: {sent:?}"
        );
    }
}

/// The worst case: two NATs whose routers report nothing, a peer that knows RFC 4380 alone, and a forger who claims that
/// the first NAT is the last. The last bubble of the contact gets through.
#[test]
fn a_false_report_keeps_no_peer_away() {
    let mut world = world(1);
    world.set_mute(true);
    let outer = nat(&mut world, 1, NatBehaviour::port_restricted());
    let inner = world.add_nat_in(outer, NatBehaviour::port_restricted(), [100, 64, 0, 2]);
    let victim = world.add_idle_client(inner, local(1), by_rfc4380());
    world.start(victim, &[SERVER]);
    qualify(&mut world, victim);
    let peer = client_with(&mut world, 2, NatBehaviour::port_restricted(), by_rfc4380());
    qualify(&mut world, peer);
    send(&mut world, victim, peer, 1);
    world.run_for(Duration::from_millis(30));
    // The outer NAT would not let it in, so the forger is between the two.
    let forgery = Forgery {
        kind: IcmpKind::TimeExceeded,
        reporter: [198, 51, 100],
        quotes: Quotes::Nothing,
    };
    let error = IcmpError {
        source: SocketAddrV4::new([100, 64, 0, 2].into(), local(1).port()),
        ..forgery.error(&world, victim, peer, 1)
    };
    world.inject_error(outer, error);
    world.run_for(seconds(8));
    assert_eq!(numbers(&world, peer), [1], "{}", world.capture());
    let to_peer = teredo(&world, peer).mapped;
    let ttls: Vec<_> = bubbles(&world, victim)
        .iter()
        .filter(|record| record.datagram.destination == to_peer)
        .map(|record| record.datagram.ttl)
        .collect();
    assert_eq!(ttls, [2, 2, 2, 2, 2, 2, 2, 2, 2, 64][10 - ttls.len()..]);
}
