use std::{
    io::ErrorKind,
    net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rustix::{
    fd::OwnedFd,
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket,
    },
};
use teredo_lab::Receive;

use super::*;
use crate::administrator_set::AdministratorSet;
use crate::config::Exception;
use crate::nft_program as nft;
use crate::testing::{Namespace, counted, ip, wait_for, wait_for_link};

const LIMIT: Duration = Duration::from_secs(5);

/// A host with the table, and a neighbour of it.
struct Pair {
    host: Namespace,
    neighbour: Namespace,
}

impl Pair {
    /// `cable` is the host's name for its interface.
    fn new(cable: &'static str) -> Self {
        let pair = Self {
            host: Namespace::new(),
            neighbour: Namespace::new(),
        };
        pair.host.connect(cable, &pair.neighbour, "far");
        pair.host.run(move || configure(cable, 1));
        pair.neighbour.run(|| {
            configure("far", 2);
            ip("route add 224.0.0.0/4 dev far");
            wait_for_link("far");
        });
        pair.host.run(move || wait_for_link(cable));
        pair
    }

    /// Sends UDP from the neighbour.
    fn send(&self, from: SocketAddr, to: SocketAddr) {
        self.neighbour.run(move || {
            let mut socket = None;
            // A program that another test has just forked holds a copy of the last one until its exec.
            wait_for(&format!("{from} is free"), LIMIT, || {
                socket = UdpSocket::bind(from).ok();
                socket.is_some()
            });
            socket.unwrap().send_to(b"x", to).unwrap()
        });
    }

    fn listen(&self, address: SocketAddr) -> UdpSocket {
        self.host.run(move || {
            let socket = UdpSocket::bind(address).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
    }

    /// Installs the table.
    fn install(&self, exceptions: &[&str], port: Option<u16>) {
        let exceptions: Vec<Exception> = exceptions
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        self.host.run(move || install("teredo", &exceptions, port));
    }

    fn wait_for_count(&self, marks: &'static [&'static str]) {
        self.host.run(move || {
            wait_for(&format!("a packet at {marks:?}"), LIMIT, || {
                counted(marks) > 0
            })
        });
    }
}

/// Installs the table with leases of an hour.
fn install(interface: &str, exceptions: &[Exception], port: Option<u16>) {
    let lease = Duration::from_secs(3600);
    let mut batch = Batch::new();
    declare(&mut batch);
    for set in [TUNNELS, CLOSED_FORWARD] {
        batch.add_elements(&name(), set, [Element::interface(interface)]);
    }
    let port = port.map(|port| Element::port(port).with_timeout(lease));
    leases(&mut batch, PORTS, port);
    let allowed = exceptions.iter().map(|exception| {
        let [high, low] = exception.port.get().to_be_bytes();
        Element::new([exception.protocol.number(), 0, 0, 0, high, low, 0, 0]).with_timeout(lease)
    });
    leases(&mut batch, ALLOWED, allowed);
    Netlink::open().unwrap().execute(&batch).unwrap();
}

fn configure(interface: &str, number: u8) {
    ip(&format!("link set {interface} up"));
    ip(&format!("address add 192.0.2.{number}/24 dev {interface}"));
    ip(&format!(
        "address add 2001:db8::{number}/64 dev {interface} nodad"
    ));
}

fn v6(number: u8, port: u16) -> SocketAddr {
    format!("[2001:db8::{number}]:{port}").parse().unwrap()
}

fn v4(address: &str, port: u16) -> SocketAddr {
    SocketAddrV4::new(address.parse().unwrap(), port).into()
}

fn received(socket: &UdpSocket) -> bool {
    match socket.receive(&mut [0; 8]) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("cannot receive: {error}"),
    }
}

fn raw_socket(family: AddressFamily, protocol: Protocol) -> OwnedFd {
    socket(family, SocketType::RAW, Some(protocol)).unwrap()
}

/// F-1, F-2, F-3, F-5, F-6
#[test]
fn the_table_is_what_nft_would_have_made() {
    Namespace::new().run(|| {
        let exceptions = ["22/tcp", "5353/udp"].map(|text| text.parse().unwrap());
        install("teredo", &exceptions, Some(4500));
        let expected = include_str!("tests/own_table.nft");
        let left = |line: &str| match line.split_once(" expires ") {
            Some((before, rest)) => {
                let after = rest.find(|c: char| !c.is_ascii_alphanumeric());
                format!("{before}{}", after.map_or("", |end| &rest[end..]))
            }
            None => line.to_owned(),
        };
        let listing: Vec<_> = nft::ruleset()
            .lines()
            .map(|line| {
                // Each element expires at a moment of its own.
                let mut line = line.to_owned();
                while line.contains(" expires ") {
                    line = left(&line);
                }
                line
            })
            .collect();
        assert_eq!(listing, expected.lines().collect::<Vec<_>>());
    });
}

