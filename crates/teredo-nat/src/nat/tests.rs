mod igd;
mod kinds;
mod properties;
mod requirements;

use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const START: Instant = Instant::from_nanos(0);

fn socket(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

fn nat(behaviour: NatBehaviour) -> Nat {
    Nat::new(behaviour, Ipv4Addr::new(203, 0, 113, 1), 42)
}

/// The external ports of one socket towards an address, another port of it, and another address.
fn ports(mapping: Mapping) -> [u16; 3] {
    let mut nat = nat(NatBehaviour {
        mapping,
        ..NatBehaviour::symmetric()
    });
    ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"].map(|to| {
        nat.outbound(START, socket("10.0.0.2:5000"), socket(to))
            .unwrap()
            .port()
    })
}

/// Whether a socket that has sent to 192.0.2.1:1 receives from that address and port, another port, and another
/// address.
fn admitted(filtering: Filtering) -> [bool; 3] {
    let mut nat = nat(NatBehaviour {
        filtering,
        ..NatBehaviour::cone()
    });
    let mapped = nat
        .outbound(START, socket("10.0.0.2:5000"), socket("192.0.2.1:1"))
        .unwrap();
    ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"]
        .map(|from| nat.inbound(START, socket(from), mapped.port()) == Ok(socket("10.0.0.2:5000")))
}

/// RFC 4787 §4.1
#[test]
fn endpoint_independent_mapping_is_one_port_for_all() {
    let [first, other_port, other_address] = ports(Mapping::EndpointIndependent);
    assert_eq!((first, first), (other_port, other_address));
}

/// RFC 4787 §4.1
#[test]
fn address_dependent_mapping_is_a_port_for_each_address() {
    let [first, other_port, other_address] = ports(Mapping::AddressDependent);
    assert_eq!(first, other_port);
    assert_ne!(first, other_address);
}

/// RFC 4787 §4.1
#[test]
fn address_and_port_dependent_mapping_is_a_port_for_each_socket() {
    let [first, other_port, other_address] = ports(Mapping::AddressAndPortDependent);
    assert_ne!(first, other_port);
    assert_ne!(first, other_address);
    assert_ne!(other_port, other_address);
}

/// RFC 4787 §5
#[test]
fn endpoint_independent_filtering_admits_all() {
    assert_eq!(admitted(Filtering::EndpointIndependent), [true, true, true]);
}

/// RFC 4787 §5
#[test]
fn address_dependent_filtering_admits_every_port_of_the_address() {
    assert_eq!(admitted(Filtering::AddressDependent), [true, true, false]);
}

/// RFC 4787 §5
#[test]
fn address_and_port_dependent_filtering_admits_the_socket_alone() {
    assert_eq!(
        admitted(Filtering::AddressAndPortDependent),
        [true, false, false]
    );
}

#[test]
fn nothing_comes_in_without_a_mapping() {
    assert_eq!(
        nat(NatBehaviour::cone()).inbound(START, socket("192.0.2.1:1"), 5000),
        Err(Refusal::NoMapping)
    );
}

/// RFC 4787 §4.2.1
#[test]
fn preserved_ports_are_those_inside_until_two_hosts_want_the_same() {
    let mut nat = nat(NatBehaviour::cone());
    let to = socket("192.0.2.1:1");
    assert_eq!(
        nat.outbound(START, socket("10.0.0.2:5000"), to),
        Ok(socket("203.0.113.1:5000"))
    );
    assert_eq!(
        nat.outbound(START, socket("10.0.0.3:5000"), to),
        Ok(socket("203.0.113.1:5001"))
    );
    assert_eq!(nat.inbound(START, to, 5001), Ok(socket("10.0.0.3:5000")));
}

/// RFC 4787 §4.2.1
#[test]
fn sequential_ports_follow_each_other() {
    let mut nat = nat(NatBehaviour::symmetric());
    let mut port = |to: &str| {
        nat.outbound(START, socket("10.0.0.2:5000"), socket(to))
            .unwrap()
            .port()
    };
    let first = port("192.0.2.1:1");
    assert_eq!(
        [port("192.0.2.1:2"), port("192.0.2.1:3")],
        [first + 1, first + 2]
    );
}

/// RFC 4787 §4.2.1
#[test]
fn random_ports_differ_from_the_inside_and_from_each_other() {
    let mut nat = nat(NatBehaviour {
        ports: PortAssignment::Random,
        ..NatBehaviour::symmetric()
    });
    let mut drawn: Vec<u16> = (1..=100)
        .map(|port| {
            nat.outbound(
                START,
                socket("10.0.0.2:5000"),
                SocketAddrV4::new([192, 0, 2, 1].into(), port),
            )
        })
        .map(|mapped| mapped.unwrap().port())
        .collect();
    assert!(!drawn.is_sorted());
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 100);
    assert!(drawn.iter().all(|port| *port >= 1024));
    assert!(drawn.iter().any(|port| *port > 32_768) && drawn.iter().any(|port| *port < 32_768));
}

