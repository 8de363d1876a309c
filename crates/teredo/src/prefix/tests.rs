use super::*;

#[test]
fn prefixes_are_read_and_written() {
    for (text, written) in [
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:db8:1:2::3/48", "2001:db8:1::/48"),
        ("::/0", "::/0"),
        ("2001:db8::1/128", "2001:db8::1/128"),
    ] {
        assert_eq!(text.parse::<Prefix>().unwrap().to_string(), written);
    }
    for text in [
        "",
        "2001:db8::",
        "2001:db8::/129",
        "2001:db8::/+3",
        "192.0.2.0/24",
        "/",
        "x/1",
    ] {
        assert_eq!(text.parse::<Prefix>(), Err(PrefixError), "{text}");
    }
}

/// R4380-5.4.2-04: the boundaries of a served prefix.
#[test]
fn a_prefix_ends_where_it_says() {
    let site: Prefix = "2001:db8:1::/47".parse().unwrap();
    let inside = ["2001:db8::", "2001:db8:1:ffff:ffff:ffff:ffff:ffff"];
    let outside = ["2001:db7:ffff:ffff::", "2001:db8:2::"];
    assert!(
        inside
            .iter()
            .all(|text| site.contains(text.parse().unwrap()))
    );
    assert!(
        !outside
            .iter()
            .any(|text| site.contains(text.parse().unwrap()))
    );
    assert!(Prefix::new(Ipv6Addr::LOCALHOST, 0).contains(Ipv6Addr::UNSPECIFIED));
    assert!(!Prefix::new(Ipv6Addr::LOCALHOST, 200).contains(Ipv6Addr::UNSPECIFIED));
}
