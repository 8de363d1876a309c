use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::Instant;

use super::*;
use crate::nat::{Nat, PortRange};
use crate::random::Stream;

const NOW: Instant = Instant::from_nanos(0);
const RANGE: PortRange = PortRange {
    first: 4000,
    last: 4003,
};
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 3544);

/// Every mapping, filtering and assignment. A step of 2 is as predictable as one of 1, and left out for its time.
fn behaviours() -> Vec<NatBehaviour> {
    let mut all = Vec::new();
    for mapping in [
        Mapping::EndpointIndependent,
        Mapping::AddressDependent,
        Mapping::AddressAndPortDependent,
    ] {
        for filtering in [
            Filtering::EndpointIndependent,
            Filtering::AddressDependent,
            Filtering::AddressAndPortDependent,
        ] {
            for ports in [
                PortAssignment::Preserving,
                PortAssignment::Overloading,
                PortAssignment::Sequential,
                PortAssignment::Random,
            ] {
                all.push(NatBehaviour {
                    mapping,
                    filtering,
                    ports,
                    range: RANGE,
                    ..NatBehaviour::cone()
                });
            }
        }
    }
    all
}

/// Two NATs in the middle of a sequence of datagrams.
#[derive(Clone)]
struct Position {
    nats: [Nat; 2],
    /// The external sockets of each side that the other has seen, or that the server told.
    seen: [Vec<SocketAddrV4>; 2],
    /// Whether a datagram of each side arrived.
    arrived: [bool; 2],
}

fn inside(side: usize) -> SocketAddrV4 {
    // Not the first of the range, so that preserving differs from sequence.
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, side as u8), 4001)
}

impl Position {
    /// Both sides have asked the server.
    fn new(behaviours: [NatBehaviour; 2]) -> Self {
        let mut position = Self {
            nats: [0, 1].map(|side| {
                let external = Ipv4Addr::new(203, 0, 113, side as u8);
                Nat::new(behaviours[side], external, side as u64)
            }),
            seen: [Vec::new(), Vec::new()],
            arrived: [false; 2],
        };
        for side in [0, 1] {
            let mapped = position.nats[side].outbound(NOW, inside(side), SERVER);
            position.seen[side].push(mapped.unwrap());
        }
        position
    }

    fn send(&mut self, side: usize, to: SocketAddrV4) {
        let Ok(source) = self.nats[side].outbound(NOW, inside(side), to) else {
            return;
        };
        if self.nats[1 - side].inbound_to(NOW, source, to).is_ok() {
            self.arrived[side] = true;
            if !self.seen[side].contains(&source) {
                self.seen[side].push(source);
            }
        }
    }

    /// The sockets of the other side that a side may send to. Without luck, a random port must have been seen; a port
    /// outside of the range serves to admit the other's address.
    fn targets(&self, side: usize, lucky: bool) -> Vec<SocketAddrV4> {
        let other = &self.nats[1 - side];
        let socket = |port| SocketAddrV4::new(other.external(), port);
        let random = other.behaviour().ports == PortAssignment::Random;
        let mut targets = if random && !lucky {
            self.seen[1 - side].clone()
        } else {
            (RANGE.first..=RANGE.last).map(socket).collect()
        };
        targets.push(socket(9));
        targets
    }

    /// Whether some sequence of at most so many datagrams connects the sides.
    fn connects(&self, datagrams: usize, lucky: bool) -> bool {
        if self.arrived == [true, true] {
            return true;
        }
        let missing = self.arrived.iter().filter(|arrived| !**arrived).count();
        if datagrams < missing {
            return false;
        }
        [0, 1].into_iter().any(|side| {
            self.targets(side, lucky).into_iter().any(|to| {
                let mut next = self.clone();
                next.send(side, to);
                next.connects(datagrams - 1, lucky)
            })
        })
    }
}

/// The oracle's answer for each pair is that of a search through all sequences of up to five datagrams.
#[test]
fn the_oracle_agrees_with_a_search() {
    let all = behaviours();
    for (index, a) in all.iter().enumerate() {
        for b in &all[index..] {
            let position = Position::new([*a, *b]);
            let found = if (2..=5).any(|datagrams| position.connects(datagrams, false)) {
                "always"
            } else if (2..=4).any(|datagrams| position.connects(datagrams, true)) {
                "chance"
            } else {
                "never"
            };
            let told = match path(a, b) {
                Possibility::Always => "always",
                Possibility::Chance { .. } => "chance",
                Possibility::Never => "never",
            };
            assert_eq!(told, found, "\n{a:?}\n{b:?}");
            assert_eq!(path(a, b), path(b, a));
        }
    }
}

