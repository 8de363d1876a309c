use super::*;

fn carried(networks: &[&str], address: &str) -> bool {
    let networks: Vec<Prefix> = networks.iter().map(|net| net.parse().unwrap()).collect();
    let mut ipv4 = DestinationPolicy::default();
    ipv4.deny(Ipv4Addr::new(192, 0, 2, 0), 24);
    carries(&networks, &ipv4, address.parse().unwrap())
}

/// R4380-5.4.2-04, W-02: translators, discard prefixes and the like are refused, up to their last address.
#[test]
fn special_purpose_networks_are_refused() {
    for address in [
        "64:ff9b::a00:1",
        "64:ff9b::ffff:ffff",
        "64:ff9b:1::1",
        "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
        "100::1",
        "100::1:0:0:1",
        "2001:1::4",
        "2001:2::1",
        "2001:10::1",
        "2001:1ff:ffff::1",
        "5f00::1",
        // 10.0.0.1, 192.168.1.1, 127.0.0.1, 192.88.99.1, and the operator's list.
        "2002:a00:1::1",
        "2002:c0a8:101::1",
        "2002:7f00:1::1",
        "2002:c058:6301::1",
        "2002:c000:201::1",
    ] {
        assert!(!carried(&[], address), "{address}");
        assert!(!carried(&["::/0", "2000::/3"], address), "{address}");
    }
}

/// The addresses beside them, and those that the registry calls globally reachable, are carried.
#[test]
fn neighbours_of_special_purpose_networks_are_carried() {
    for address in [
        "64:ff9b::1:0:0",
        "64:ff9b:2::1",
        "100:0:0:2::1",
        "2001:200::1",
        "2001:db8::1",
        "2001:1::1",
        "2001:3::1",
        "2001:4:112::1",
        "2001:20::1",
        "2001:30::1",
        "2002:c633:6401::1",
        "2003::1",
        "2a00::1",
        "5f01::1",
    ] {
        assert!(carried(&[], address), "{address}");
    }
}

/// A network inside a special-purpose one names it; a wider one does not.
#[test]
fn the_operator_names_exceptions() {
    assert!(carried(&["64:ff9b::/96"], "64:ff9b::a00:1"));
    assert!(carried(
        &["2001:db8::/32", "64:ff9b::/96"],
        "64:ff9b::a00:1"
    ));
    assert!(carried(&["64:ff9b::a00:0/120"], "64:ff9b::a00:1"));
    assert!(!carried(&["64:ff9b::a00:0/120"], "64:ff9b::b00:1"));
    assert!(!carried(&["64:ff9b::/64"], "64:ff9b::a00:1"));
    assert!(!carried(&["64:ff9b::/96"], "2001:db8::1"));
    assert!(carried(&["::/0", "64:ff9b::/96"], "2001:db8::1"));
    assert!(carried(&["2002:a00::/24"], "2002:a00:1::1"));
}
