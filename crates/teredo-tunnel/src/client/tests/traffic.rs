//! Packets through the tunnel.

use std::io::Read;
use std::net::{Ipv6Addr, SocketAddrV6, TcpListener, UdpSocket};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use teredo_lab::Receive;

use super::peer::Peer;
use super::*;
use crate::lane::Operation;
use crate::net::{Interface, InterfaceConfig};
use crate::netns::{eventually, isolated};

const PORT: u16 = 7777;

/// A qualified engine with its address on the interface, and a peer.
struct Tunnel {
    bench: Bench,
    peer: Peer,
    socket: UdpSocket,
    here: Ipv6Addr,
    there: Ipv6Addr,
    _server: ServerHandle,
    _runtime: tokio::runtime::Runtime,
    _interface: Interface,
}

impl Tunnel {
    fn new() -> Self {
        Self::with(Offload::Auto)
    }

    fn with(offload: Offload) -> Self {
        addresses();
        let server = server();
        let (sender, events) = mpsc::channel();
        let announcements = Announcements::at_once();
        let tun = Tun::open(Some("teredo")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut interface = runtime
            .block_on(Interface::set_up(&tun, InterfaceConfig::default()))
            .unwrap();
        let tell = move |event| drop(sender.send(event));
        let client = ClientHandle::spawn(
            tun,
            ClientPathConfig {
                offload,
                ..config()
            },
            Box::new(announcements.clone()),
            tell,
        )
        .unwrap();
        let bench = Bench {
            client,
            announcements,
            events,
        };
        let here = bench.expect_address();
        runtime.block_on(interface.set_address(here)).unwrap();
        let peer = Peer::qualified();
        let there = peer.address.unwrap();
        let socket = UdpSocket::bind(SocketAddrV6::new(here, PORT, 0, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            bench,
            peer,
            socket,
            here,
            there,
            _server: server,
            _runtime: runtime,
            _interface: interface,
        }
    }

    /// Sends a UDP datagram with this payload from the host to the peer.
    fn send(&self, payload: &[u8]) {
        self.socket
            .send_to(payload, SocketAddrV6::new(self.there, PORT, 0, 0))
            .unwrap();
    }

    fn peer_receives(&mut self, count: usize) {
        self.peer
            .until("packets at the peer", |peer| peer.delivered.len() >= count);
    }
}

/// IPv6 and UDP, with its checksum.
fn packet(from: Ipv6Addr, to: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let len = (8 + payload.len()) as u16;
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&len.to_be_bytes());
    packet.extend_from_slice(&[17, 64]);
    packet.extend_from_slice(&from.octets());
    packet.extend_from_slice(&to.octets());
    for word in [PORT, PORT, len, 0] {
        packet.extend_from_slice(&word.to_be_bytes());
    }
    packet.extend_from_slice(payload);
    let words = packet[8..]
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| low.into()));
    let mut sum = words.sum::<u32>() + u32::from(len) + 17;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[46..48].copy_from_slice(&(!sum as u16).to_be_bytes());
    packet
}

/// Bursts of one flow arrive complete and in order: first those that wait for the peer to be found, then those
/// of whole batches.
#[test]
fn packets_of_a_flow_stay_in_order() {
    for offload in [Offload::Auto, Offload::Off] {
        isolated(move || packets_of_a_flow_stay_in_order_with(offload));
    }
}

fn packets_of_a_flow_stay_in_order_with(offload: Offload) {
    {
        let mut tunnel = Tunnel::with(offload);
        for number in 0..10u8 {
            tunnel.send(&[number; 100]);
        }
        tunnel.peer_receives(10);
        let before = tunnel.bench.status().counters;
        for burst in (10..210u8).collect::<Vec<_>>().chunks(40) {
            for &number in burst {
                // The last ones differ in length, so that trains begin and end.
                tunnel.send(&vec![
                    number;
                    if number < 150 {
                        1200
                    } else {
                        100 + usize::from(number)
                    }
                ]);
            }
            // The peer's buffer holds a burst, and not all of them.
            tunnel.peer_receives(usize::from(burst[burst.len() - 1]) + 1);
        }
        let numbers: Vec<_> = tunnel
            .peer
            .delivered
            .iter()
            .map(|packet| packet[48])
            .collect();
        assert_eq!(numbers, (0..210).collect::<Vec<u8>>());
        let whole = packet(tunnel.here, tunnel.there, &[10; 1200]);
        assert_eq!(tunnel.peer.delivered[10][8..], whole[8..]);

        let after = tunnel.bench.status().counters;
        let datagrams = after.udp.tx_datagrams - before.udp.tx_datagrams;
        assert!(datagrams >= 200);
        assert!(after.udp.tx_bytes - before.udp.tx_bytes >= 140 * 1248);
        // How well it batches is up to the scheduler, but one call a packet it is not.
        assert!(
            after.udp.tx_calls - before.udp.tx_calls < datagrams,
            "{after:?}"
        );
        assert_eq!(tunnel.bench.dropped(DropReason::SendRefused), 0);
    }
}

