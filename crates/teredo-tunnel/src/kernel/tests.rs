use super::*;
use crate::netns::isolated;

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
