//! Routers with UPnP alone.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use teredo_gateway::{Mapping, Protocol, Refusal, State, Wanted};

use crate::router::{DEADLINE, Fault, Igd, LOCAL, OUTSIDE, Owner, Store, left_behind};

/// R6081-5.3.3-02, R6081-5.3.3-04, R6081-5.3.5-01, R6081-5.6.3-01: argument by argument. The lease is of 20 minutes.
#[test]
fn a_mapping_is_asked_for_as_the_rfc_says_and_taken_back_at_the_end() {
    let igd = Igd::start(Fault::None);
    let owner = Owner::asking(igd.address);
    let mapping = owner.mapping();
    assert_eq!(mapping.protocol, Protocol::Upnp);
    assert_eq!(*mapping.external.ip(), OUTSIDE);
    assert_eq!(mapping.external.port(), LOCAL.port());
    assert_eq!(
        *owner.store.0.lock().unwrap(),
        Some(mapping),
        "written down"
    );
    assert_eq!(
        igd.log()[0],
        "AddPortMapping NewRemoteHost= NewExternalPort=40000 NewProtocol=UDP NewInternalPort=40000 \
         NewInternalClient=127.0.0.1 NewEnabled=1 NewPortMappingDescription=TEREDO NewLeaseDuration=1200"
    );
    let store = owner.store.clone();
    owner.end();
    let log = igd.log();
    assert_eq!(
        log.last().unwrap(),
        "DeletePortMapping NewRemoteHost= NewExternalPort=40000 NewProtocol=UDP"
    );
    assert!(igd.mappings().is_empty());
    assert_eq!(*store.0.lock().unwrap(), None);
}

/// R6081-5.3.3-01: the mapping of a process that was killed goes before anything else.
#[test]
fn the_mapping_of_a_killed_process_is_deleted_first() {
    let igd = Igd::start(Fault::None);
    igd.give_to(39_999, "127.0.0.1");
    let owner = Owner::start(left_behind(igd.address));
    owner.want(igd.address);
    owner.mapping();
    assert_eq!(igd.changes(), ["DeletePortMapping", "AddPortMapping"]);
    owner.end();
}

/// A port that another host has by now is not taken from it, whatever the file says.
#[test]
fn the_mapping_of_another_host_is_never_deleted() {
    let igd = Igd::start(Fault::None);
    igd.give_to(39_999, "127.0.0.99");
    let owner = Owner::start(left_behind(igd.address));
    owner.want(igd.address);
    owner.mapping();
    owner.end();
    assert_eq!(
        igd.mappings(),
        [(39_999, ("127.0.0.99".to_owned(), 39_999))]
    );
}

/// A router that shows no list still knows whose a port is. It is asked only for a mapping that would stay for ever.
#[test]
fn without_a_list_the_router_is_asked_for_a_permanent_mapping_again() {
    for (owner_before, stays) in [("127.0.0.1", false), ("127.0.0.99", true)] {
        let igd = Igd::start(Fault::NoList);
        assert_eq!(is_left_after_a_kill(&igd, owner_before, None), stays);
    }
}

/// A file that is older than the lease does not cost another host its mapping, whatever the router gives away.
#[test]
fn without_a_list_a_mapping_with_a_lifetime_is_not_deleted() {
    for fault in [Fault::NoList, Fault::Overwrites] {
        let igd = Igd::start(fault);
        assert!(is_left_after_a_kill(&igd, "127.0.0.99", Some(1200)));
        assert_eq!(igd.changes(), ["AddPortMapping"], "of port 40000");
    }
}

/// Before a router is asked, it is known whether what it makes ends by itself.
#[test]
fn a_mapping_without_an_answer_is_written_down_with_its_lifetime() {
    for (fault, lifetime) in [
        (Fault::HangsAfterAdding, Some(1200)),
        (Fault::PermanentHangs, None),
    ] {
        let igd = Igd::start(fault);
        let owner = Owner::asking(igd.address);
        assert_eq!(owner.answer(), State::Refused(Refusal::Silent));
        let written = owner.store.0.lock().unwrap().expect("written down");
        assert_eq!(written.lifetime, lifetime);
        owner.end();
    }
}

/// Whether the mapping of port 39999 is there after a process has found it in its file, and has ended.
fn is_left_after_a_kill(igd: &Igd, owner_before: &str, lifetime: Option<u32>) -> bool {
    igd.give_to(39_999, owner_before);
    let wanted = Wanted {
        gateway: igd.address,
        local: std::net::SocketAddrV4::new(*LOCAL.ip(), 39_999),
    };
    let left = Mapping {
        lifetime,
        ..Mapping::intended(wanted, Protocol::Upnp)
    };
    let owner = Owner::start(Store(Arc::new(Mutex::new(Some(left)))));
    owner.want(igd.address);
    owner.mapping();
    owner.end();
    let before = (39_999, (owner_before.to_owned(), 39_999));
    igd.mappings().contains(&before)
}

/// R6081-5.3.3-03
#[test]
fn a_port_that_belongs_to_another_host_is_neither_used_nor_deleted() {
    let igd = Igd::start(Fault::None);
    igd.give_to(40_000, "127.0.0.99");
    let owner = Owner::asking(igd.address);
    assert_eq!(owner.answer(), State::Refused(Refusal::Taken(40_000)));
    owner.end();
    assert_eq!(igd.changes(), ["AddPortMapping"]);
    assert_eq!(
        igd.mappings(),
        [(40_000, ("127.0.0.99".to_owned(), 40_000))]
    );
}

