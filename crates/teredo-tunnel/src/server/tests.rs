use std::net::{Ipv6Addr, SocketAddrV4, UdpSocket};

use teredo::ServerAddress;
use teredo::wire::{Flags, Origin, emit_router_solicitation, link_local};
use teredo_lab::Receive;

use super::*;
use crate::BindError;
use crate::Tun;
use crate::netns::{PATIENCE, add_address, block_on, eventually, isolated, netlink, set_up};
use crate::tun::PacketBatch;
use teredo::DropReason;

const PRIMARY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

fn address() -> ServerAddress {
    ServerAddress::adjacent(PRIMARY)
}

fn addresses() {
    netlink(async |handle| {
        for address in [PRIMARY, address().secondary, CLIENT] {
            add_address(&handle, "lo", address, 32).await;
        }
    });
}

fn serve() -> ServerHandle {
    ServerHandle::spawn(
        vec![ServerConfig::new(address())],
        NonZeroUsize::MIN,
        &ServerDataPath::user(),
        |_| (),
    )
    .unwrap()
}

fn client() -> (UdpSocket, SocketAddrV4) {
    let socket = UdpSocket::bind((CLIENT, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, SocketAddrV4::new(CLIENT, port))
}

/// The advertisement comes from the address that was solicited, with the origin of the solicitation.
#[test]
fn each_address_answers_for_itself() {
    isolated(|| {
        addresses();
        let server = serve();
        let (socket, local) = client();
        let mut solicitation = Vec::new();
        emit_router_solicitation(link_local(Flags::default(), local), &mut solicitation);
        let mut buffer = [0; 2048];
        for to in [PRIMARY, address().secondary, PRIMARY] {
            socket.send_to(&solicitation, (to, PORT)).unwrap();
            let (len, from) = socket.receive_from(&mut buffer).unwrap();
            assert_eq!(from, SocketAddrV4::new(to, PORT).into());
            let (origin, _) = Origin::parse(&buffer[..len]).unwrap();
            assert_eq!(origin, Origin(local));
        }
        let status = block_on(server.status()).unwrap();
        assert_eq!(status.served.advertisements, 3);
        assert_eq!(
            (
                status.traffic.udp.rx_datagrams,
                status.traffic.udp.tx_datagrams
            ),
            (3, 3)
        );
        assert_eq!(status.traffic.udp.rx_bytes, 3 * solicitation.len() as u64);
    });
}

#[test]
fn a_burst_is_answered_completely() {
    isolated(|| {
        addresses();
        let server = serve();
        let clients: Vec<_> = (0..20).map(|_| client()).collect();
        for _ in 0..10 {
            for (socket, local) in &clients {
                let mut solicitation = Vec::new();
                emit_router_solicitation(link_local(Flags::default(), *local), &mut solicitation);
                socket.send_to(&solicitation, (PRIMARY, PORT)).unwrap();
            }
        }
        let mut buffer = [0; 2048];
        for (socket, local) in &clients {
            for _ in 0..10 {
                let (len, _) = socket.receive_from(&mut buffer).unwrap();
                assert_eq!(Origin::parse(&buffer[..len]).unwrap().0, Origin(*local));
            }
        }
        let status = block_on(server.status()).unwrap();
        assert_eq!(
            (
                status.traffic.udp.tx_datagrams,
                status.drops.get(DropReason::SendRefused)
            ),
            (200, 0)
        );
    });
}

/// An IPv6 packet from a Teredo client to a native host, as the connectivity test of RFC 4380 §5.2.9 is.
fn echo_request(from: SocketAddrV4, to: Ipv6Addr) -> Vec<u8> {
    let source = teredo::wire::TeredoAddress {
        server: PRIMARY,
        flags: Flags::default(),
        mapped: from,
    }
    .to_ipv6();
    let mut packet = vec![0x60, 0, 0, 0, 0, 8, 58, 64];
    packet.extend_from_slice(&source.octets());
    packet.extend_from_slice(&to.octets());
    packet.extend_from_slice(&[128, 0, 0, 0, 0, 1, 0, 1]);
    let words = packet[8..]
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum = words.sum::<u32>() + 8 + 58;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[42..44].copy_from_slice(&(!sum as u16).to_be_bytes());
    packet
}

const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// R4380-5.3.1-11
#[test]
fn packets_for_the_ipv6_internet_leave_with_their_hop_limit_counted_down() {
    isolated(|| {
        addresses();
        let internet = Tun::open(Some("internet")).unwrap();
        netlink(async |handle| {
            set_up(&handle, "internet").await;
            add_address(
                &handle,
                "internet",
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9),
                64,
            )
            .await;
        });
        let server = serve();
        let (socket, local) = client();
        let mut packet = echo_request(local, NATIVE);
        socket.send_to(&packet, (PRIMARY, PORT)).unwrap();
        packet[7] -= 1;
        let mut batch = PacketBatch::new();
        eventually("the packet on the native side", || {
            internet.read_batch(&mut batch).ok()?;
            let mut packets = batch.packets().iter();
            packets
                .any(|range| batch.arena()[range.clone()] == packet)
                .then_some(())
        });
        let status = block_on(server.status()).unwrap();
        assert!(status.has_native_path);
        assert_eq!(
            (
                status.traffic.native_packets,
                status.drops.get(DropReason::NoNativePath)
            ),
            (1, 0)
        );
    });
}

