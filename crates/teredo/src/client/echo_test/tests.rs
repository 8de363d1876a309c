use super::between;
use crate::client::random_port::Foresight;

/// R6081-5.5.4.4-02, A-09: 1200 and 1202 are the RFC's own example (§6.4); the middle is rounded down.
#[test]
fn the_port_between_two_is_the_next_one() {
    assert_eq!(between(1200, 1202), (1201, Foresight::Sequence));
    assert_eq!(between(1200, 1204), (1202, Foresight::Sequence));
    assert_eq!(between(65_533, 65_535), (65_534, Foresight::Sequence));
}

/// A lost bubble, packets in another order, or another program make the middle doubtful. A random NAT has no sequence, and
/// another try is no better.
#[test]
fn a_doubtful_port_is_tried_again() {
    assert_eq!(between(1200, 1201), (1200, Foresight::Doubtful));
    assert_eq!(between(1200, 1203), (1201, Foresight::Doubtful));
    assert_eq!(between(1202, 1200), (1201, Foresight::Doubtful));
    assert_eq!(between(1200, 1200), (1200, Foresight::Doubtful));
    assert_eq!(between(1200, 40_000), (20_600, Foresight::None));
    assert_eq!(between(60_000, 2_000), (31_000, Foresight::None));
    assert_eq!(between(u16::MAX, u16::MAX), (u16::MAX, Foresight::Doubtful));
}
