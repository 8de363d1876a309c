//! The birthday method on real packets: a symmetric NAT with random ports, and one that filters by port.

use teredo_lab::NatKind;

use crate::world::*;

const EAGER: [&str; 2] = ["--nat-traversal", "eager"];

/// N-16, R6081-5.1.2-01: two eager clients meet, one of them behind a symmetric NAT with random ports. Its firewall, which
/// drops everything else, admits 256 ports at once, and one of them is left. The one behind the other NAT begins, so it may
/// send two bursts: both miss in one run of 3,000.
#[test]
fn a_symmetric_nat_with_random_ports_is_met_by_many() {
    let world = World::new(NatKind::Symmetric, NatKind::PortRestricted);
    let _server = world.serve();
    let (alice_host, bob_host) = (
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    );
    nft(&alice_host, DEFAULT_DROP);
    let _agents = [
        world.agent(&alice_host, &["--set", SET]),
        world.agent(&bob_host, &[]),
    ];
    let [alice, bob] = [&alice_host, &bob_host].map(|host| world.client(host, &EAGER));
    for client in [&alice, &bob] {
        client.until(SECOND * 10, "a firewall in step", |status| {
            status.address.is_some() && status.firewall.iter().any(|gate| gate.in_sync)
        });
    }
    assert_eq!(alice.status().nat.as_deref(), Some("symmetric"));
    let (from, to) = (bob.address(), alice.address());

    let replies = teredo_lab::ping(&bob_host, to, 5, SECOND * 15).unwrap();
    assert!(!replies.order.is_empty(), "{:?}", bob.status());
    assert_eq!(alice.status().port_blocks, 1);
    assert!((1..=2).contains(&bob.status().bubble_bursts));
    // One of the ports is left, in the client and in its firewall.
    eventually(SECOND * 5, "one random port", || {
        alice.status().random_ports == 1 && ports(&alice_host, SET).len() == 2
    });
    let back = teredo_lab::ping(&alice_host, from, 3, SECOND * 10).unwrap();
    assert!(back.are_all_in_order(3), "{back:?}");
}
