use super::super::tests::{A, B, ip, ipv6, socket};
use super::*;
use proptest::prelude::*;

fn address(server: &str, mapped: &str) -> TeredoAddress {
    TeredoAddress {
        server: server.parse().unwrap(),
        flags: Flags::default(),
        mapped: mapped.parse().unwrap(),
    }
}

/// R4380-4-01, R4380-4-02: RFC 6081 §6, figures 2 and 3.
#[test]
fn addresses_of_rfc_6081() {
    for (server, mapped, text) in [
        ("203.0.113.120", "192.0.2.1:4096", A),
        ("198.51.100.118", "192.0.2.10:8192", B),
        (
            "203.0.113.120",
            "198.51.100.118:4095",
            "2001:0:cb00:7178:0:f000:39cc:9b89",
        ),
        (
            "203.0.113.120",
            "198.51.100.118:4096",
            "2001:0:cb00:7178:0:efff:39cc:9b89",
        ),
    ] {
        let address = address(server, mapped);
        assert_eq!(address.to_ipv6(), ip(text));
        assert_eq!(TeredoAddress::from_ipv6(ip(text)), Some(address));
    }
}

/// R4380-4-02: the examples of Microsoft's documentation.
#[test]
fn port_and_address_are_inverted() {
    let segments = address("192.0.2.1", "131.107.0.1:5000")
        .to_ipv6()
        .segments();
    assert_eq!(segments[5..], [0xec77, 0x7c94, 0xfffe]);
}

/// R4380-4-07: the mapping does not depend on the reserved bits.
#[test]
fn reserved_bits_are_ignored_on_receipt() {
    let parsed = TeredoAddress::from_ipv6(ip("2001:0:cb00:7178:7fff:efff:3fff:fdfe")).unwrap();
    assert_eq!(parsed.mapped, "192.0.2.1:4096".parse().unwrap());
    assert_eq!(parsed.flags.bits(), 0x7fff);
    assert!(!parsed.flags.is_cone());
}

/// R4380-4-05, R4380-4-06, R5991-3.1-02: z, U and G are never set, and all 12 other bits can be.
#[test]
fn random_flags() {
    assert_eq!(Flags::from_random(0xffff).bits(), 0x3cff);
    assert_eq!(Flags::from_random(0x1234).bits(), 0x1034);
    assert_eq!(Flags::RANDOM_MASK.count_ones(), 12);
    assert_eq!(
        Flags::RANDOM_MASK | Flags::ZERO_MASK | Flags::CONE.bits(),
        0xffff
    );
    assert_eq!(Flags::RANDOM_MASK & Flags::ZERO_MASK, 0);
}

/// R-OLD-01
#[test]
fn the_obsolete_prefix_is_not_teredo() {
    let obsolete = ip("3ffe:831f:cb00:7178:0:efff:3fff:fdfe");
    assert!(!is_teredo(&obsolete));
    assert!(is_obsolete_teredo(&obsolete));
    assert_eq!(TeredoAddress::from_ipv6(obsolete), None);
    assert!(is_teredo(&ip("2001:0:ffff:ffff:ffff:ffff:ffff:ffff")));
    assert!(!is_teredo(&ip("2001:1::")));
    assert!(!is_obsolete_teredo(&ip("3ffe:831e:ffff::")));
}

/// R4380-4-04, R4380-5.3.2-03: a link-local address may contain a private one.
#[test]
fn link_local_addresses() {
    let client = link_local(Flags::default(), "192.168.1.2:50000".parse().unwrap());
    assert_eq!(client, ip("fe80::3caf:3f57:fefd"));
    assert!(!link_local_flags(&client).is_cone());
    let server = server_link_local("203.0.113.120".parse().unwrap());
    assert_eq!(server, ip("fe80::8000:f227:34ff:8e87"));
    assert!(link_local_flags(&server).is_cone());
}

/// R4380-5.3.2-06: the identifiers of Windows contain no mapping, but they have the bit.
#[test]
fn cone_bit_of_fixed_identifiers() {
    assert!(link_local_flags(&ip("fe80::8000:5445:5245:444f")).is_cone());
    assert!(link_local_flags(&ip("fe80::8000:ffff:ffff:fffe")).is_cone());
    assert!(!link_local_flags(&ip("fe80::ffff:ffff:fffd")).is_cone());
}

#[test]
fn prefix_of_a_server() {
    assert_eq!(
        server_prefix("203.0.113.120".parse().unwrap()),
        ip("2001:0:cb00:7178::")
    );
}

#[test]
fn display() {
    assert_eq!(
        TeredoAddress::from_ipv6(ip("2001:0:cb00:7178:8000:efff:3fff:fdfe"))
            .unwrap()
            .to_string(),
        "server 203.0.113.120, mapped 192.0.2.1:4096, flags 0x8000 (cone)"
    );
}

proptest! {
    #[test]
    fn address_survives(server in any::<u32>(), flags in any::<u16>(), mapped in socket()) {
        let address = TeredoAddress { server: server.into(), flags: Flags::from_bits(flags), mapped };
        prop_assert_eq!(TeredoAddress::from_ipv6(address.to_ipv6()), Some(address));
    }

    #[test]
    fn ipv6_survives(any in ipv6(), rest in any::<u128>()) {
        prop_assert_eq!(TeredoAddress::from_ipv6(any).is_some(), any.to_bits() >> 96 == 0x2001_0000);
        let teredo = Ipv6Addr::from(0x2001_0000 << 96 | rest >> 32);
        prop_assert_eq!(TeredoAddress::from_ipv6(teredo).map(Ipv6Addr::from), Some(teredo));
    }
}

/// Unique local, link-local, site-local, multicast and unallocated addresses lie outside of 2000::/3.
#[test]
fn global_unicast_is_2000_to_3fff() {
    for (address, expected) in [
        ("1fff:ffff::1", false),
        ("2000::", true),
        ("2001:0:cb00:7178:0:efff:3fff:fdfe", true),
        ("3fff:ffff::1", true),
        ("4000::", false),
        ("fd00::1", false),
        ("fe80::1", false),
        ("ff0e::1", false),
        ("::1", false),
    ] {
        assert_eq!(is_global_unicast(&ip(address)), expected, "{address}");
    }
}
