//! The sockets besides the service port.

use teredo::wire::{DISCOVERY, Datagram, Flags, TeredoAddress, emit_bubble};

use super::*;
use crate::netns::{eventually, isolated, set_up};
use crate::tun::PacketBatch;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const NEIGHBOUR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 9), 50_000);

/// A link with the client's address on it, whose other end the test plays, and the server on the loopback interface.
struct Link(Tun);

/// A UDP datagram on the link.
#[derive(Debug)]
struct OnTheLink {
    ttl: u8,
    from: SocketAddrV4,
    to: SocketAddrV4,
    payload: Vec<u8>,
}

impl Link {
    fn new() -> Self {
        let tun = Tun::open(Some("link")).unwrap();
        netlink(async |handle| {
            for address in [SERVER, server_address().secondary] {
                add_address(&handle, "lo", address, 32).await;
            }
            add_address(&handle, "link", CLIENT, 24).await;
            set_up(&handle, "link").await;
        });
        Self(tun)
    }

    /// The datagrams that were sent since the last look.
    fn sent(&self) -> Vec<OnTheLink> {
        let mut batch = PacketBatch::new();
        if self.0.read_batch(&mut batch).is_err() {
            return Vec::new();
        }
        let packets = batch.packets().iter();
        let packets = packets.map(|range| &batch.arena()[range.clone()]);
        packets
            .filter(|packet| packet[0] == 0x45 && packet[9] == 17)
            .map(|packet| OnTheLink {
                ttl: packet[8],
                from: endpoint(&packet[12..16], &packet[20..22]),
                to: endpoint(&packet[16..20], &packet[22..24]),
                payload: packet[28..].to_vec(),
            })
            .collect()
    }

    fn next(&self, what: &str) -> OnTheLink {
        eventually(what, || self.sent().into_iter().next())
    }

    /// Sends a datagram from the neighbour.
    fn arrives(&self, to: SocketAddrV4, payload: &[u8]) {
        let mut packet = vec![0x45, 0];
        packet.extend(((28 + payload.len()) as u16).to_be_bytes());
        packet.extend([0, 0, 0, 0, 1, 17, 0, 0]);
        packet.extend(NEIGHBOUR.ip().octets());
        packet.extend(to.ip().octets());
        let words = packet.chunks(2);
        let sum: u32 = words
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        packet[10..12].copy_from_slice(&(!sum as u16).to_be_bytes());
        packet.extend(NEIGHBOUR.port().to_be_bytes());
        packet.extend(to.port().to_be_bytes());
        packet.extend(((8 + payload.len()) as u16).to_be_bytes());
        // No checksum, which IPv4 allows.
        packet.extend([0, 0]);
        packet.extend(payload);
        self.0.write(&packet).unwrap();
    }
}

fn endpoint(address: &[u8], port: &[u8]) -> SocketAddrV4 {
    let address: [u8; 4] = address.try_into().unwrap();
    SocketAddrV4::new(address.into(), u16::from_be_bytes([port[0], port[1]]))
}

fn is_joined() -> bool {
    // 224.0.0.253, as the kernel writes it on a little-endian machine.
    let groups = std::fs::read_to_string("/proc/thread-self/net/igmp").unwrap();
    let little = format!("{:08X}", u32::from_le_bytes(DISCOVERY.ip().octets()));
    let big = format!("{:08X}", u32::from_be_bytes(DISCOVERY.ip().octets()));
    groups.contains(&little) || groups.contains(&big)
}

fn on_the_link() -> ClientPathConfig {
    let subnet = LocalSubnet {
        address: CLIENT,
        prefix_len: 24,
    };
    ClientPathConfig {
        subnets: vec![subnet],
        ..config()
    }
}

/// R4380-5.2.8-01, R4380-5.2.8-03, R4380-5.2.8-04, R4380-5.2.8-08: the local bubble is on the link, with a TTL of 1; the
/// neighbour's is heard and answered to it alone; one that is not for the group reaches nobody.
#[test]
fn local_bubbles_leave_and_come_in() {
    isolated(|| {
        let link = Link::new();
        let _server = server();
        let bench = Bench::new(on_the_link(), Announcements::at_once());
        let own = bench.expect_address();
        let sent = link.next("a local bubble");
        let service = SocketAddrV4::new(CLIENT, bench.status().port);
        assert_eq!((sent.ttl, sent.from, sent.to), (1, service, DISCOVERY));
        let packet = Datagram::parse(&sent.payload).unwrap().packet;
        assert_eq!((packet.source(), packet.destination()), (own, ALL_NODES));
        assert!(is_joined());

        let neighbour = TeredoAddress {
            server: SERVER,
            flags: Flags::default(),
            mapped: SocketAddrV4::new(CLIENT, 40_000),
        };
        let mut bubble = Vec::new();
        emit_bubble(neighbour.to_ipv6(), ALL_NODES, 1, &mut bubble);
        link.arrives(SocketAddrV4::new(CLIENT, DISCOVERY.port()), &bubble);
        link.arrives(service, &bubble);
        eventually("the copies are seen", || {
            let drops = bench.status().drops;
            (drops.get(DropReason::LocalDiscovery) == 1).then_some(())
        });
        assert_eq!(bench.status().client.neighbours, 0);

        link.arrives(DISCOVERY, &bubble);
        let answer = link.next("a unicast bubble");
        assert_eq!((answer.from, answer.to), (service, NEIGHBOUR));
        let packet = Datagram::parse(&answer.payload).unwrap().packet;
        assert!(packet.is_bubble());
        let ends = (packet.source(), packet.destination());
        assert_eq!(ends, (own, neighbour.to_ipv6()));
        assert_eq!(bench.status().client.neighbours, 1);
    });
}

