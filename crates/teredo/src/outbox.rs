//! The datagrams and packets that wait for `poll_transmit`.

use std::collections::VecDeque;
use std::net::SocketAddrV4;

use crate::{Destination, Transmit};

/// A queue. It is emptied after every call and not used for known peers, so its buffers need no pool.
#[derive(Debug, Default)]
pub(crate) struct Outbox(VecDeque<Item>);

#[derive(Debug)]
struct Item {
    destination: Destination,
    ttl: Option<u8>,
    bytes: Vec<u8>,
    waited: bool,
}

impl Outbox {
    /// Queues what `emit` writes, for `to`.
    pub(crate) fn udp(&mut self, to: SocketAddrV4, emit: impl FnOnce(&mut Vec<u8>)) {
        self.udp_with_ttl(to, None, emit);
    }

    /// Queues the same in a datagram with this time to live.
    pub(crate) fn udp_with_ttl(
        &mut self,
        to: SocketAddrV4,
        ttl: Option<u8>,
        emit: impl FnOnce(&mut Vec<u8>),
    ) {
        self.udp_via(None, to, ttl, emit);
    }

    /// Queues the same from a random port, or without one from the service port.
    pub(crate) fn udp_via(
        &mut self,
        port: Option<u16>,
        to: SocketAddrV4,
        ttl: Option<u8>,
        emit: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut bytes = Vec::with_capacity(128);
        emit(&mut bytes);
        self.push(destination(port, to), ttl, bytes);
    }

    /// Queues what `emit` writes, for `to`, from the secondary port.
    pub(crate) fn secondary(&mut self, to: SocketAddrV4, emit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::with_capacity(128);
        emit(&mut bytes);
        self.push(Destination::Secondary(to), None, bytes);
    }

    /// Queues what `emit` writes, for the local IPv6 stack, if it writes anything.
    pub(crate) fn host(&mut self, emit: impl FnOnce(&mut Vec<u8>) -> bool) {
        let mut bytes = Vec::new();
        if emit(&mut bytes) {
            self.push(Destination::Host, None, bytes);
        }
    }

    /// Queues a packet that waited for its peer.
    pub(crate) fn release(&mut self, to: SocketAddrV4, packet: Vec<u8>) {
        self.release_from(None, to, packet);
    }

    /// Queues a packet that waited for the proof of its sender, for the local IPv6 stack.
    pub(crate) fn release_to_host(&mut self, packet: Vec<u8>) {
        self.0.push_back(Item {
            destination: Destination::Host,
            ttl: None,
            bytes: packet,
            waited: true,
        });
    }

    /// Queues a packet that waited for its peer, from a random port or from the service port.
    pub(crate) fn release_from(&mut self, port: Option<u16>, to: SocketAddrV4, packet: Vec<u8>) {
        self.0.push_back(Item {
            destination: destination(port, to),
            ttl: None,
            bytes: packet,
            waited: true,
        });
    }

    /// Discards all items; called when the service port or its address is gone.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn pop(&mut self, buf: &mut Vec<u8>) -> Option<Transmit> {
        let Item {
            destination,
            ttl,
            bytes,
            waited,
        } = self.0.pop_front()?;
        buf.extend_from_slice(&bytes);
        Some(Transmit {
            destination,
            ttl,
            len: bytes.len(),
            waited,
        })
    }

    fn push(&mut self, destination: Destination, ttl: Option<u8>, bytes: Vec<u8>) {
        self.0.push_back(Item {
            destination,
            ttl,
            bytes,
            waited: false,
        });
    }
}

fn destination(port: Option<u16>, to: SocketAddrV4) -> Destination {
    match port {
        Some(port) => Destination::Random { port, to },
        None => Destination::Udp(to),
    }
}
