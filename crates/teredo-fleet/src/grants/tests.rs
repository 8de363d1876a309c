use super::*;

fn grants(texts: &[&str]) -> Grants {
    Grants::new(texts.iter().map(|text| text.parse().unwrap()).collect())
}

fn permits(grants: &Grants, host: &str, address: &str) -> bool {
    grants.permit(&host.parse().unwrap(), address.parse().unwrap())
}

#[test]
fn without_a_grant_all_is_permitted() {
    assert!(permits(&grants(&[]), "web", "198.51.100.1"));
}

#[test]
fn a_network_bounds_all_hosts() {
    let grants = grants(&["192.0.2.0/25", "203.0.113.9"]);
    assert!(permits(&grants, "web", "192.0.2.127"));
    assert!(!permits(&grants, "web", "192.0.2.128"));
    assert!(permits(&grants, "web", "203.0.113.9"));
    assert!(!permits(&grants, "web", "203.0.113.10"));
}

#[test]
fn a_host_with_grants_of_its_own_has_these_alone() {
    let grants = grants(&["192.0.2.0/24", "web=192.0.2.7/32", "mail=0.0.0.0/0"]);
    assert!(permits(&grants, "web", "192.0.2.7"));
    assert!(!permits(&grants, "web", "192.0.2.8"));
    assert!(permits(&grants, "mail", "198.51.100.1"));
    assert!(permits(&grants, "other", "192.0.2.8"));
    assert!(!permits(&grants, "other", "198.51.100.1"));
}

/// The narrowest grant has the address, as the narrowest route has a packet.
#[test]
fn an_address_that_is_given_to_a_host_is_no_longer_for_all() {
    let grants = grants(&["192.0.2.0/24", "web=192.0.2.7"]);
    assert!(permits(&grants, "web", "192.0.2.7"));
    assert!(!permits(&grants, "mail", "192.0.2.7"));
    assert!(permits(&grants, "mail", "192.0.2.8"));
}

#[test]
fn grants_of_single_hosts_alone_leave_nothing_to_others() {
    assert!(!permits(&grants(&["web=192.0.2.7"]), "other", "192.0.2.8"));
}

#[test]
fn what_is_no_grant_is_told() {
    for text in [
        "",
        "192.0.2.0/33",
        "192.0.2/24",
        "web=",
        "a.b=192.0.2.1",
        "2001:db8::/32",
    ] {
        assert!(text.parse::<Grant>().is_err(), "{text}");
    }
}
