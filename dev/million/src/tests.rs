use std::time::Duration;

use crate::*;

/// An hour of two thousand clients breaks no invariant, and is the same on one thread and on two.
#[test]
fn an_hour_is_the_same_on_any_number_of_threads() {
    let plan = Plan {
        clients: 2_000,
        length: Duration::from_secs(3_600),
        seed: 1,
    };
    let one = run(&plan, 1, |_| {});
    let two = Report {
        threads: 1,
        ..run(&plan, 2, |_| {})
    };
    assert_eq!(one, two);
    assert_eq!(one.breaches.total(), 0, "{:#?}", one.described);
    assert!(
        one.peers.talked > 500 && one.native.talked > 500,
        "{one:#?}"
    );
    assert!(one.left > 0 && one.nats_renumbered > 0 && one.servers_failed > 0);

    let other = run(&Plan { seed: 2, ..plan }, 2, |_| {});
    assert_ne!(one.hash, other.hash);
}
