//! A host that sends to the inside of a tunnel, unasked.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};

use teredo_lab::{Host, Receive as _};

use crate::world::*;

/// The port that the tests let in.
pub(crate) const ALLOWED: u16 = 5001;
/// A port that they do not.
pub(crate) const CLOSED: u16 = 5002;

/// Sends datagrams to both ports of a host, by its Teredo address.
pub(crate) struct Visitor {
    sender: UdpSocket,
    to: Ipv6Addr,
    listeners: [UdpSocket; 2],
}

impl Visitor {
    /// From `from` to `host`, which has the address `to` and a listener on each port.
    pub(crate) fn new(from: &Host, host: &Host, to: Ipv6Addr) -> Self {
        let bind = |host: &Host, port: u16| {
            let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
            host.udp_socket(any).unwrap()
        };
        let listeners = [ALLOWED, CLOSED].map(|port| {
            let socket = bind(host, port);
            socket.set_read_timeout(Some(SECOND)).unwrap();
            socket
        });
        Self {
            sender: bind(from, 0),
            to,
            listeners,
        }
    }

    /// Whether a datagram to this port arrives within a second.
    pub(crate) fn arrives(&self, port: u16) -> bool {
        let of_port = |socket: &&UdpSocket| socket.local_addr().unwrap().port() == port;
        let listener = self.listeners.iter().find(of_port).unwrap();
        self.sender.send_to(b"hello", (self.to, port)).unwrap();
        listener.receive(&mut [0; 16]).is_ok()
    }
}
