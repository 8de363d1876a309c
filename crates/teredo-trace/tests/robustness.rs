//! No input causes a panic: random bytes, and captures that were changed at random.

use proptest::prelude::*;
use std::time::Duration;
use teredo::ServerAddress;
use teredo_sim::{NatBehaviour, Vantage, World};
use teredo_trace::{Ladder, Limits, trace_file};

/// Reads a file and draws it in every way.
fn digest(file: &[u8]) {
    let limits = Limits {
        packets: 300,
        nodes: 20,
    };
    if let Ok(trace) = trace_file(file, limits) {
        assert!(trace.packets.len() <= limits.packets);
        assert!(trace.nodes.len() <= limits.nodes);
        let ladder = Ladder::new(&trace);
        let _ = ladder.text().to_string();
        let _ = ladder.svg();
        serde_json::to_string(&trace).expect("JSON");
    }
}

/// Two clients that find each other, as a file.
fn capture() -> Vec<u8> {
    let mut world = World::new(11);
    let server = ServerAddress::adjacent([192, 0, 2, 1].into());
    world.add_server(server);
    for (nat, local) in [
        ([203, 0, 113, 1], "10.0.0.2:40000"),
        ([203, 0, 113, 2], "10.0.0.3:40001"),
    ] {
        let home = world.add_nat(NatBehaviour::port_restricted(), nat);
        world.add_client(home, local.parse().expect("an endpoint"), &[server]);
    }
    world.run_for(Duration::from_secs(60));
    world.capture().to_pcap(Vantage::Sender)
}

/// The headers after which more of the parser is reached.
const HEADS: [&[u8]; 3] = [
    &[],
    &[
        0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 101, 0, 0, 0,
    ],
    &[
        0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255,
        255, 255, 255, 255, 255, 28, 0, 0, 0,
    ],
];

proptest! {
    #[test]
    fn random_bytes(head in 0..3_usize, bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        digest(&[HEADS[head], &bytes].concat());
    }

    #[test]
    fn changed_captures(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        length in any::<prop::sample::Index>(),
    ) {
        let mut file = capture();
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        digest(&file);
        digest(&file[..length.index(file.len())]);
    }

    /// Behind a right header: any UDP payload to the port of servers.
    #[test]
    fn random_payloads(
        start in prop::sample::select(vec![vec![], vec![0, 0], vec![0, 1, 0, 0], vec![0x60, 0, 0, 0]]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        link in prop::sample::select(vec![101_u8, 1, 113, 0]),
    ) {
        let mut packet = Vec::new();
        etherparse::PacketBuilder::ipv4([192, 168, 1, 2], [192, 0, 2, 1], 64)
            .udp(50_000, 3544)
            .write(&mut packet, &[start, bytes].concat())
            .expect("a vector has room");
        let length = u32::try_from(packet.len()).expect("short").to_le_bytes();
        let mut file = HEADS[1].to_vec();
        file[20] = link;
        file.extend_from_slice(&[0; 8]);
        file.extend_from_slice(&length);
        file.extend_from_slice(&length);
        file.extend_from_slice(&packet);
        digest(&file);
    }
}
