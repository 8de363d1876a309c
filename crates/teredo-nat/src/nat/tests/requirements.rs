//! The requirements of RFC 4787 §12, and of RFC 6888 for carriers, which a NAT of the simulator meets or breaks as
//! configured.

use super::*;

const SERVER: &str = "192.0.2.1:1";

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// The external socket of an inside port towards a destination.
fn mapped(nat: &mut Nat, inside: &str, to: &str) -> SocketAddrV4 {
    nat.outbound(START, socket(inside), socket(to)).unwrap()
}

/// REQ-1: a mapping is the same for all destinations, or breaks the requirement in one of two ways.
#[test]
fn req_1_mapping() {
    for (mapping, same) in [
        (Mapping::EndpointIndependent, [true, true]),
        (Mapping::AddressDependent, [true, false]),
        (Mapping::AddressAndPortDependent, [false, false]),
    ] {
        let [first, other_port, other_address] = ports(mapping);
        assert_eq!([first == other_port, first == other_address], same);
    }
}

fn pool(pooling: Pooling) -> Nat {
    nat(NatBehaviour {
        addresses: 3,
        pooling,
        ..NatBehaviour::symmetric()
    })
}

/// REQ-2: all mappings of a host have one address of a paired pool, and hosts share the addresses.
#[test]
fn req_2_paired_pooling() {
    let mut nat = pool(Pooling::Paired);
    let of = |nat: &mut Nat, host: &str| {
        let sockets = [
            ("5000", SERVER),
            ("5001", SERVER),
            ("5000", "198.51.100.1:1"),
        ];
        let addresses = sockets.map(|(port, to)| *mapped(nat, &format!("{host}:{port}"), to).ip());
        assert!(addresses.iter().all(|address| *address == addresses[0]));
        addresses[0]
    };
    let hosts = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"].map(|host| of(&mut nat, host));
    assert_eq!(hosts[0], hosts[3]);
    let pool: Vec<_> = nat.externals().collect();
    assert_eq!(
        pool,
        [ip("203.0.113.1"), ip("203.0.114.1"), ip("203.0.115.1")]
    );
    assert!(pool.iter().all(|address| hosts.contains(address)));
}

/// REQ-2, broken: each mapping has the next address of an arbitrary pool, and is reached there alone.
#[test]
fn req_2_arbitrary_pooling() {
    let mut nat = pool(Pooling::Arbitrary);
    let remotes = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1", "192.0.2.4:1"];
    let sockets = remotes.map(|to| mapped(&mut nat, "10.0.0.2:5000", to));
    let addresses = sockets.map(|socket| *socket.ip());
    assert_eq!(addresses[..3], nat.externals().collect::<Vec<_>>());
    assert_eq!(addresses[0], addresses[3]);
    assert_eq!(nat.mapped(START, socket("10.0.0.2:5000")).len(), 4);
    for (from, to) in remotes.into_iter().zip(sockets) {
        let elsewhere = SocketAddrV4::new(ip("203.0.113.9"), to.port());
        assert_eq!(
            nat.inbound_to(START, socket(from), elsewhere),
            Err(Refusal::NoMapping)
        );
        assert_eq!(
            nat.inbound_to(START, socket(from), to),
            Ok(socket("10.0.0.2:5000"))
        );
    }
}

/// REQ-3: no two mappings have the same external socket, unless the NAT overloads.
#[test]
fn req_3_port_overloading() {
    let remotes = ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"];
    for ports in [
        PortAssignment::Preserving,
        PortAssignment::Sequential,
        PortAssignment::SequentialByTwo,
        PortAssignment::Random,
    ] {
        let mut nat = nat(NatBehaviour {
            ports,
            ..NatBehaviour::symmetric()
        });
        let mut seen: Vec<_> = ["10.0.0.2:5000", "10.0.0.3:5000"]
            .iter()
            .flat_map(|inside| remotes.map(|to| mapped(&mut nat, inside, to)))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 6, "{ports:?}");
    }

    let mut nat = nat(NatBehaviour::symmetric_overloading());
    let inside = socket("10.0.0.2:5000");
    for to in remotes {
        assert_eq!(mapped(&mut nat, "10.0.0.2:5000", to).port(), 5000);
    }
    assert_eq!(nat.mappings(START), 3);
    // Another host with the same port gets another external port towards the same remote, but not towards a new one.
    assert_eq!(mapped(&mut nat, "10.0.0.3:5000", remotes[0]).port(), 5001);
    assert_eq!(
        mapped(&mut nat, "10.0.0.3:5000", "192.0.2.9:9").port(),
        5000
    );
    // The sender selects the receiver.
    assert_eq!(nat.inbound(START, socket(remotes[0]), 5000), Ok(inside));
    assert_eq!(
        nat.inbound(START, socket("192.0.2.9:9"), 5000),
        Ok(socket("10.0.0.3:5000"))
    );
    assert_eq!(
        nat.inbound(START, socket("192.0.2.9:8"), 5000),
        Err(Refusal::NoMapping)
    );
}

