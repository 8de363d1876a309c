//! The pairs of NATs whose clients connect: with RFC 4380 alone the cells "Yes" in figure 1 of RFC 6081, with our
//! extensions also the cells "SNS", "SNS+PP" and "SNS+SS".

use std::fmt::Write as _;

use std::net::SocketAddrV4;

use teredo::ClientConfig;
use teredo::client::{NatTraversal, State};
use teredo_sim::{ClientId, NatBehaviour, Network, PortAssignment, World};

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

/// All pairs connect except those with a symmetric NAT: a client behind one has no address. A host without a NAT counts
/// as behind a cone NAT.
const BY_RFC_4380: &str = "\
from \\ to     public       cone         restricted   port-restr.  open-input   symmetric
public        yes          yes          yes          yes          yes          no
cone          yes          yes          yes          yes          yes          no
restricted    yes          yes          yes          yes          yes          no
port-restr.   yes          yes          yes          yes          yes          no
open-input    yes          yes          yes          yes          yes          no
symmetric     no           no           no           no           no           no
";

/// R6081-5.2: with nonces, a client behind a symmetric NAT reaches peers without a NAT, or behind a cone or
/// address-restricted one. If its NAT has random ports, those are all.
const BY_NONCES: &str = "\
from \\ to     public       cone         restricted   port-restr.  open-input   symmetric
public        yes          yes          yes          yes          yes          yes
cone          yes          yes          yes          yes          yes          yes
restricted    yes          yes          yes          yes          yes          yes
port-restr.   yes          yes          yes          yes          yes          no
open-input    yes          yes          yes          yes          yes          no
symmetric     yes          yes          yes          no           no           no
";

/// R6081-5.5: sequential ports can be foreseen, by one side.
const BY_ECHO_TEST: &str = "\
from \\ to     public       cone         restricted   port-restr.  open-input   symmetric
public        yes          yes          yes          yes          yes          yes
cone          yes          yes          yes          yes          yes          yes
restricted    yes          yes          yes          yes          yes          yes
port-restr.   yes          yes          yes          yes          yes          yes
open-input    yes          yes          yes          yes          yes          yes
symmetric     yes          yes          yes          yes          yes          no
";

/// R6081-5.4: preserved ports can be foreseen by both.
const BY_RANDOM_PORTS: &str = "\
from \\ to     public       cone         restricted   port-restr.  open-input   symmetric
public        yes          yes          yes          yes          yes          yes
cone          yes          yes          yes          yes          yes          yes
restricted    yes          yes          yes          yes          yes          yes
port-restr.   yes          yes          yes          yes          yes          yes
open-input    yes          yes          yes          yes          yes          yes
symmetric     yes          yes          yes          yes          yes          yes
";

fn add(
    world: &mut World,
    number: u8,
    kind: Kind,
    ports: PortAssignment,
    way: NatTraversal,
) -> ClientId {
    let config = ClientConfig {
        nat_traversal: way,
        ..ClientConfig::default()
    };
    let client = match kind {
        Kind::Public => {
            let address = SocketAddrV4::new([198, 51, 100, number].into(), 40_000);
            let client = world.add_idle_client(Network::Internet, address, config);
            world.start(client, &[SERVER]);
            client
        }
        Kind::Behind(behaviour) => {
            client_with(world, number, NatBehaviour { ports, ..behaviour }, config)
        }
    };
    let _ = world.run_until(seconds(5), |world| state(world, client) == State::Qualified);
    client
}

/// Whether a packet from `one` to `two` and the answer to it arrive.
fn connects(one: Kind, two: Kind, ports: PortAssignment, way: NatTraversal) -> bool {
    let mut world = world(1);
    let a = add(&mut world, 1, one, ports, way);
    let b = add(&mut world, 2, two, ports, way);
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

fn table(ports: PortAssignment, way: NatTraversal) -> String {
    let mut table = format!("{:<14}", "from \\ to");
    for (name, _) in KINDS {
        write!(table, "{name:<13}").unwrap();
    }
    for (name, one) in KINDS {
        table.truncate(table.trim_end().len());
        write!(table, "\n{name:<14}").unwrap();
        for (_, two) in KINDS {
            let answer = if connects(one, two, ports, way) {
                "yes"
            } else {
                "no"
            };
            write!(table, "{answer:<13}").unwrap();
        }
    }
    table.truncate(table.trim_end().len());
    table.push('\n');
    table
}

/// R4380-4-08, R4380-5.2.1-11, R4380-5.2.4-06, R4380-5.2.4-10, R6081-5.2.4.4-02: every pair, by simulation, with each
/// port assignment.
#[test]
fn who_reaches_whom() {
    for (ports, by_rfc6081) in [
        (PortAssignment::Preserving, BY_RANDOM_PORTS),
        (PortAssignment::Sequential, BY_ECHO_TEST),
        (PortAssignment::Random, BY_NONCES),
    ] {
        for (way, expected) in [
            (NatTraversal::Rfc4380, BY_RFC_4380),
            (NatTraversal::Rfc6081, by_rfc6081),
        ] {
            let table = table(ports, way);
            assert_eq!(table, expected, "{way} with {ports:?} ports:\n{table}");
        }
    }
}
