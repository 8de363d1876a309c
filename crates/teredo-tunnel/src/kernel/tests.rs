use std::net::Ipv4Addr;
use std::thread;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use teredo::{Client, ClientConfig};

use super::*;
use crate::clock;
use crate::netns::isolated;
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

/// The path is open only while nothing stands in its way, and a status has the first reason.
#[test]
fn every_obstacle_closes_the_path() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        let path = KernelPath::prepare(16, &tun).unwrap();
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
        let path = KernelPath::prepare(16, &tun).unwrap();
        let prefix = |address: &str| address.parse::<Ipv6Addr>().unwrap();
        path.serve(&[(prefix("2000::"), 3, true), (prefix("2002::"), 16, false)]);
        path.serve(&[(prefix("2000::"), 3, true)]);
        path.hinder(Obstacle::Gate, "a gate");
        drop(tun);
        let tun = Tun::open(None).unwrap();
        path.take_over(&tun).unwrap();
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
        let path = KernelPath::prepare(16, &tun).unwrap();
        let network = ("2000::".parse::<Ipv6Addr>().unwrap(), 3, true);
        path.serve(&[network]);
        let open = || {
            let mut lane = KernelLane::new(path.clone(), Share::ALL, 0);
            let mut client = Client::new(ClientConfig::default(), [7; 32], clock::now());
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