/// REQ-3: with address-dependent mapping, the sender's address selects the mapping of an overloaded port.
#[test]
fn req_3_overloading_by_address() {
    let mut nat = nat(NatBehaviour {
        mapping: Mapping::AddressDependent,
        filtering: Filtering::AddressDependent,
        ..NatBehaviour::symmetric_overloading()
    });
    assert_eq!(
        mapped(&mut nat, "10.0.0.2:5000", "192.0.2.1:1").port(),
        5000
    );
    assert_eq!(
        mapped(&mut nat, "10.0.0.3:5000", "192.0.2.2:1").port(),
        5000
    );
    assert_eq!(
        mapped(&mut nat, "10.0.0.3:5000", "192.0.2.1:7").port(),
        5001
    );
    assert_eq!(
        nat.inbound(START, socket("192.0.2.1:9"), 5000),
        Ok(socket("10.0.0.2:5000"))
    );
    assert_eq!(
        nat.inbound(START, socket("192.0.2.2:9"), 5000),
        Ok(socket("10.0.0.3:5000"))
    );
}

/// REQ-3a: a well-known port stays one if it is preserved, and no other port becomes one.
#[test]
fn req_3a_well_known_ports() {
    let mut nat = nat(NatBehaviour::cone());
    assert_eq!(mapped(&mut nat, "10.0.0.2:500", SERVER).port(), 500);
    assert_eq!(mapped(&mut nat, "10.0.0.3:500", SERVER).port(), 501);
    let last = mapped(&mut nat, "10.0.0.2:65535", SERVER);
    assert_eq!(last.port(), 65535);
    assert_eq!(mapped(&mut nat, "10.0.0.3:65535", SERVER).port(), 1024);
}

/// REQ-4: a port keeps its parity until none of that parity is left.
#[test]
fn req_4_port_parity() {
    for ports in [
        PortAssignment::Preserving,
        PortAssignment::Sequential,
        PortAssignment::Random,
    ] {
        let mut nat = nat(NatBehaviour {
            ports,
            parity: true,
            range: PortRange {
                first: 4000,
                last: 4009,
            },
            ..NatBehaviour::cone()
        });
        let of = |nat: &mut Nat, port: u16| {
            let inside = format!("10.0.0.2:{port}");
            mapped(nat, &inside, SERVER).port() % 2
        };
        for port in (5001..5011).step_by(2) {
            assert_eq!(of(&mut nat, port), 1, "{ports:?}");
        }
        assert_eq!(of(&mut nat, 5011), 0, "{ports:?}");
        assert_eq!(of(&mut nat, 5000), 0, "{ports:?}");
    }
}

/// RFC 6081 §2: the ports of a sequential NAT have steps of 1 or 2.
#[test]
fn sequential_steps() {
    let steps = |behaviour| {
        let mut nat = nat(behaviour);
        let ports = ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"]
            .map(|to| mapped(&mut nat, "10.0.0.2:5000", to).port());
        [ports[1] - ports[0], ports[2] - ports[1]]
    };
    assert_eq!(steps(NatBehaviour::symmetric_sequential()), [1, 1]);
    assert_eq!(steps(NatBehaviour::symmetric_sequential_by_two()), [2, 2]);
}

/// A sequence begins again at its end, and passes over ports that are in use.
#[test]
fn a_sequence_is_a_ring() {
    let range = PortRange {
        first: 4000,
        last: 4003,
    };
    let mut nat = nat(NatBehaviour {
        range,
        lifetime: 30 * SECOND,
        ..NatBehaviour::symmetric()
    });
    nat.forward(4001, socket("10.0.0.9:1"));
    let at = |nat: &mut Nat, now, port| {
        let to = SocketAddrV4::new(ip("192.0.2.1"), port);
        nat.outbound(now, socket("10.0.0.2:5000"), to)
            .map(|socket| socket.port())
    };
    let mut seen = [1, 2, 3].map(|port| at(&mut nat, START, port).unwrap());
    seen.sort_unstable();
    assert_eq!(seen, [4000, 4002, 4003]);
    assert_eq!(at(&mut nat, START, 4), Err(Refusal::Exhausted));
    assert!(at(&mut nat, START + 31 * SECOND, 4).is_ok());
}

