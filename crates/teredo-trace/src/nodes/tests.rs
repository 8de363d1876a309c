use super::*;
use crate::sample::*;
use crate::trace::{Limits, Trace};

fn roles(trace: &Trace) -> Vec<&str> {
    trace.nodes.iter().map(|node| node.id.as_str()).collect()
}

fn nat(trace: &Trace) -> Nat {
    let client = trace.nodes.iter().find(|node| node.role == Role::Client);
    client.and_then(|client| client.nat.clone()).expect("a NAT")
}

#[test]
fn a_server_has_two_addresses_and_a_client_two_ends() {
    let trace = Exchange::new().qualified().trace();
    assert_eq!(roles(&trace), ["client-1", "server-1"]);
    let [client, server] = &trace.nodes[..] else {
        panic!("{:?}", trace.nodes);
    };
    assert_eq!(client.local, Some(end(LOCAL)));
    assert_eq!(client.mapped, Some(end(MAPPED)));
    assert_eq!(server.addresses, [*end(PRIMARY).ip(), *end(SECONDARY).ip()]);
    assert_eq!((client.sent, client.received), (2, 2));
}

#[test]
fn both_sides_of_a_nat_are_one_client() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let trace = Exchange::new()
        .qualified()
        .send(100, MAPPED, PEER, bubble(own, peer, &[]))
        .send(101, PEER, MAPPED, bubble(peer, own, &[]))
        .trace();
    assert_eq!(roles(&trace), ["client-1", "server-1", "client-2"]);
    assert_eq!(trace.packets[4].from_node, "client-1");
    assert_eq!(trace.nodes[2].teredo, [peer]);
}

/// R6081-5.4.4.2-01: a client sends to one peer from a further socket. Its server sends to the service port alone.
#[test]
fn the_service_port_is_the_one_that_the_server_sends_to() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let random = "192.168.1.2:50001";
    let trace = Exchange::new()
        .send(0, LOCAL, PRIMARY, bubble(own, peer, &[]))
        .send(50, PRIMARY, LOCAL, passed_on(PEER, &bubble(peer, own, &[])))
        .send(51, random, PEER, bubble(own, peer, &[]))
        .send(52, PEER, random, data(peer, own))
        .trace();
    assert_eq!(trace.nodes[0].local, Some(end(LOCAL)));
}

/// R6081-5.4.4.4-01: a port that a peer has foreseen wrongly is no node of its own; a neighbour's port is the neighbour's.
#[test]
fn a_guessed_port_is_of_the_client_that_it_was_meant_for() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let (guess, neighbour) = ("203.0.113.5:61003", "203.0.113.5:62000");
    let exchange = Exchange::new()
        .send(0, MAPPED, PEER, bubble(own, peer, &[]))
        .send(1, neighbour, PEER, bubble(teredo(neighbour), peer, &[]))
        .send(2, PEER, guess, bubble(peer, own, &[]))
        .send(3, PEER, neighbour, bubble(peer, own, &[]))
        .send(4, PEER, "192.0.2.77:61003", bubble(peer, own, &[]));
    let trace = exchange.trace();
    let receivers: Vec<_> = (trace.packets[2..].iter())
        .map(|packet| packet.to_node.as_str())
        .collect();
    assert_eq!(receivers, ["client-1", "client-3", "unknown-1"]);
}

#[test]
fn who_speaks_for_native_hosts_is_a_relay() {
    let (own, host) = (teredo(MAPPED), HOST.parse().unwrap());
    let trace = Exchange::new()
        .qualified()
        .send(
            100,
            PRIMARY,
            LOCAL,
            passed_on(RELAY, &bubble(host, own, &[])),
        )
        .send(101, LOCAL, RELAY, bubble(own, host, &[]))
        .trace();
    assert_eq!(roles(&trace), ["client-1", "server-1", "relay-1"]);
    assert_eq!(trace.packets[4].kind.name(), "indirect-bubble");
    assert_eq!(trace.packets[5].kind.name(), "bubble");

    let same = Exchange::new()
        .qualified()
        .send(100, PRIMARY, LOCAL, pong(host, own, &[1; 8]))
        .trace();
    assert!(same.nodes[1].is_relay, "a server can be a relay, too");
}

