use super::*;

fn permits(policy: &DestinationPolicy, address: &str) -> bool {
    policy.permits_address(address.parse().unwrap())
}

/// R4380-GU-01, R4380-5.3.1-12: the first and the last address of each block, and the addresses beside them.
#[test]
fn blocks_of_the_list() {
    let policy = DestinationPolicy::default();
    for (before, first, last, after) in [
        (None, "0.0.0.0", "0.255.255.255", Some("1.0.0.0")),
        (
            Some("9.255.255.255"),
            "10.0.0.0",
            "10.255.255.255",
            Some("11.0.0.0"),
        ),
        (
            Some("126.255.255.255"),
            "127.0.0.0",
            "127.255.255.255",
            Some("128.0.0.0"),
        ),
        (
            Some("169.253.255.255"),
            "169.254.0.0",
            "169.254.255.255",
            Some("169.255.0.0"),
        ),
        (
            Some("172.15.255.255"),
            "172.16.0.0",
            "172.31.255.255",
            Some("172.32.0.0"),
        ),
        (
            Some("192.88.98.255"),
            "192.88.99.0",
            "192.88.99.255",
            Some("192.88.100.0"),
        ),
        (
            Some("192.167.255.255"),
            "192.168.0.0",
            "192.168.255.255",
            Some("192.169.0.0"),
        ),
        (
            Some("223.255.255.255"),
            "224.0.0.0",
            "239.255.255.255",
            Some("240.0.0.0"),
        ),
        (
            Some("255.255.255.254"),
            "255.255.255.255",
            "255.255.255.255",
            None,
        ),
    ] {
        for refused in [first, last] {
            assert!(!permits(&policy, refused), "{refused}");
            assert!(!is_global_unicast(refused.parse().unwrap()), "{refused}");
        }
        for permitted in before.into_iter().chain(after) {
            // 240.0.0.0/4 is not on the list, but refused outside labs.
            let reserved = permitted.parse::<Ipv4Addr>().unwrap().octets()[0] >= 240;
            assert_eq!(permits(&policy, permitted), !reserved, "{permitted}");
            assert!(is_global_unicast(permitted.parse().unwrap()), "{permitted}");
        }
    }
}

/// R4380-GU-02: only the current interfaces count.
#[test]
fn directed_broadcasts() {
    let mut policy = DestinationPolicy::default();
    assert!(permits(&policy, "203.0.113.127"));
    policy.set_broadcasts(vec!["203.0.113.127".parse().unwrap()]);
    assert!(!permits(&policy, "203.0.113.127"));
    assert!(permits(&policy, "203.0.113.126"));
    policy.set_broadcasts(vec!["198.51.100.255".parse().unwrap()]);
    assert!(permits(&policy, "203.0.113.127"));
    assert!(!permits(&policy, "198.51.100.255"));
}

/// R4380-GU-03: special addresses that RFC 4380 does not list. Networks for documentation and benchmarks are permitted, and the insides
/// of carriers and clouds only in a lab.
#[test]
fn not_on_the_list() {
    let policy = DestinationPolicy::default();
    let mut lab = DestinationPolicy::default();
    lab.allow_private(true);
    for (address, inside) in [
        ("192.0.2.1", false),
        ("198.51.100.1", false),
        ("203.0.113.1", false),
        ("198.17.255.255", false),
        ("198.18.0.1", false),
        ("198.19.255.255", false),
        ("100.63.255.255", false),
        ("100.64.0.1", true),
        ("100.127.255.254", true),
        ("100.128.0.1", false),
        ("192.0.0.1", true),
        ("192.0.1.1", false),
        ("240.0.0.1", true),
        ("255.255.255.254", true),
    ] {
        assert_eq!(permits(&policy, address), !inside, "{address}");
        assert!(permits(&lab, address), "{address}");
    }
}

