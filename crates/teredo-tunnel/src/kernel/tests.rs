use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use teredo::{Client, ClientConfig, PeerPath};

use super::*;
use crate::clock;
use crate::netns::{add_address, add_default_route, eventually, index, isolated, netlink, set_up};
use crate::udp::ServiceSocket;

/// The probe has a namespace of its own, and leaves nothing there or here.
#[test]
fn a_path_is_probed_and_attached() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        let path = KernelPath::prepare(16, &tun).unwrap();
        let status = path.status();
        assert!(!status.open);
        assert_eq!(status.reason.as_deref(), Some("there is no settled port"));
        assert_eq!(status.packets(), 0);
        assert_eq!(Tun::open(None).unwrap().name(), "teredo1");
    });
}

/// A path whose programs are attached to the interface.
fn attached(tun: &Tun) -> KernelPath {
    let path = KernelPath::prepare(16, tun).unwrap();
    path.attach();
    await_hooks(&path);
    path
}

fn await_hooks(path: &KernelPath) {
    eventually("the programs at the tunnel", || {
        (!path.state().obstacles.has(Obstacle::Hooks)).then_some(())
    });
}

/// The index of an Ethernet interface that is up and leads to the Internet.
fn underlay() -> u32 {
    netlink(async |handle| {
        let link = rtnetlink::LinkVeth::new("eth0", "far").build();
        handle.link().add(link).execute().await.unwrap();
        set_up(&handle, "eth0").await;
        set_up(&handle, "far").await;
        add_address(&handle, "eth0", Ipv4Addr::new(192, 0, 2, 2), 24).await;
        add_default_route(&handle, Ipv4Addr::new(192, 0, 2, 1)).await;
        index(&handle, "eth0").await.unwrap()
    })
}

fn peer_path() -> PeerPath {
    PeerPath {
        peer: "2001:0:c000:22d:0:efff:39cc:9bfe".parse().unwrap(),
        own: Some("2001:0:c000:22d:0:63bf:3fff:fdfe".parse().unwrap()),
        port: None,
        remote: SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), 4096),
        heard: clock::now(),
    }
}

/// A lane with a port, whose path may be open.
fn lane(path: &KernelPath, client: &mut Client) -> (KernelLane, ServiceSocket) {
    let mut lane = KernelLane::new(path.clone(), Share::ALL, 0);
    let socket = ServiceSocket::bind(Ipv4Addr::UNSPECIFIED, 0).unwrap();
    lane.open(client, &socket);
    (lane, socket)
}

fn client() -> Client {
    Client::new(ClientConfig::default(), [7; 32], clock::now())
}

/// The first packet of a peer finds the programs where they belong: the offer of its path changes no hook.
#[test]
fn the_programs_are_attached_before_there_is_a_peer() {
    isolated(|| {
        let underlay = underlay();
        let tun = Tun::open(None).unwrap();
        let path = KernelPath::prepare(16, &tun).unwrap();
        path.attach();
        path.expect(underlay);
        eventually("a look at the interface", || {
            (path.changes() == 1).then_some(())
        });
        await_hooks(&path);
        // From here on nobody works at the hooks.
        path.jobs().has_worker = true;
        let mut client = client();
        let (mut lane, _socket) = lane(&path, &mut client);
        lane.offer(&peer_path());
        assert_eq!(path.peers(), [peer_path().peer]);
        assert!(path.status().open);
        assert!(!path.jobs().waiting.iter().any(Job::changes_a_hook));
    });
}

/// A path over an interface that the programs are not attached to yet is left to user space, and offered again afterwards.
/// The lane changes no hook itself, and does not wait for one.
#[test]
fn a_lane_does_not_wait_for_hooks() {
    isolated(|| {
        underlay();
        let tun = Tun::open(None).unwrap();
        let path = KernelPath::prepare(16, &tun).unwrap();
        // Nobody works at the hooks: what waits for that would wait for ever.
        path.jobs().has_worker = true;
        let mut client = client();
        let (mut lane, _socket) = lane(&path, &mut client);
        lane.offer(&peer_path());
        assert!(lane.awaits_hooks());
        assert_eq!(path.changes(), 0);
        assert!(path.peers().is_empty());
        path.jobs().has_worker = false;
        path.attach();
        eventually("a look at the interface", || {
            (path.changes() == 1).then_some(())
        });
        lane.drain(&mut client);
        assert!(!lane.awaits_hooks());
        lane.offer(&peer_path());
        assert_eq!(path.peers(), [peer_path().peer]);
    });
}

