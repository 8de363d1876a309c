//! The kinds of NATs, as a client and its peers see them.

use super::*;

/// The external ports of one socket towards three destinations.
fn seen(behaviour: NatBehaviour) -> [SocketAddrV4; 3] {
    let mut nat = nat(behaviour);
    ["192.0.2.1:3544", "192.0.2.2:3544", "198.51.100.9:4444"]
        .map(|to| nat.outbound(START, socket("10.0.0.2:5000"), socket(to)))
        .map(Result::unwrap)
}

fn ports_seen(behaviour: NatBehaviour) -> [u16; 3] {
    seen(behaviour).map(|socket| socket.port())
}

/// RFC 6081 §2: the port-preserving symmetric NAT keeps the first mapping's port; others get others.
#[test]
fn the_first_mapping_of_a_preserving_symmetric_nat_keeps_the_port() {
    assert_eq!(
        ports_seen(NatBehaviour::symmetric_preserving()),
        [5000, 5001, 5002]
    );
}

/// RFC 6081 §6.3: each random port of a client has one peer, so both keep their ports behind such NATs.
#[test]
fn a_fresh_socket_behind_a_preserving_symmetric_nat_keeps_its_port() {
    let mut nat = nat(NatBehaviour::symmetric_preserving());
    for port in [5000, 6000, 7000] {
        let inside = SocketAddrV4::new([10, 0, 0, 2].into(), port);
        let mapped = nat.outbound(START, inside, socket("192.0.2.1:1")).unwrap();
        assert_eq!(mapped.port(), port);
    }
}

/// A Linux router looks like a port-restricted cone NAT.
#[test]
fn an_overloading_symmetric_nat_shows_one_port() {
    assert_eq!(ports_seen(NatBehaviour::symmetric_overloading()), [5000; 3]);
}

#[test]
fn an_address_symmetric_nat_shows_other_addresses() {
    let addresses = seen(NatBehaviour::address_symmetric()).map(|socket| *socket.ip());
    assert_ne!(addresses[0], addresses[1]);
    assert_ne!(addresses[1], addresses[2]);
}

#[test]
fn a_random_symmetric_nat_has_no_pattern() {
    let [one, two, three] = ports_seen(NatBehaviour::symmetric_random());
    assert_ne!(two.wrapping_sub(one), three.wrapping_sub(two));
}

/// A router passes everything both ways; its firewall, answers only.
#[test]
fn a_router_translates_nothing() {
    let inside = socket("198.51.100.2:5000");
    let [peer, stranger] = ["192.0.2.1:1", "192.0.2.2:1"].map(socket);
    let mut router = nat(NatBehaviour::none());
    assert_eq!(router.inbound_to(START, stranger, inside), Ok(inside));
    assert_eq!(router.outbound(START, inside, peer), Ok(inside));

    let mut firewall = nat(NatBehaviour::firewall());
    assert_eq!(
        firewall.inbound_to(START, peer, inside),
        Err(Refusal::NoMapping)
    );
    assert_eq!(firewall.outbound(START, inside, peer), Ok(inside));
    assert_eq!(firewall.inbound_to(START, peer, inside), Ok(inside));
    assert_eq!(
        firewall.inbound_to(START, stranger, inside),
        Err(Refusal::Filtered)
    );
    let late = START + 120 * SECOND;
    assert_eq!(
        firewall.inbound_to(late, peer, inside),
        Err(Refusal::NoMapping)
    );
    assert_eq!(firewall.outbound(late, inside, stranger), Ok(inside));
    assert_eq!(
        firewall.inbound_to(late, peer, inside),
        Err(Refusal::Filtered)
    );
}

/// A Linux router with unfiltered input and a mapping for each destination: its own connection takes the port.
#[test]
fn an_open_input_moves_a_mapping_to_the_early_sender() {
    let mut nat = nat(NatBehaviour {
        open_input: true,
        ..NatBehaviour::symmetric_overloading()
    });
    let inside = socket("10.0.0.2:5000");
    let (server, early) = (socket("192.0.2.1:1"), socket("198.51.100.9:4444"));
    assert_eq!(
        nat.outbound(START, inside, server),
        Ok(socket("203.0.113.1:5000"))
    );
    assert!(nat.inbound(START, early, 5000).is_err());
    assert_eq!(
        nat.outbound(START, inside, early),
        Ok(socket("203.0.113.1:5001"))
    );
}

/// A restart or a new address drops what hosts made, and keeps what the owner of the router set up.
#[test]
fn a_renumbered_nat_keeps_its_forwards() {
    let mut nat = nat(NatBehaviour::address_symmetric());
    let inside = socket("10.0.0.2:7000");
    nat.forward(7000, inside);
    nat.outbound(START, socket("10.0.0.3:1"), socket("192.0.2.1:1"))
        .unwrap();
    nat.renumber([198, 51, 100, 1].into());
    assert_eq!(nat.mappings(START), 1);
    assert_eq!(nat.inbound(START, socket("192.0.2.1:1"), 7000), Ok(inside));
    assert_eq!(nat.externals().count(), 4);
}
