//! The use of a random port, its refreshes and its end (RFC 6081 §5.4.2, §5.4.4.5).

use super::{REFRESH, REFRESHES, RandomPort, RandomPorts, Stage};
use crate::Instant;
use crate::client::peers::Path;
use crate::client::{Client, Event};

impl Client {
    /// A path to the peer is proven. One from the service port ends the random port (R6081-5.4.4.5-01, R6081-5.4.4.5-03)
    /// and its echo test (R6081-5.5.4.3-01); one from the random port keeps it (R6081-5.4.4.5-04).
    pub(in crate::client) fn settle_random_port(&mut self, now: Instant, slot: u32, path: Path) {
        self.end_birthday_with_path(now, self.peers.address(slot));
        if self.random_ports.ports.is_empty() {
            return;
        }
        let address = self.peers.address(slot);
        let is_usual = self.needs_random_ports();
        let mut ports = self.random_ports.ports.iter_mut();
        let Some(port) = ports.find(|port| port.peer == address) else {
            return;
        };
        // After early data that came too early, the peer may trust the random port while we trust the service port.
        let may_be_trusted = !is_usual && port.first.is_some() && port.announced > 0;
        if path.port == Some(port.number) || may_be_trusted {
            port.met = true;
            if let Stage::Testing(_) = port.stage {
                port.stage = Stage::Announced {
                    external: None,
                    random: false,
                    doubtful: false,
                };
            }
            self.random_ports.refresh.get_or_insert(now + REFRESH);
        } else {
            let number = port.number;
            self.close_random_port(number);
        }
    }

    /// The path through a random port has expired: a new contact takes another port, whose mapping is fresh. What the peer
    /// has announced before is of no more use.
    pub(in crate::client) fn retire_random_port(&mut self, now: Instant, slot: u32) {
        let peer = self.peers.peer_mut(slot);
        if peer.path(now).is_none() && !peer.nonces.has_received(now) {
            peer.random_port = None;
        }
        if let Some(port) = self.random_ports.of(self.peers.address(slot))
            && port.met
            && self.peers.peer(slot).path(now).is_none()
        {
            self.close_random_port(port.number);
        }
    }

    /// The peer was asked in vain.
    pub(in crate::client) fn abandon_random_port(&mut self, now: Instant, slot: u32) {
        self.end_birthday(self.peers.address(slot));
        if let Some(port) = self.random_ports.of(self.peers.address(slot))
            && self.peers.peer(slot).path(now).is_none()
        {
            self.close_random_port(port.number);
        }
    }

    /// Closes a port. A path through it ends.
    pub(in crate::client) fn close_random_port(&mut self, number: u16) {
        let mut ports = self.random_ports.ports.iter();
        let Some(index) = ports.position(|port| port.number == number) else {
            return;
        };
        let port = self.random_ports.ports.remove(index);
        if let Some(slot) = self.peers.find(&port.peer) {
            self.peers.lose_port(slot, number);
        }
        self.events.push_back(Event::RandomPort {
            port: number,
            wanted: false,
        });
    }

    /// Closes all ports: the mapping or the local address has changed, or the service ends.
    pub(in crate::client) fn close_random_ports(&mut self) {
        while let Some(port) = self.random_ports.ports.first() {
            self.close_random_port(port.number);
        }
        self.random_ports = RandomPorts::default();
        self.end_birthdays();
    }

    /// Closes the ports of peers that are forgotten.
    pub(in crate::client) fn close_orphans(&mut self) {
        self.close_orphaned_block();
        while let Some(port) = self.random_ports.ports.iter().find(|port| {
            let slot = self.peers.find(&port.peer);
            slot.is_none()
        }) {
            self.close_random_port(port.number);
        }
    }

    /// Does what is due.
    pub(in crate::client) fn drive_random_ports(&mut self, now: Instant) {
        if self.random_ports.ports.is_empty() {
            self.random_ports.refresh = None;
            return;
        }
        self.close_orphans();
        let due = |port: &&RandomPort| port.deadline().is_some_and(|at| at <= now);
        let due: Vec<u16> = self
            .random_ports
            .ports
            .iter()
            .filter(due)
            .map(|port| port.number)
            .collect();
        for number in due {
            match self.random_ports.get(number).map(|port| &port.stage) {
                Some(Stage::Opening { .. }) => {
                    self.refused_random_port(now, number);
                    let owed = self.owed_bubble(now, number);
                    self.close_random_port(number);
                    self.pay_bubble(now, owed, None);
                }
                Some(Stage::Testing(_)) => self.fail_echo_test(now, number),
                Some(Stage::Announced { .. }) => {
                    let port = self.random_ports.get_mut(number);
                    let helped = port.and_then(|port| port.helped.take().and(Some(port.peer)));
                    match helped {
                        Some(peer) => self.help(now, number, peer),
                        None => self.close_random_port(number),
                    }
                }
                None => {}
            }
        }
        if self.random_ports.refresh.is_some_and(|at| at <= now) {
            self.refresh_random_ports(now);
        }
    }

    /// The Peer Refresh Timer has expired (R6081-5.4.2.1-01): bubbles keep the NATs open while no data flows, for ten
    /// minutes.
    fn refresh_random_ports(&mut self, now: Instant) {
        self.random_ports.refresh = None;
        let Some(own) = self.own_address() else {
            return;
        };
        for index in 0..self.random_ports.ports.len() {
            let port = &mut self.random_ports.ports[index];
            if !port.met {
                continue;
            }
            self.random_ports.refresh = Some(now + REFRESH);
            if port.data_sent.is_some_and(|at| now - at < REFRESH) {
                port.refreshes = 0;
                continue;
            }
            if port.refreshes >= REFRESHES {
                continue;
            }
            port.refreshes += 1;
            let (number, peer) = (port.number, port.peer);
            if let Some(slot) = self.peers.find(&peer)
                && let Some(to) = self.peers.peer(slot).place_through(number)
            {
                self.peers.peer_mut(slot).sent(now);
                self.push_direct_bubble(now, slot, to, None, own);
            }
        }
    }
}