#[test]
fn a_confirmed_mapping_of_another_host_is_neither_used_nor_deleted() {
    let igd = Igd::start(Fault::OtherHost);
    let owner = Owner::asking(igd.address);
    assert_eq!(owner.answer(), State::Refused(Refusal::OtherHost(40_000)));
    owner.end();
    assert_eq!(igd.changes(), ["AddPortMapping"]);
}

#[test]
fn a_confirmed_mapping_that_does_not_exist_is_not_used() {
    let igd = Igd::start(Fault::NotListed);
    let owner = Owner::asking(igd.address);
    assert_eq!(owner.answer(), State::Refused(Refusal::NotListed(40_000)));
}

/// R6081-5.3.3-04: without a credible external address, the mapping is undone.
#[test]
fn a_mapping_without_an_external_address_is_undone() {
    for (fault, word) in [(Fault::Incredible, "127.0.0.1"), (Fault::NoAddress, "501")] {
        let igd = Igd::start(fault);
        let owner = Owner::asking(igd.address);
        match owner.answer() {
            State::Refused(refusal) => assert!(refusal.to_string().contains(word), "{refusal}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(igd.changes(), ["AddPortMapping", "DeletePortMapping"]);
        assert!(igd.mappings().is_empty());
    }
}

/// R6081-5.3.5-01: a mapping that the router made and did not confirm is taken back at the end.
#[test]
fn a_mapping_without_an_answer_is_taken_back_at_the_end() {
    let igd = Igd::start(Fault::HangsAfterAdding);
    let owner = Owner::asking(igd.address);
    assert_eq!(owner.answer(), State::Refused(Refusal::Silent));
    assert_eq!(igd.mappings().len(), 1);
    let store = owner.store.clone();
    owner.end();
    assert!(igd.mappings().is_empty());
    assert_eq!(*store.0.lock().unwrap(), None);
}

/// R6081-5.3.5-01: it is taken back before another port is asked for, which replaces it in the file.
#[test]
fn a_mapping_without_an_answer_is_taken_back_if_the_port_moves() {
    let igd = Igd::start(Fault::HangsAfterAdding);
    let owner = Owner::asking(igd.address);
    assert_eq!(owner.answer(), State::Refused(Refusal::Silent));
    igd.set(Fault::None);
    owner.gateway.want(Some(Wanted {
        gateway: igd.address,
        local: std::net::SocketAddrV4::new(*LOCAL.ip(), 40_001),
    }));
    owner.mapping();
    assert_eq!(igd.mappings(), [(40_001, ("127.0.0.1".to_owned(), 40_001))]);
    owner.end();
    assert!(igd.mappings().is_empty());
}

/// A router that is too slow for the end is left to the next thread: the one before must not delete its mapping.
#[test]
fn a_thread_that_has_ended_deletes_nothing_any_more() {
    let igd = Igd::start(Fault::None);
    let owner = Owner::without_patience_at_the_end();
    owner.want(igd.address);
    let mapping = owner.mapping();
    let store = owner.store.clone();
    let given_up = igd.hang();
    owner.end();
    // A thread that lived on would wait for the answer until the deadline. One that ended may have had no time to ask at all.
    let heard = given_up.recv_timeout(DEADLINE * 9 / 10);
    assert!(heard.is_ok() || igd.hanging() == 0, "the thread lives on");
    assert_eq!(igd.changes(), ["AddPortMapping"]);
    assert_eq!(*store.0.lock().unwrap(), Some(mapping));

    igd.set(Fault::None);
    let next = Owner::start(store);
    next.want(igd.address);
    next.mapping();
    let expected = ["AddPortMapping", "DeletePortMapping", "AddPortMapping"];
    assert_eq!(igd.changes(), expected);
    next.end();
}

#[test]
fn a_router_without_lifetimes_gives_a_mapping_without() {
    let igd = Igd::start(Fault::Permanent);
    let owner = Owner::asking(igd.address);
    assert_eq!(owner.mapping().lifetime, None);
    owner.end();
    assert!(igd.mappings().is_empty());
}

/// R6081-5.3.3-03: it is given up within the bound, and the thread still ends.
#[test]
fn a_router_that_hangs_or_never_ends_is_given_up() {
    for fault in [Fault::Hangs, Fault::Endless, Fault::NoXml] {
        let igd = Igd::start(fault);
        let started = Instant::now();
        let owner = Owner::asking(igd.address);
        assert!(matches!(owner.answer(), State::Refused(_)), "{fault:?}");
        owner.end();
        assert!(started.elapsed().as_secs() < 10, "{fault:?}");
    }
}

/// One renewal without an answer does not end a mapping, and the mapping is still taken back at the end.
#[test]
fn a_mapping_survives_a_router_that_hangs_for_a_while() {
    let igd = Igd::start(Fault::None);
    let owner = Owner::asking(igd.address);
    owner.mapping();
    let given_up = igd.hang();
    owner.gateway.look();
    given_up.recv_timeout(DEADLINE).expect("a renewal");
    igd.set(Fault::None);
    assert_eq!(owner.end(), [State::Idle], "it was never lost");
    assert_eq!(igd.changes(), ["AddPortMapping", "DeletePortMapping"]);
}

#[test]
fn a_router_with_a_public_address_is_not_asked() {
    let owner = Owner::asking(OUTSIDE);
    assert_eq!(owner.answer(), State::Refused(Refusal::Public(OUTSIDE)));
}