#[test]
fn a_full_nat_refuses_and_reuses_what_expired() {
    let mut nat = nat(NatBehaviour::cone());
    let to = socket("192.0.2.1:1");
    for port in 1024..=u16::MAX {
        assert!(
            nat.outbound(START, SocketAddrV4::new([10, 0, 0, 2].into(), port), to)
                .is_ok()
        );
    }
    assert_eq!(
        nat.outbound(START, socket("10.0.0.3:5000"), to),
        Err(Refusal::Exhausted)
    );
    assert!(
        nat.outbound(START + 120 * SECOND, socket("10.0.0.3:5000"), to)
            .is_ok()
    );
}

/// RFC 4787 §4.3
#[test]
fn a_mapping_expires_after_its_lifetime() {
    let mut nat = nat(NatBehaviour {
        lifetime: 30 * SECOND,
        ..NatBehaviour::cone()
    });
    let server = socket("192.0.2.1:1");
    nat.outbound(START, socket("10.0.0.2:5000"), server)
        .unwrap();
    assert!(nat.inbound(START + 29 * SECOND, server, 5000).is_ok());
    assert_eq!(nat.mappings(START + 29 * SECOND), 1);
    assert_eq!(
        nat.inbound(START + 30 * SECOND, server, 5000),
        Err(Refusal::NoMapping)
    );
    assert_eq!(nat.mappings(START + 30 * SECOND), 0);
}

/// RFC 4787 §4.3
#[test]
fn an_expired_mapping_comes_back_with_another_port() {
    let mut nat = nat(NatBehaviour {
        lifetime: 30 * SECOND,
        ..NatBehaviour::symmetric()
    });
    let (inside, server) = (socket("10.0.0.2:5000"), socket("192.0.2.1:1"));
    let first = nat.outbound(START, inside, server).unwrap();
    assert_eq!(nat.outbound(START + 29 * SECOND, inside, server), Ok(first));
    assert_eq!(nat.outbound(START + 58 * SECOND, inside, server), Ok(first));
    assert_ne!(nat.outbound(START + 88 * SECOND, inside, server), Ok(first));
}

/// RFC 4787 §4.3, REQ-6
#[test]
fn inbound_traffic_keeps_a_mapping_alive_only_where_told() {
    for refresh_inbound in [false, true] {
        let mut nat = nat(NatBehaviour {
            lifetime: 30 * SECOND,
            refresh_inbound,
            ..NatBehaviour::port_restricted()
        });
        let server = socket("192.0.2.1:1");
        nat.outbound(START, socket("10.0.0.2:5000"), server)
            .unwrap();
        nat.inbound(START + 20 * SECOND, server, 5000).unwrap();
        assert_eq!(
            nat.inbound(START + 40 * SECOND, server, 5000).is_ok(),
            refresh_inbound
        );
    }
}

#[test]
fn leave_to_answer_expires_for_each_destination_by_itself() {
    let mut nat = nat(NatBehaviour {
        lifetime: 30 * SECOND,
        ..NatBehaviour::restricted()
    });
    let (inside, server, peer) = (
        socket("10.0.0.2:5000"),
        socket("192.0.2.1:1"),
        socket("198.51.100.1:1"),
    );
    nat.outbound(START, inside, peer).unwrap();
    nat.outbound(START + 20 * SECOND, inside, server).unwrap();
    assert_eq!(
        nat.inbound(START + 31 * SECOND, peer, 5000),
        Err(Refusal::Filtered)
    );
    assert_eq!(nat.inbound(START + 31 * SECOND, server, 5000), Ok(inside));
}

/// RFC 4787 §6
#[test]
fn hairpinning_shows_the_external_source() {
    let mut nat = nat(NatBehaviour {
        hairpin: true,
        ..NatBehaviour::cone()
    });
    let (one, two, server) = (
        socket("10.0.0.2:5000"),
        socket("10.0.0.3:6000"),
        socket("192.0.2.1:1"),
    );
    let mapped_two = nat.outbound(START, two, server).unwrap();
    assert_eq!(
        nat.hairpin(START, one, mapped_two),
        Ok((socket("203.0.113.1:5000"), two))
    );
}

