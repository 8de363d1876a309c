//! A host that runs a Teredo relay.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::{Instant, Relay, RelayConfig, Submission};

use super::station::Station;
use super::{Action, Stamped};

/// A Teredo relay with its service port, and a record of its output: to the IPv6 Internet, or to itself if it is
/// host-specific.
#[derive(Debug)]
pub struct RelayHost(Station<Relay, Infallible>);

impl RelayHost {
    pub(crate) fn new(config: RelayConfig, seed: [u8; 32], local: SocketAddrV4, kept: u32) -> Self {
        Self(Station::router(Relay::new(config, seed), local, kept))
    }

    /// The state machine.
    pub fn relay(&self) -> &Relay {
        &self.0.node
    }

    /// The service port's local address.
    pub fn local(&self) -> SocketAddrV4 {
        self.0.local
    }

    /// The forwarded packets of clients, unchanged, oldest first.
    pub fn delivered(&self) -> &[Stamped<Vec<u8>>] {
        self.0.delivered.entries()
    }

    /// The ICMPv6 errors that the relay itself sent, oldest first.
    pub fn errors(&self) -> &[Stamped<Vec<u8>>] {
        self.0.errors.entries()
    }

    /// Kills and restarts the process.
    pub(crate) fn restart(&mut self, seed: [u8; 32]) {
        self.0.node = Relay::new(self.relay().config().clone(), seed);
    }

    pub(crate) fn change(&mut self, now: Instant, change: impl FnOnce(&mut Relay)) -> Vec<Action> {
        self.0.call(now, change)
    }

    pub(crate) fn submit(&mut self, now: Instant, packet: &[u8]) -> (Submission, Vec<Action>) {
        self.0.submit(now, packet)
    }

    pub(crate) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        to: Ipv4Addr,
        payload: &[u8],
    ) -> Vec<Action> {
        self.0.receive(now, from, to, payload)
    }

    pub(crate) fn wake(&mut self, now: Instant, number: u64) -> Option<Vec<Action>> {
        self.0.wake(now, number)
    }

    pub(crate) fn keep(&mut self, limit: u32) {
        self.0.keep(limit);
    }

    pub(crate) fn next_alarm(&mut self) -> Option<(Instant, u64)> {
        self.0.next_alarm()
    }
}