/// R4380-5.2.1-11
#[test]
fn one_mapping_for_both_addresses_is_not_symmetric() {
    let found = nat(&Exchange::new().qualified().trace());
    assert_eq!(
        (found.kind, found.mapping),
        (None, Some(Mapping::EndpointIndependent))
    );
    assert_eq!(
        found.to_string(),
        "NAT, not symmetric (cone or restricted), changes the port"
    );
    assert_eq!(found.port_preserving, Some(false));
    assert_eq!(found.address, Some(*end(MAPPED).ip()));
    assert!(
        found.evidence[0].contains("both see 203.0.113.5:61000"),
        "{found:?}"
    );
}

/// R4380-5.2.1-11
#[test]
fn two_mappings_are_symmetric() {
    let mut second = Advert::new("203.0.113.5:61002");
    second.nonce = Some([2; 8]);
    let trace = Exchange::new()
        .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), false))
        .send(20, PRIMARY, LOCAL, Advert::new(MAPPED).bytes())
        .send(21, LOCAL, SECONDARY, solicitation(Some([2; 8]), false))
        .send(41, SECONDARY, LOCAL, second.bytes())
        .trace();
    assert_eq!(nat(&trace).kind, Some(NatKind::Symmetric));
}

/// R4380-5.2.1-09
#[test]
fn an_answer_from_the_other_address_is_cone() {
    let mut answer = Advert::new("203.0.113.5:50000");
    answer.destination = own(true);
    let trace = Exchange::new()
        .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), true))
        .send(20, SECONDARY, LOCAL, answer.bytes())
        .trace();
    let found = nat(&trace);
    assert_eq!(found.kind, Some(NatKind::Cone));
    assert_eq!(found.port_preserving, Some(true));
}

/// R4380-5.2.1-04
#[test]
fn a_cone_phase_without_an_answer_is_restricted() {
    let ask = |nonce, cone| solicitation(Some([nonce; 8]), cone);
    let mut answer = Advert::new(MAPPED);
    answer.nonce = Some([4; 8]);
    let mut second = Advert::new(MAPPED);
    second.nonce = Some([5; 8]);
    let one = Exchange::new()
        .send(0, LOCAL, PRIMARY, ask(1, true))
        .send(4000, LOCAL, PRIMARY, ask(2, true))
        .send(8000, LOCAL, PRIMARY, ask(3, true))
        .send(12_000, LOCAL, PRIMARY, ask(4, false))
        .send(12_020, PRIMARY, LOCAL, answer.bytes());
    let kind = nat(&one.trace()).kind;
    assert_eq!(kind, None, "behind a symmetric NAT it is the same");
    let trace = one
        .send(12_021, LOCAL, SECONDARY, ask(5, false))
        .send(12_041, SECONDARY, LOCAL, second.bytes())
        .trace();
    assert_eq!(nat(&trace).kind, Some(NatKind::Restricted));
    assert_eq!(trace.stalls, []);
}

/// R4380-5.2.4-01: only a bubble is a first word, and only if the client has just got its address.
#[test]
fn strangers_that_get_through_show_a_cone_nat() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let hears = |exchange: Exchange, packet| {
        let found = nat(&exchange.send(5000, PEER, LOCAL, packet).trace());
        (found.kind, found.evidence.join("; "))
    };
    let (kind, _) = hears(Exchange::new().qualified(), bubble(peer, own, &[]));
    assert_eq!(kind, Some(NatKind::Cone));

    let refresh = || {
        Exchange::new()
            .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), false))
            .send(20, PRIMARY, LOCAL, Advert::new(MAPPED).bytes())
    };
    let late = || {
        Exchange::new()
            .send(
                0,
                LOCAL,
                "198.51.100.9:9",
                data(own, teredo("198.51.100.9:9")),
            )
            .qualified()
    };
    for (exchange, packet) in [
        (refresh(), bubble(peer, own, &[])),
        (late(), bubble(peer, own, &[])),
        // Nobody sends data before a bubble.
        (Exchange::new().qualified(), data(peer, own)),
        (
            Exchange::new().qualified(),
            pong(client_host(), own, &[1; 8]),
        ),
    ] {
        let (kind, evidence) = hears(exchange, packet);
        assert_eq!(kind, None, "the capture may have begun late");
        assert!(evidence.contains("from before the capture"), "{evidence}");
    }
}