#[test]
fn packets_of_the_peer_arrive_at_the_host() {
    for offload in [Offload::Auto, Offload::Off] {
        isolated(move || packets_of_the_peer_arrive_at_the_host_with(offload));
    }
}

fn packets_of_the_peer_arrive_at_the_host_with(offload: Offload) {
    {
        let mut tunnel = Tunnel::with(offload);
        tunnel.send(b"hello");
        tunnel.peer_receives(1);
        for number in 0..100u8 {
            let packet = packet(tunnel.there, tunnel.here, &[number; 50]);
            tunnel.peer.send(&packet);
        }
        let mut buffer = [0; 2048];
        for number in 0..100u8 {
            let (len, from) = tunnel.socket.receive_from(&mut buffer).unwrap();
            assert_eq!(from.ip(), tunnel.there);
            assert_eq!(&buffer[..len], [number; 50]);
        }
        let counters = tunnel.bench.status().counters;
        assert!(
            counters.udp.rx_datagrams >= 100
                && counters.udp.rx_calls > 0
                && counters.udp.rx_bytes >= 9800
        );
        assert!(counters.tun_tx_packets >= 100);
        assert_eq!(tunnel.bench.dropped(DropReason::HostRefused), 0);
    }
}

/// A super-packet of the host goes out as single packets of at most the MTU, and a train from the peer reaches the host
/// as the packets that were sent; with offloads both take few calls.
#[test]
fn bursts_are_cut_and_put_together() {
    for offload in [Offload::Auto, Offload::Off] {
        isolated(move || bursts_with(offload));
    }
}

fn bursts_with(offload: Offload) {
    let mut tunnel = Tunnel::with(offload);
    tunnel.send(b"hello");
    tunnel.peer_receives(1);
    let before = tunnel.bench.status().counters;
    // It waited for the peer. Bubbles are the client's own.
    assert_eq!(before.carried_packets, 1);
    let of_peer = tunnel.bench.traffic();
    setsockopt(&tunnel.socket, UdpGsoSegment, &1200).unwrap();
    let burst: Vec<u8> = (0..30u8).flat_map(|number| [number; 1200]).collect();
    tunnel.send(&burst);
    tunnel.peer_receives(31);
    for (number, packet) in tunnel.peer.delivered[1..].iter().enumerate() {
        let whole = self::packet(tunnel.here, tunnel.there, &[number as u8; 1200]);
        assert_eq!(packet[8..], whole[8..]);
    }
    let after = tunnel.bench.status().counters;
    assert!(after.tun_rx_packets - before.tun_rx_packets >= 30);
    assert_eq!(after.carried_packets, 31);
    let calls = after.tun_rx_calls - before.tun_rx_calls;
    match offload {
        // A kernel before Linux 6.2 cuts datagrams by itself.
        Offload::Auto => assert!(calls < 30 || !has_uso(), "{calls}"),
        Offload::Off => assert!(calls >= 30, "{calls}"),
    }

    let train: Vec<u8> = (0..30u8)
        .flat_map(|number| packet(tunnel.there, tunnel.here, &[number; 1200]))
        .collect();
    tunnel.peer.send_train(&train, 1248);
    let mut buffer = [0; 2048];
    for number in 0..30u8 {
        let (len, from) = tunnel.socket.receive_from(&mut buffer).unwrap();
        assert_eq!(from.ip(), tunnel.there);
        assert_eq!(&buffer[..len], [number; 1200]);
    }
    let counters = tunnel.bench.status().counters;
    assert!(counters.tun_tx_packets - after.tun_tx_packets >= 30);
    assert_eq!(counters.carried_packets, 61);
    let calls = counters.tun_tx_calls - after.tun_tx_calls;
    match offload {
        Offload::Auto => assert!(calls < 30 || !has_uso(), "{calls}"),
        Offload::Off => assert!(calls >= 30, "{calls}"),
    }
    // Each packet counts for the peer, of a super-packet or not.
    let now = tunnel.bench.traffic();
    assert_eq!(now.tx_packets - of_peer.tx_packets, 30);
    assert_eq!(now.tx_bytes - of_peer.tx_bytes, 30 * 1248);
    assert_eq!(now.rx_packets - of_peer.rx_packets, 30);
    assert_eq!(now.rx_bytes - of_peer.rx_bytes, 30 * 1248);
    assert_eq!(tunnel.bench.dropped(DropReason::HostRefused), 0);
    assert_eq!(tunnel.bench.dropped(DropReason::MalformedSuperPacket), 0);
}

