use std::io::Write as _;
use std::process::{Command, Stdio};

use netlink_packet_route::route::RouteHeader;

use super::*;
use crate::netns::{isolated, netlink};

fn route(
    destination: [u8; 4],
    len: u8,
    table: u8,
    kind: RouteType,
    oif: Option<u32>,
) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header = RouteHeader {
        destination_prefix_length: len,
        table,
        kind,
        ..RouteHeader::default()
    };
    let destination = RouteAttribute::Destination(RouteAddress::Inet(destination.into()));
    route.attributes.push(destination);
    route.attributes.extend(oif.map(RouteAttribute::Oif));
    route
}

fn main_route(destination: [u8; 4], len: u8, oif: u32) -> RouteMessage {
    route(destination, len, 254, RouteType::Unicast, Some(oif))
}

fn sources(routes: Vec<RouteMessage>, refused: Vec<Block>) -> Vec<(String, Option<u32>)> {
    let tables = Tables {
        routes,
        ..Tables::default()
    };
    let sources = tables.sources(refused).unwrap();
    let text = |source: Source| {
        let network = format!("{}/{}", source.network, source.len);
        (network, source.interface.map(NonZeroU32::get))
    };
    sources.into_iter().map(text).collect()
}

#[test]
fn routes_name_the_interface_of_a_source() {
    let found = sources(
        vec![
            main_route([0; 4], 0, 2),
            main_route([198, 51, 100, 0], 24, 3),
            route([203, 0, 113, 0], 24, 254, RouteType::BlackHole, None),
            route([192, 0, 2, 1], 32, 255, RouteType::Local, Some(1)),
            // Within a refused network, and of a table that no rule names.
            main_route([10, 1, 0, 0], 16, 2),
            route([192, 0, 2, 128], 25, 100, RouteType::Unicast, Some(9)),
        ],
        vec![(Ipv4Addr::new(10, 0, 0, 0), 8)],
    );
    let expected = [
        ("0.0.0.0/0", Some(2)),
        ("10.0.0.0/8", None),
        ("10.1.0.0/16", None),
        ("192.0.2.1/32", None),
        ("198.51.100.0/24", Some(3)),
        ("203.0.113.0/24", None),
    ];
    assert_eq!(
        found,
        expected.map(|(network, interface)| (network.to_owned(), interface))
    );
}

#[test]
fn of_two_routes_the_better_one_decides_and_a_doubt_is_none() {
    let with_metric = |oif, metric| {
        let mut route = main_route([0; 4], 0, oif);
        route.attributes.push(RouteAttribute::Priority(metric));
        route
    };
    let default = |routes| sources(routes, Vec::new())[0].1;
    assert_eq!(
        default(vec![with_metric(2, 100), with_metric(3, 50)]),
        Some(3)
    );
    assert_eq!(
        default(vec![with_metric(2, 50), with_metric(3, 100)]),
        Some(2)
    );
    assert_eq!(default(vec![with_metric(2, 50), with_metric(3, 50)]), None);
    let mut several = main_route([0; 4], 0, 2);
    several
        .attributes
        .push(RouteAttribute::MultiPath(Vec::new()));
    assert_eq!(default(vec![several]), None);
    let mut dead = main_route([0; 4], 0, 2);
    dead.header.flags = RouteFlags::Linkdown;
    assert_eq!(default(vec![dead]), None);
}

#[test]
fn a_rule_that_chooses_other_routes_is_refused() {
    let mut rule = RuleMessage::default();
    rule.header.action = RuleAction::ToTable;
    rule.header.table = 254;
    rule.attributes.push(RuleAttribute::Priority(32766));
    assert!(is_usual(&rule));
    rule.attributes.push(RuleAttribute::FwMark(1));
    assert!(!is_usual(&rule));
    let tables = Tables {
        rules: vec![rule],
        ..Tables::default()
    };
    let reason = tables.survey([].into_iter(), Vec::new()).unwrap_err();
    assert!(reason.contains("priority 32766"), "{reason}");
}

/// A router's table is not read to its end, again and again.
#[test]
fn of_a_million_routes_few_are_read() {
    isolated(|| {
        let routes: String = (0..20_000)
            .map(|n| format!("route add blackhole 10.{}.{}.0/24\n", n / 256, n % 256))
            .collect();
        let mut ip = Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("ip runs; is `iproute2` installed?");
        let mut input = ip.stdin.take().unwrap();
        input.write_all(routes.as_bytes()).unwrap();
        drop(input);
        assert!(ip.wait().unwrap().success());
        let tables = netlink(async |handle| Tables::read(&handle).await.unwrap());
        assert_eq!(tables.routes.len(), MOST_ROUTES + 1);
        let reason = tables.sources(Vec::new()).unwrap_err();
        assert_eq!(reason, "the host has more than 8192 routes");
    });
}
