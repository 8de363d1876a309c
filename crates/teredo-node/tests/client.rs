//! The life of a client inside another program, on a host without a network. Needs root. With a server and NATs it
//! is run by the end-to-end tests of `teredo-cli`.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::num::NonZeroU16;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use teredo_lab::{Host, Internet, NatKind};
use teredo_node::teredo::ServerAddress;
use teredo_node::teredo::client::{Reason, State};
use teredo_node::teredo_notify::Kind;
use teredo_node::teredo_notify::hub::{GateOwner, Hub, Registration};
use teredo_node::{Client, ClientBuilder, RunError, StartError};

const SOON: Duration = Duration::from_secs(10);

/// A client of a server that nobody reaches.
fn client() -> ClientBuilder {
    Client::builder(ServerAddress::adjacent(Ipv4Addr::new(192, 0, 2, 45)))
}

const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, 1);

/// Runs `body` on a host of its own.
fn on_a_host(body: impl AsyncFnOnce() + Send) {
    let internet = Internet::new().expect("these tests need root");
    on(&internet.host("host", &[HOST]).unwrap(), body);
}

/// The same on this one.
fn on(host: &Host, body: impl AsyncFnOnce() + Send) {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(body())
    };
    host.namespace().run(run).unwrap()
}

fn listen(hub: &Hub) -> (Registration, Receiver<(Kind, u16)>) {
    let (told, heard) = channel();
    let registration = hub
        .register(false, move |n| _ = told.send((n.kind, n.state.port)))
        .unwrap();
    (registration, heard)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let looks = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(SOON, looks).await;
    assert!(in_time.is_ok(), "not so: {what}");
}

fn interfaces() -> String {
    std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()
}

/// N-11: callbacks hear of the start, of every change and of the end; nothing is left.
#[test]
fn from_the_start_to_the_end() {
    on_a_host(async || {
        let hub = Hub::new();
        let (_registration, heard) = listen(&hub);
        let next = || heard.recv_timeout(SOON).unwrap();
        let client = client()
            .interface("own")
            .port(NonZeroU16::new(40_000).unwrap())
            .hub(hub)
            .start()
            .await
            .unwrap();
        assert_eq!(next(), (Kind::Add, 40_000));
        assert!(interfaces().contains("own:"));

        assert_eq!(client.rebind(Some(40_001)).await.unwrap().port, 40_001);
        assert_eq!(next(), (Kind::Change, 40_001));
        let taken = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 40_002)).unwrap();
        client.rebind(Some(40_002)).await.unwrap_err();
        drop(taken);
        assert_eq!(client.status().await.unwrap().port, 40_001);

        assert_eq!(client.stop().await.unwrap().port, 0);
        assert_eq!(next(), (Kind::Delete, 0));
        assert_eq!(client.start().await.unwrap().port, 40_000);
        assert_eq!(next(), (Kind::Add, 40_000));

        client.shutdown().await.unwrap();
        assert_eq!(next(), (Kind::Delete, 0));
        assert!(!interfaces().contains("own:"));
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 40_000)).unwrap();
    });
}

/// N-16: a rebind is not done before a gate in the same process has confirmed it.
#[test]
fn a_gate_in_the_same_process_is_waited_for() {
    on_a_host(async || {
        let client = client().start().await.unwrap();
        let gate = client.hub().register_gate(GateOwner::default()).unwrap();
        let (registration, heard) = listen(client.hub());
        let rebind = client.rebind(Some(40_001));
        assert_eq!(heard.recv_timeout(SOON), Ok((Kind::Change, 40_001)));
        gate.settle(client.hub().snapshot().sequence).unwrap();
        assert!(rebind.await.unwrap().settled);
        // And who does not confirm is waited for no longer than the deadline.
        assert!(!client.rebind(Some(40_002)).await.unwrap().settled);
        until("the miss is counted", || client.hub().gate_missed() == 1).await;
        drop(registration);
    });
}

/// The interface and the port go with a client that is dropped.
#[test]
fn a_client_may_be_dropped() {
    on_a_host(async || {
        let client = client().interface("own").start().await.unwrap();
        let mut connectivity = client.connectivity();
        drop(client);
        // The task ends, and with it the engine.
        while connectivity.changed().await.is_ok() {}
        until("the interface is gone", || !interfaces().contains("own:")).await;
    });
}

/// A start that fails says why, and leaves nothing behind.
#[test]
fn a_start_may_fail() {
    on_a_host(async || {
        let failed = client().interface("no/name").start().await;
        assert!(matches!(failed, Err(StartError::Tun(_))), "{failed:?}");
        let elsewhere = Ipv4Addr::new(203, 0, 113, 9);
        let failed = client().interface("own").bind(elsewhere).start().await;
        assert!(matches!(failed, Err(StartError::DataPath(_))), "{failed:?}");
        assert!(!interfaces().contains("own:"));
    });
}

/// R4380-5.5-01: where the host has native IPv6 the client has no port, unless it is told to go on. When that is gone
/// it has one.
#[test]
fn native_ipv6_makes_a_client_dormant() {
    let internet = Internet::new().expect("these tests need root");
    let host = internet.native_host("host", &[HOST], NATIVE).unwrap();
    on(&host, async || {
        let beside = client().beside_native_ipv6(true).start().await.unwrap();
        assert_ne!(beside.hub().snapshot().port, 0);
        beside.shutdown().await.unwrap();

        let client = client().start().await.unwrap();
        let mut connectivity = client.connectivity();
        let waits = connectivity.wait_for(|now| now.state == State::Dormant);
        let dormant = tokio::time::timeout(SOON, waits).await.unwrap();
        let reason = dormant.unwrap().reason;
        assert_eq!(reason, Some(Reason::NativeIpv6(NATIVE)));
        assert_eq!(client.hub().snapshot().port, 0);
        // This thread's namespace is the host's.
        std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1").unwrap();
        until("it has a port", || client.hub().snapshot().port != 0).await;
    });
}

/// R4380-5.2.8-01: neighbours are looked for from the start.
#[test]
fn the_group_of_local_discovery_is_joined_from_the_start() {
    let internet = Internet::new().expect("these tests need root");
    let home = internet
        .home("home", NatKind::PortRestricted, HOST)
        .unwrap();
    on(&home.host("host").unwrap(), async || {
        let client = client().start().await.unwrap();
        let group = || {
            let groups = std::fs::read_to_string("/proc/thread-self/net/igmp").unwrap();
            // 224.0.0.253, in the byte order of the machine.
            let address = u32::from_ne_bytes([224, 0, 0, 253]);
            groups.contains(&format!("{address:08X}"))
        };
        until("the group is joined", group).await;
        client.shutdown().await.unwrap();
        assert!(!group());
    });
}

/// A client whose interface is deleted says so, and its port is gone.
#[test]
fn a_deleted_interface_ends_the_client() {
    on_a_host(async || {
        let mut client = client().interface("own").start().await.unwrap();
        let (_registration, heard) = listen(client.hub());
        let delete = std::process::Command::new("ip")
            .args(["link", "delete", "own"])
            .status();
        assert!(
            delete.unwrap().success(),
            "ip(8): install the package iproute2"
        );
        let ended = tokio::time::timeout(SOON, client.ended()).await.unwrap();
        assert!(
            matches!(&ended, RunError::InterfaceDeleted(name) if name == "own"),
            "{ended}"
        );
        assert_eq!(heard.recv_timeout(SOON), Ok((Kind::Delete, 0)));
        assert_eq!(client.qualified().await, None);
        // It was reported, and to end it now is no error.
        client.shutdown().await.unwrap();
    });
}
