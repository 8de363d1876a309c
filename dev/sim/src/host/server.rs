//! A host that runs a Teredo server.

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::{Destination, Instant, Server, ServerConfig};

use super::{Action, Stamped};
use crate::capture::Datagram;

/// The UDP port of Teredo servers (RFC 4380 §2.7).
pub(crate) const TEREDO_PORT: u16 = 3544;

/// A Teredo server on both of its addresses, and a record of what it passed on to the native IPv6 Internet.
#[derive(Debug)]
pub struct ServerHost {
    server: Server,
    native: Vec<Stamped<Vec<u8>>>,
}

impl ServerHost {
    pub(crate) fn new(config: ServerConfig, seed: [u8; 32], now: Instant) -> Self {
        Self {
            server: Server::new(config, seed, now),
            native: Vec::new(),
        }
    }

    /// The state machine.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The IPv6 packets that went out to the native IPv6 Internet, oldest first.
    pub fn native(&self) -> &[Stamped<Vec<u8>>] {
        &self.native
    }

    pub(crate) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        to: Ipv4Addr,
        payload: &[u8],
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        // What there is to send comes below, and what is dropped is counted.
        let _ = self.server.handle_udp(now, from, to, payload);
        let mut bytes = Vec::new();
        while let Some(transmit) = self.server.poll_transmit(&mut bytes) {
            let payload = std::mem::take(&mut bytes);
            match transmit.destination {
                Destination::Udp(destination) => {
                    let source = SocketAddrV4::new(transmit.source.unwrap_or(to), TEREDO_PORT);
                    actions.push(Action::Send(Datagram {
                        source,
                        destination,
                        ttl: transmit.ttl.unwrap_or(Datagram::TTL),
                        payload,
                    }));
                }
                Destination::Secondary(_) => panic!("a server has no secondary port"),
                Destination::Host => {
                    self.native.push(Stamped {
                        at: now,
                        what: payload.clone(),
                    });
                    actions.push(Action::Native(payload));
                }
            }
        }
        actions
    }
}
