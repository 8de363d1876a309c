use super::*;

fn decode(address: &str) -> Decoded {
    Decoded::new(address.parse().expect("an IPv6 address")).expect("a Teredo address")
}

/// The vectors of RFC 6081 figures 2 and 3, and one with the cone bit.
#[test]
fn published_addresses_are_decoded_and_encoded() {
    for (address, server, flags, mapped) in [
        (
            "2001:0:cb00:7178:0:efff:3fff:fdfe",
            "203.0.113.120",
            0,
            "192.0.2.1:4096",
        ),
        (
            "2001:0:c633:6476:0:dfff:3fff:fdf5",
            "198.51.100.118",
            0,
            "192.0.2.10:8192",
        ),
        (
            "2001:0:cb00:7178:0:f000:39cc:9b89",
            "203.0.113.120",
            0,
            "198.51.100.118:4095",
        ),
        (
            "2001:0:cb00:7178:0:efff:39cc:9b89",
            "203.0.113.120",
            0,
            "198.51.100.118:4096",
        ),
        (
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "65.54.227.120",
            0x8000,
            "192.0.2.45:40000",
        ),
    ] {
        let decoded = decode(address);
        assert_eq!(decoded.server.to_string(), server);
        assert_eq!((decoded.flags, decoded.cone), (flags, flags == 0x8000));
        assert_eq!(decoded.mapped.to_string(), mapped);
        let again = TeredoAddress {
            server: decoded.server,
            flags: Flags::from_bits(flags),
            mapped: decoded.mapped,
        };
        assert_eq!(again.to_ipv6().to_string(), address);
    }
}

/// RFC 5991 §3.1: 12 bits are random, three are reserved.
#[test]
fn flags_are_decoded() {
    let decoded = decode("2001:0:cb00:7178:ffff:efff:3fff:fdfe");
    assert!(decoded.cone);
    assert_eq!((decoded.random, decoded.reserved), (0x3cff, 0x4300));
    assert!(
        decoded
            .to_string()
            .contains("reserved bits that should be zero: 0x4300")
    );
}

#[test]
fn other_addresses_are_refused_with_the_prefix_they_lack() {
    for (address, hint) in [
        ("2001:db8::1", "begin with 2001:0:"),
        ("3ffe:831f:cb00:7178::1", "before RFC 4380"),
    ] {
        let failure =
            Decoded::new(address.parse().expect("an IPv6 address")).expect_err("not Teredo");
        assert_eq!(failure.exit(), Exit::Failed);
        let mut bytes = Vec::new();
        failure.report(anstream::StripStream::new(&mut bytes));
        let said = String::from_utf8(bytes).expect("text");
        assert!(said.contains(address) && said.contains(hint), "{said}");
    }
}
