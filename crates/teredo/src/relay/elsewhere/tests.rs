use super::*;
use crate::relay::peers::Tick;
use crate::relay::{RelayConfig, Served};
use crate::wire::Flags;

fn key(number: u32) -> Key {
    Key::from(TeredoAddress {
        server: Ipv4Addr::from_bits(number),
        flags: Flags::from_bits(0),
        mapped: "192.0.2.1:4096".parse().unwrap(),
    })
}

fn mapping(last: u8, number: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, last), number as u16)
}

/// R4380-7.3.5-01: one IPv4 address with many Teredo addresses fills its share, and the clients at others stay known.
#[test]
fn one_address_does_not_fill_the_table() {
    let mut elsewhere = Elsewhere::new(SipKeys(1, 2));
    let honest = key(0);
    elsewhere.learn(honest, mapping(1, 1), &mut |_| {});
    for number in 1..=2 * MOST as u32 {
        elsewhere.learn(key(number), mapping(2, number), &mut |_| {});
    }
    assert_eq!(elsewhere.len(), 1 + MOST_AT_ONE);
    assert_eq!(elsewhere.find(honest), Some(mapping(1, 1)));
    let last = 2 * MOST as u32;
    assert_eq!(elsewhere.find(key(last)), Some(mapping(2, last)));
}

/// The shares are those of the clients in the table, whatever they do.
#[test]
fn a_client_counts_once_and_where_it_is() {
    let mut elsewhere = Elsewhere::new(SipKeys(1, 2));
    for round in 0..3 {
        for number in 0..10 {
            elsewhere.learn(key(number), mapping(round, number), &mut |_| {});
            elsewhere.learn(key(number), mapping(round, number + 1), &mut |_| {});
        }
        assert_eq!((elsewhere.len(), elsewhere.at.len()), (10, 1));
        assert_eq!(elsewhere.at[mapping(round, 0).ip()].len(), 10);
    }
    elsewhere.forget(key(3), &mut |_| {});
    elsewhere.retain(|at, _| at != key(4), &mut |_| {});
    assert_eq!(elsewhere.find(key(3)), None);
    assert_eq!(elsewhere.at[mapping(2, 0).ip()].len(), 8);
    elsewhere.retain(|_, _| false, &mut |_| {});
    assert_eq!((elsewhere.len(), elsewhere.at.len()), (0, 0));
}

/// R4380-5.2-06: many addresses fill it, and then the client that was heard least recently makes room.
#[test]
fn a_full_table_keeps_the_clients_in_use() {
    let mut elsewhere = Elsewhere::new(SipKeys(1, 2));
    for number in 0..=MOST as u32 {
        elsewhere.learn(
            key(number),
            mapping((number % 250) as u8, number),
            &mut |_| {},
        );
        elsewhere.heard(key(0));
    }
    assert_eq!(elsewhere.len(), MOST);
    assert!(elsewhere.find(key(0)).is_some());
    assert!(elsewhere.find(key(1)).is_none());
}

/// R4380-7.3.5-01: a datagram in the name of a client keeps its place only if it comes from the client's mapping.
#[test]
fn a_forged_datagram_keeps_no_place() {
    let service: SocketAddrV4 = "198.51.100.9:4545".parse().unwrap();
    let config = RelayConfig::new(service, Served::Networks(Vec::new()));
    let mut relay = Relay::new(config, [7; 32]);
    let now = Instant::default();
    let clients = [0x0808_0808, 0x0808_0809].map(key);
    for (client, last) in clients.into_iter().zip([1, 2]) {
        relay
            .elsewhere
            .learn(client, mapping(last, 5000), &mut |_| {});
        relay.trusted.heard(client, Tick::at(now));
    }
    let target = "2001:db8::1".parse().unwrap();
    let mut bubble = Vec::new();
    let source = TeredoAddress::from(clients[0]);
    wire::emit_bubble(source.to_ipv6(), target, HOP_LIMIT, &mut bubble);
    for (from, oldest) in [
        (source.mapped, 0),
        (mapping(3, 5000), 0),
        (mapping(1, 5000), 1),
    ] {
        let _ = relay.receive(now, from, *service.ip(), &bubble);
        let slot = relay.elsewhere.clients.oldest().unwrap();
        assert_eq!(relay.elsewhere.clients.key(slot), clients[oldest], "{from}");
    }
}
