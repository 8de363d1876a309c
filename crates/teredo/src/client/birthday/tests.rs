use std::collections::BTreeSet;

use super::burst::Ports;

/// Each port that a NAT assigns comes once, whatever the random numbers are.
#[test]
fn no_port_is_tried_twice() {
    for (first, step) in [
        (0, 0),
        (5, 3),
        (64_511, 7),
        (u32::MAX, u32::MAX),
        (9, 64_511),
    ] {
        let ports = Ports::new(first, step);
        let tried: BTreeSet<u16> = (0..64_512).map(|number| ports.nth(number)).collect();
        assert_eq!(tried.len(), 64_512, "{first} {step}");
        assert_eq!(tried.first(), Some(&1024), "{first} {step}");
    }
}
