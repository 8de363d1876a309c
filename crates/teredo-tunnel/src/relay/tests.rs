//! The relay on the real kernel: a TUN interface, and a client and its server that the test plays on the loopback
//! interface.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use teredo::wire::{
    Flags, Ipv6Header, Ipv6Packet, PORT, TeredoAddress, checksum, emit_bubble, protocol,
};
use teredo_lab::Receive;

use super::*;
use crate::BindError;
use crate::net::{Interface, InterfaceConfig};
use crate::netns::{PATIENCE, add_address, block_on, eventually, isolated, netlink};

const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 9), 3545);
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);
const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4096);
const QUEUES: NonZeroUsize = NonZeroUsize::new(3).unwrap();
const NATIVE: SocketAddrV6 =
    SocketAddrV6::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 7777, 0, 0);

/// The ports that were announced, and whether they count as settled.
#[derive(Clone, Default)]
struct Announcer {
    ports: Arc<Mutex<Vec<u16>>>,
    settled: Arc<AtomicBool>,
}

impl PortAnnouncer for Announcer {
    fn announce(&mut self, port: u16) -> u64 {
        let mut ports = self.ports.lock().unwrap();
        ports.push(port);
        ports.len() as u64
    }

    fn is_settled(&self, _sequence: u64) -> bool {
        self.settled.load(Ordering::SeqCst)
    }
}

/// A relay, and everybody around it.
struct Bench {
    relay: RelayHandle,
    announcer: Announcer,
    server: UdpSocket,
    client: UdpSocket,
    native: UdpSocket,
}

impl Bench {
    fn new(settled: bool, served: Served) -> Self {
        Self::with(NonZeroUsize::MIN, settled, served)
    }

    fn with(queues: NonZeroUsize, settled: bool, served: Served) -> Self {
        netlink(async |handle| {
            for address in [*RELAY.ip(), SERVER, *CLIENT.ip()] {
                add_address(&handle, "lo", address, 32).await;
            }
            add_address(&handle, "lo", *NATIVE.ip(), 128).await;
        });
        let tun = TunQueues::open(Some("teredo"), queues).unwrap();
        assert_eq!(tun.count(), queues.get(), "several queues take CAP_BPF");
        block_on(async {
            let config = InterfaceConfig {
                default_route: None,
                ..InterfaceConfig::default()
            };
            let mut interface = Interface::set_up(tun.first(), config).await.unwrap();
            interface.set_routes().await.unwrap();
        });
        let announcer = Announcer::default();
        announcer.settled.store(settled, Ordering::SeqCst);
        let config = RelayPathConfig {
            bind: *RELAY.ip(),
            port: RELAY.port(),
            relay: RelayConfig::new(RELAY, served),
            settle_deadline: PATIENCE * 10,
            offload: Offload::Auto,
            kernel: None,
        };
        let relay = RelayHandle::spawn(tun, config, Box::new(announcer.clone()), |_| {}).unwrap();
        Self {
            relay,
            announcer,
            server: socket(SocketAddrV4::new(SERVER, PORT).into()),
            client: socket(CLIENT.into()),
            // Loopback addresses are not there at once.
            native: eventually("the native address", || UdpSocket::bind(NATIVE).ok()),
        }
    }

    fn send_native(&self, number: u8) {
        let to = SocketAddrV6::new(client_address(), 9, 0, 0);
        self.native.send_to(&[number], to).unwrap();
    }

    fn status(&self) -> RelayPathStatus {
        block_on(self.relay.status()).unwrap()
    }

    /// The client answers the bubble that its server gets.
    fn answer(&self) {
        let (bytes, from) = receive(&self.server);
        assert_eq!(from, RELAY.into());
        let bubble = Ipv6Packet::parse(&bytes).unwrap();
        assert!(bubble.is_bubble());
        let mut answer = Vec::new();
        emit_bubble(client_address(), bubble.source(), 255, &mut answer);
        self.client.send_to(&answer, RELAY).unwrap();
    }
}

fn socket(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = vec![0; 2048];
    let (len, from) = socket.receive_from(&mut bytes).expect("a datagram");
    bytes.truncate(len);
    (bytes, from)
}

fn client_address() -> Ipv6Addr {
    address_of(CLIENT)
}

fn address_of(mapped: SocketAddrV4) -> Ipv6Addr {
    TeredoAddress {
        server: SERVER,
        flags: Flags::default(),
        mapped,
    }
    .to_ipv6()
}

/// A UDP packet from the client to the native host.
fn from_client(number: u8) -> Vec<u8> {
    packet_of(client_address(), number)
}

fn packet_of(source: Ipv6Addr, number: u8) -> Vec<u8> {
    let mut datagram = vec![0, 9, 0x1e, 0x61, 0, 9, 0, 0, number];
    let sum = checksum(source, *NATIVE.ip(), protocol::UDP, &datagram);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut packet = Vec::new();
    Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: 9,
        next_header: protocol::UDP,
        hop_limit: 64,
        source,
        destination: *NATIVE.ip(),
    }
    .emit(&mut packet);
    packet.extend_from_slice(&datagram);
    packet
}

