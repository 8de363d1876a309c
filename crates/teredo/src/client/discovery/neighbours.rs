//! The subnet in which to look for neighbours, and a bounded table of those that sent local bubbles.
//!
//! Any host on the link can forge local bubbles. A thousand forged ones displace each other, but neither another neighbour
//! that has answered nor any peer. Only a bubble with a neighbour's own mapping replaces its address (R4380-5.2.8-07);
//! the neighbour's next bubble replaces it again, and a path in use stays.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::Instant;
use crate::client::peers::BubbleLimit;

/// How long a neighbour is kept after its last local bubble (RFC 4380 §5.2.4 case 3).
const MEMORY: Duration = Duration::from_secs(600);
/// The most neighbours: as many as a usual subnet has.
const MAX_NEIGHBOURS: usize = 256;

/// Another client on the link.
#[derive(Debug)]
struct Neighbour {
    /// Its address on the link.
    endpoint: SocketAddrV4,
    /// When its last local bubble came.
    announced: Instant,
    /// Whether a unicast datagram came from `endpoint`.
    answered: bool,
    /// Limits the answers to its local bubbles.
    answers: BubbleLimit,
}

/// The neighbours, by the mapping in their Teredo addresses (RFC 4380 §5.2.8).
#[derive(Debug, Default)]
pub(super) struct Neighbours(BTreeMap<SocketAddrV4, Neighbour>);

/// The result of a local bubble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// The neighbour was unknown, outdated or elsewhere.
    New,
    Known,
    /// Neighbours that have answered occupy all places.
    Full,
}

impl Neighbours {
    /// Records a local bubble: the client with this mapping is at `endpoint` (R4380-5.2.8-07).
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

    /// The address on the link of the client with this mapping.
    pub(super) fn endpoint(&self, now: Instant, mapping: SocketAddrV4) -> Option<SocketAddrV4> {
        self.0
            .get(&mapping)
            .filter(|neighbour| now - neighbour.announced < MEMORY)
            .map(|neighbour| neighbour.endpoint)
    }

    /// A unicast datagram came from its endpoint.
    pub(super) fn heard(&mut self, mapping: SocketAddrV4) {
        if let Some(neighbour) = self.0.get_mut(&mapping) {
            neighbour.answered = true;
            neighbour.answers.reset();
        }
    }

    /// Whether a local bubble of this neighbour may be answered now; if so, the answer is counted.
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

    /// Removes the entry with the oldest local bubble, among those that never answered or are outdated.
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

/// The IPv4 subnet through which a client's datagrams leave, as configured on an interface of the host.
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
    /// The host's own address in the subnet.
    pub address: Ipv4Addr,
    /// The length of the subnet's prefix in bits, 0 to 32; more counts as 32.
    pub prefix_len: u8,
}

impl LocalSubnet {
    /// Whether another host of the subnet can have `address`: it is neither our own one nor the first or the last one
    /// of the subnet.
    pub fn has_neighbour(self, address: Ipv4Addr) -> bool {
        let host_bits = match self.prefix_len {
            0 => u32::MAX,
            1..32 => u32::MAX >> self.prefix_len,
            _ => 0,
        };
        let (own, other) = (self.address.to_bits(), address.to_bits());
        // A point-to-point link uses all addresses (RFC 3021).
        let reserved = host_bits > 1 && [0, host_bits].contains(&(other & host_bits));
        own != other && own & !host_bits == other & !host_bits && !reserved
    }
}