/// Without a route, and without the privilege.
#[test]
fn packets_without_a_way_to_the_ipv6_internet_are_counted() {
    isolated(|| {
        addresses();
        let all = rustix::thread::capabilities(None).unwrap();
        let mut less = all;
        less.effective
            .remove(rustix::thread::CapabilitySet::NET_RAW);
        for (capabilities, has_native_path) in [(all, true), (less, false)] {
            rustix::thread::set_capabilities(None, capabilities).unwrap();
            let server = serve();
            let (socket, local) = client();
            socket
                .send_to(&echo_request(local, NATIVE), (PRIMARY, PORT))
                .unwrap();
            let status = eventually("the packet is counted", || {
                block_on(server.status())
                    .filter(|status| status.drops.get(DropReason::NoNativePath) == 1)
            });
            assert_eq!(status.has_native_path, has_native_path);
            rustix::thread::set_capabilities(None, all).unwrap();
        }
    });
}

#[test]
fn errors_of_binding_name_address_and_cause() {
    isolated(|| {
        let foreign = ServerHandle::spawn(
            vec![ServerConfig::new(address())],
            NonZeroUsize::MIN,
            &ServerDataPath::user(),
            |_| (),
        )
        .unwrap_err();
        assert!(matches!(
            foreign,
            SpawnError::Bind(BindError::AddressNotAvailable { address: PRIMARY })
        ));
        addresses();
        let _other = UdpSocket::bind((address().secondary, PORT)).unwrap();
        let taken = ServerHandle::spawn(
            vec![ServerConfig::new(address())],
            NonZeroUsize::MIN,
            &ServerDataPath::user(),
            |_| (),
        )
        .unwrap_err();
        let secondary = address().secondary;
        assert!(
            matches!(taken, SpawnError::Bind(BindError::InUse { address, port: PORT }) if address == secondary)
        );
    });
}

#[test]
fn one_address_is_enough_and_shutting_down_closes_the_ports() {
    isolated(|| {
        addresses();
        let only = ServerAddress {
            primary: PRIMARY,
            secondary: PRIMARY,
        };
        let server = ServerHandle::spawn(
            vec![ServerConfig::new(only)],
            NonZeroUsize::MIN,
            &ServerDataPath::user(),
            |_| (),
        )
        .unwrap();
        let (socket, local) = client();
        let mut solicitation = Vec::new();
        emit_router_solicitation(link_local(Flags::default(), local), &mut solicitation);
        socket.send_to(&solicitation, (PRIMARY, PORT)).unwrap();
        socket.receive_from(&mut [0; 2048]).unwrap();
        drop(server);
        UdpSocket::bind((PRIMARY, PORT)).unwrap();
    });
}

/// R4380-GU-02
#[test]
fn broadcasts_are_refused_once_they_are_known() {
    isolated(|| {
        addresses();
        let server = serve();
        server.set_broadcasts(vec![CLIENT]);
        let (socket, local) = client();
        let mut solicitation = Vec::new();
        emit_router_solicitation(link_local(Flags::default(), local), &mut solicitation);
        socket.send_to(&solicitation, (PRIMARY, PORT)).unwrap();
        let status = eventually("the solicitation is refused", || {
            block_on(server.status()).filter(|status| status.drops.iter().count() > 0)
        });
        assert_eq!(status.served.advertisements, 0);
    });
}

