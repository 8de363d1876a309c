use super::*;

use crate::nft_program as nft;
use crate::testing::{Namespace, wait_for};

const PATH: &str = "inet filter teredo_ports";
const SET: &str = "teredo_ports";
const LEASE: Option<Duration> = Some(Duration::from_secs(15));

fn set(lease: Option<Duration>) -> LeasedSet {
    LeasedSet::new(PATH.parse().expect("the path of a set"), lease)
}

fn declare(declaration: &str) {
    nft::run(&format!(
        "table inet filter {{ set {SET} {{ {declaration} }}; }}"
    ));
}

/// F-2
#[test]
fn the_set_holds_exactly_the_current_port() {
    Namespace::new().run(|| {
        declare("type inet_service; flags timeout; elements = { 53, 4500 timeout 1h }");
        let mut netlink = Netlink::open().unwrap();
        for port in [4500, 4501, 4501, 1, 65535, 0, 0, 4502] {
            set(LEASE).hold(&mut netlink, port).unwrap();
            let expected: &[u64] = if port == 0 { &[] } else { &[u64::from(port)] };
            assert_eq!(nft::ports(SET), expected);
        }
    });
}

/// F-2
#[test]
fn an_element_is_a_lease() {
    Namespace::new().run(|| {
        declare("type inet_service; flags timeout;");
        let mut netlink = Netlink::open().unwrap();
        let lease = Duration::from_millis(2_000);
        set(Some(lease)).hold(&mut netlink, 4500).unwrap();
        assert_eq!(nft::elements(SET)[0]["elem"]["timeout"], 2);
        // Nobody renews it.
        wait_for("the lease lapses", Duration::from_secs(10), || {
            nft::ports(SET).is_empty()
        });
    });
}

/// F-2
#[test]
fn holding_a_port_again_renews_its_lease() {
    Namespace::new().run(|| {
        declare("type inet_service; flags timeout;");
        let mut netlink = Netlink::open().unwrap();
        let set = set(LEASE);
        let left = |netlink: &mut Netlink| {
            netlink.elements(&set.path.table, SET).unwrap().unwrap()[0]
                .expires
                .unwrap()
        };
        set.hold(&mut netlink, 4500).unwrap();
        let lease = LEASE.unwrap();
        wait_for("the lease runs", Duration::from_secs(5), || {
            left(&mut netlink) < lease - Duration::from_millis(100)
        });
        set.hold(&mut netlink, 4500).unwrap();
        assert!(left(&mut netlink) > lease - Duration::from_millis(100));
    });
}

#[test]
fn a_foreign_element_or_lease_is_noticed() {
    Namespace::new().run(|| {
        declare("type inet_service; flags timeout;");
        let mut netlink = Netlink::open().unwrap();
        let set = set(LEASE);
        set.hold(&mut netlink, 4500).unwrap();
        assert!(set.holds(&mut netlink, 4500).unwrap());
        assert!(!set.holds(&mut netlink, 4501).unwrap());
        assert!(!set.holds(&mut netlink, 0).unwrap());

        nft::run(&format!("add element {PATH} {{ 53 }}"));
        assert!(!set.holds(&mut netlink, 4500).unwrap());
        nft::run(&format!("flush set {PATH}"));
        assert!(!set.holds(&mut netlink, 4500).unwrap());
        assert!(set.holds(&mut netlink, 0).unwrap());
        // The port, but without a lease.
        nft::run(&format!("add element {PATH} {{ 4500 }}"));
        assert!(!set.holds(&mut netlink, 4500).unwrap());
    });
}

#[test]
fn a_set_that_is_not_there_is_missing() {
    Namespace::new().run(|| {
        let mut netlink = Netlink::open().unwrap();
        for _ in 0..2 {
            assert!(matches!(
                set(LEASE).hold(&mut netlink, 4500),
                Err(SetError::Missing(_))
            ));
            assert!(matches!(
                set(LEASE).holds(&mut netlink, 4500),
                Err(SetError::Missing(_))
            ));
            assert_eq!(set(LEASE).fitness(&mut netlink).unwrap(), Fitness::Missing);
            nft::run("add table inet filter");
        }
    });
}

#[test]
fn a_set_is_judged_by_its_declaration() {
    Namespace::new().run(|| {
        let mut netlink = Netlink::open().unwrap();
        for (declaration, fitness) in [
            ("type inet_service; flags timeout;", Fitness::Fit),
            ("typeof udp dport; flags dynamic, timeout;", Fitness::Fit),
            ("type inet_service;", Fitness::WithoutLease),
            (
                "type ipv4_addr; flags timeout;",
                Fitness::Unfit("is not of type inet_service"),
            ),
            (
                "type ipv4_addr . inet_service;",
                Fitness::Unfit("is not of type inet_service"),
            ),
            (
                "type inet_service; flags interval, timeout;",
                Fitness::Unfit("has the flag interval"),
            ),
            (
                "type inet_service; flags constant; elements = { 1 };",
                Fitness::Unfit("has the flag constant"),
            ),
        ] {
            declare(declaration);
            assert_eq!(
                set(LEASE).fitness(&mut netlink).unwrap(),
                fitness,
                "{declaration}"
            );
            nft::run("flush ruleset");
        }
        nft::run(&format!(
            "table inet filter {{ map {SET} {{ type inet_service : mark; }}; }}"
        ));
        assert_eq!(
            set(LEASE).fitness(&mut netlink).unwrap(),
            Fitness::Unfit("is a map")
        );
    });
}

#[test]
fn a_set_without_timeouts_holds_a_port_without_a_lease() {
    Namespace::new().run(|| {
        declare("type inet_service;");
        let mut netlink = Netlink::open().unwrap();
        assert!(matches!(
            set(LEASE).hold(&mut netlink, 4500),
            Err(SetError::Netlink(NftError::Refused { .. }))
        ));
        set(None).hold(&mut netlink, 4500).unwrap();
        assert_eq!(nft::elements(SET), [4500]);
        assert_eq!(nft::objects("set").len(), 1);
    });
}
