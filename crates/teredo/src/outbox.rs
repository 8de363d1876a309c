//! What the state machine has decided to send and the caller has not fetched yet.

use std::collections::VecDeque;
use std::net::SocketAddrV4;

use crate::{Destination, Transmit};

/// First in, first out. Filled only off the known-peer path, emptied after every call, hence no pool of buffers.
#[derive(Debug, Default)]
pub(crate) struct Outbox(VecDeque<(Destination, Vec<u8>)>);

impl Outbox {
    /// Queues what `emit` writes, for `to`.
    pub(crate) fn udp(&mut self, to: SocketAddrV4, emit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::with_capacity(128);
        emit(&mut bytes);
        self.0.push_back((Destination::Udp(to), bytes));
    }

    /// Queues what `emit` writes, for `to`, from the secondary port.
    pub(crate) fn secondary(&mut self, to: SocketAddrV4, emit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::with_capacity(128);
        emit(&mut bytes);
        self.0.push_back((Destination::Secondary(to), bytes));
    }

    /// Queues what `emit` writes, for the local IPv6 stack, if it writes anything.
    pub(crate) fn host(&mut self, emit: impl FnOnce(&mut Vec<u8>) -> bool) {
        let mut bytes = Vec::new();
        if emit(&mut bytes) {
            self.0.push_back((Destination::Host, bytes));
        }
    }

    /// Queues a packet that waited for its peer.
    pub(crate) fn release(&mut self, to: SocketAddrV4, packet: Vec<u8>) {
        self.0.push_back((Destination::Udp(to), packet));
    }

    /// Forgets what was to go out over UDP; called when the service port or its address is gone.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn pop(&mut self, buf: &mut Vec<u8>) -> Option<Transmit> {
        let (destination, bytes) = self.0.pop_front()?;
        buf.extend_from_slice(&bytes);
        Some(Transmit {
            destination,
            source: None,
            len: bytes.len(),
        })
    }
}
