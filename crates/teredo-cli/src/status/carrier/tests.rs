use std::time::Duration;

use teredo_notify::types::CarriedPackets;

use super::*;

#[test]
fn the_line_says_who_carries_the_packets_and_why_not_the_kernel() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let kernel = DataPath {
        in_use: Carrier::Kernel,
        since: Some(teredo_notify::types::rfc3339(
            now - Duration::from_secs(180),
        )),
        packets: CarriedPackets {
            kernel: 1_204_113,
            user: 812,
        },
        ..DataPath::default()
    };
    assert_eq!(
        in_words(&kernel, now).as_deref(),
        Some("kernel for 3m 0s (1204113 packets; user space 812)")
    );
    // The clock went back.
    let before = now - Duration::from_secs(200);
    assert_eq!(
        in_words(&kernel, before).as_deref(),
        Some("kernel (1204113 packets; user space 812)")
    );
    let user = DataPath {
        reason: Some("the port is not settled\n".into()),
        ..DataPath::default()
    };
    assert_eq!(
        in_words(&user, now).as_deref(),
        Some("user space: the port is not settled?")
    );
    assert_eq!(in_words(&DataPath::default(), now), None);
}
