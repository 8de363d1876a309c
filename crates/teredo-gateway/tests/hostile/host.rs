//! This host's own rules, and the other devices of its link, each in a network namespace.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;

use teredo_gateway::{Refusal, State, Wanted};
use teredo_lab::Namespace;

use crate::pcp;
use crate::router::{Fault, Igd, Owner, Store};

/// Runs a program, which must succeed.
fn run(program: &str, arguments: &str, package: &str) {
    output(program, arguments, package);
}

fn output(program: &str, arguments: &str, package: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output();
    let output = output.unwrap_or_else(|error| panic!("'{program}' of '{package}': {error}"));
    assert!(output.status.success(), "{arguments}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn namespace() -> Namespace {
    Namespace::new().expect("the tests need root for network namespaces")
}

fn in_namespace(job: impl FnOnce() + Send) {
    namespace().run(job).expect("a thread enters the namespace");
}

/// Drops what this host sends to a UDP port.
fn block(port: u16) {
    let rule = format!("add rule inet own output udp dport {port} drop");
    for arguments in [
        "add table inet own",
        "add chain inet own output { type filter hook output priority 0 ; }",
        &rule,
    ] {
        run("nft", arguments, "nftables");
    }
}

/// The kernel says it (EPERM): it is no silence of the router.
#[test]
fn rules_of_this_host_are_named() {
    in_namespace(|| {
        for port in [5351, 1900] {
            block(port);
            let router = match port {
                5351 => pcp::server(|request| Some(pcp::mapped(request, 0))).0,
                _ => Igd::start(Fault::None).address,
            };
            let owner = Owner::asking(router);
            assert_eq!(owner.answer(), State::Refused(Refusal::Blocked), "{port}");
            run("nft", "flush ruleset", "nftables");
            owner.gateway.look();
            assert_eq!(owner.mapping().gateway, router);
        }
    });
}

/// R6081-5.3.5-01: a mapping that rules of this host leave at the router is taken back by the next process.
#[test]
fn a_mapping_that_rules_keep_at_the_router_is_not_forgotten() {
    in_namespace(|| {
        let (router, _requests) = pcp::server(|request| Some(pcp::mapped(request, 0)));
        let owner = Owner::asking(router);
        owner.mapping();
        block(5351);
        let store = owner.store.clone();
        owner.end();
        assert!(store.0.lock().unwrap().is_some());
    });
}

/// R6081-5.3.3-02: another device with UPnP on the link does not hide the router, however fast it is.
#[test]
fn a_faster_device_of_another_host_does_not_hide_the_router() {
    let [own, other, router] = [2, 9, 1].map(|last| Ipv4Addr::new(192, 168, 1, last));
    let ip = |arguments: &str| run("ip", arguments, "iproute2");
    let [host, link] = [(); 2].map(|()| namespace());
    host.connect("eth0", &link, "far0").unwrap();
    let devices = link.run(|| {
        for address in [router, other] {
            ip(&format!("address add {address}/24 dev far0"));
        }
        ip("link set far0 up");
        Igd::on_a_link([other, router])
    });
    let devices = devices.unwrap();
    let outcome = host.run(|| {
        ip(&format!("address add {own}/24 dev eth0"));
        ip("link set eth0 up");
        ip(&format!("route add default via {router}"));
        // The kernel notices the other end with a delay, and drops what is sent before.
        while !output("ip", "-j link show dev eth0", "iproute2").contains("\"UP\"") {}
        let owner = Owner::start(Store::default());
        owner.gateway.want(Some(Wanted {
            gateway: router,
            local: SocketAddrV4::new(own, 40_000),
        }));
        owner.answer()
    });
    let State::Mapped(mapping) = outcome.unwrap() else {
        panic!("no mapping");
    };
    assert_eq!(mapping.gateway, router);
    let changes = devices.map(|device| device.changes());
    assert_eq!(changes, [vec![], vec!["AddPortMapping".to_owned()]]);
}