/// R4380-GU-03, W-02: an operator refuses more.
#[test]
fn operator_list() {
    let mut policy = DestinationPolicy::default();
    policy.deny("198.18.77.77".parse().unwrap(), 15);
    policy.deny("192.0.2.1".parse().unwrap(), 32);
    for (address, expected) in [
        ("198.17.255.255", true),
        ("198.18.0.0", false),
        ("198.19.255.255", false),
        ("198.20.0.0", true),
        ("192.0.2.0", true),
        ("192.0.2.1", false),
        ("192.0.2.2", true),
    ] {
        assert_eq!(permits(&policy, address), expected, "{address}");
    }
    policy.deny("192.0.2.2".parse().unwrap(), 200);
    assert!(!permits(&policy, "192.0.2.2"), "more than 32 bits are 32");
    assert!(permits(&policy, "192.0.2.3"));
    policy.deny("0.0.0.0".parse().unwrap(), 0);
    assert!(!permits(&policy, "192.0.2.3"), "no bits are everybody");
}

/// a lab inside RFC 1918, and nothing more.
#[test]
fn laboratory() {
    let mut policy = DestinationPolicy::default();
    policy.allow_private(true);
    for address in ["10.0.0.1", "172.16.0.1", "192.168.0.1", "192.0.2.1"] {
        assert!(permits(&policy, address), "{address}");
    }
    for address in [
        "0.0.0.1",
        "127.0.0.1",
        "169.254.0.1",
        "192.88.99.1",
        "224.0.0.253",
        "255.255.255.255",
    ] {
        assert!(!permits(&policy, address), "{address}");
    }
    policy.deny("10.0.0.0".parse().unwrap(), 8);
    assert!(!permits(&policy, "10.0.0.1"), "a refusal outweighs");
    policy.allow_private(false);
    assert!(!permits(&policy, "192.168.0.1"));
}

/// R4380-GU-05
#[test]
fn port_zero() {
    let policy = DestinationPolicy::default();
    assert!(!policy.permits("192.0.2.1:0".parse().unwrap()));
    assert!(policy.permits("192.0.2.1:1".parse().unwrap()));
    assert!(!policy.permits("10.0.0.1:1".parse().unwrap()));
}

/// The list of refused networks is whole, and has none that is permitted.
#[test]
fn the_refused_networks_are_all_that_is_not_permitted() {
    for allow_private in [false, true] {
        let mut policy = DestinationPolicy::default();
        policy.allow_private(allow_private);
        policy.set_broadcasts(vec![Ipv4Addr::new(192, 0, 2, 255)]);
        policy.deny(Ipv4Addr::new(198, 51, 100, 0), 22);
        let refused: Vec<_> = policy.refused().collect();
        let is_refused = |address: Ipv4Addr| {
            refused
                .iter()
                .any(|&(net, len)| Block::new(net, len).contains(address))
        };
        // With their neighbours: both ends of each possible network of 20 bits, of each refused one, and of those set above.
        let nets = (0..1_u32 << 20).map(|net| (net << 12, net << 12 | 0xfff));
        let ends = refused.iter().map(|&(net, len)| {
            let host_bits = u32::MAX.checked_shr(len.into()).unwrap_or(0);
            (net.to_bits(), net.to_bits() | host_bits)
        });
        let set = [
            (Ipv4Addr::new(192, 0, 2, 255), Ipv4Addr::new(192, 0, 2, 255)),
            (
                Ipv4Addr::new(198, 51, 100, 0),
                Ipv4Addr::new(198, 51, 103, 255),
            ),
        ];
        let set = set.map(|(first, last)| (first.to_bits(), last.to_bits()));
        let edges = nets
            .chain(ends)
            .chain(set)
            .flat_map(|(first, last)| [first.wrapping_sub(1), first, last, last.wrapping_add(1)]);
        for address in edges.map(Ipv4Addr::from_bits) {
            assert_eq!(
                policy.permits_address(address),
                !is_refused(address),
                "{address}"
            );
        }
    }
}
