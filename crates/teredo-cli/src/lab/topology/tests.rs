use super::*;

fn drawn(alice: NatKind, bob: NatKind) -> String {
    let nats = Nats {
        traversal: None,
        alice: alice.into(),
        bob: bob.into(),
    };
    lines(nats).join("\n")
}

/// Each NAT on the way has a place, with its addresses.
#[test]
fn two_nats_in_a_row_are_two() {
    let expected = "  alice 192.168.1.2 ── NAT 100.64.1.2 ── NAT 198.51.100.1 to .4 ──┐
                                                                  ├── server 192.0.2.45, 192.0.2.46
  bob 203.0.113.1 ────────────────────────────────────────────────┘";
    assert_eq!(drawn(NatKind::Carrier, NatKind::None), expected);
}

#[test]
fn a_gateway_device_has_an_address_that_it_accepts() {
    let expected = "  alice 192.168.1.2 ── NAT 44.128.0.1 ───────┐
                                             ├── server 192.0.2.45, 192.0.2.46
  bob 192.168.2.2 ── NAT 203.0.113.1 to .4 ──┘";
    assert_eq!(drawn(NatKind::Igd, NatKind::AddressSymmetric), expected);
}