/// RFC 4787 §6
#[test]
fn without_hairpinning_the_external_address_is_out_of_reach() {
    let mut nat = nat(NatBehaviour::cone());
    let mapped = nat
        .outbound(START, socket("10.0.0.3:6000"), socket("192.0.2.1:1"))
        .unwrap();
    assert_eq!(
        nat.hairpin(START, socket("10.0.0.2:5000"), mapped),
        Err(Refusal::NoHairpin)
    );
}

/// RFC 4787 §6: a hairpinned datagram is filtered like any other.
#[test]
fn hairpinning_is_filtered() {
    let mut nat = nat(NatBehaviour {
        hairpin: true,
        ..NatBehaviour::port_restricted()
    });
    let (one, two, server) = (
        socket("10.0.0.2:5000"),
        socket("10.0.0.3:6000"),
        socket("192.0.2.1:1"),
    );
    let mapped_one = nat.outbound(START, one, server).unwrap();
    let mapped_two = nat.outbound(START, two, server).unwrap();
    assert_eq!(nat.hairpin(START, one, mapped_two), Err(Refusal::Filtered));
    assert_eq!(nat.hairpin(START, two, mapped_one), Ok((mapped_two, one)));
    assert_eq!(nat.hairpin(START, one, mapped_two), Ok((mapped_one, two)));
}

#[test]
fn forget_drops_mappings_and_keeps_forwards() {
    let mut nat = nat(NatBehaviour::cone());
    let server = socket("192.0.2.1:1");
    nat.outbound(START, socket("10.0.0.2:5000"), server)
        .unwrap();
    nat.forward(7000, socket("10.0.0.3:7000"));
    assert_eq!(nat.mappings(START), 2);
    nat.forget();
    assert_eq!(nat.inbound(START, server, 5000), Err(Refusal::NoMapping));
    assert_eq!(
        nat.inbound(START, server, 7000),
        Ok(socket("10.0.0.3:7000"))
    );
}

/// R4380-5.2.10-01: a reserved port makes a symmetric NAT a cone for one socket.
#[test]
fn a_forward_is_open_to_all_and_the_same_towards_all() {
    let mut nat = nat(NatBehaviour::symmetric());
    let inside = socket("10.0.0.2:5000");
    nat.forward(7000, inside);
    for remote in ["192.0.2.1:1", "192.0.2.2:2"] {
        assert_eq!(nat.inbound(START, socket(remote), 7000), Ok(inside));
        assert_eq!(
            nat.outbound(START, inside, socket(remote)),
            Ok(socket("203.0.113.1:7000"))
        );
    }
}

/// An early datagram is the router's own for 30 s, and blocks what the host sends to that sender.
#[test]
fn an_open_input_takes_early_datagrams_for_the_routers_own() {
    let mut nat = nat(NatBehaviour::open_input());
    let inside = socket("10.0.0.2:5000");
    let [server, stranger, other] =
        ["192.0.2.1:1", "198.51.100.9:4444", "198.51.100.9:4445"].map(socket);
    let mapped = nat.outbound(START, inside, server).unwrap();
    assert_eq!(mapped, socket("203.0.113.1:5000"));
    assert_eq!(
        nat.inbound(START, stranger, mapped.port()),
        Err(Refusal::Filtered)
    );
    let now = START + 29 * SECOND;
    let detour = nat.outbound(now, inside, stranger).unwrap();
    assert_ne!(detour, mapped);
    assert_eq!(nat.outbound(now, inside, other), Ok(mapped));
    assert_eq!(
        nat.inbound(now, stranger, mapped.port()),
        Err(Refusal::Filtered)
    );
    assert_eq!(nat.inbound(now, stranger, detour.port()), Ok(inside));
    assert_eq!(nat.inbound(now, other, mapped.port()), Ok(inside));
    // Each further datagram keeps it alive.
    assert_ne!(
        nat.outbound(now + 29 * SECOND, inside, stranger),
        Ok(mapped)
    );
    assert_eq!(
        nat.outbound(now + 30 * SECOND, inside, stranger),
        Ok(mapped)
    );
}

/// A sender that was sent to first gets through, as at any port-restricted NAT.
#[test]
fn an_open_input_lets_in_whom_the_host_sent_to() {
    let mut nat = nat(NatBehaviour::open_input());
    let (inside, peer) = (socket("10.0.0.2:5000"), socket("198.51.100.9:4444"));
    let mapped = nat.outbound(START, inside, peer).unwrap();
    assert_eq!(nat.inbound(START, peer, mapped.port()), Ok(inside));
    nat.forget();
    assert_eq!(
        nat.inbound(START, peer, mapped.port()),
        Err(Refusal::NoMapping)
    );
    nat.forget();
    assert_eq!(nat.outbound(START, inside, peer), Ok(mapped));
}
