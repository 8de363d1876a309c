use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;

use super::*;
use crate::{Host, Internet, NatKind, Receive};

/// The frames that a host has sent so far.
fn frames(host: &Host) -> u64 {
    let table = host
        .namespace()
        .run(|| std::fs::read_to_string("/proc/thread-self/net/dev"))
        .unwrap()
        .unwrap();
    let line = table.lines().find(|line| line.contains("eth0")).unwrap();
    line.split_ascii_whitespace()
        .nth(10)
        .unwrap()
        .parse()
        .unwrap()
}

/// How many frames ten datagrams in one `UDP_SEGMENT` send become.
fn burst(from: &Host, to: &Host) -> u64 {
    let sender = from.udp_socket((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let receiver: UdpSocket = to.udp_socket((to.ipv4(), 9)).unwrap();
    receiver
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    setsockopt(&sender, UdpGsoSegment, &1000).unwrap();
    let before = frames(from);
    sender.send_to(&[7; 10_000], (to.ipv4(), 9)).unwrap();
    for _ in 0..10 {
        assert_eq!(receiver.receive(&mut [0; 2000]).unwrap(), 1000);
    }
    frames(from) - before
}

#[test]
fn a_wire_carries_no_super_packets() {
    let internet = Internet::new().unwrap();
    let from = internet.host("from", &[Ipv4Addr::new(192, 0, 2, 1)]);
    let from = from.unwrap();
    let home = internet.home("home", NatKind::None, Ipv4Addr::new(198, 51, 100, 1));
    let to = home.unwrap().host("to").unwrap();
    // The neighbour has to be found.
    burst(&from, &to);
    assert_eq!(burst(&from, &to), 1);
    from.namespace().set_large_frames("eth0", false).unwrap();
    assert_eq!(burst(&from, &to), 10);
    from.namespace().set_large_frames("eth0", true).unwrap();
    assert_eq!(burst(&from, &to), 1);
}

#[test]
fn an_interface_that_is_not_there_is_refused() {
    let namespace = Namespace::new().unwrap();
    let error = namespace.set_large_frames("eth7", false).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::ENODEV));
}