fn client_host() -> Ipv6Addr {
    HOST.parse().unwrap()
}

/// R4380-5.2.1-11: a mapping that is replaced is no symmetric NAT; two that are used in turn are one.
#[test]
fn symmetric_means_two_mappings_at_a_time() {
    let (own, peer, other) = (teredo(MAPPED), teredo(PEER), "203.0.113.5:62000");
    let from = |exchange: Exchange, at, from: &str| exchange.send(at, from, PEER, data(own, peer));
    let moved = from(from(Exchange::new(), 0, MAPPED), 600_000, other);
    let found = nat(&moved.trace());
    assert_eq!(found.kind, None);
    assert!(
        found.evidence[0].contains("or the mapping moved"),
        "{found:?}"
    );
    assert_eq!(found.port_preserving, None, "nothing inside was seen");
    let kind = nat(&from(moved, 601_000, MAPPED).trace()).kind;
    assert_eq!(kind, Some(NatKind::Symmetric));
}

/// R4380-5.3.2-06: an answer to the cone bit comes from the other address, and is about the mapping for the one asked.
#[test]
fn an_answer_counts_for_the_address_that_was_asked() {
    let mut first = Advert::new(MAPPED);
    first.destination = own(true);
    let mut later = Advert::new("203.0.113.5:62000");
    later.nonce = Some([2; 8]);
    let trace = Exchange::new()
        .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), true))
        .send(20, SECONDARY, LOCAL, first.bytes())
        .send(10_000, LOCAL, PRIMARY, solicitation(Some([2; 8]), false))
        .send(10_020, PRIMARY, LOCAL, later.bytes())
        .trace();
    assert_eq!(nat(&trace).kind, Some(NatKind::Cone));
}

/// Seen outside, a client behind a symmetric NAT asks each server from another port.
#[test]
fn a_symmetric_nat_shows_outside_too() {
    let mut exchange = Exchange::new();
    for (at, server, mapped) in [(0, PRIMARY, MAPPED), (1, SECONDARY, "203.0.113.5:62000")] {
        let nonce = [u8::try_from(at).unwrap(); 8];
        let mut answer = Advert::new(mapped);
        answer.nonce = Some(nonce);
        exchange = exchange
            .send(at, mapped, server, solicitation(Some(nonce), false))
            .send(at + 20, server, mapped, answer.bytes());
    }
    // To a peer it sends from a third one.
    let packet = data(teredo(MAPPED), teredo(PEER));
    let trace = exchange
        .send(100, "203.0.113.5:63000", PEER, packet)
        .trace();
    assert_eq!(roles(&trace), ["client-1", "server-1", "client-2"]);
    assert_eq!(trace.packets[4].from_node, "client-1");
    assert_eq!(nat(&trace).kind, Some(NatKind::Symmetric));
}

/// Captured on both sides of the NAT, the outside first.
#[test]
fn the_inside_of_a_known_client_is_the_same_client() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let trace = Exchange::new()
        .send(0, PEER, MAPPED, data(peer, own))
        .send(1, PEER, LOCAL, data(peer, own))
        .send(2, LOCAL, PEER, data(own, peer))
        .send(3, MAPPED, PEER, data(own, peer))
        .trace();
    assert_eq!(roles(&trace), ["client-1", "client-2"]);
    assert_eq!(trace.nodes[1].local, Some(end(LOCAL)));
    assert_eq!(trace.nodes[1].mapped, Some(end(MAPPED)));
}

