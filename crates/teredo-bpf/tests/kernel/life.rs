//! The programs go with their owner.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use aya::programs::{SchedClassifier, TcAttachType};
use teredo_bpf::{Path, PathError, Settings};
use teredo_lab::until;

use crate::node::{FOREVER, Node, PATIENCE, strangers};

/// Set for the process that is to be killed.
const HOLD: &str = "TEREDO_BPF_HOLD";

/// How many programs are attached to the node's interfaces.
fn attached(node: &Node) -> usize {
    let count = || {
        [
            ("teredo0", TcAttachType::Egress),
            ("eth0", TcAttachType::Egress),
            ("eth0", TcAttachType::Ingress),
        ]
        .map(|(interface, hook)| {
            let (_, programs) = SchedClassifier::query_tcx(interface, hook).unwrap();
            programs.len()
        })
        .iter()
        .sum()
    };
    node.host.namespace().run(count).unwrap()
}

#[test]
fn a_dropped_path_is_detached() {
    let (_internet, near, _far) = strangers(FOREVER);
    assert_eq!(attached(&near), 3);
    let Node {
        host, tun, path, ..
    } = near;
    drop(path);
    let count = || {
        let (_, programs) = SchedClassifier::query_tcx("eth0", TcAttachType::Ingress).unwrap();
        programs.len()
    };
    assert_eq!(host.namespace().run(count).unwrap(), 0);
    drop(tun);
}

/// Nothing of a killed process stays.
#[test]
fn a_killed_process_leaves_nothing() {
    let (_internet, near, _far) = strangers(FOREVER);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "life::holds_a_path", "--nocapture"])
        .env(HOLD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = near.host.namespace().spawn(&mut command).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("holds")));
    assert_eq!(attached(&near), 6);
    child.kill().unwrap();
    child.wait().unwrap();
    until(PATIENCE, "the end of the programs", || {
        (attached(&near) == 3).then_some(())
    })
    .unwrap();
}

/// The process that the test before kills; by itself it only shows that a socket is no obstacle.
#[test]
fn holds_a_path() {
    let Some(_) = std::env::var_os(HOLD) else {
        return;
    };
    let service = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut path = Path::load(Settings::default()).unwrap();
    path.attach(&service, "teredo0", "eth0").unwrap();
    println!("holds");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// A program would look for the headers at the wrong place.
#[test]
fn an_interface_without_ethernet_is_no_underlay() {
    let (_internet, near, _far) = strangers(FOREVER);
    let attach = || {
        let mut path = Path::load(Settings::default()).unwrap();
        path.attach(&near.service, "teredo0", "teredo0")
    };
    let error = near.host.namespace().run(attach).unwrap().unwrap_err();
    assert!(
        matches!(&error, PathError::Kind { name, .. } if name == "teredo0"),
        "{error}"
    );
}

/// An interface that is gone, and another one in its place, are no end of the path.
#[test]
fn an_interface_is_detached_and_attached_again() {
    let (_internet, mut near, _far) = strangers(FOREVER);
    let namespace = near.host.namespace().clone();
    let underlay = near.interfaces.underlay;
    near.path.detach(underlay);
    assert_eq!(attached(&near), 1);
    near.path.detach(underlay);
    let again = namespace.run(|| near.path.attach_underlay("eth0").unwrap());
    assert_eq!(again.unwrap(), underlay);
    assert_eq!(attached(&near), 3);
}

/// Some peers are removed at once, and no others.
#[test]
fn chosen_peers_are_removed() {
    let (_internet, mut near, far) = strangers(FOREVER);
    let entry = near.entry(&far);
    let peers = [1, 2, 3, 4].map(|last| std::net::Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, last));
    for peer in peers {
        near.path.insert(peer, &entry).unwrap();
    }
    near.path
        .remove_all(|peer| peer.segments()[7] % 2 == 0)
        .unwrap();
    let mut left: Vec<_> = near.path.peers().flatten().collect();
    left.sort();
    assert_eq!(left, [peers[0], peers[2]]);
    near.path.remove_all(|_| true).unwrap();
    assert_eq!(near.path.peers().count(), 0);
}
