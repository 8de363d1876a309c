//! Another client, driven by the test without an engine.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;
use teredo::{Destination, Node, Reception, Submission};
use teredo_lab::Receive;

use super::*;

pub(super) struct Peer {
    pub(super) socket: UdpSocket,
    client: Client,
    pub(super) address: Option<Ipv6Addr>,
    /// The packets that came out of the tunnel.
    pub(super) delivered: Vec<Vec<u8>>,
}

impl Peer {
    /// A client that is qualified.
    pub(super) fn qualified() -> Self {
        let socket = UdpSocket::bind((PEER, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let SocketAddr::V4(local) = socket.local_addr().unwrap() else {
            panic!("an IPv4 socket")
        };
        let mut client = Client::new(ClientConfig::default(), [7; 32], clock::now());
        client.start(clock::now(), local, &[server_address()]);
        let mut peer = Self {
            socket,
            client,
            address: None,
            delivered: Vec::new(),
        };
        peer.drain();
        peer.until("the peer qualifies", |peer| peer.address.is_some());
        peer
    }

    /// Receives and answers until `done`.
    pub(super) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut buffer = [0; 2048];
        while !done(self) {
            assert!(
                std::time::Instant::now() < deadline,
                "{what}: not within {PATIENCE:?}"
            );
            if let Ok((len, SocketAddr::V4(from))) = self.socket.receive_from(&mut buffer)
                && let Reception::Deliver(packet) =
                    self.client
                        .handle_udp(clock::now(), from, PEER, &buffer[..len])
            {
                self.delivered.push(packet.to_vec());
            }
            self.client.handle_timeout(clock::now());
            self.drain();
        }
    }

    /// Sends an IPv6 packet through the tunnel.
    pub(super) fn send(&mut self, packet: &[u8]) {
        match self.client.handle_tun(clock::now(), packet) {
            Submission::Send(to) => drop(self.socket.send_to(packet, to).unwrap()),
            Submission::SendFrom { port, .. } => panic!("port {port} was not opened"),
            Submission::Queued => {}
            Submission::Drop(reason) => panic!("{reason}"),
        }
        self.drain();
    }

    /// Sends packets of this length, the last one may be shorter, to a known peer in one train.
    pub(super) fn send_train(&mut self, packets: &[u8], segment: i32) {
        let first = &packets[..segment as usize];
        let Submission::Send(mapping) = self.client.handle_tun(clock::now(), first) else {
            panic!("the peer is not known");
        };
        setsockopt(&self.socket, UdpGsoSegment, &segment).unwrap();
        self.socket.send_to(packets, mapping).unwrap();
        setsockopt(&self.socket, UdpGsoSegment, &0).unwrap();
        self.drain();
    }

    /// Sends a packet as it is, however long, in a datagram of its own; to the peer that `like` is for, which is known.
    pub(super) fn send_uncut(&mut self, packet: &[u8], like: &[u8]) {
        let Submission::Send(mapping) = self.client.handle_tun(clock::now(), like) else {
            panic!("the peer is not known");
        };
        self.socket.send_to(packet, mapping).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        let mut bytes = Vec::new();
        while let Some(transmit) = self.client.poll_transmit(&mut bytes) {
            if let Destination::Udp(to) = transmit.destination {
                self.socket.send_to(&bytes, to).unwrap();
            }
            bytes.clear();
        }
        while let Some(event) = self.client.poll_event() {
            if let Event::AddressUp { address, .. } = event {
                self.address = Some(address);
            }
        }
    }
}