/// REQ-5: a mapping lasts 2 minutes by default.
#[test]
fn req_5_lifetime() {
    let mut nat = nat(NatBehaviour::cone());
    let server = socket(SERVER);
    mapped(&mut nat, "10.0.0.2:5000", SERVER);
    assert!(nat.inbound(START + 119 * SECOND, server, 5000).is_ok());
    assert!(nat.inbound(START + 120 * SECOND, server, 5000).is_err());
}

/// REQ-6: outbound datagrams keep a mapping alive, or, against the requirement, do not.
#[test]
fn req_6_outbound_refresh() {
    for refresh_outbound in [true, false] {
        let mut nat = nat(NatBehaviour {
            refresh_outbound,
            ..NatBehaviour::port_restricted()
        });
        let (inside, server) = (socket("10.0.0.2:5000"), socket(SERVER));
        for seconds in [0, 60, 110] {
            nat.outbound(START + seconds * SECOND, inside, server)
                .unwrap();
        }
        let late = START + 121 * SECOND;
        assert_eq!(nat.inbound(late, server, 5000).is_ok(), refresh_outbound);
        nat.outbound(late, inside, server).unwrap();
        assert!(nat.inbound(late, server, 5000).is_ok());
    }
}

/// REQ-9: the receiver of a hairpinned datagram sees the external source, or, against the requirement, the internal
/// one.
#[test]
fn req_9_hairpinning() {
    for (behaviour, source) in [
        (NatBehaviour::hairpin(), "203.0.113.1:5000"),
        (NatBehaviour::hairpin_internal(), "10.0.0.2:5000"),
    ] {
        let mut nat = nat(behaviour);
        let (one, two) = (socket("10.0.0.2:5000"), socket("10.0.0.3:6000"));
        let [first, second] =
            [one, two].map(|inside| nat.outbound(START, inside, socket(SERVER)).unwrap());
        assert_eq!(nat.hairpin(START, two, first), Err(Refusal::Filtered));
        assert_eq!(nat.hairpin(START, one, second), Ok((socket(source), two)));
    }
}

/// REQ-11: a NAT treats every socket alike, as long as its ports last: the behaviour is a function of its state.
#[test]
fn req_11_determinism() {
    let run = |seed| {
        let behaviour = NatBehaviour::symmetric_random();
        let mut nat = Nat::new(behaviour, ip("203.0.113.1"), seed);
        (1..50_u16)
            .map(|port| {
                let to = SocketAddrV4::new(ip("192.0.2.1"), port);
                nat.outbound(START, socket("10.0.0.2:5000"), to).unwrap()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// RFC 6888 §3, REQ-4: a customer has a limited number of mappings, and others are not short of ports then.
#[test]
fn a_carrier_limits_each_customer() {
    let mut nat = nat(NatBehaviour {
        most_per_host: Some(2),
        ..NatBehaviour::carrier()
    });
    let server = socket(SERVER);
    mapped(&mut nat, "100.64.0.2:1", SERVER);
    mapped(&mut nat, "100.64.0.2:2", SERVER);
    let third = socket("100.64.0.2:3");
    assert_eq!(nat.outbound(START, third, server), Err(Refusal::Exhausted));
    mapped(&mut nat, "100.64.0.3:3", SERVER);
    assert!(nat.outbound(START + 120 * SECOND, third, server).is_ok());
}

/// The sockets of one host are independent: another port, another mapping, another set of admitted senders.
#[test]
fn the_sockets_of_a_host_are_independent() {
    for behaviour in [
        NatBehaviour::port_restricted(),
        NatBehaviour::symmetric(),
        NatBehaviour::symmetric_random(),
        NatBehaviour::symmetric_overloading(),
    ] {
        let mut nat = nat(behaviour);
        let (one, two) = (socket("10.0.0.2:5000"), socket("10.0.0.2:5001"));
        let (server, peer) = (socket(SERVER), socket("198.51.100.1:1"));
        let first = nat.outbound(START, one, server).unwrap();
        let second = nat.outbound(START, two, peer).unwrap();
        assert_ne!(first, second);
        assert_eq!(nat.inbound_to(START, server, first), Ok(one));
        assert_eq!(nat.inbound_to(START, peer, second), Ok(two));
        assert!(nat.inbound_to(START, peer, first).is_err());
        assert!(nat.inbound_to(START, server, second).is_err());
    }
}
