//! A host with a TUN interface, a service port, and a path in the kernel between them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType};
use socket2::{Domain, Protocol, Socket, Type};
use teredo_bpf::{Entry, Interfaces, Outcome, Outcomes, Path, Settings, Side, now};
use teredo_lab::{Host, Internet, Receive, until};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::packet::packet;

/// Much longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// So long that no proof expires during a test.
pub(crate) const FOREVER: Duration = Duration::from_secs(3600);

/// No next header: a bubble.
const NO_NEXT_HEADER: u8 = 59;

pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) tun: Arc<SyncDevice>,
    /// The service port.
    pub(crate) service: UdpSocket,
    pub(crate) path: Path,
    pub(crate) interfaces: Interfaces,
    /// The inner address.
    pub(crate) own: Ipv6Addr,
    /// The service port's address.
    pub(crate) local: SocketAddrV4,
    /// The outcomes of the packets by which the nodes got to know each other.
    base: Mutex<Outcomes>,
}

impl Node {
    pub(crate) fn new(
        internet: &Internet,
        name: &str,
        address: Ipv4Addr,
        own: &str,
        times: (Duration, Duration),
    ) -> Self {
        Self::with_offloads(internet, name, address, own, times, false)
    }

    /// With `offloads` the host leaves checksums to the interface, and user space can read nothing from it here: each packet
    /// has another header in front.
    fn with_offloads(
        internet: &Internet,
        name: &str,
        address: Ipv4Addr,
        own: &str,
        (interval, patience): (Duration, Duration),
        offloads: bool,
    ) -> Self {
        let host = internet.host(name, &[address]).unwrap();
        let own: Ipv6Addr = own.parse().unwrap();
        let (tun, service, path, interfaces) = host
            .namespace()
            .run(|| {
                let tun = DeviceBuilder::new()
                    .name("teredo0")
                    .layer(Layer::L3)
                    .mtu(1500)
                    .offload(offloads)
                    .ipv6(own, 32_u8)
                    .build_sync()
                    .unwrap();
                tun.set_nonblocking(true).unwrap();
                let service = UdpSocket::bind((address, 40000)).unwrap();
                service.set_read_timeout(Some(PATIENCE)).unwrap();
                let settings = Settings {
                    most_peers: 16,
                    interval,
                    patience,
                };
                let mut path = Path::load(settings).unwrap();
                let interfaces = path.attach(&service, "teredo0", "eth0").unwrap();
                path.open().unwrap();
                (Arc::new(tun), service, path, interfaces)
            })
            .unwrap();
        // Until then, packets of the host have no source.
        until(PATIENCE, "the address on the TUN interface", || {
            let socket = host.namespace().run(|| UdpSocket::bind((own, 0))).unwrap();
            socket.ok()
        })
        .unwrap();
        let SocketAddr::V4(local) = service.local_addr().unwrap() else {
            unreachable!("it is bound to an IPv4 address");
        };
        Self {
            host,
            tun,
            service,
            path,
            interfaces,
            own,
            local,
            base: Mutex::default(),
        }
    }

    /// The entry for a peer that was just heard.
    pub(crate) fn entry(&self, peer: &Self) -> Entry {
        let side = Side::Client(self.own);
        Entry::new(side, self.local, peer.local, self.interfaces, now())
    }

    pub(crate) fn know(&mut self, peer: &Self) {
        self.path.insert(peer.own, &self.entry(peer)).unwrap();
    }

    /// How many packets had this outcome since the nodes know each other.
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.path.outcomes().unwrap().get(outcome) - self.base.lock().unwrap().get(outcome)
    }

    /// Waits until a packet has had this outcome so often.
    #[track_caller]
    pub(crate) fn await_count(&self, outcome: Outcome, number: u64) {
        until(PATIENCE, format_args!("{number} times {outcome}"), || {
            (self.count(outcome) >= number).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {:?}", self.path.outcomes()));
        assert_eq!(self.count(outcome), number, "{outcome}");
    }

    /// Opens a UDP socket at the inner address.
    pub(crate) fn inner_socket(&self) -> UdpSocket {
        let socket = self.host.namespace().run(|| UdpSocket::bind((self.own, 0)));
        let socket = socket.unwrap().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Sends a packet to a peer as user space does.
    pub(crate) fn send_by_user_space(&self, packet: &[u8], peer: &Self) {
        self.service.send_to(packet, peer.local).unwrap();
    }

    /// The same without a UDP checksum, as a user space does that has a path in the kernel.
    pub(crate) fn send_bare(&self, packet: &[u8], peer: &Self) {
        let open = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP));
        let socket = self.host.namespace().run(open).unwrap().unwrap();
        socket
            .bind(&SocketAddrV4::new(*self.local.ip(), 0).into())
            .unwrap();
        let mut datagram = Vec::new();
        for field in [
            self.local.port(),
            peer.local.port(),
            8 + packet.len() as u16,
            0,
        ] {
            datagram.extend_from_slice(&field.to_be_bytes());
        }
        datagram.extend_from_slice(packet);
        socket.send_to(&datagram, &peer.local.into()).unwrap();
    }

    /// The next datagram that the stack and the programs leave to user space.
    pub(crate) fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2048];
        let (len, from) = self.service.receive_from(&mut buffer).unwrap();
        (buffer[..len].to_vec(), from)
    }

    /// Fails if a datagram waits for user space.
    pub(crate) fn assert_nothing_received(&self) {
        self.service.set_nonblocking(true).unwrap();
        let result = self.service.receive(&mut [0; 2048]);
        self.service.set_nonblocking(false).unwrap();
        assert!(
            matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock),
            "{result:?}"
        );
    }

    /// The next packet of the host that is left to user space, of those to this peer.
    pub(crate) fn take_from_tun(&self, peer: &Self) -> Vec<u8> {
        until(PATIENCE, "a packet of the host", || self.poll_tun(peer)).unwrap()
    }

    /// A packet of the host to this peer that waits for user space. The kernel sends some of its own to others.
    pub(crate) fn poll_tun(&self, peer: &Self) -> Option<Vec<u8>> {
        let mut buffer = [0; 2048];
        loop {
            let len = self.tun.recv(&mut buffer).ok()?;
            if buffer[..len].get(24..40) == Some(&peer.own.octets()) {
                return Some(buffer[..len].to_vec());
            }
        }
    }

    /// User space passes on a packet of the host to this peer.
    pub(crate) fn pass_on(&self, peer: &Self) {
        self.send_by_user_space(&self.take_from_tun(peer), peer);
    }

    /// User space delivers a datagram to the host.
    pub(crate) fn deliver(&self) {
        let (packet, _) = self.receive();
        self.tun.send(&packet).unwrap();
    }

    /// Runs a program on the host, which must succeed.
    pub(crate) fn run(&self, program: &str, arguments: &str) {
        let mut command = Command::new(program);
        command.args(arguments.split_whitespace());
        let status = self.host.namespace().spawn(&mut command);
        let status = status
            .unwrap_or_else(|error| panic!("{program}: {error}; is its package installed?"))
            .wait()
            .unwrap();
        assert!(status.success(), "{program} {arguments}");
    }
}

