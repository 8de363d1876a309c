//! A host that runs a Teredo relay.

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::{Destination, Instant, Node, Reception, Relay, RelayConfig, Submission};

use super::{Action, Alarm, Stamped};
use crate::capture::Datagram;

/// A Teredo relay with its service port, and a record of what it passed on to the IPv6 Internet, or to itself if it
/// is host-specific.
#[derive(Debug)]
pub struct RelayHost {
    pub(crate) alarm: Alarm,
    relay: Relay,
    local: SocketAddrV4,
    delivered: Vec<Stamped<Vec<u8>>>,
    errors: Vec<Stamped<Vec<u8>>>,
}

impl RelayHost {
    pub(crate) fn new(
        config: RelayConfig,
        seed: [u8; 32],
        now: Instant,
        local: SocketAddrV4,
    ) -> Self {
        Self {
            alarm: Alarm::default(),
            relay: Relay::new(config, seed, now),
            local,
            delivered: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// The state machine.
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    pub(crate) fn relay_mut(&mut self) -> &mut Relay {
        &mut self.relay
    }

    /// The service port's local address.
    pub fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// The packets of clients that were let through, as they came, oldest first.
    pub fn delivered(&self) -> &[Stamped<Vec<u8>>] {
        &self.delivered
    }

    /// The ICMPv6 errors that the relay itself sent, oldest first.
    pub fn errors(&self) -> &[Stamped<Vec<u8>>] {
        &self.errors
    }

    /// The process is killed and started anew.
    pub(crate) fn restart(&mut self, seed: [u8; 32], now: Instant) {
        self.relay = Relay::new(self.relay.config().clone(), seed, now);
    }

    pub(crate) fn submit(&mut self, now: Instant, packet: &[u8]) -> (Submission, Vec<Action>) {
        let submission = self.relay.handle_tun(now, packet);
        let mut actions = Vec::new();
        if let Submission::Send(to) = submission {
            actions.push(self.send(to, packet.to_vec()));
        }
        actions.extend(self.drain(now));
        (submission, actions)
    }

    pub(crate) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        to: Ipv4Addr,
        payload: &[u8],
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Reception::Deliver(packet) = self.relay.handle_udp(now, from, to, payload) {
            self.delivered.push(Stamped {
                at: now,
                what: packet.to_vec(),
            });
            actions.push(Action::Native(packet.to_vec()));
        }
        actions.extend(self.drain(now));
        actions
    }

    pub(crate) fn wake(&mut self, now: Instant) -> Vec<Action> {
        self.relay.handle_timeout(now);
        self.drain(now)
    }

    fn drain(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut bytes = Vec::new();
        while let Some(transmit) = self.relay.poll_transmit(&mut bytes) {
            let packet = std::mem::take(&mut bytes);
            assert_eq!(
                packet.len(),
                transmit.len,
                "poll_transmit appends as many bytes as it says"
            );
            match transmit.destination {
                Destination::Udp(to) => actions.push(self.send(to, packet)),
                Destination::Host => {
                    self.errors.push(Stamped {
                        at: now,
                        what: packet.clone(),
                    });
                    actions.push(Action::Native(packet));
                }
                Destination::Secondary(_) => panic!("a relay has no secondary port"),
            }
        }
        actions
    }

    fn send(&self, to: SocketAddrV4, payload: Vec<u8>) -> Action {
        Action::Send(Datagram {
            source: self.local,
            destination: to,
            ttl: Datagram::TTL,
            payload,
        })
    }
}
