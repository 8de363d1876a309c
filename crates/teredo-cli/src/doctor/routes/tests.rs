use std::net::{IpAddr, Ipv6Addr};

use super::*;
use crate::doctor::check::Verdict;
use crate::doctor::rules::packet::Link;
use crate::doctor::tests::{check, healthy, link};

const TUNNEL: u32 = 9;

fn tun() -> Link {
    Link {
        name: "teredo".into(),
        index: TUNNEL,
        ..link()
    }
}

fn to(link: u32) -> Decision {
    Decision {
        link: Some(link),
        gateway: None,
        rule: Some(32_766),
        table: 254,
        destination: Some((IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0)),
        metric: 1029,
        kind: "unicast",
        ..Decision::default()
    }
}

fn hole(rule: u32, table: u32) -> Decision {
    Decision {
        link: None,
        rule: Some(rule),
        selector: format!("not fwmark 0xca6c table {table}"),
        table,
        kind: "unreachable",
        metric: 1024,
        ..to(0)
    }
}

fn client() -> Seen {
    let mut seen = healthy();
    seen.host.links = vec![link(), tun()];
    let ways = &mut seen.ways;
    ways.native = Some(to(TUNNEL));
    ways.native_own = ways.native.clone();
    ways.teredo = ways.native.clone();
    ways.teredo_own = ways.native.clone();
    seen
}

#[test]
fn what_takes_the_packets_of_a_client_is_named() {
    let mut seen = client();
    assert_eq!(check(&seen, id::HOST_ROUTE6).result, Verdict::Ok);
    // A VPN has left its rule.
    seen.ways.native = Some(hole(100, 51_820));
    let found = check(&seen, id::HOST_ROUTE6);
    assert_eq!(found.result, Verdict::Fail, "{found:?}");
    for part in ["priority 100", "table 51820", "unreachable default"] {
        assert!(found.what.contains(part), "{found:?}");
    }
    // A rule of the same priority stays.
    assert_eq!(
        found.fix,
        "ip -6 rule del priority 100 not fwmark 0xca6c table 51820"
    );
    // A route in the table of all.
    seen.ways.native = Some(hole(32_766, 254));
    let found = check(&seen, id::HOST_ROUTE6);
    assert_eq!(found.fix, "ip -6 route del unreachable default metric 1024");
    // Another interface may be meant, unless the address is the client's.
    seen.ways.native = Some(to(2));
    assert_eq!(check(&seen, id::HOST_ROUTE6).result, Verdict::Warn);
    seen.ways.native_own = Some(to(2));
    let found = check(&seen, id::HOST_ROUTE6);
    assert_eq!(found.result, Verdict::Fail, "{found:?}");
    assert!(found.what.contains("eth0"), "{found:?}");
}

#[test]
fn a_client_that_shares_its_host_is_no_trouble() {
    let mut seen = client();
    // The first client has the packets that chose no address.
    let other = Link {
        name: "teredo-b".into(),
        index: 12,
        ..link()
    };
    seen.host.links.push(other);
    seen.host
        .teredo_links
        .push(("teredo-b".into(), "2001:0:c000:22d::2".parse().unwrap()));
    seen.ways.native = Some(to(12));
    seen.ways.teredo = Some(to(12));
    assert_eq!(check(&seen, id::HOST_ROUTE6).result, Verdict::Ok);
    // Native IPv6 that is ignored has the first choice, and so has nothing with `default_route = false`.
    seen.ways.native = Some(to(2));
    seen.host.native = Some(("2a00::1".parse().unwrap(), "eth0".into()));
    assert_eq!(check(&seen, id::HOST_ROUTE6).result, Verdict::Ok);
    seen.host.native = None;
    seen.settings.client.default_route = false;
    seen.ways.native = Some(hole(32_766, 254));
    assert_eq!(check(&seen, id::HOST_ROUTE6).result, Verdict::Ok);
}

fn relay() -> Seen {
    let mut seen = client();
    let status = seen.status_mut();
    status.role = Role::Relay;
    seen.host.forwards = true;
    seen.host.addresses = vec!["2a00:1:2:3::9".parse().unwrap()];
    seen.ways.native = Some(to(2));
    seen
}

#[test]
fn a_relay_has_a_way_to_both_sides() {
    let mut seen = relay();
    assert_eq!(check(&seen, id::RELAY_ROUTE).result, Verdict::Ok);
    let prefix: IpAddr = "2001::".parse().unwrap();
    seen.ways.teredo = Some(Decision {
        destination: Some((prefix, 32)),
        kind: "blackhole",
        metric: 1,
        ..hole(32_766, 254)
    });
    let found = check(&seen, id::RELAY_ROUTE);
    assert_eq!(
        found.fix, "ip -6 route del blackhole 2001::/32 metric 1",
        "{found:?}"
    );
    // The default route went as the host began to forward.
    let mut seen = relay();
    seen.ways.native = Some(Decision {
        rule: None,
        destination: None,
        ..hole(0, 254)
    });
    seen.ways.deaf = vec!["eth0".into()];
    let found = check(&seen, id::RELAY_ROUTE);
    assert_eq!(
        found.fix, "sysctl -w net.ipv6.conf.eth0.accept_ra=2",
        "{found:?}"
    );
    // A relay of its own networks needs none.
    seen.settings.relay_serve = vec!["2a00:1::/32".parse().unwrap()];
    assert_eq!(check(&seen, id::RELAY_ROUTE).result, Verdict::Ok);
}

#[test]
fn serve_names_networks_that_are_here() {
    let mut seen = relay();
    seen.settings.relay_serve = vec!["2a00:9999::/32".parse().unwrap()];
    assert_eq!(check(&seen, id::RELAY_SERVE).result, Verdict::Ok);
    seen.status_mut().drops.insert("not_served".into(), 7);
    let found = check(&seen, id::RELAY_SERVE);
    assert_eq!(found.result, Verdict::Warn, "{found:?}");
    for part in ["2a00:9999::/32", "2a00:1:2:3::/64"] {
        assert!(found.what.contains(part), "{found:?}");
    }
    seen.ways.served = seen.settings.relay_serve.clone();
    assert_eq!(check(&seen, id::RELAY_SERVE).result, Verdict::Ok);
}

/// Without the setting, the route is back with the router's next advertisement.
#[test]
fn a_route_that_a_router_announces_is_not_only_deleted() {
    let mut seen = client();
    seen.ways.native = Some(Decision {
        metric: 1024,
        announced: true,
        ..to(link().index)
    });
    let found = check(&seen, id::HOST_ROUTE6);
    assert_eq!(found.result, Verdict::Warn, "{found:?}");
    assert_eq!(
        found.fix,
        "sysctl -w net.ipv6.conf.eth0.accept_ra_defrtr=0\nip -6 route del default dev eth0 metric 1024"
    );
}
