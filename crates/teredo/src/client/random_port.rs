//! Random ports (RFC 6081 §5.4): further ports of a client, each for one peer.

use std::net::SocketAddrV4;

use super::Client;
use crate::{DropReason, Instant, Reception};

/// The most random ports of a client.
pub const RANDOM_PORTS: usize = 32;

/// The caller's answer to [`Event::RandomPort`](super::Event::RandomPort).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RandomPortAnswer {
    /// It is bound, and the firewall admits datagrams to it.
    Open,
    /// The host uses this port otherwise. The client tries another one.
    Taken,
    /// It cannot be had now: too many sockets, or the firewall refuses. The client goes on without, and asks for none in
    /// the next 30 s.
    Refused,
}

impl Client {
    /// Answers [`Event::RandomPort`](super::Event::RandomPort). The port must be bound to the local address of the service
    /// port, and the firewall must admit datagrams to it, or a moment for that has passed, as with the service port.
    /// Until this call nothing is sent from the port and nobody learns its number.
    ///
    /// Without an answer within a second, the client goes on without the port, and wants it closed. An answer for a port
    /// that is no longer wanted does no harm.
    pub fn random_port(&mut self, now: Instant, port: u16, answer: RandomPortAnswer) {
        let _ = (now, port, answer);
    }

    /// Takes in a datagram that a random port received from `from`. It may be for the host.
    pub fn handle_random<'a>(
        &mut self,
        now: Instant,
        port: u16,
        from: SocketAddrV4,
        datagram: &'a [u8],
    ) -> Reception<'a> {
        let _ = (now, port, from, datagram);
        Reception::Drop(self.drop(DropReason::RandomPortClosed))
    }
}