/// How often two sides connect if each sends `probes` datagrams at guessed ports, from fresh sockets or one.
fn measured(behaviours: [NatBehaviour; 2], probes: u16, rounds: u64) -> f64 {
    let mut random = Stream::new(7, 7);
    let mut hits = 0_u32;
    for round in 0..rounds {
        let mut nats = [0, 1].map(|side| {
            let external = Ipv4Addr::new(203, 0, 113, side as u8);
            Nat::new(behaviours[side], external, round * 2 + side as u64)
        });
        let sides = behaviours.map(|behaviour| Side::of(&behaviour));
        // Each sends from the sockets that the other expects: one if it has one towards all, otherwise fresh ones.
        let socket = |side: usize, number: u16| {
            let base = 4000 + 1_000 * side as u16;
            let fresh = u16::from(!sides[side].single || !sides[side].predictable);
            SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), base + number * fresh)
        };
        let mut sent = Vec::new();
        for number in 0..probes {
            for side in [0, 1] {
                let other = 1 - side;
                let target = if sides[other].predictable {
                    // Its next external socket towards anybody.
                    let mut copy = nats[other].clone();
                    copy.outbound(NOW, socket(other, number), SERVER).unwrap()
                } else {
                    let range = behaviours[other].range;
                    let offset = random.below(u64::from(range.size())) as u16;
                    SocketAddrV4::new(nats[other].external(), range.first + offset)
                };
                sent.push((side, socket(side, number), target));
            }
            // Both at once: the targets were chosen before either was sent.
            for (side, from, to) in &sent[sent.len() - 2..] {
                nats[*side].outbound(NOW, *from, *to).unwrap();
            }
        }
        // A second time, when all mappings are there.
        let mut arrived = [false; 2];
        for (side, from, to) in sent {
            let source = nats[side].outbound(NOW, from, to).unwrap();
            arrived[side] |= nats[1 - side].inbound_to(NOW, source, to).is_ok();
        }
        hits += u32::from(arrived == [true, true]);
    }
    f64::from(hits) / rounds as f64
}

/// The formulas are those of the model: birthdays, single counterparts, and two guesses at once.
#[test]
fn the_probability_is_that_of_the_model() {
    let range = PortRange {
        first: 4000,
        last: 4099,
    };
    let few = PortRange {
        first: 4000,
        last: 4039,
    };
    let with = |behaviour, range| NatBehaviour { range, ..behaviour };
    for (a, b, probes) in [
        (
            NatBehaviour::port_restricted(),
            with(NatBehaviour::symmetric_random(), range),
            8,
        ),
        (
            NatBehaviour::symmetric_overloading(),
            with(NatBehaviour::symmetric_random(), range),
            8,
        ),
        (
            NatBehaviour::symmetric_sequential(),
            with(NatBehaviour::symmetric_random(), range),
            20,
        ),
        (
            with(NatBehaviour::symmetric_random(), few),
            with(NatBehaviour::symmetric_random(), few),
            20,
        ),
    ] {
        let told = path(&a, &b).probability(u32::from(probes));
        let seen = measured([a, b], probes, 2_000);
        assert!(
            (told - seen).abs() < 0.05,
            "{told} or {seen}?\n{a:?}\n{b:?}"
        );
    }
}

/// RFC 6081 §3, figure 1: the promised pairs are possible, and some others are a matter of luck.
#[test]
fn the_table_of_rfc_6081_is_possible() {
    let cone = NatBehaviour::cone();
    let restricted = NatBehaviour::restricted();
    let port_restricted = NatBehaviour::port_restricted();
    let preserving = NatBehaviour::symmetric_preserving();
    let sequential = NatBehaviour::symmetric_sequential();
    let by_two = NatBehaviour::symmetric_sequential_by_two();
    let random = NatBehaviour::symmetric_random();
    let addresses = NatBehaviour::address_symmetric();
    for (a, b) in [
        (cone, random),
        (cone, addresses),
        (restricted, random),
        (port_restricted, preserving),
        (port_restricted, sequential),
        (port_restricted, by_two),
        (preserving, preserving),
        (preserving, sequential),
    ] {
        assert_eq!(path(&a, &b), Possibility::Always, "\n{a:?}\n{b:?}");
    }
    for (a, b) in [
        (port_restricted, random),
        (preserving, random),
        (random, random),
        (addresses, port_restricted),
    ] {
        let Possibility::Chance { odds, .. } = path(&a, &b) else {
            panic!("not a matter of luck:\n{a:?}\n{b:?}");
        };
        assert!(odds > 0.0 && odds < 0.001);
    }
}

#[test]
fn a_nat_without_a_second_mapping_reaches_nobody() {
    let full = NatBehaviour {
        most_per_host: Some(1),
        ..NatBehaviour::symmetric()
    };
    let never = path(&full, &NatBehaviour::cone());
    assert_eq!(never, Possibility::Never);
    assert_eq!(never.probability(1_000_000), 0.0);
    let cone = NatBehaviour {
        most_per_host: Some(1),
        ..NatBehaviour::cone()
    };
    assert_eq!(path(&cone, &NatBehaviour::none()), Possibility::Always);
}

/// RFC 6081 §3.2: two hosts with granted ports reach each other behind any kind of NAT.
#[test]
fn granted_ports_connect_what_luck_would() {
    let granting = NatBehaviour {
        igd: Some(Igd::Honest),
        ..NatBehaviour::symmetric_random()
    };
    assert_eq!(path(&granting, &granting), Possibility::Always);
    let refusing = NatBehaviour {
        igd: Some(Igd::Refuses(501)),
        ..granting
    };
    assert_ne!(path(&refusing, &refusing), Possibility::Always);
}

#[test]
fn more_probes_have_better_odds() {
    let chance = path(
        &NatBehaviour::port_restricted(),
        &NatBehaviour::symmetric_random(),
    );
    assert_eq!(chance.probability(0), 0.0);
    let few = [1, 16, 256, 1_024].map(|probes| chance.probability(probes));
    assert!(few.is_sorted() && few[0] > 0.0 && few[3] > 0.99, "{few:?}");
}
