use std::net::Ipv4Addr;

use teredo::relay::Served;

use super::*;

/// R4380-7.3.5-01: what a relay may do to others does not grow with its cores, within reason.
#[test]
fn limits_are_divided_among_lanes() {
    let service = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 3545);
    let whole = RelayConfig::new(service, Served::Networks(Vec::new()));
    for lanes in [1, 2, 4, 64] {
        let part = share(whole.clone(), lanes);
        assert!(part.max_peers * lanes <= whole.max_peers.max(lanes << 16));
        assert!(part.max_underway * lanes <= whole.max_underway.max(lanes << 13));
        assert!(part.max_total_queue_bytes * lanes <= whole.max_total_queue_bytes.max(lanes << 21));
        assert_eq!(part.max_queue_bytes, whole.max_queue_bytes);
        assert!((64..=500).contains(&part.bubbles_per_server));
        assert!((500..=4_000).contains(&part.bubbles_per_second));
        assert!((10..=100).contains(&part.unsolicited_per_second));
    }
    assert_eq!(share(whole.clone(), 4).bubbles_per_server, 125);
    assert_eq!(share(whole.clone(), 4).bubbles_per_second, 1_000);
    let small = RelayConfig {
        max_peers: 10,
        ..whole
    };
    assert_eq!(share(small, 4).max_peers, 10);
}