/// A ruleset that `nft` saved contains the table, and loads again over it, with the mark by which it is known.
#[test]
fn a_saved_ruleset_with_the_table_loads_again() {
    Namespace::new().run(|| {
        install("teredo", &["22/tcp".parse().unwrap()], Some(4500));
        let mut netlink = Netlink::open().unwrap();
        let before = text(&mut netlink).unwrap();
        let saved = nft::ruleset();
        nft::run(&format!("flush ruleset\n{saved}"));
        assert_eq!(find(&mut netlink).unwrap(), Found::Ours);
        assert_eq!(text(&mut netlink).unwrap(), before);
        assert_eq!(interfaces(&mut netlink, TUNNELS).unwrap(), ["teredo"]);
        assert_eq!(nft::ports(PORTS), [4500]);
        assert!(closes(&mut netlink, "teredo", 0, true).unwrap());
        assert!(!closes(&mut netlink, "t0", 0, false).unwrap());
    });
}

/// The table is declared in place: elements stay, foreign rules in its chains go.
#[test]
fn a_table_that_others_changed_is_put_right_in_place() {
    Namespace::new().run(|| {
        install("teredo", &[], Some(4500));
        let mut netlink = Netlink::open().unwrap();
        let before = text(&mut netlink).unwrap();
        for foreign in [
            "flush chain inet teredo inside",
            "insert rule inet teredo inside accept",
            "flush chain inet teredo input",
            "add chain inet teredo input { policy drop; }",
        ] {
            nft::run(foreign);
            assert_ne!(text(&mut netlink).unwrap(), before, "after {foreign}");
            let mut batch = Batch::new();
            declare(&mut batch);
            netlink.execute(&batch).unwrap();
            nft::run("add chain inet teredo input { policy accept; }");
            assert_eq!(text(&mut netlink).unwrap(), before, "after {foreign}");
            assert_eq!(nft::ports(PORTS), [4500]);
        }
    });
}

#[test]
fn a_table_without_the_mark_is_foreign() {
    Namespace::new().run(|| {
        let mut netlink = Netlink::open().unwrap();
        assert_eq!(find(&mut netlink).unwrap(), Found::Nothing);
        nft::run("add table inet teredo");
        assert_eq!(find(&mut netlink).unwrap(), Found::Foreign(None));
    });
}

/// F-6
#[test]
fn unsolicited_inbound_stops_inside_the_tunnel_but_for_exceptions() {
    let pair = Pair::new("teredo");
    pair.install(&["5001/udp"], None);
    let closed = pair.listen(v6(1, 5000));
    let open = pair.listen(v6(1, 5001));

    pair.send(v6(2, 9000), v6(1, 5000));
    pair.wait_for_count(&["unsolicited"]);
    assert!(!received(&closed));
    pair.send(v6(2, 9001), v6(1, 5001));
    wait_for("the exception lets through", LIMIT, || received(&open));
}

/// F-6: an interface that was renamed, or that has not been named to the firewall, is known by its group.
#[test]
fn the_group_closes_an_interface_of_another_name() {
    for role in [Role::Client, Role::Relay] {
        let pair = Pair::new("renamed");
        pair.install(&[], None);
        let closed = pair.listen(v6(1, 5000));
        pair.send(v6(2, 9000), v6(1, 5000));
        wait_for("no rule is about it", LIMIT, || received(&closed));
        let group = role.interface_group();
        pair.host
            .run(|| ip(&format!("link set renamed group {group}")));
        pair.send(v6(2, 9001), v6(1, 5000));
        pair.wait_for_count(&["unsolicited"]);
        assert!(!received(&closed), "{role:?}");
    }
}

/// F-6: an exception is for one protocol.
#[test]
fn an_exception_for_tcp_is_none_for_udp() {
    let pair = Pair::new("teredo");
    pair.install(&["5000/tcp"], None);
    let closed = pair.listen(v6(1, 5000));
    pair.send(v6(2, 9000), v6(1, 5000));
    pair.wait_for_count(&["unsolicited"]);
    assert!(!received(&closed));
}

/// F-6
#[test]
fn what_was_asked_for_comes_in() {
    let pair = Pair::new("teredo");
    pair.install(&[], None);
    let socket = pair.listen(v6(1, 5000));
    let answerer = pair.neighbour.run(|| UdpSocket::bind(v6(2, 53)).unwrap());
    let question = socket.try_clone().unwrap();
    pair.host
        .run(move || question.send_to(b"?", v6(2, 53)).unwrap());
    answerer.set_read_timeout(Some(LIMIT)).unwrap();
    let (_, from) = answerer.receive_from(&mut [0; 8]).unwrap();
    answerer.send_to(b"!", from).unwrap();
    wait_for("the answer comes in", LIMIT, || received(&socket));
}