#[test]
fn without_a_nat_the_server_sees_the_client_itself() {
    let public = "203.0.113.5:50000";
    let mut question = Vec::new();
    let source = teredo::wire::link_local(teredo::wire::Flags::default(), end(public));
    teredo::wire::emit_router_solicitation(source, &mut question);
    let mut answer = Advert::new(public);
    (answer.nonce, answer.destination) = (None, source);
    let seen = |ttl| {
        Exchange::new()
            .ttl(ttl)
            .send(0, public, PRIMARY, question.clone())
            .send(20, PRIMARY, public, answer.bytes())
            .trace()
    };
    assert_eq!(nat(&seen(64)).kind, Some(NatKind::None));
    assert_eq!(
        nat(&seen(57)).kind,
        None,
        "perhaps captured outside of a NAT"
    );
}

#[test]
fn from_outside_the_identifier_tells_the_local_end() {
    let trace = Exchange::new()
        .send(0, MAPPED, PRIMARY, solicitation(Some(NONCE), false))
        .send(20, PRIMARY, MAPPED, Advert::new(MAPPED).bytes())
        .trace();
    let client = &trace.nodes[0];
    assert_eq!(client.local, Some(end(LOCAL)));
    assert_eq!(client.mapped, Some(end(MAPPED)));
    assert_eq!(nat(&trace).port_preserving, Some(false));
}

#[test]
fn a_mapping_that_moves_is_told() {
    let mut later = Advert::new("203.0.113.5:62000");
    later.nonce = Some([2; 8]);
    let trace = Exchange::new()
        .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), false))
        .send(20, PRIMARY, LOCAL, Advert::new(MAPPED).bytes())
        .send(30_000, LOCAL, PRIMARY, solicitation(Some([2; 8]), false))
        .send(30_020, PRIMARY, LOCAL, later.bytes())
        .trace();
    let evidence = nat(&trace).evidence.join("\n");
    assert!(
        evidence.contains("moved from 203.0.113.5:61000 to 203.0.113.5:62000"),
        "{evidence}"
    );
    assert_eq!(nat(&trace).kind, None);
}

/// A NAT that restarts is not symmetric.
#[test]
fn a_mapping_that_moves_at_once_is_no_other_destination() {
    let mut later = Advert::new("203.0.113.5:62000");
    later.nonce = Some([2; 8]);
    let trace = Exchange::new()
        .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), false))
        .send(20, PRIMARY, LOCAL, Advert::new(MAPPED).bytes())
        .send(5000, LOCAL, PRIMARY, solicitation(Some([2; 8]), false))
        .send(5020, PRIMARY, LOCAL, later.bytes())
        .trace();
    assert_eq!(nat(&trace).kind, None);
}

#[test]
fn nodes_are_bounded() {
    let mut exchange = Exchange::new();
    for host in 1..=200_u8 {
        let from = format!("198.51.100.{host}:5000");
        exchange = exchange.send(
            host.into(),
            &from,
            PRIMARY,
            solicitation(Some([host; 8]), false),
        );
    }
    let trace = exchange.trace_with(Limits {
        packets: 150,
        nodes: 10,
    });
    assert_eq!(trace.nodes.len(), 10);
    let others = &trace.nodes[9];
    assert_eq!((others.id.as_str(), others.sent), ("others", 150 - 8));
    assert_eq!(others.teredo, [Ipv6Addr::UNSPECIFIED; 0]);
    assert_eq!(trace.packets[8].from_node, "others");
    assert_eq!((trace.packets.len(), trace.left_out), (150, 50));
    assert!(
        trace
            .packets
            .iter()
            .all(|packet| trace.node(&packet.from_node).is_some())
    );
}

#[test]
fn windows_clients_share_an_identifier_and_are_several() {
    let source: Ipv6Addr = "fe80::ffff:ffff:fffe".parse().unwrap();
    let mut question = Vec::new();
    teredo::wire::emit_router_solicitation(source, &mut question);
    let trace = Exchange::new()
        .send(0, "203.0.113.5:1000", PRIMARY, question.clone())
        .send(1, "203.0.113.5:1001", PRIMARY, question)
        .trace();
    assert_eq!(roles(&trace), ["client-1", "server-1", "client-2"]);
}
