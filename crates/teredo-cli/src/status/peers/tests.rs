use teredo_notify::types::PeerState;

use super::*;

fn peer(last: u16, rx_bytes: u64) -> Peer {
    Peer {
        address: Ipv6Addr::new(0x2001, 0, 0xc000, 0x22d, 0, 0, 0, last),
        state: PeerState::Trusted,
        path: Some("192.0.2.7:40000".parse().expect("an endpoint")),
        began: false,
        heard_ms: Some(1_200),
        sent_ms: None,
        counters: Counters {
            rx_bytes,
            ..Counters::default()
        },
    }
}

fn text(table: &Table<'_>) -> String {
    anstream::adapter::strip_str(&table.to_string()).to_string()
}

#[test]
fn peers_are_aligned() {
    assert_eq!(
        text(&Table::new(&[peer(1, 2048), peer(0x1234, 0)], None)),
        "\
PEER                   PATH             STATE    HEARD   SENT  RX       TX
2001:0:c000:22d::1     192.0.2.7:40000  trusted  1s ago  -     2.0 KiB  0 B
2001:0:c000:22d::1234  192.0.2.7:40000  trusted  1s ago  -     0 B      0 B"
    );
    assert_eq!(text(&Table::new(&[], None)), "no peers");
}

/// A peer that was not there before has all of its traffic from the time between.
#[test]
fn rates_are_those_of_the_peer() {
    let before = [peer(1, 1024)];
    let now = [peer(1, 3072), peer(2, 1024)];
    let table = Table::new(&now, Some((&before, Duration::from_secs(2))));
    let text = text(&table);
    assert!(text.contains("3.0 KiB (1.0 KiB/s)"), "{text}");
    assert!(text.contains("1.0 KiB (512 B/s)"), "{text}");
}
