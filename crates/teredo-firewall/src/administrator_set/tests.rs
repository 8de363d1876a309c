use teredo_nft::{Set, TableFlags};

use super::*;
use crate::nft_program as nft;
use crate::testing::{Namespace, wait_for};

const PATH: &str = "inet filter teredo_ports";
const SET: &str = "teredo_ports";
const LEASE: Duration = Duration::from_secs(15);

fn set(lease: Duration) -> AdministratorSet {
    AdministratorSet::new(PATH.parse().expect("the path of a set"), lease)
}

fn declare(declaration: &str) {
    nft::run(&format!(
        "table inet filter {{ set {SET} {{ {declaration} }}; }}"
    ));
}

fn ports(ports: &[u16]) -> BTreeSet<u16> {
    ports.iter().copied().collect()
}

fn hold(set: &AdministratorSet, netlink: &mut Netlink, wanted: &[u16]) -> Result<(), SetError> {
    let mut batch = Batch::new();
    set.hold(netlink, &mut batch, &ports(wanted))?;
    Ok(netlink.execute(&batch)?)
}

/// F-2
#[test]
fn the_set_holds_exactly_the_current_ports_of_the_agent() {
    Namespace::new().run(|| {
        declare("type inet_service; flags timeout;");
        let mut netlink = Netlink::open().unwrap();
        for wanted in [
            &[4500][..],
            &[4501],
            &[4501, 4502],
            &[1],
            &[65535],
            &[],
            &[],
            &[4502],
        ] {
            hold(&set(LEASE), &mut netlink, wanted).unwrap();
            assert_eq!(set(LEASE).own(&mut netlink).unwrap(), ports(wanted));
            assert_eq!(nft::ports(SET).len(), wanted.len());
            assert!(set(LEASE).holds(&mut netlink, &ports(wanted)).unwrap());
        }
    });
}

/// F-2: elements of others stay as they are, the same port included.
#[test]
fn foreign_elements_are_never_touched() {
    Namespace::new().run(|| {
        declare("type inet_service; flags timeout; elements = { 22, 443, 4501 timeout 1h }");
        let mut netlink = Netlink::open().unwrap();
        for wanted in [&[4500][..], &[4501], &[443, 4500], &[]] {
            hold(&set(LEASE), &mut netlink, wanted).unwrap();
            let held = nft::ports(SET);
            assert!(
                [22, 443, 4501].iter().all(|port| held.contains(port)),
                "{held:?}"
            );
            assert!(set(LEASE).holds(&mut netlink, &ports(wanted)).unwrap());
        }
        assert_eq!(nft::ports(SET).len(), 3);
        assert!(nft::ruleset().contains("4501 timeout 1h"));
    });
}

/// F-2
#[test]
fn an_element_is_a_lease() {
    Namespace::new().run(|| {
        declare("type inet_service; flags timeout;");
        let mut netlink = Netlink::open().unwrap();
        hold(&set(Duration::from_secs(2)), &mut netlink, &[4500]).unwrap();
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
        hold(&set, &mut netlink, &[4500]).unwrap();
        wait_for("the lease runs", Duration::from_secs(5), || {
            left(&mut netlink) < LEASE - Duration::from_millis(100)
        });
        hold(&set, &mut netlink, &[4500]).unwrap();
        assert!(left(&mut netlink) > LEASE - Duration::from_millis(100));
    });
}

#[test]
fn what_others_do_to_the_agents_elements_is_noticed() {
    Namespace::new().run(|| {
        declare("type inet_service; flags timeout;");
        let mut netlink = Netlink::open().unwrap();
        let set = set(LEASE);
        let holds =
            |netlink: &mut Netlink, wanted: &[u16]| set.holds(netlink, &ports(wanted)).unwrap();
        hold(&set, &mut netlink, &[4500]).unwrap();
        assert!(holds(&mut netlink, &[4500]));
        assert!(!holds(&mut netlink, &[4501]));
        assert!(!holds(&mut netlink, &[]));
        nft::run(&format!("add element {PATH} {{ 53 }}"));
        assert!(holds(&mut netlink, &[4500]));
        nft::run(&format!("flush set {PATH}"));
        assert!(!holds(&mut netlink, &[4500]));
        assert!(holds(&mut netlink, &[]));
        // The agent's, but without a lease.
        nft::run(&format!("add element {PATH} {{ 4500 comment \"teredo\" }}"));
        assert!(!holds(&mut netlink, &[4500]));
    });
}

#[test]
fn a_set_that_is_not_there_is_missing() {
    Namespace::new().run(|| {
        let mut netlink = Netlink::open().unwrap();
        for _ in 0..2 {
            let missing = |result| matches!(result, Err(SetError::Missing(_)));
            assert!(missing(hold(&set(LEASE), &mut netlink, &[4500])));
            assert!(missing(
                set(LEASE).holds(&mut netlink, &ports(&[4500])).map(drop)
            ));
            assert!(missing(set(LEASE).adapt(&mut netlink)));
            assert_eq!(set(LEASE).fitness(&mut netlink).unwrap(), Fitness::Missing);
            nft::run("add table inet filter");
        }
    });
}

/// A set in a table that another process owns cannot be filled, and the process is named.
#[test]
fn a_set_of_another_process_is_refused() {
    Namespace::new().run(|| {
        let path: SetPath = PATH.parse().unwrap();
        let mut owner = Netlink::open().unwrap();
        let mut batch = Batch::new();
        batch.add_table(&path.table, TableFlags::OWNER).add_set(
            &path.table,
            &Set::new(SET, KeyType::INET_SERVICE).with_timeouts(),
        );
        owner.execute(&batch).unwrap();
        let error = set(LEASE).adapt(&mut Netlink::open().unwrap()).unwrap_err();
        let named = format!("belongs to {}", program(owner.port()));
        assert!(error.to_string().contains(&named), "{error}");
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
        let mut set = set(LEASE);
        assert!(matches!(
            hold(&set, &mut netlink, &[4500]),
            Err(SetError::Netlink(NftError::Refused { .. }))
        ));
        set.adapt(&mut netlink).unwrap();
        hold(&set, &mut netlink, &[4500]).unwrap();
        assert_eq!(nft::ports(SET), [4500]);
        assert!(nft::elements(SET)[0]["elem"].get("timeout").is_none());
        assert_eq!(nft::objects("set").len(), 1);
    });
}
