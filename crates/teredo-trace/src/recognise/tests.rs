use super::*;
use crate::sample::*;

fn kinds(exchange: &Exchange) -> (Vec<&'static str>, u64) {
    let trace = exchange.trace();
    let kinds = trace.packets.iter().map(|packet| packet.kind.name());
    (kinds.collect(), trace.not_teredo)
}

#[test]
fn port_3544_with_other_things_is_counted() {
    let dns = *b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    for (from, to, payload) in [
        (LOCAL, PRIMARY, &dns[..]),
        ("192.168.1.2:3544", "192.0.2.53:53", &[0, 1, 1, 0, 0, 1][..]),
        (LOCAL, PRIMARY, &[0][..]),
        (LOCAL, PRIMARY, &[][..]),
    ] {
        let exchange = Exchange::new().send(0, from, to, payload);
        assert_eq!(kinds(&exchange), (vec![], 1), "{payload:?}");
    }
}

#[test]
fn other_ports_need_addresses_that_agree() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let strangers = [teredo("203.0.113.77:1"), teredo("203.0.113.78:2")];
    let direct = Exchange::new().send(0, MAPPED, PEER, data(own, peer));
    assert_eq!(kinds(&direct), (vec!["data"], 0));
    let others = Exchange::new().send(0, MAPPED, PEER, data(strangers[0], strangers[1]));
    assert_eq!(kinds(&others), (vec![], 1), "6in4 over UDP, or chance");
    let native = Exchange::new().send(
        0,
        MAPPED,
        PEER,
        data(HOST.parse().unwrap(), "2001:db8::2".parse().unwrap()),
    );
    assert_eq!(kinds(&native), (vec![], 1));
}

/// A symmetric client's data comes from a port that its address does not tell.
#[test]
fn known_nodes_are_believed() {
    let own = teredo(MAPPED);
    let strange = data(HOST.parse().unwrap(), teredo("203.0.113.77:1"));
    let exchange = Exchange::new()
        .send(0, RELAY, MAPPED, data(HOST.parse().unwrap(), own))
        .send(1, RELAY, "198.51.100.200:9", strange.clone());
    assert_eq!(kinds(&exchange), (vec!["data", "data"], 0));
    assert_eq!(
        kinds(&Exchange::new().send(1, RELAY, "198.51.100.200:9", strange)),
        (vec![], 1)
    );
}

#[test]
fn a_client_behind_a_nat_is_known_by_its_private_address() {
    let packet = data(teredo(MAPPED), HOST.parse().unwrap());
    assert_eq!(
        kinds(&Exchange::new().send(0, LOCAL, RELAY, packet)),
        (vec!["data"], 0)
    );
}

#[test]
fn malformed_means_meant() {
    let half = &solicitation(Some(NONCE), false)[..20];
    let to_server = |exchange: Exchange| kinds(&exchange.send(100, LOCAL, PRIMARY, half));
    assert_eq!(to_server(Exchange::new().qualified()).0[4..], ["malformed"]);
    assert_eq!(to_server(Exchange::new()), (vec![], 1), "perhaps no server");
    assert!(!is_public([10, 0, 0, 1].into()) && is_public([192, 0, 2, 1].into()));
}

/// Programs that chose the port by chance: contents that happen to look like IPv6 prove nothing.
#[test]
fn other_programs_on_the_port_are_left_alone() {
    let native = data(HOST.parse().unwrap(), "2001:db8::2".parse().unwrap());
    let on_port = "192.168.1.9:3544";
    for (to, payload) in [
        ("203.0.113.77:6881", &native[..]),
        ("203.0.113.77:6881", &[0; 20][..]),
        ("203.0.113.77:6881", b"`ello world"),
        ("192.0.2.53:53", &native[..]),
    ] {
        let alone = Exchange::new().send(0, on_port, to, payload);
        assert_eq!(kinds(&alone), (vec![], 1), "{to} {payload:?}");
        let (found, others) = kinds(&Exchange::new().qualified().send(100, on_port, to, payload));
        assert_eq!((found.len(), others), (4, 1), "{to} {payload:?}");
    }
    // The service behind a well-known port is another one, even for a node that is known.
    let asked = kinds(
        &Exchange::new()
            .qualified()
            .send(100, PRIMARY, "192.0.2.53:53", native),
    );
    assert_eq!(asked.1, 1);
}

/// A client behind a symmetric NAT talks to a relay from a third port, which no address tells.
#[test]
fn the_other_ports_of_a_known_client_are_its_own() {
    let (own, host) = (teredo(MAPPED), HOST.parse().unwrap());
    let other = "203.0.113.5:62222";
    let trace = Exchange::new()
        .send(0, MAPPED, PRIMARY, ping(own, host, &[7; 8]))
        .send(
            50,
            PRIMARY,
            MAPPED,
            passed_on(RELAY, &bubble(host, own, &[])),
        )
        .send(60, other, RELAY, bubble(own, host, &[]))
        .send(90, RELAY, other, pong(host, own, &[7; 8]))
        .until(60_000)
        .trace();
    let kinds: Vec<_> = trace
        .packets
        .iter()
        .map(|packet| packet.kind.name())
        .collect();
    assert_eq!(
        kinds,
        ["ping-request", "indirect-bubble", "bubble", "ping-reply"]
    );
    assert_eq!(trace.stalls, []);
    // Its public end stays the one that servers see.
    assert_eq!(trace.nodes[0].mapped, Some(end(MAPPED)));
    assert_eq!(trace.nodes[0].local, None);
}