/// A kernel that refuses super-packets at the interface gets the same packets one by one, at once and without a loss.
#[test]
fn refused_super_packets_go_packet_by_packet() {
    isolated(|| {
        refuse_super_packets();
        let mut tunnel = Tunnel::with(Offload::Auto);
        tunnel.send(b"hello");
        tunnel.peer_receives(1);
        let before = tunnel.bench.status().counters;
        let mut buffer = [0; 2048];
        for round in 0..3u8 {
            let train: Vec<u8> = (0..30u8)
                .flat_map(|number| packet(tunnel.there, tunnel.here, &[number ^ round; 1200]))
                .collect();
            tunnel.peer.send_train(&train, 1248);
            for number in 0..30u8 {
                let (len, _) = tunnel.socket.receive_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..len], [number ^ round; 1200]);
            }
        }
        let after = tunnel.bench.status().counters;
        assert!(after.tun_tx_packets - before.tun_tx_packets >= 90);
        let calls = after.tun_tx_calls - before.tun_tx_calls;
        // One refusal, then a pause: not one for each train.
        let refusals = calls - (after.tun_tx_packets - before.tun_tx_packets);
        assert_eq!(refusals, u64::from(has_uso()));
        assert_eq!(tunnel.bench.dropped(DropReason::HostRefused), 0);
    });
}

/// Makes the kernel refuse super-packets on this thread and those that it starts: their writes have more than three
/// parts.
fn refuse_super_packets() {
    let parts = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::Gt, 3).unwrap();
    let rule = SeccompRule::new(vec![parts]).unwrap();
    let filter = SeccompFilter::new(
        [(libc::SYS_writev, vec![rule])].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EINVAL as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    )
    .unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// The part of a super-packet that did not fit into a batch has left the interface's queue, and is sent all the same.
#[test]
fn the_rest_of_a_super_packet_is_not_forgotten() {
    isolated(|| {
        let tunnel = Tunnel::new();
        setsockopt(&tunnel.socket, UdpGsoSegment, &100).unwrap();
        // While a port is announced, the packets of the host wait.
        tunnel.bench.announcements.hold();
        let rebind = tunnel.bench.client.rebind(None);
        tunnel.bench.announcements.wait(2);
        let before = tunnel.bench.status().counters;
        for burst in 0..5u8 {
            tunnel.send(&[burst; 6000]);
        }
        tunnel
            .bench
            .announcements
            .settle(&tunnel.bench.client.waker());
        assert!(block_on(rebind).unwrap().settled);
        eventually("all packets are taken", || {
            let now = tunnel.bench.status().counters;
            (now.tun_rx_packets >= before.tun_rx_packets + 300).then_some(())
        });
    });
}

/// Whether the kernel knows super-packets of UDP on TUN interfaces.
fn has_uso() -> bool {
    Tun::open(None).unwrap().enable_offloads().udp
}

