//! The random ports (RFC 6081 §5.4, §5.5), as an observer sees them.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::client::RANDOM_PORTS;

use super::secondary::Solicitation;

/// The most solicitations that the fuzzer can still answer.
const OUTSTANDING: usize = 8;

/// The ports that the client wants, by their number.
#[derive(Default)]
pub struct RandomPorts {
    ports: BTreeMap<u16, RandomPort>,
    /// With the port that each came from, the newest first.
    pub solicitations: VecDeque<(u16, Solicitation)>,
}

/// One of them.
#[derive(Default)]
pub struct RandomPort {
    pub is_open: bool,
    /// The only peer that something went to from it.
    peer: Option<Ipv6Addr>,
    /// Where something came from.
    pub heard: HashSet<SocketAddrV4>,
}

impl RandomPorts {
    pub fn wanted(&mut self, port: u16, wanted: bool) {
        assert!(port >= 1024);
        match wanted {
            true => assert!(self.ports.insert(port, RandomPort::default()).is_none()),
            false => assert!(self.ports.remove(&port).is_some(), "not wanted"),
        }
        assert!(self.ports.len() <= RANDOM_PORTS);
    }

    /// The fuzzer's choice among all ports.
    pub fn nth(&self, index: u8) -> Option<u16> {
        let count = self.ports.len().max(1);
        self.ports.keys().nth(usize::from(index) % count).copied()
    }

    /// The host's answer, which counts for a port that waits for one. One that is not to be had is not wanted any more.
    pub fn answered(&mut self, port: u16, is_open: bool, is_refused: bool) {
        let Some(entry) = self.ports.get_mut(&port).filter(|entry| !entry.is_open) else {
            return;
        };
        entry.is_open = is_open;
        if is_refused {
            self.ports.remove(&port);
        }
    }

    /// A datagram of the port is for this peer. One port has one peer.
    pub fn sends(&mut self, port: u16, peer: Ipv6Addr) -> &RandomPort {
        let entry = self.ports.get_mut(&port).expect("a port that is wanted");
        assert!(entry.is_open, "nothing leaves from a closed port");
        assert_eq!(*entry.peer.get_or_insert(peer), peer, "R6081-5.4.4.3-01");
        entry
    }

    pub fn asks(&mut self, port: u16, asked: Solicitation) {
        assert!(self.ports.get(&port).is_some_and(|entry| entry.is_open));
        self.solicitations.push_front((port, asked));
        self.solicitations.truncate(OUTSTANDING);
    }

    pub fn hears(&mut self, port: u16, from: SocketAddrV4) {
        if let Some(entry) = self.ports.get_mut(&port) {
            entry.heard.insert(from);
        }
    }
}