/// F-5: the neighbour is resolved and answers an echo, in a tunnel that lets nothing else in.
#[test]
fn icmpv6_comes_in_through_the_tunnel() {
    let pair = Pair::new("teredo");
    pair.install(&[], None);
    let socket = pair.neighbour.run(|| {
        let socket = raw_socket(AddressFamily::INET6, ipproto::ICMPV6);
        let SocketAddr::V6(host) = v6(1, 0) else {
            unreachable!("the address is IPv6")
        };
        // The kernel fills the checksum in.
        sendto(
            &socket,
            &[128, 0, 0, 0, 0x12, 0x34, 0, 1],
            SendFlags::empty(),
            &host,
        )
        .unwrap();
        socket
    });
    let mut packet = [0; 64];
    wait_for("the echo is answered", LIMIT, || {
        let read = recv(&socket, &mut packet[..], RecvFlags::DONTWAIT);
        read.is_ok() && packet[0] == 129 && packet[4..6] == [0x12, 0x34]
    });
}

/// F-5, F-6: a host that routes for others protects them too.
#[test]
fn the_tunnel_is_closed_to_forwarded_traffic_but_for_exceptions() {
    let pair = Pair::new("teredo");
    pair.install(&["5001/udp"], None);
    let behind = Namespace::new();
    pair.host.connect("lan", &behind, "lan");
    pair.host.run(|| {
        ip("link set lan up");
        ip("address add 2001:db8:1::1/64 dev lan nodad");
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    });
    pair.neighbour
        .run(|| ip("route add 2001:db8:1::/64 via 2001:db8::1"));
    let address = |port| {
        SocketAddr::V6(SocketAddrV6::new(
            "2001:db8:1::2".parse().unwrap(),
            port,
            0,
            0,
        ))
    };
    let [closed, open] = behind.run(move || {
        ip("link set lan up");
        ip("address add 2001:db8:1::2/64 dev lan nodad");
        wait_for_link("lan");
        [5000, 5001].map(|port| {
            let socket = UdpSocket::bind(address(port)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
    });

    pair.host.run(|| wait_for_link("lan"));

    pair.send(v6(2, 9000), address(5000));
    pair.wait_for_count(&["unsolicited"]);
    pair.send(v6(2, 9001), address(5001));
    wait_for("the exception lets through", LIMIT, || received(&open));
    assert!(!received(&closed));
}

/// F-1, F-2
#[test]
fn the_port_is_let_through_from_the_server_and_from_peers_and_to_them() {
    let pair = Pair::new("uplink");
    pair.install(&[], Some(4500));
    let socket = pair.listen(v4("192.0.2.1", 4500));

    pair.send(v4("192.0.2.2", 3544), v4("192.0.2.1", 4500));
    pair.wait_for_count(&["from the server"]);
    assert_eq!(pair.host.run(|| counted(&["from peers"])), 0);
    pair.send(v4("192.0.2.2", 9000), v4("192.0.2.1", 4500));
    pair.wait_for_count(&["from peers"]);

    let sender = socket.try_clone().unwrap();
    sender.send_to(b"x", v4("192.0.2.2", 3544)).unwrap();
    pair.wait_for_count(&["to the server"]);
    sender.send_to(b"x", v4("192.0.2.2", 9000)).unwrap();
    pair.wait_for_count(&["to peers"]);

    pair.send(v4("192.0.2.2", 9000), v4("192.0.2.1", 4501));
    pair.send(v4("192.0.2.2", 9000), v4("192.0.2.1", 4500));
    pair.host
        .run(|| wait_for("one more packet", LIMIT, || counted(&["from peers"]) >= 2));
    assert_eq!(
        pair.host.run(|| counted(&["from peers"])),
        2,
        "port 4501 is not let through"
    );
}

/// F-3, N-09: the static port of local discovery is let through by a rule that nobody is notified of.
#[test]
fn local_discovery_and_igmp_are_let_through() {
    let pair = Pair::new("uplink");
    pair.install(&[], Some(4500));
    let socket = pair.listen(v4("0.0.0.0", 3544));
    socket
        .join_multicast_v4(&DISCOVERY_ADDRESS, &"192.0.2.1".parse().unwrap())
        .unwrap();
    // The host announces its membership.
    pair.wait_for_count(&["output", "igmp"]);

    pair.send(v4("192.0.2.2", 9000), v4("224.0.0.253", 3544));
    wait_for("local discovery", LIMIT, || received(&socket));
    assert_eq!(pair.host.run(|| counted(&["local discovery"])), 1);

    // A general query of IGMPv2, as a router on the link sends it.
    pair.neighbour.run(|| {
        let socket = raw_socket(AddressFamily::INET, ipproto::IGMP);
        let SocketAddr::V4(everybody) = v4("224.0.0.1", 0) else {
            unreachable!("the address is IPv4")
        };
        sendto(
            &socket,
            &[0x11, 0x64, 0xee, 0x9b, 0, 0, 0, 0],
            SendFlags::empty(),
            &everybody,
        )
        .unwrap();
    });
    pair.wait_for_count(&["input", "igmp"]);
}

/// F-2, F-3: the documented ruleset, which drops by default, lets through what it says and nothing
/// else.
#[test]
fn the_administrators_ruleset_lets_the_port_of_the_set_through() {
    let pair = Pair::new("uplink");
    pair.host.run(|| {
        nft::run(include_str!("../../administrator.nft"));
        nft::run("add element inet filter teredo_ports { 4500 timeout 1m }");
    });
    let [port, other] = [4500, 4501].map(|port| pair.listen(v4("192.0.2.1", port)));
    let discovery = pair.listen(v4("0.0.0.0", 3544));
    discovery
        .join_multicast_v4(&DISCOVERY_ADDRESS, &"192.0.2.1".parse().unwrap())
        .unwrap();

    pair.send(v4("192.0.2.2", 9000), v4("192.0.2.1", 4501));
    pair.send(v4("192.0.2.2", 9000), v4("192.0.2.1", 4500));
    wait_for("the port of the set", LIMIT, || received(&port));
    assert!(!received(&other));
    pair.send(v4("192.0.2.2", 9000), v4("192.0.2.1", 3544));
    pair.send(v4("192.0.2.2", 9001), v4("224.0.0.253", 3544));
    wait_for("local discovery", LIMIT, || received(&discovery));
    assert!(
        !received(&discovery),
        "port 3544 is open to multicast alone"
    );
}

fn hold(path: &str, netlink: &mut Netlink) {
    let set = AdministratorSet::new(path.parse().unwrap(), Duration::from_secs(15));
    let mut batch = Batch::new();
    set.hold(netlink, &mut batch, &[4500].into()).unwrap();
    netlink.execute(&batch).unwrap();
}

/// F-2: no packet meets the set between the port's removal and its return.
#[test]
fn swaps_and_renewals_leave_no_gap() {
    let pair = Pair::new("uplink");
    let path = "inet filter ports";
    pair.host.run(move || {
        nft::run(
            "table inet filter {
            set ports { type inet_service; flags timeout; }
            chain input {
                type filter hook input priority 0
                udp dport @ports accept
                udp dport 4500 counter drop comment \"gap\"
            }
        }",
        );
        hold(path, &mut Netlink::open().unwrap());
    });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let sender = pair
                .neighbour
                .run(|| UdpSocket::bind(v4("192.0.2.2", 9000)).unwrap());
            for _ in 0..20_000 {
                sender.send_to(b"x", v4("192.0.2.1", 4500)).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut netlink = pair.host.run(|| Netlink::open().unwrap());
        while !done.load(Ordering::Relaxed) {
            hold(path, &mut netlink);
        }
    });
    assert_eq!(pair.host.run(|| counted(&["gap"])), 0);
}

/// A relay's strangers take no entries of the table of connections.
#[test]
fn an_untracked_port_makes_no_connection() {
    let pair = Pair::new("uplink");
    pair.install(&[], Some(4500));
    let entries = || {
        let count = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap();
        count.trim().parse::<u32>().unwrap()
    };
    let socket = pair.listen(v4("192.0.2.1", 4500));
    let send = |ports: std::ops::Range<u16>| {
        for port in ports {
            pair.send(v4("192.0.2.2", port), v4("192.0.2.1", 4500));
            wait_for("the datagram", LIMIT, || received(&socket));
        }
    };
    send(9000..9010);
    let tracked = pair.host.run(entries);
    assert!(tracked >= 10, "{tracked}");
    pair.host.run(|| {
        let mut batch = Batch::new();
        let port = Element::port(4500).with_timeout(Duration::from_secs(60));
        leases(&mut batch, UNTRACKED, [port]);
        Netlink::open().unwrap().execute(&batch).unwrap();
    });
    let before = pair.host.run(entries);
    send(9100..9150);
    assert!(pair.host.run(entries) <= before);
}

/// F-2: what the documentation says of an own table's `accept`.
#[test]
fn an_accept_does_not_override_the_drop_of_another_table() {
    let pair = Pair::new("uplink");
    pair.install(&[], Some(4500));
    pair.host.run(|| {
        nft::run(
            "table inet other { chain in { type filter hook input priority 0; policy drop; }; }",
        )
    });
    let socket = pair.listen(v4("192.0.2.1", 4500));
    pair.send(v4("192.0.2.2", 9000), v4("192.0.2.1", 4500));
    pair.wait_for_count(&["from peers"]);
    assert!(!received(&socket));
}
