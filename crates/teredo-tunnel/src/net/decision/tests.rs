use netlink_packet_route::IpProtocol;
use netlink_packet_route::rule::{RuleMessage, RuleUidRange};

use super::*;

const NATIVE: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2a02, 0xcf40, 0, 0, 0, 0, 0, 1));
const OWN: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0, 1, 0, 0, 0, 0, 1));

fn rule(priority: u32, table: u32, more: impl IntoIterator<Item = RuleAttribute>) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.action = RuleAction::ToTable;
    rule.attributes = vec![
        RuleAttribute::Priority(priority),
        RuleAttribute::Table(table),
    ];
    rule.attributes.extend(more);
    rule
}

fn default(table: u32, kind: RouteType, link: u32, metric: u32) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.kind = kind;
    route.attributes = vec![
        RouteAttribute::Table(table),
        RouteAttribute::Priority(metric),
        RouteAttribute::Oif(link),
    ];
    route
}

/// As wg-quick leaves it: everything without its mark goes to a table of its own.
#[test]
fn a_rule_and_its_table_are_named() {
    let mut all = rule(100, 51_820, [RuleAttribute::FwMark(0xca6c)]);
    all.header.flags = RuleFlags::Invert;
    let mut own = rule(3544, 3544, [RuleAttribute::Source(OWN)]);
    own.header.src_len = 128;
    let rules = [all.clone(), own.clone(), rule(32_766, MAIN, [])];
    let routes = [
        default(51_820, RouteType::Unreachable, 1, 1024),
        default(MAIN, RouteType::Unicast, 7, 1029),
        default(3544, RouteType::Unicast, 7, 1024),
    ];
    let told = follow(&rules, &routes, NATIVE, None, Sent::default()).unwrap();
    assert_eq!(
        (told.link, told.rule, told.table),
        (None, Some(100), 51_820)
    );
    assert_eq!((told.kind, told.metric), ("unreachable", 1024));
    assert!(told.is_detour() && !told.is_refused_by_rule());
    assert_eq!(told.selector, "not fwmark 0xca6c table 51820");
    // Without that rule, the source chooses the table.
    let told = follow(&rules[1..], &routes, NATIVE, Some(OWN), Sent::default()).unwrap();
    assert_eq!((told.link, told.rule), (Some(7), Some(3544)));
    assert_eq!(told.selector, format!("from {OWN}/128 table 3544"));
    let told = follow(&rules[1..], &routes, NATIVE, None, Sent::default()).unwrap();
    assert_eq!(
        (told.link, told.rule, told.is_usual()),
        (Some(7), Some(32_766), true)
    );
}

#[test]
fn the_longest_prefix_wins_and_then_the_least_metric() {
    let rules = [rule(32_766, MAIN, [])];
    let mut net = default(MAIN, RouteType::BlackHole, 1, 1);
    net.header.destination_prefix_length = 32;
    let prefix = Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0);
    net.attributes
        .push(RouteAttribute::Destination(RouteAddress::Inet6(prefix)));
    let mut later = net.clone();
    later.header.kind = RouteType::Unicast;
    later.attributes[1] = RouteAttribute::Priority(1024);
    let routes = [later, net, default(MAIN, RouteType::Unicast, 2, 0)];
    let told = follow(&rules, &routes, OWN, None, Sent::default()).unwrap();
    assert_eq!((told.kind, told.metric), ("blackhole", 1));
    assert_eq!(told.destination, Some((prefix.into(), 32)));
    assert_eq!(
        follow(&rules, &routes, NATIVE, None, Sent::default())
            .unwrap()
            .link,
        Some(2)
    );
    // A rule that ignores default routes.
    let short = rule(100, MAIN, [RuleAttribute::SuppressPrefixLen(0)]);
    assert_eq!(
        follow(&[short], &routes, NATIVE, None, Sent::default()),
        None
    );
}

/// The kernel names the table; of the rules that lead there, the one counts that takes this route.
#[test]
fn the_rule_of_a_route_that_was_found_is_named() {
    let short = rule(100, MAIN, [RuleAttribute::SuppressPrefixLen(0)]);
    let rules = [short, rule(200, 7, []), rule(32_766, MAIN, [])];
    let found = |length| Decision {
        link: Some(2),
        table: MAIN,
        destination: Some((Ipv6Addr::UNSPECIFIED.into(), length)),
        ..Decision::default()
    };
    for (length, priority) in [(32, 100), (0, 32_766)] {
        let told = with_rule(found(length), &rules, NATIVE, None, Sent::default());
        assert_eq!(told.rule, Some(priority));
        assert_eq!(told.selector, "table 254");
    }
}

/// A rule may be about one user alone, and about one protocol.
#[test]
fn a_rule_about_a_user_takes_the_datagrams_of_that_user() {
    let mut refusal = rule(
        50,
        0,
        [
            RuleAttribute::UidRange(RuleUidRange {
                start: 990,
                end: 995,
            }),
            RuleAttribute::IpProtocol(IpProtocol::Udp),
        ],
    );
    refusal.header.action = RuleAction::Prohibit;
    let rules = [refusal, rule(32_766, MAIN, [])];
    let routes = [default(MAIN, RouteType::Unicast, 2, 0)];
    let told = |uid, udp| follow(&rules, &routes, NATIVE, None, Sent { uid, udp }).unwrap();
    let refused = told(Some(994), Some(3544));
    assert_eq!((refused.kind, refused.rule), ("prohibit", Some(50)));
    assert!(refused.is_refused_by_rule() && !refused.is_detour());
    assert_eq!(refused.selector, "uidrange 990-995 ipproto 17 prohibit");
    for (uid, udp) in [(Some(0), Some(3544)), (Some(994), None), (None, Some(3544))] {
        assert_eq!(told(uid, udp).link, Some(2), "{uid:?} {udp:?}");
    }
}

/// The loopback address is known everywhere, and no table is read for it.
#[test]
fn the_kernel_is_asked() {
    let decisions = Decisions::open().unwrap();
    let told = decisions.decide(Ipv4Addr::LOCALHOST.into(), None).unwrap();
    assert_eq!((told.link, told.table), (Some(1), LOCAL));
    assert_eq!((told.rule, told.kind), (Some(0), "local"));
    assert!(!told.is_detour() && !told.is_refused_by_rule());
    let own = Some(Ipv4Addr::LOCALHOST.into());
    let told = decisions.decide(Ipv4Addr::LOCALHOST.into(), own).unwrap();
    assert_eq!(told.link, Some(1));
    assert!(decisions.routes.iter().all(|routes| routes.get().is_none()));
}
