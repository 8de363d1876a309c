use crate::nodes::Role;
use crate::sample::*;
use crate::trace::Trace;

const ATTACKER: &str = "198.51.100.66:4444";
/// The client with the port of servers, as some have.
const ON_PORT: &str = "192.168.1.2:3544";

fn ids(trace: &Trace) -> Vec<&str> {
    trace.nodes.iter().map(|node| node.id.as_str()).collect()
}

/// One datagram with any destination inside does not make its receiver another node.
#[test]
fn a_forged_destination_moves_no_client() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let trace = Exchange::new()
        .qualified()
        .send(1000, LOCAL, PEER, bubble(own, peer, &[]))
        .send(1050, PEER, LOCAL, bubble(peer, own, &[]))
        .send(2000, ATTACKER, LOCAL, data(teredo(ATTACKER), peer))
        .trace();
    assert_eq!(
        ids(&trace),
        ["client-1", "server-1", "client-2", "client-3"]
    );
    assert_eq!(trace.nodes[0].mapped, Some(end(MAPPED)));
    assert_eq!(trace.nodes[2].mapped, Some(end(PEER)));
    assert_eq!(all_ids(&trace), []);
}

/// R4380-5.2.2-02: an advertisement with a nonce of no question names any mapping.
#[test]
fn a_forged_advertisement_moves_no_client() {
    let mut forged = Advert::new(PEER);
    forged.nonce = Some([0xee; 8]);
    let mut bare = Advert::new(PEER);
    bare.nonce = None;
    for forged in [forged, bare] {
        let (own, peer) = (teredo(MAPPED), teredo(PEER));
        let trace = Exchange::new()
            .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), false))
            .send(10, PRIMARY, LOCAL, forged.bytes())
            .send(20, PRIMARY, LOCAL, Advert::new(MAPPED).bytes())
            .send(1000, LOCAL, PEER, bubble(own, peer, &[]))
            .send(1050, PEER, LOCAL, bubble(peer, own, &[]))
            .trace();
        assert_eq!(ids(&trace), ["client-1", "server-1", "client-2"]);
        assert_eq!(trace.nodes[0].mapped, Some(end(MAPPED)));
        assert_eq!(trace.nodes[0].teredo, [own]);
    }
}

/// Two nodes that are known on their own stay two, if a client forges the address of another one.
#[test]
fn a_forged_source_unites_no_clients() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let trace = Exchange::new()
        .qualified()
        .send(1000, PEER, MAPPED, bubble(peer, own, &[]))
        .send(
            2000,
            LOCAL,
            "198.51.100.9:9",
            bubble(peer, teredo("198.51.100.9:9"), &[]),
        )
        .trace();
    assert_eq!(trace.packets[4].from_node, "client-2");
    assert_eq!(trace.packets[5].from_node, "client-1");
}

/// One solicitation to a client does not make it a server, whose peers would break the rules.
#[test]
fn a_solicitation_to_a_client_makes_no_server() {
    let (own, peer) = (teredo("203.0.113.5:3544"), teredo(PEER));
    let mut answer = Advert::new("203.0.113.5:3544");
    let mut forged = answer.bytes();
    for with_answer in [false, true] {
        answer.nonce = Some(NONCE);
        forged[4] = 0xee;
        let mut exchange = Exchange::new()
            .send(0, ON_PORT, PRIMARY, solicitation(Some(NONCE), false))
            .send(20, PRIMARY, ON_PORT, answer.bytes())
            .send(900, ATTACKER, ON_PORT, solicitation(Some([9; 8]), false));
        if with_answer {
            // With its source forged, too.
            exchange = exchange.send(910, ON_PORT, ATTACKER, forged.clone());
        }
        let trace = exchange
            .send(1000, ON_PORT, PEER, bubble(own, peer, &[]))
            .send(1050, PEER, ON_PORT, bubble(peer, own, &[]))
            .send(1060, PEER, ON_PORT, data(peer, own))
            .trace();
        let client = trace.node(&trace.packets[0].from_node).expect("a node");
        assert_eq!(client.role, Role::Client, "{with_answer}");
        let breaches: Vec<_> = all_ids(&trace)
            .into_iter()
            .filter(|(n, _)| *n > 4)
            .collect();
        assert_eq!(breaches, [], "{with_answer}");
    }
}

/// A server that was only asked is one.
#[test]
fn a_silent_server_is_a_server() {
    let trace = Exchange::new()
        .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), false))
        .trace();
    assert_eq!(ids(&trace), ["client-1", "server-1"]);
}

/// A server behind a NAT of one address to one, captured on its own host.
#[test]
fn a_server_with_a_private_address_is_one_server() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let mut second = Advert::new(MAPPED);
    second.nonce = Some([2; 8]);
    let trace = Exchange::new()
        .send(0, MAPPED, "10.0.0.4:3544", solicitation(Some(NONCE), false))
        .send(1, "10.0.0.4:3544", MAPPED, Advert::new(MAPPED).bytes())
        .send(
            2,
            MAPPED,
            "10.0.0.5:3544",
            solicitation(Some([2; 8]), false),
        )
        .send(3, "10.0.0.5:3544", MAPPED, second.bytes())
        .send(1000, MAPPED, "10.0.0.4:3544", bubble(own, peer, &[]))
        .send(
            1001,
            "10.0.0.4:3544",
            PEER,
            passed_on(MAPPED, &bubble(own, peer, &[])),
        )
        .trace();
    assert_eq!(ids(&trace), ["client-1", "server-1", "client-2"]);
    let addresses = &trace.nodes[1].addresses;
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.4", "192.0.2.1", "10.0.0.5"]);
    assert_eq!(all_ids(&trace), []);
}

/// Two homes behind a carrier's NAT, with the same private end: R4380-5.2.1-11 would see a symmetric NAT.
#[test]
fn two_homes_with_one_private_end_are_two_clients() {
    let homes = ["203.0.113.5:61000", "203.0.113.5:62000"];
    let mut exchange = Exchange::new();
    for (at, home) in [(0, homes[0]), (5000, homes[1])] {
        for (later, server) in [(0, PRIMARY), (1, SECONDARY)] {
            let nonce = [u8::try_from(at / 1000 + later).expect("small"); 8];
            let mut answer = Advert::new(home);
            answer.nonce = Some(nonce);
            exchange = exchange
                .send(at + later, home, server, solicitation(Some(nonce), false))
                .send(at + later + 20, server, home, answer.bytes());
        }
    }
    let trace = exchange.trace();
    assert_eq!(ids(&trace), ["client-1", "server-1", "client-2"]);
    let mapped: Vec<_> = trace.nodes.iter().filter_map(|node| node.mapped).collect();
    assert_eq!(mapped, homes.map(end));
}