/// R4380-5.2.8-09, R4380-7.3.4-01: switched off, the group is not joined and nothing is said.
#[test]
fn discovery_that_is_off_joins_nothing() {
    isolated(|| {
        let link = Link::new();
        let _server = server();
        let mut config = on_the_link();
        config.client.local_discovery = false;
        let bench = Bench::new(config, Announcements::at_once());
        bench.expect_address();
        bench.go_round();
        assert!(!is_joined());
        let sent = link.sent();
        assert!(sent.is_empty(), "{sent:?}");
    });
}

/// R4380-MS-05: the group is joined where the address is, and left with it.
#[test]
fn the_group_is_joined_and_left_with_the_address() {
    isolated(|| {
        let _link = Link::new();
        let _server = server();
        let bench = Bench::new(on_the_link(), Announcements::at_once());
        bench.expect_address();
        assert!(is_joined());
        let gone = Attached::default();
        bench.client.network_changed(CLIENT, gone);
        eventually("the group is left", || (!is_joined()).then_some(()));
        let back = Attached {
            subnets: on_the_link().subnets,
            ..Attached::default()
        };
        bench.client.network_changed(CLIENT, back);
        eventually("the group is joined again", || is_joined().then_some(()));
        block_on(bench.client.stop()).unwrap();
        assert!(!is_joined(), "a stopped client listens to nothing");
    });
}

/// The socket of local discovery makes room for a service port of the same number, and opens again if that port is not
/// available.
#[test]
fn a_port_that_cannot_be_had_ends_no_discovery() {
    isolated(|| {
        let _link = Link::new();
        let bench = Bench::new(on_the_link(), Announcements::at_once());
        let (port, _) = bench.expect_port();
        bench.go_round();
        assert!(is_joined());
        let _taken = std::net::UdpSocket::bind((CLIENT, DISCOVERY.port())).unwrap();
        block_on(bench.client.rebind(Some(DISCOVERY.port()))).unwrap_err();
        assert_eq!(bench.status().port, port);
        assert!(is_joined());
    });
}

/// R4380-MS-05: the group is joined again if the network changes while the next port waits to be confirmed.
#[test]
fn a_network_that_changes_in_the_middle_of_a_rebind_is_joined() {
    isolated(|| {
        let _link = Link::new();
        let bench = Bench::new(on_the_link(), Announcements::at_once());
        bench.expect_port();
        bench.go_round();
        bench.announcements.hold();
        let rebind = bench.client.rebind(None);
        bench.announcements.wait(2);
        let attached = Attached {
            subnets: on_the_link().subnets,
            ..Attached::default()
        };
        bench.client.network_changed(CLIENT, attached);
        bench.go_round();
        assert!(!is_joined(), "the link may be another one");
        bench.announcements.settle(&bench.client.waker());
        block_on(rebind).unwrap();
        assert!(is_joined());
    });
}

/// R4380-5.2.7-01, R4380-5.2.7-04, R4380-5.2.7-08: without a NAT the bubble goes from port to port; the second port is
/// announced to nobody, and closed in the end.
#[test]
fn a_longer_interval_is_found_by_a_second_port() {
    isolated(|| {
        addresses();
        let _server = server();
        let mut config = config();
        // Candidates of 0.8 s and 1.2 s.
        config.client.refresh_interval = Duration::from_millis(400);
        config.client.determine_refresh_interval = true;
        let bench = Bench::new(config, Announcements::at_once());
        bench.expect_address();
        let sockets = || {
            let listing = std::fs::read_to_string("/proc/thread-self/net/udp").unwrap();
            // The server's two, and those of the client.
            listing.lines().skip(1).count() - 2
        };
        eventually("the secondary port", || (sockets() == 2).then_some(()));
        eventually("the end of the search", || (sockets() == 1).then_some(()));
        let found = bench.status().client.refresh_interval;
        assert_eq!(found, Duration::from_millis(1200));
        assert_eq!(bench.announcements.ports(), [bench.status().port]);
    });
}