/// R4380-5.4-03, R4380-5.4.1-05, R4380-5.4.1-07, R-HSR-02: packets of the host go to a client in order, from the one
/// port, after the client has answered; and packets of the client come to the host.
#[test]
fn packets_go_both_ways() {
    isolated(|| {
        let bench = Bench::new(true, Served::Host(vec![*NATIVE.ip()]));
        for number in 0..5 {
            bench.send_native(number);
        }
        bench.answer();
        for number in 5..10 {
            bench.send_native(number);
        }
        for number in 0..10 {
            let (bytes, from) = receive(&bench.client);
            assert_eq!(from, RELAY.into());
            let packet = Ipv6Packet::parse(&bytes).unwrap();
            assert_eq!(
                (packet.source(), packet.destination()),
                (*NATIVE.ip(), client_address())
            );
            assert_eq!(bytes.last(), Some(&number));
        }
        bench.native.set_read_timeout(Some(PATIENCE)).unwrap();
        for number in 0..5 {
            bench.client.send_to(&from_client(number), RELAY).unwrap();
            assert_eq!(receive(&bench.native).0, [number]);
        }
        let status = bench.status();
        assert_eq!((status.relay.trusted_peers, status.port), (1, RELAY.port()));
        assert_eq!(
            (status.relayed.to_clients, status.relayed.to_native),
            (10, 5)
        );
        assert_eq!(status.counters.tun_tx_packets, 5);
    });
}

/// R4380-5.4.2-04, R4380-5.4-02: what is served can change while the relay runs.
#[test]
fn a_host_with_another_address_is_served_under_it() {
    isolated(|| {
        let bench = Bench::new(true, Served::Host(Vec::new()));
        bench.send_native(0);
        eventually("a refused packet", || {
            let refused = bench.status().drops.get(teredo::DropReason::WrongSource);
            (refused == 1).then_some(())
        });
        let own = *NATIVE.ip();
        bench
            .relay
            .set_native(Some(own), Some(Served::Host(vec![own])));
        bench.send_native(1);
        bench.answer();
        assert_eq!(receive(&bench.client).0.last(), Some(&1));
    });
}

/// Every thread has clients of its own, and the kernel knows them: their answers come to the thread that has asked.
#[test]
fn each_client_has_its_lane() {
    isolated(|| {
        let bench = Bench::with(QUEUES, true, Served::Networks(Vec::new()));
        bench.native.set_read_timeout(Some(PATIENCE)).unwrap();
        let clients: Vec<SocketAddrV4> = (10..40)
            .map(|last| SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, last), 4096))
            .collect();
        netlink(async |handle| {
            for client in &clients {
                add_address(&handle, "lo", *client.ip(), 32).await;
            }
        });
        for (number, &client) in (0..).zip(&clients) {
            let socket = socket(client.into());
            let address = address_of(client);
            for packet in [number, 100 + number] {
                let to = SocketAddrV6::new(address, 9, 0, 0);
                bench.native.send_to(&[packet], to).unwrap();
            }
            let (bytes, from) = receive(&bench.server);
            assert_eq!(from, RELAY.into());
            let bubble = Ipv6Packet::parse(&bytes).unwrap();
            let mut answer = Vec::new();
            emit_bubble(address, bubble.source(), 255, &mut answer);
            socket.send_to(&answer, RELAY).unwrap();
            for packet in [number, 100 + number] {
                assert_eq!(receive(&socket).0.last(), Some(&packet));
            }
            socket.send_to(&packet_of(address, number), RELAY).unwrap();
            assert_eq!(receive(&bench.native).0, [number]);
        }
        let status = bench.status();
        assert_eq!(status.relay.trusted_peers, clients.len());
        let counts = (status.relayed.to_clients, status.relayed.to_native);
        assert_eq!(counts, (60, 30));
    });
}

/// N-16: nothing leaves before the port is settled; what the host has sent meanwhile leaves then. At the end the port
/// is announced to be gone, and free.
#[test]
fn nothing_leaves_before_the_port_is_settled() {
    isolated(|| {
        let bench = Bench::with(QUEUES, false, Served::Networks(Vec::new()));
        eventually("the announcement", || {
            (*bench.announcer.ports.lock().unwrap() == [RELAY.port()]).then_some(())
        });
        bench.send_native(1);
        for _ in 0..3 {
            bench.status();
        }
        bench.server.set_nonblocking(true).unwrap();
        assert!(
            bench.server.receive_from(&mut [0; 64]).is_err(),
            "a bubble has left"
        );
        bench.server.set_nonblocking(false).unwrap();

        bench.announcer.settled.store(true, Ordering::SeqCst);
        bench.relay.waker().wake();
        bench.answer();
        assert_eq!(receive(&bench.client).0.last(), Some(&1));

        drop(bench.relay);
        assert_eq!(*bench.announcer.ports.lock().unwrap(), [RELAY.port(), 0]);
        UdpSocket::bind(RELAY).expect("the port is free");
    });
}

/// A port that another program has is an error: no client would look for the relay at another port.
#[test]
fn a_relay_insists_on_its_port() {
    isolated(|| {
        netlink(async |handle| add_address(&handle, "lo", *RELAY.ip(), 32).await);
        let _other = UdpSocket::bind(RELAY).unwrap();
        let config = RelayPathConfig {
            bind: *RELAY.ip(),
            port: RELAY.port(),
            relay: RelayConfig::new(RELAY, Served::Networks(Vec::new())),
            settle_deadline: PATIENCE,
            offload: Offload::Auto,
            kernel: None,
        };
        let tun = TunQueues::open(Some("teredo"), QUEUES).unwrap();
        let refused = RelayHandle::spawn(tun, config, Box::new(Announcer::default()), |_| {});
        assert!(matches!(
            refused,
            Err(SpawnError::Bind(BindError::InUse { port: 3545, .. }))
        ));
    });
}