/// Each worker answers, on both addresses of each pair, and nothing is answered twice.
#[test]
fn every_worker_answers_on_every_address_of_every_pair() {
    const WORKERS: NonZeroUsize = NonZeroUsize::new(4).unwrap();
    isolated(|| {
        addresses();
        let second = ServerAddress {
            primary: Ipv4Addr::new(203, 0, 113, 200),
            secondary: Ipv4Addr::new(203, 0, 113, 202),
        };
        netlink(async |handle| {
            for address in [second.primary, second.secondary] {
                add_address(&handle, "lo", address, 32).await;
            }
        });
        let pairs = [address(), second].map(ServerConfig::new).to_vec();
        let server = ServerHandle::spawn(pairs, WORKERS, &ServerDataPath::user(), |_| ()).unwrap();
        let clients: Vec<_> = (0..100).map(|_| client()).collect();
        let mut buffer = [0; 2048];
        for to in [
            PRIMARY,
            address().secondary,
            second.primary,
            second.secondary,
        ] {
            for (socket, local) in &clients {
                let mut solicitation = Vec::new();
                emit_router_solicitation(link_local(Flags::default(), *local), &mut solicitation);
                socket.send_to(&solicitation, (to, PORT)).unwrap();
            }
            for (socket, local) in &clients {
                let (len, from) = socket.receive_from(&mut buffer).unwrap();
                assert_eq!(from, SocketAddrV4::new(to, PORT).into());
                assert_eq!(Origin::parse(&buffer[..len]).unwrap().0, Origin(*local));
            }
        }
        let status = block_on(server.status()).unwrap();
        assert_eq!(status.traffic.udp.tx_datagrams, 400);
        assert_eq!(status.workers.len(), 4);
        let shares: Vec<_> = status
            .workers
            .iter()
            .map(|worker| worker.udp.tx_datagrams)
            .collect();
        assert!(shares.iter().all(|&share| share > 20), "{shares:?}");
        let pairs: Vec<_> = status
            .pairs
            .iter()
            .map(|pair| (pair.address, pair.served.advertisements))
            .collect();
        assert_eq!(pairs, [(address(), 200), (second, 200)]);

        // L-01: nothing goes from one pair to the other.
        let looping = teredo::wire::TeredoAddress {
            server: PRIMARY,
            flags: Flags::default(),
            mapped: SocketAddrV4::new(second.primary, PORT),
        };
        let mut bubble = Vec::new();
        teredo::wire::emit_bubble(NATIVE, looping.to_ipv6(), 255, &mut bubble);
        clients[0].0.send_to(&bubble, (PRIMARY, PORT)).unwrap();
        let status = eventually("the bubble is dropped", || {
            block_on(server.status()).filter(|status| status.drops.get(DropReason::SelfLoop) == 1)
        });
        assert_eq!(status.traffic.udp.rx_datagrams, 401);

        // Another program of the same user does not get a share, although it asks for one.
        let beside = ServerHandle::spawn(
            vec![ServerConfig::new(second)],
            WORKERS,
            &ServerDataPath::user(),
            |_| (),
        )
        .unwrap_err();
        assert!(matches!(beside, SpawnError::Bind(BindError::InUse { .. })));
    });
}

/// Clients that were added while the server runs are known to each worker.
#[test]
fn the_known_clients_can_be_replaced() {
    isolated(|| {
        addresses();
        let workers = NonZeroUsize::new(2).unwrap();
        let server = ServerHandle::spawn(
            vec![ServerConfig::new(address())],
            workers,
            &ServerDataPath::user(),
            |_| (),
        )
        .unwrap();
        server.set_security(Security::Required(Arc::default()));
        let clients: Vec<_> = (0..50).map(|_| client()).collect();
        for (socket, local) in &clients {
            let mut solicitation = Vec::new();
            emit_router_solicitation(link_local(Flags::default(), *local), &mut solicitation);
            socket.send_to(&solicitation, (PRIMARY, PORT)).unwrap();
        }
        let status = eventually("the solicitations are dropped", || {
            block_on(server.status())
                .filter(|status| status.drops.get(DropReason::Unauthenticated) == 50)
        });
        assert_eq!(status.served.advertisements, 0);
        assert!(
            status
                .workers
                .iter()
                .all(|worker| worker.udp.rx_datagrams > 0)
        );
    });
}