/// The packets of all interfaces of a host, as they are delivered.
pub(crate) struct Watch(OwnedFd);

impl Watch {
    pub(crate) fn start(node: &Node) -> Self {
        let open = || {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let (family, kind) = (AddressFamily::Packet, SockType::Raw);
            nix::sys::socket::socket(family, kind, flags, SockProtocol::EthAll).unwrap()
        };
        Self(node.host.namespace().run(open).unwrap())
    }

    /// Waits for a packet that begins with these bytes, without a header of the link.
    pub(crate) fn await_packet(&self, begin: &[u8]) {
        let mut buffer = [0; 2048];
        until(PATIENCE, format_args!("{begin:02x?}"), || {
            let len = rustix::io::read(&self.0, &mut buffer).ok()?;
            buffer[..len].starts_with(begin).then_some(())
        })
        .unwrap();
    }
}

/// Two nodes that know each other, and whose stacks are known to let their datagrams pass.
pub(crate) fn pair(interval: Duration) -> (Internet, Node, Node) {
    patient_pair(interval, Settings::default().patience)
}

/// The same, with this [`Settings::patience`].
pub(crate) fn patient_pair(interval: Duration, patience: Duration) -> (Internet, Node, Node) {
    let (internet, mut near, mut far) = patient_strangers(interval, patience);
    near.know(&far);
    far.know(&near);
    acquaint(&near, &far);
    (internet, near, far)
}

/// Two nodes that do not know each other.
pub(crate) fn strangers(interval: Duration) -> (Internet, Node, Node) {
    patient_strangers(interval, Settings::default().patience)
}

/// Two nodes that do not know each other. The host of the first one leaves checksums to the interface.
pub(crate) fn strangers_with_offloads(interval: Duration) -> (Internet, Node, Node) {
    make_strangers(interval, Settings::default().patience, true)
}

fn patient_strangers(interval: Duration, patience: Duration) -> (Internet, Node, Node) {
    make_strangers(interval, patience, false)
}

fn make_strangers(
    interval: Duration,
    patience: Duration,
    offloads: bool,
) -> (Internet, Node, Node) {
    let internet = Internet::new().unwrap();
    let near = Node::with_offloads(
        &internet,
        "near",
        Ipv4Addr::new(192, 0, 2, 45),
        "2001:0:c000:22d:0:63bf:3fff:fdd2",
        (interval, patience),
        offloads,
    );
    let far = Node::new(
        &internet,
        "far",
        Ipv4Addr::new(198, 51, 100, 7),
        "2001:0:c000:22d:0:63bf:39cc:9bf8",
        (interval, patience),
    );
    (internet, near, far)
}

/// A bubble each way by user space, which the stacks let pass.
pub(crate) fn acquaint(near: &Node, far: &Node) {
    for (from, to) in [(near, far), (far, near)] {
        let bubble = packet(from.own, to.own, NO_NEXT_HEADER, &[]);
        from.send_by_user_space(&bubble, to);
        assert_eq!(to.receive().0, bubble);
    }
    for (node, peer) in [(near, far), (far, near)] {
        assert_proven(node, peer);
        *node.base.lock().unwrap() = node.path.outcomes().unwrap();
    }
}

fn assert_proven(node: &Node, peer: &Node) {
    let traffic = node.path.traffic(peer.own).unwrap().unwrap();
    assert!(
        traffic.let_in.is_some() && traffic.let_out.is_some(),
        "{traffic:?}"
    );
}

/// Bytes that are not all the same.
pub(crate) fn data(len: usize) -> Vec<u8> {
    (0..len)
        .map(|index| (index * 7 + index / 251) as u8)
        .collect()
}
