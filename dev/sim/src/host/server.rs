//! A host that runs a Teredo server.

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::server::Answer;
use teredo::wire::PORT;
use teredo::{Instant, Server, ServerConfig};

use super::journal::Journal;
use super::{Action, Stamped};
use crate::datagram::Datagram;

/// A Teredo server on both of its addresses, and a record of what it sent to the native IPv6 Internet.
#[derive(Debug)]
pub struct ServerHost {
    server: Server,
    native: Journal<Vec<u8>>,
}

impl ServerHost {
    pub(crate) fn new(config: ServerConfig, seed: [u8; 32], kept: u32) -> Self {
        Self {
            server: Server::new(config, seed),
            native: Journal::new(kept),
        }
    }

    /// The state machine.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The IPv6 packets sent to the native IPv6 Internet, oldest first.
    pub fn native(&self) -> &[Stamped<Vec<u8>>] {
        self.native.entries()
    }

    pub(crate) fn keep(&mut self, limit: u32) {
        self.native.set_limit(limit);
    }

    pub(crate) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        to: Ipv4Addr,
        payload: &[u8],
    ) -> Vec<Action> {
        let len = payload.len().max(self.server.buffer_len());
        let mut buffer = Vec::with_capacity(len);
        buffer.extend_from_slice(payload);
        buffer.resize(len, 0);
        let answer = self
            .server
            .answer_in_place(now, from, to, &mut buffer, payload.len());
        match answer {
            Ok(Answer::Udp {
                to: destination,
                source,
                len,
            }) => {
                buffer.truncate(len);
                let source = SocketAddrV4::new(source, PORT);
                vec![Action::Send(Datagram::new(source, destination, buffer))]
            }
            Ok(Answer::Native { len }) => {
                buffer.truncate(len);
                self.native.note(now, || buffer.clone());
                vec![Action::Native(buffer)]
            }
            // Dropped and counted.
            Err(_) => Vec::new(),
        }
    }
}
