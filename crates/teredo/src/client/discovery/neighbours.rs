//! The subnet that neighbours are looked for in, and the clients that local bubbles have told of: bounded, apart from
//! the list of peers.
//!
//! Whoever is on the link can forge a local bubble. What it can do with a thousand of them ends here: they displace
//! each other, and neither a neighbour that has answered nor any peer.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::Instant;
use crate::client::peers::BubbleLimit;

/// How long a neighbour is remembered without a local bubble (RFC 4380 §5.2.4 case 3).
const MEMORY: Duration = Duration::from_secs(600);
/// The most neighbours: those of a usual subnet.
const MAX_NEIGHBOURS: usize = 256;

/// Another client on the link.
#[derive(Debug)]
struct Neighbour {
    /// Where it is reached on the link.
    endpoint: SocketAddrV4,
    /// The last local bubble.
    announced: Instant,
    /// Whether something came from `endpoint` to this client alone.
    answered: bool,
    /// The answers to its local bubbles.
    answers: BubbleLimit,
}

/// The neighbours, by the mapping that is in their Teredo addresses (RFC 4380 §5.2.8).
#[derive(Debug, Default)]
pub(super) struct Neighbours(BTreeMap<SocketAddrV4, Neighbour>);

/// What a local bubble brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// A neighbour that was not known, or not there.
    New,
    Known,
    /// All places are taken by neighbours that have answered.
    Full,
}

impl Neighbours {
    /// Takes note of a local bubble: the client with this mapping is at `endpoint` (R4380-5.2.8-07).
    pub(super) fn note(
        &mut self,
        now: Instant,
        mapping: SocketAddrV4,
        endpoint: SocketAddrV4,
    ) -> Noted {
        if let Some(neighbour) = self.0.get_mut(&mapping) {
            let present = now - neighbour.announced < MEMORY && neighbour.endpoint == endpoint;
            neighbour.announced = now;
            if present {
                return Noted::Known;
            }
            neighbour.endpoint = endpoint;
            neighbour.answered = false;
            return Noted::New;
        }
        if self.0.len() >= MAX_NEIGHBOURS && !self.make_room(now) {
            return Noted::Full;
        }
        let neighbour = Neighbour {
            endpoint,
            announced: now,
            answered: false,
            answers: BubbleLimit::default(),
        };
        self.0.insert(mapping, neighbour);
        Noted::New
    }

    /// Where the client with this mapping is reached on the link.
    pub(super) fn endpoint(&self, now: Instant, mapping: SocketAddrV4) -> Option<SocketAddrV4> {
        self.0
            .get(&mapping)
            .filter(|neighbour| now - neighbour.announced < MEMORY)
            .map(|neighbour| neighbour.endpoint)
    }

    /// Something came from its endpoint to this client alone.
    pub(super) fn heard(&mut self, mapping: SocketAddrV4) {
        if let Some(neighbour) = self.0.get_mut(&mapping) {
            neighbour.answered = true;
            neighbour.answers.reset();
        }
    }

    /// Whether a local bubble of this neighbour may be answered now; if so, it counts as answered.
    pub(super) fn may_answer(&mut self, now: Instant, mapping: SocketAddrV4) -> bool {
        self.0
            .get_mut(&mapping)
            .is_some_and(|neighbour| neighbour.answers.take(now))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Removes the one that was announced longest ago, of those that never answered or are past their time.
    fn make_room(&mut self, now: Instant) -> bool {
        let oldest = self
            .0
            .iter()
            .filter(|(_, neighbour)| !neighbour.answered || now - neighbour.announced >= MEMORY)
            .min_by_key(|(_, neighbour)| neighbour.announced)
            .map(|(&mapping, _)| mapping);
        oldest.is_some_and(|mapping| self.0.remove(&mapping).is_some())
    }
}

/// The IPv4 subnet that a client's datagrams leave through, as one of the host's interfaces is configured.
///
/// ```
/// use teredo::client::LocalSubnet;
///
/// let subnet = LocalSubnet { address: "192.168.1.2".parse()?, prefix_len: 24 };
/// assert!(subnet.has_neighbour("192.168.1.3".parse()?));
/// assert!(!subnet.has_neighbour("192.168.1.2".parse()?), "that is the host itself");
/// assert!(!subnet.has_neighbour("192.168.1.255".parse()?), "that is everybody");
/// assert!(!subnet.has_neighbour("192.168.2.3".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalSubnet {
    /// The host's own address in it.
    pub address: Ipv4Addr,
    /// How many bits of it name the subnet, 0 to 32; more counts as 32.
    pub prefix_len: u8,
}

impl LocalSubnet {
    /// Whether another host of this subnet can have `address`: neither the own one, nor the subnet's name or its
    /// broadcast address.
    pub fn has_neighbour(self, address: Ipv4Addr) -> bool {
        let host_bits = match self.prefix_len {
            0 => u32::MAX,
            1..32 => u32::MAX >> self.prefix_len,
            _ => 0,
        };
        let (own, other) = (self.address.to_bits(), address.to_bits());
        // Two hosts on a point-to-point link have neither a name nor a broadcast address (RFC 3021).
        let reserved = host_bits > 1 && [0, host_bits].contains(&(other & host_bits));
        own != other && own & !host_bits == other & !host_bits && !reserved
    }
}
