//! Rules that hold for every NAT and every sequence of datagrams.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn behaviours() -> impl Strategy<Value = NatBehaviour> {
    let mapping = prop::sample::select(vec![
        Mapping::EndpointIndependent,
        Mapping::AddressDependent,
        Mapping::AddressAndPortDependent,
    ]);
    let filtering = prop::sample::select(vec![
        Filtering::EndpointIndependent,
        Filtering::AddressDependent,
        Filtering::AddressAndPortDependent,
    ]);
    let ports = prop::sample::select(vec![
        PortAssignment::Preserving,
        PortAssignment::Overloading,
        PortAssignment::Sequential,
        PortAssignment::SequentialByTwo,
        PortAssignment::Random,
    ]);
    let pooling = prop::sample::select(vec![Pooling::Paired, Pooling::Arbitrary]);
    let rest = (pooling, 1..4_u8, any::<bool>(), any::<bool>());
    (mapping, filtering, ports, rest).prop_map(|(mapping, filtering, ports, rest)| {
        let (pooling, addresses, parity, open_input) = rest;
        NatBehaviour {
            mapping,
            filtering,
            ports,
            pooling,
            addresses,
            parity,
            open_input,
            range: PortRange {
                first: 4000,
                last: 4019,
            },
            ..NatBehaviour::cone()
        }
    })
}

/// A datagram out, or one in to a port that may have a mapping.
#[derive(Clone, Debug)]
enum Step {
    Out { inside: u8, remote: u8 },
    In { port: u16, remote: u8 },
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6_u8, 0..8_u8).prop_map(|(inside, remote)| Step::Out { inside, remote }),
        2 => (4000..4020_u16, 0..8_u8).prop_map(|(port, remote)| Step::In { port, remote }),
        1 => (0..100_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..80)
}

/// Two hosts with three ports each.
fn inside(number: u8) -> SocketAddrV4 {
    let host = Ipv4Addr::new(10, 0, 0, 2 + number % 2);
    SocketAddrV4::new(host, 4000 + u16::from(number / 2))
}

/// Four hosts with two ports each.
fn remote(number: u8) -> SocketAddrV4 {
    let host = Ipv4Addr::new(192, 0, 2, 1 + number % 4);
    SocketAddrV4::new(host, 3544 + u16::from(number / 4))
}

proptest! {
    /// An answer to a datagram that left comes in, to the socket that sent it, and to no other. Towards one remote, two
    /// sockets never have the same external socket (RFC 4787 §4.1: every mapping must lead back).
    #[test]
    fn an_answer_finds_its_socket(behaviour in behaviours(), steps in steps()) {
        let mut nat = nat(behaviour);
        let mut now = START;
        let mut owners = BTreeMap::new();
        for step in steps {
            match step {
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    owners.retain(|_, (_, at)| now - *at < behaviour.lifetime);
                }
                Step::In { port, remote: number } => {
                    let _ = nat.inbound(now, remote(number), port);
                }
                Step::Out { inside: from, remote: number } => {
                    let (from, to) = (inside(from), remote(number));
                    let Ok(external) = nat.outbound(now, from, to) else {
                        continue;
                    };
                    prop_assert!(nat.externals().any(|address| address == *external.ip()));
                    prop_assert!(behaviour.range.contains(external.port()));
                    prop_assert!(nat.mapped(now, from).contains(&external));
                    if let Some((owner, _)) = owners.insert((external, to), (from, now)) {
                        prop_assert_eq!(owner, from, "two sockets at {}", external);
                    }
                    prop_assert_eq!(nat.inbound_to(now, to, external), Ok(from));
                }
            }
        }
    }
}
