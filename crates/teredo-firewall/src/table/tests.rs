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
use crate::leased_set::LeasedSet;
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

    /// Installs the table, which lives as long as the socket.
    fn install(&self, exceptions: &[&str], port: Option<u16>) -> Netlink {
        let exceptions: Vec<Exception> = exceptions
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        self.host.run(move || {
            let mut netlink = Netlink::open().unwrap();
            let mut table = OwnTable::new("teredo", &exceptions, port.is_some());
            table
                .install(&mut netlink, port.map(Element::port))
                .unwrap();
            netlink
        })
    }

    fn wait_for_count(&self, marks: &'static [&'static str]) {
        self.host.run(move || {
            wait_for(&format!("a packet at {marks:?}"), LIMIT, || {
                counted(marks) > 0
            })
        });
    }
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
        let mut netlink = Netlink::open().unwrap();
        let exceptions = ["22/tcp", "5353/udp"].map(|text| text.parse().unwrap());
        OwnTable::new("teredo", &exceptions, true)
            .install(&mut netlink, Some(Element::port(4500)))
            .unwrap();
        let expected = include_str!("tests/own_table.nft");
        let listing: Vec<_> = nft::ruleset()
            .lines()
            .map(|line| line.split(" # progname").next().unwrap().to_owned())
            .collect();
        assert_eq!(listing, expected.lines().collect::<Vec<_>>());
    });
}

/// F-5, F-6: the administrator's set leaves only the inside of the tunnel to the table.
#[test]
fn the_table_without_the_port_is_about_the_tunnel_alone() {
    Namespace::new().run(|| {
        let mut netlink = Netlink::open().unwrap();
        OwnTable::new("teredo", &[], false)
            .install(&mut netlink, None)
            .unwrap();
        let listing = nft::ruleset();
        assert!(
            listing.contains("iifname \"teredo\" goto inside"),
            "{listing}"
        );
        assert!(
            !listing.contains("3544") && !listing.contains("set port"),
            "{listing}"
        );
    });
}

#[test]
fn the_table_of_a_running_agent_is_left_alone() {
    Namespace::new().run(|| {
        let mut first = Netlink::open().unwrap();
        OwnTable::new("teredo", &[], true)
            .install(&mut first, Some(Element::port(4500)))
            .unwrap();
        let mut second = Netlink::open().unwrap();
        let error = OwnTable::new("teredo", &[], true)
            .install(&mut second, None)
            .unwrap_err();
        assert!(matches!(error, InstallError::Owned { owner } if owner == first.port()));
        assert_eq!(nft::ports("port"), [4500]);
    });
}

#[test]
fn a_table_without_an_owner_is_replaced() {
    Namespace::new().run(|| {
        let mut netlink = Netlink::open().unwrap();
        let element = Some(Element::port(4500));
        OwnTable::new("teredo", &[], true)
            .without_owner()
            .install(&mut netlink, element)
            .unwrap();
        assert!(!nft::ruleset().contains("flags owner"));
        drop(netlink);
        assert_eq!(nft::ports("port"), [4500]);

        let mut netlink = Netlink::open().unwrap();
        OwnTable::new("teredo", &[], true)
            .install(&mut netlink, None)
            .unwrap();
        assert!(nft::ruleset().contains("flags owner"));
        assert!(nft::ports("port").is_empty());
    });
}

#[test]
fn a_removed_table_is_gone_and_may_be_gone_already() {
    Namespace::new().run(|| {
        let mut netlink = Netlink::open().unwrap();
        let mut table = OwnTable::new("teredo", &[], true);
        table.install(&mut netlink, None).unwrap();
        assert!(table.installed(&mut netlink).unwrap());
        for _ in 0..2 {
            table.remove(&mut netlink).unwrap();
            assert!(!table.installed(&mut netlink).unwrap());
            assert_eq!(nft::ruleset(), "");
        }
    });
}

/// F-6
#[test]
fn unsolicited_inbound_stops_inside_the_tunnel_but_for_exceptions() {
    let pair = Pair::new("teredo");
    let _netlink = pair.install(&["5001/udp"], None);
    let closed = pair.listen(v6(1, 5000));
    let open = pair.listen(v6(1, 5001));

    pair.send(v6(2, 9000), v6(1, 5000));
    pair.wait_for_count(&["unsolicited"]);
    assert!(!received(&closed));
    pair.send(v6(2, 9001), v6(1, 5001));
    wait_for("the exception lets through", LIMIT, || received(&open));
}

/// F-6: an exception is for one protocol.
#[test]
fn an_exception_for_tcp_is_none_for_udp() {
    let pair = Pair::new("teredo");
    let _netlink = pair.install(&["5000/tcp"], None);
    let closed = pair.listen(v6(1, 5000));
    pair.send(v6(2, 9000), v6(1, 5000));
    pair.wait_for_count(&["unsolicited"]);
    assert!(!received(&closed));
}

/// F-6
#[test]
fn what_was_asked_for_comes_in() {
    let pair = Pair::new("teredo");
    let _netlink = pair.install(&[], None);
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
    let _netlink = pair.install(&[], None);
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
    let _netlink = pair.install(&["5001/udp"], None);
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
    let _netlink = pair.install(&[], Some(4500));
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
    let _netlink = pair.install(&[], Some(4500));
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
        let set = LeasedSet::new(path.parse().unwrap(), Some(Duration::from_secs(15)));
        set.hold(&mut Netlink::open().unwrap(), 4500).unwrap();
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
        let set = LeasedSet::new(path.parse().unwrap(), Some(Duration::from_secs(15)));
        while !done.load(Ordering::Relaxed) {
            set.hold(&mut netlink, 4500).unwrap();
        }
    });
    assert_eq!(pair.host.run(|| counted(&["gap"])), 0);
}

/// F-2: what the documentation says of an own table's `accept`.
#[test]
fn an_accept_does_not_override_the_drop_of_another_table() {
    let pair = Pair::new("uplink");
    let _netlink = pair.install(&[], Some(4500));
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