/// N-16: the old port goes on receiving while the new one waits, and sends nothing.
#[test]
fn reception_goes_on_during_a_rebind() {
    isolated(|| {
        let mut tunnel = Tunnel::new();
        tunnel.send(b"hello");
        tunnel.peer_receives(1);
        tunnel.bench.announcements.hold();
        let rebind = tunnel.bench.client.rebind(None);
        tunnel.bench.announcements.wait(2);
        let sent = tunnel.bench.status().counters.udp.tx_datagrams;

        let inbound = packet(tunnel.there, tunnel.here, b"still here");
        tunnel.peer.send(&inbound);
        let mut buffer = [0; 2048];
        let (len, _) = tunnel.socket.receive_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"still here");
        tunnel.send(b"not now");
        // A stranger's bubbles ask for an answer; they get none, now or later.
        let mut stranger = Peer::qualified();
        stranger.send(&packet(
            stranger.address.unwrap(),
            tunnel.here,
            b"who is there",
        ));
        eventually("an answer is withheld", || {
            (tunnel.bench.dropped(DropReason::PortNotReady) > 0).then_some(())
        });
        tunnel.bench.go_round();
        assert_eq!(tunnel.bench.status().counters.udp.tx_datagrams, sent);

        tunnel
            .bench
            .announcements
            .settle(&tunnel.bench.client.waker());
        assert!(block_on(rebind).unwrap().settled);
        let again = tunnel.bench.expect_address();
        assert_ne!(again, tunnel.here);
    });
}

/// Datagrams in the old port's buffer are not lost when the new port is taken into use.
#[test]
fn the_old_port_is_drained_before_it_is_closed() {
    isolated(|| {
        let mut tunnel = Tunnel::new();
        tunnel.send(b"hello");
        tunnel.peer_receives(1);
        let barrier = tunnel.bench.announcements.stop_next();
        let rebind = tunnel.bench.client.rebind(None);
        barrier.wait();
        for number in 0..100u8 {
            let packet = packet(tunnel.there, tunnel.here, &[number; 50]);
            tunnel.peer.send(&packet);
        }
        barrier.wait();
        assert!(block_on(rebind).unwrap().settled);
        let mut buffer = [0; 2048];
        for number in 0..100u8 {
            let (len, _) = tunnel.socket.receive_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], [number; 50]);
        }
    });
}

/// The interface is emptied while the client is stopped, so that nothing stale leaves later.
#[test]
fn packets_of_the_host_are_refused_while_stopped() {
    isolated(|| {
        let tunnel = Tunnel::new();
        // Already while the end of the port is not settled.
        tunnel.bench.announcements.hold();
        let stop = tunnel.bench.client.stop();
        tunnel.bench.announcements.wait(2);
        let before = tunnel.bench.status().counters;
        tunnel.send(b"nobody");
        eventually("the packet is taken", || {
            let now = tunnel.bench.status().counters;
            (now.tun_rx_packets > before.tun_rx_packets).then_some(())
        });
        let now = tunnel.bench.status();
        assert_eq!(now.counters.udp.tx_datagrams, before.udp.tx_datagrams);
        assert_eq!(now.counters.carried_packets, before.carried_packets);
        assert!(now.drops.get(DropReason::NotQualified) > 0);
        tunnel
            .bench
            .announcements
            .settle(&tunnel.bench.client.waker());
        assert!(block_on(stop).unwrap().settled);
    });
}

#[test]
fn servers_can_be_set_later() {
    isolated(|| {
        addresses();
        let _server = server();
        let bench = Bench::new(
            ClientPathConfig {
                servers: Vec::new(),
                ..config()
            },
            Announcements::at_once(),
        );
        bench.expect_port();
        bench.client.set_servers(vec![server_address()]);
        let address = bench.expect_address();
        let status = bench.status().client;
        assert_eq!(
            (status.address, status.state),
            (Some(address), State::Qualified)
        );
        assert_eq!(status.server, Some(server_address()));
    });
}

/// A client that is bound to no address knows from the routes which address its datagrams leave from.
#[test]
fn the_local_address_is_found_by_route() {
    isolated(|| {
        addresses();
        let _server = mute_server();
        let bench = Bench::new(
            ClientPathConfig {
                bind: Ipv4Addr::UNSPECIFIED,
                ..config()
            },
            Announcements::at_once(),
        );
        let (port, _) = bench.expect_port();
        let local = crate::net::local_address(SERVER).unwrap();
        assert_eq!(
            bench.status().client.local,
            Some(SocketAddrV4::new(local, port))
        );
        bench.client.network_changed(CLIENT, Attached::default());
        assert_eq!(
            bench.status().client.local,
            Some(SocketAddrV4::new(CLIENT, port))
        );
        // The caller that reports the change may know no server to find the way to.
        bench
            .client
            .network_changed(Ipv4Addr::UNSPECIFIED, Attached::default());
        assert_eq!(
            bench.status().client.local,
            Some(SocketAddrV4::new(local, port))
        );
    });
}

