use teredo::ServerAddress;

use crate::nat::NatBehaviour;
use crate::{Evidence, World};

/// Two clients that cannot meet: each behind a symmetric NAT, one with ports in sequence and one with random ports.
fn without_a_path() -> Evidence {
    let mut world = World::new(5);
    let server = ServerAddress::adjacent([192, 0, 2, 1].into());
    world.add_server(server);
    let behaviours = [
        NatBehaviour::symmetric_sequential(),
        NatBehaviour::symmetric_random(),
    ];
    let ends = [
        ([203, 0, 113, 1], "192.168.1.2:40000"),
        ([198, 51, 100, 1], "10.0.0.2:41000"),
    ];
    let clients = [0, 1].map(|side| {
        let (external, local) = ends[side];
        let nat = world.add_nat(behaviours[side], external);
        world.add_client(nat, local.parse().unwrap(), &[server])
    });
    world.run_for(super::Duration::from_secs(5));
    let [left, right] = clients.map(|client| {
        let status = world.client(client).client().status();
        status.address.unwrap()
    });
    let mut packet = Vec::new();
    teredo::wire::emit_echo_request(left, right, 64, 7, 0, b"0123456789", &mut packet);
    world.send(clients[0], &packet);
    world.run_for(super::Duration::from_secs(20));
    world.evidence()
}

/// The picture has a column for each host and NAT, names each datagram, and crosses out what a NAT dropped, with the
/// reason.
#[test]
fn the_ladder_shows_what_nats_dropped() {
    let evidence = without_a_path();
    for text in [&evidence.ladder, &evidence.svg] {
        for word in [
            "client0",
            "client1",
            "server0",
            "sequential symmetric NAT",
            "203.0.113.1",
            "198.51.100.1",
            "solicitation",
            "indirect bubble",
            "bubble",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let is_dropped = text.contains("filtered") || text.contains("no mapping");
        assert!(is_dropped, "{text}");
    }
    assert!(evidence.svg.contains("<svg "), "{}", evidence.svg);
}

/// The picture of a long run is that of its end.
#[test]
fn a_long_run_is_drawn_from_its_end() {
    let mut world = World::new(1);
    let [from, _to] =
        [1, 2].map(|last| world.add_raw(crate::Network::Internet, &[[192, 0, 2, last].into()]));
    let bubble = {
        let mut bubble = vec![0x60, 0, 0, 0, 0, 0, 59, 21];
        for number in [1, 2] {
            let [a, b, c] = [!192, !0, !2];
            let flags = [
                0x20, 1, 0, 0, 192, 0, 2, 9, 0x80, 0, 0xf2, 0x27, a, b, c, !number,
            ];
            bubble.extend_from_slice(&flags);
        }
        bubble
    };
    let ends = ["192.0.2.1:3544", "192.0.2.2:3544"].map(|end| end.parse().unwrap());
    for _ in 0..super::DRAWN + 100 {
        let datagram = crate::Datagram::new(ends[0], ends[1], bubble.clone());
        world.inject_datagram(from, datagram);
    }
    world.run_for(super::Duration::from_secs(1));
    assert_eq!(world.capture().len(), super::DRAWN + 100);
    assert_eq!(world.trace().packets.len(), super::DRAWN);
}
