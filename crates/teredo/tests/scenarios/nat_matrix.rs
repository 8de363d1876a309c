//! The pairs of NATs that connect with RFC 4380 alone: the cells marked "Y" in figure 1 of RFC 6081.

use std::fmt::Write as _;

use teredo::client::State;
use teredo_sim::{ClientId, NatBehaviour, PortAssignment, World};

use crate::internet::*;
use crate::packets;

#[derive(Clone, Copy)]
enum Kind {
    Public,
    Behind(NatBehaviour),
}

const KINDS: [(&str, Kind); 6] = [
    ("public", Kind::Public),
    ("cone", Kind::Behind(NatBehaviour::cone())),
    ("restricted", Kind::Behind(NatBehaviour::restricted())),
    ("port-restr.", Kind::Behind(NatBehaviour::port_restricted())),
    ("open-input", Kind::Behind(NatBehaviour::open_input())),
    ("symmetric", Kind::Behind(NatBehaviour::symmetric())),
];

/// All but symmetric NATs connect; behind a symmetric one there is no service. No NAT counts as a cone.
const EXPECTED: &str = "\
from \\ to     public       cone         restricted   port-restr.  open-input   symmetric
public        yes          yes          yes          yes          yes          no
cone          yes          yes          yes          yes          yes          no
restricted    yes          yes          yes          yes          yes          no
port-restr.   yes          yes          yes          yes          yes          no
open-input    yes          yes          yes          yes          yes          no
symmetric     no           no           no           no           no           no
";

fn add(world: &mut World, number: u8, kind: Kind, ports: PortAssignment) -> ClientId {
    let client = match kind {
        Kind::Public => public_client(world, number),
        Kind::Behind(behaviour) => client(world, number, NatBehaviour { ports, ..behaviour }),
    };
    let _ = world.run_until(seconds(5), |world| state(world, client) == State::Qualified);
    client
}

/// Whether a packet and its answer arrive.
fn connects(one: Kind, two: Kind, ports: PortAssignment) -> bool {
    let mut world = world(1);
    let a = add(&mut world, 1, one, ports);
    let b = add(&mut world, 2, two, ports);
    let (Some(from), Some(to)) = (status(&world, a).address, status(&world, b).address) else {
        return false;
    };
    world.send(a, &packets::udp(from, to, 1));
    world.run_for(seconds(10));
    world.send(b, &packets::udp(to, from, 2));
    world.run_for(seconds(10));
    delivered(&world, b) == [packets::udp(from, to, 1)]
        && delivered(&world, a) == [packets::udp(to, from, 2)]
}

/// R4380-4-08, R4380-5.2.1-11, R4380-5.2.4-06, R4380-5.2.4-10: every pair, by simulation, with each port assignment.
#[test]
fn who_reaches_whom() {
    for ports in [
        PortAssignment::Preserving,
        PortAssignment::Sequential,
        PortAssignment::Random,
    ] {
        let mut table = format!("{:<14}", "from \\ to");
        for (name, _) in KINDS {
            write!(table, "{name:<13}").unwrap();
        }
        for (name, one) in KINDS {
            table.truncate(table.trim_end().len());
            write!(table, "\n{name:<14}").unwrap();
            for (_, two) in KINDS {
                let answer = if connects(one, two, ports) {
                    "yes"
                } else {
                    "no"
                };
                write!(table, "{answer:<13}").unwrap();
            }
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
        assert_eq!(table, EXPECTED, "with {ports:?} ports:\n{table}");
    }
}