/// A refusal of the kernel is reported once, however often it happens, and once more if the network is another one.
#[test]
fn a_network_without_a_route_is_told_once() {
    isolated(|| {
        let bind = Ipv4Addr::UNSPECIFIED;
        let bench = Bench::new(
            ClientPathConfig { bind, ..config() },
            Announcements::at_once(),
        );
        let told = bench.expect("an error", |event| match event {
            ClientEvent::IoError { operation, .. } => Some(*operation),
            _ => None,
        });
        assert_eq!(told, Operation::Send);
        let refused_again = || {
            let refused = bench.dropped(DropReason::SendRefused);
            eventually("more", || {
                (bench.dropped(DropReason::SendRefused) > refused).then_some(())
            });
            let told = bench.events.try_iter();
            told.filter(|event| matches!(event, ClientEvent::IoError { .. }))
                .count()
        };
        block_on(bench.client.rebind(None)).unwrap();
        assert_eq!(refused_again(), 0);
        bench.client.network_changed(CLIENT, Attached::default());
        assert_eq!(refused_again(), 1);
    });
}

/// Receives the next datagram at one end: the payload, and the ECN bits of the header before it.
fn receive_ecn(socket: &UdpSocket) -> (Vec<u8>, Option<quinn_udp::EcnCodepoint>) {
    let state = quinn_udp::UdpSocketState::new(socket.into()).unwrap();
    let mut buffer = [0; 2048];
    let mut meta = [quinn_udp::RecvMeta::default()];
    eventually("a datagram", || {
        let mut buffers = [std::io::IoSliceMut::new(&mut buffer)];
        state.recv(socket.into(), &mut buffers, &mut meta).ok()
    });
    (buffer[..meta[0].len].to_vec(), meta[0].ecn)
}

/// R9601-6.1.3-01, R6040-4.1-01: the outer header carries no ECN, whatever the inner one does. The ECN bits of an outer
/// header that comes in are handed on; if the inner sender could not be told, the packet is dropped.
#[test]
fn ecn_is_not_claimed_and_not_lost() {
    use quinn_udp::EcnCodepoint::{Ce, Ect0, Ect1};
    isolated(|| {
        let mut tunnel = Tunnel::new();
        tunnel.send(b"hello");
        tunnel.peer_receives(1);
        let outer = tunnel.peer.socket.try_clone().unwrap();
        let host = socket2::SockRef::from(&tunnel.socket);
        for class in 0..4 {
            host.set_tclass_v6(class).unwrap();
            tunnel.send(b"out");
            let (datagram, ecn) = receive_ecn(&outer);
            assert_eq!(ecn, None, "the outer header of class {class}");
            assert_eq!(u32::from(datagram[1] >> 4), class, "the inner one");
        }
        let port = SocketAddrV4::new(CLIENT, tunnel.bench.status().port);
        // The inner bits, the outer ones, and the result.
        for (inner, outer_bits, delivered) in [
            (0b00, 0b00, Some(None)),
            (0b00, 0b10, Some(None)),
            (0b00, 0b11, None),
            (0b10, 0b00, Some(Some(Ect0))),
            (0b10, 0b01, Some(Some(Ect1))),
            (0b10, 0b11, Some(Some(Ce))),
            (0b01, 0b11, Some(Some(Ce))),
            (0b11, 0b00, Some(Some(Ce))),
        ] {
            let mut bytes = packet(tunnel.there, tunnel.here, &[inner, outer_bits]);
            bytes[1] |= inner << 4;
            let dropped = || {
                let drops = tunnel.bench.status().drops;
                drops.get(DropReason::Congestion)
            };
            let before = dropped();
            let sender = socket2::SockRef::from(&outer);
            sender.set_tos_v4(outer_bits.into()).unwrap();
            outer.send_to(&bytes, port).unwrap();
            match delivered {
                None => eventually("the drop", || (dropped() == before + 1).then_some(())),
                Some(expected) => {
                    let (payload, ecn) = receive_ecn(&tunnel.socket);
                    assert_eq!(payload, [inner, outer_bits]);
                    assert_eq!(ecn, expected, "{inner:02b} in {outer_bits:02b}");
                }
            }
        }
    });
}

