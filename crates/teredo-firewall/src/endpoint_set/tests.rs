use super::*;
use crate::nft_program as nft;
use crate::testing::{Namespace, drop_net_admin};

const PATH: &str = "inet filter teredo_hosts";
const SET: &str = "teredo_hosts";
const LEASE: Duration = Duration::from_secs(15);

fn open() -> EndpointSet {
    EndpointSet::open(PATH.parse().unwrap(), LEASE).unwrap()
}

fn declare(declaration: &str) {
    nft::run(&format!(
        "table inet filter {{ set {SET} {{ {declaration} }}; }}"
    ));
}

fn endpoint(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

fn hold(set: &mut EndpointSet, endpoints: &[SocketAddrV4]) {
    let now = Instant::now();
    set.hold(endpoints, |_| Some(now + LEASE), now).unwrap();
}

/// The elements as `nft` sees them, in order: `ADDRESS:PORT`, and whether they have a timeout.
fn seen() -> Vec<(String, bool)> {
    let mut seen: Vec<_> = nft::elements(SET)
        .iter()
        .map(|element| {
            let (value, leased) = match element.get("elem") {
                Some(element) => (&element["val"], element.get("timeout").is_some()),
                None => (element, false),
            };
            let parts = &value["concat"];
            (
                format!("{}:{}", parts[0].as_str().unwrap(), parts[1]),
                leased,
            )
        })
        .collect();
    seen.sort();
    seen
}

/// F-2
#[test]
fn endpoints_come_and_go_with_a_lease() {
    Namespace::new().run(|| {
        declare("type ipv4_addr . inet_service; flags timeout;");
        let mut set = open();
        set.check().unwrap();
        let (web, mail) = (endpoint("192.0.2.7:4500"), endpoint("203.0.113.255:65535"));
        hold(&mut set, &[web, mail]);
        assert_eq!(
            seen(),
            [
                (String::from("192.0.2.7:4500"), true),
                (String::from("203.0.113.255:65535"), true)
            ]
        );
        let now = Instant::now();
        set.hold(
            &[web, mail],
            |one| (*one == mail).then_some(now + LEASE),
            now,
        )
        .unwrap();
        assert_eq!(seen(), [(String::from("203.0.113.255:65535"), true)]);
        assert!(!set.read(now).unwrap());
        set.release(now).unwrap();
        assert!(seen().is_empty() && set.is_empty());
    });
}

/// F-2: elements of others stay as they are, the same endpoint included.
#[test]
fn foreign_elements_are_never_touched() {
    Namespace::new().run(|| {
        declare("type ipv4_addr . inet_service; flags timeout; elements = { 192.0.2.9 . 22, 192.0.2.7 . 4500 timeout 1h }");
        let before = seen();
        let mut set = open();
        assert!(set.read(Instant::now()).unwrap());
        hold(&mut set, &[endpoint("192.0.2.7:4500"), endpoint("192.0.2.8:4500")]);
        assert_eq!(seen().len(), 3);
        set.release(Instant::now()).unwrap();
        assert_eq!(seen(), before);
    });
}

/// F-2: an own element without a timeout, as an administrator restores it, is replaced, or goes.
#[test]
fn an_own_element_without_an_end_gets_one() {
    Namespace::new().run(|| {
        declare(
            "type ipv4_addr . inet_service; flags timeout; elements = { 192.0.2.7 . 4500 comment \"teredo\", 192.0.2.8 . 4500 comment \"teredo\" }",
        );
        let mut set = open();
        let now = Instant::now();
        assert!(set.read(now).unwrap());
        let (web, mail) = (endpoint("192.0.2.7:4500"), endpoint("192.0.2.8:4500"));
        set.hold(&[web, mail], |one| (*one == web).then_some(now + LEASE), now)
            .unwrap();
        assert_eq!(seen(), [(String::from("192.0.2.7:4500"), true)]);
    });
}

/// F-2: after a flush, the next look finds it, and the next round puts all back. The process before this one is followed.
#[test]
fn a_flush_is_found_and_what_was_left_is_taken_over() {
    Namespace::new().run(|| {
        declare("type ipv4_addr . inet_service; flags timeout;");
        let mut set = open();
        let web = endpoint("192.0.2.7:4500");
        hold(&mut set, &[web]);
        nft::run(&format!("flush set {PATH}"));
        assert!(set.read(Instant::now()).unwrap());
        hold(&mut set, &[web]);
        assert_eq!(seen().len(), 1);
        drop(set);
        let mut next = open();
        assert!(next.read(Instant::now()).unwrap());
        assert_eq!(next.held().collect::<Vec<_>>(), [web]);
        next.release(Instant::now()).unwrap();
        assert!(seen().is_empty());
    });
}

/// A set that changed since it was read does not stop the round: another program removed what this one removes.
#[test]
fn a_change_meanwhile_is_met_by_another_try() {
    Namespace::new().run(|| {
        declare("type ipv4_addr . inet_service; flags timeout;");
        let mut set = open();
        let (web, mail) = (endpoint("192.0.2.7:4500"), endpoint("192.0.2.8:4500"));
        hold(&mut set, &[web]);
        nft::run(&format!("flush set {PATH}"));
        let now = Instant::now();
        set.hold(
            &[web, mail],
            |one| (*one == mail).then_some(now + LEASE),
            now,
        )
        .unwrap();
        assert_eq!(seen(), [(String::from("192.0.2.8:4500"), true)]);
    });
}

/// More than one transaction, and more than one request in each.
#[test]
fn many_endpoints_are_held() {
    Namespace::new().run(|| {
        declare("type ipv4_addr . inet_service; flags timeout;");
        let mut set = open();
        let all: Vec<_> = (0..2_600_u16)
            .map(|number| {
                SocketAddrV4::new([192, 0, 2, (number % 250) as u8].into(), 10_000 + number)
            })
            .collect();
        hold(&mut set, &all);
        assert_eq!(seen().len(), all.len());
        assert!(!set.read(Instant::now()).unwrap());
        set.release(Instant::now()).unwrap();
        assert!(seen().is_empty());
    });
}

#[test]
fn an_unfit_set_is_refused_with_the_reason() {
    Namespace::new().run(|| {
        let error = open().check().unwrap_err();
        assert!(matches!(error, EndpointSetError::Missing(_)), "{error}");
        // The hint works as it is.
        let hint = error.hint().unwrap();
        assert!(
            hint.starts_with("nft add table inet filter && nft add set"),
            "{hint}"
        );
        for (declaration, reason) in [
            ("type inet_service; flags timeout;", "is not of type"),
            ("type ipv4_addr . inet_service;", "has no flag timeout"),
            (
                "type ipv4_addr . inet_service; flags interval, timeout;",
                "has the flag interval",
            ),
        ] {
            nft::run("flush ruleset");
            declare(declaration);
            let error = open().check().unwrap_err().to_string();
            assert!(error.contains(reason), "{declaration}: {error}");
        }
        nft::run("flush ruleset");
        declare("type ipv4_addr . inet_service; flags timeout;");
        drop_net_admin();
        let error = open().check().unwrap_err();
        assert!(
            matches!(error, EndpointSetError::Netlink(NftError::NotPermitted)),
            "{error}"
        );
    });
}