/// The path is open only while nothing stands in its way, and a status has the first reason.
#[test]
fn every_obstacle_closes_the_path() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        let path = attached(&tun);
        path.hinder(Obstacle::Rules, "a rule");
        path.clear(Obstacle::Port);
        assert_eq!(path.status().reason.as_deref(), Some("a rule"));
        path.clear(Obstacle::Rules);
        assert!(path.status().open);
        assert!(path.state().path.is_open());
        path.hinder_at_once(Obstacle::Gate, "a gate");
        let is_over = || {
            let state = path.state();
            state.over == state.openings
        };
        assert!(!is_over());
        // Nobody has waited for the programs yet.
        path.hinder(Obstacle::Port, "a port");
        assert!(is_over());
        path.clear(Obstacle::Gate);
        assert!(!path.state().path.is_open());
        path.clear(Obstacle::Interface);
        assert_eq!(path.status().reason.as_deref(), Some("a port"));
        path.clear(Obstacle::Port);
        assert!(path.status().open);
    });
}

/// A node that takes over the programs of one before finds none of its peers, networks and obstacles.
#[test]
fn a_path_that_is_taken_over_is_as_new() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        let path = attached(&tun);
        let prefix = |address: &str| address.parse::<Ipv6Addr>().unwrap();
        path.serve(&[(prefix("2000::"), 3, true), (prefix("2002::"), 16, false)]);
        path.serve(&[(prefix("2000::"), 3, true)]);
        path.hinder(Obstacle::Gate, "a gate");
        drop(tun);
        let tun = Tun::open(None).unwrap();
        path.take_over(&tun).unwrap();
        await_hooks(&path);
        let state = path.state();
        assert_eq!(state.overlay, tun.index());
        assert_eq!(state.natives, []);
        assert_eq!(state.obstacles.first(), Some("there is no settled port"));
        assert!(!state.obstacles.has(Obstacle::Gate));
        drop(state);
        // As it is.
        path.take_over(&tun).unwrap();
    });
}

/// From here on, this thread can remove nothing from a map, and list none.
fn deny_removals() {
    const DELETE_ELEM: u64 = 3;
    const GET_NEXT_KEY: u64 = 4;
    let rule = |command| {
        let (length, equal) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
        let condition = SeccompCondition::new(0, length, equal, command).unwrap();
        SeccompRule::new(vec![condition]).unwrap()
    };
    let filter = SeccompFilter::new(
        [(libc::SYS_bpf, vec![rule(DELETE_ELEM), rule(GET_NEXT_KEY)])].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// An entry that could not be removed would be used from the next port on.
#[test]
fn a_refusal_lasts_until_the_entries_are_gone() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        let path = attached(&tun);
        let network = ("2000::".parse::<Ipv6Addr>().unwrap(), 3, true);
        path.serve(&[network]);
        let open = || {
            let mut lane = KernelLane::new(path.clone(), Share::ALL, 0);
            let mut client = client();
            let socket = ServiceSocket::bind(Ipv4Addr::LOCALHOST, 0).unwrap();
            lane.open(&mut client, &socket);
        };
        let denied = || {
            deny_removals();
            path.serve(&[]);
            open();
        };
        thread::scope(|scope| scope.spawn(denied).join().unwrap());
        let status = path.status();
        assert!(!status.open, "{status:?}");
        // The network may still be in the map, so the next call removes it.
        assert_eq!(path.state().natives, [network]);
        open();
        assert!(path.status().open);
        path.serve(&[]);
        assert!(path.status().open);
        assert_eq!(path.state().natives, []);
    });
}