/// A packet of the peer for the host, by ports of TCP or UDP.
fn between(tunnel: &Tunnel, packet: teredo_segmentation::Packet) -> teredo_segmentation::Packet {
    let mut packet = packet;
    packet.addresses[..16].copy_from_slice(&tunnel.there.octets());
    packet.addresses[16..].copy_from_slice(&tunnel.here.octets());
    let [high, low] = PORT.to_be_bytes();
    packet.ports = [high, low, high, low];
    packet
}

/// On a virtual link the peer's kernel sends a packet before hardware has filled in the checksum. It arrives with it.
#[test]
fn an_unfinished_packet_of_the_peer_arrives() {
    for offload in [Offload::Auto, Offload::Off] {
        isolated(move || {
            let mut tunnel = Tunnel::with(offload);
            tunnel.send(b"hello");
            tunnel.peer_receives(1);
            let mut buffer = [0; 2048];
            for number in 0..5u8 {
                let payload = vec![number; 100];
                let packet = between(&tunnel, teredo_segmentation::Packet::udp(payload));
                tunnel.peer.send(&packet.super_packet(None).1);
                let (len, from) = tunnel.socket.receive_from(&mut buffer).unwrap();
                assert_eq!(
                    (&buffer[..len], from.ip()),
                    (&[number; 100][..], tunnel.there.into())
                );
            }
            assert_eq!(tunnel.bench.dropped(DropReason::HostRefused), 0);
        });
    }
}

/// A super-packet of TCP that the peer's kernel sends whole reaches the host's connection: as one where the interface takes
/// that, otherwise cut.
#[test]
fn a_super_packet_of_the_peer_arrives() {
    for offload in [Offload::Auto, Offload::Off] {
        isolated(move || a_super_packet_arrives_with(offload));
    }
}

fn a_super_packet_arrives_with(offload: Offload) {
    use teredo_segmentation::{ACK, PSH, Packet, SYN};
    const LEN: usize = 40_000;
    let mut tunnel = Tunnel::with(offload);
    tunnel.send(b"hello");
    tunnel.peer_receives(1);
    let listener = TcpListener::bind(SocketAddrV6::new(tunnel.here, PORT, 0, 0)).unwrap();

    let mut segment = between(&tunnel, Packet::tcp(1000, Vec::new()));
    let tcp = segment.tcp.as_mut().unwrap();
    // The kernel would want its timestamps back.
    tcp.options.clear();
    tcp.flags = SYN;
    tunnel.peer.send(&segment.write());
    tunnel.peer_receives(2);
    let answer = Packet::parse(&tunnel.peer.delivered[1], 6).unwrap();
    let sequence = answer.tcp.unwrap().sequence;
    let tcp = segment.tcp.as_mut().unwrap();
    (tcp.sequence, tcp.flags) = (1001, ACK);
    tcp.acknowledgement = (sequence + 1).to_be_bytes();
    let acknowledgement = segment.write();
    tunnel.peer.send(&acknowledgement);
    listener.set_nonblocking(true).unwrap();
    let (mut connection, from) = eventually("the connection", || listener.accept().ok());
    assert_eq!(from.ip(), tunnel.there);
    connection.set_nonblocking(false).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();

    let before = tunnel.bench.status().counters;
    segment.payload = (0..LEN).map(|index| (index / 251) as u8).collect();
    segment.tcp.as_mut().unwrap().flags = ACK | PSH;
    let (_, uncut) = segment.super_packet(Some(1208));
    tunnel.peer.send_uncut(&uncut, &acknowledgement);
    let mut received = vec![0; LEN];
    connection.read_exact(&mut received).unwrap();
    assert!(received == segment.payload, "the bytes are others");

    let after = tunnel.bench.status().counters;
    let packets = LEN.div_ceil(1280 - 60) as u64;
    assert_eq!(after.tun_tx_packets - before.tun_tx_packets, packets);
    let calls = after.tun_tx_calls - before.tun_tx_calls;
    assert_eq!(calls, if offload == Offload::Auto { 1 } else { packets });
    assert_eq!(tunnel.bench.dropped(DropReason::HostRefused), 0);
}
