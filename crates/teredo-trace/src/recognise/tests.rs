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
    assert_eq!(
        kinds(&Exchange::new().send(0, LOCAL, PRIMARY, half)),
        (vec!["malformed"], 0)
    );
    assert!(!is_public([10, 0, 0, 1].into()) && is_public([192, 0, 2, 1].into()));
}
