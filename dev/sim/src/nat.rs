//! Network address translators in the terms of RFC 4787.
//!
//! RFC 4787 divides the old kinds of NAT (cone, restricted, symmetric) into independent properties:
//!
//! - **Mapping** (§4.1): does a socket behind the NAT have the same external address and port for all destinations?
//! - **Filtering** (§5): who may send to that external address and port?
//! - **Port assignment** (§4.2): which external port is it?
//! - **Lifetime** (§4.3): how long does an idle mapping last, and what keeps it alive?
//! - **Hairpinning** (§6): do hosts behind the same NAT reach each other by their external addresses?
//!
//! [`NatBehaviour`] has a field for each, and constructors for the kinds of RFC 4380.

mod behaviour;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::Instant;

pub use self::behaviour::{Filtering, Mapping, NatBehaviour, PortAssignment};
use crate::random::Stream;

/// The lowest external port that a NAT assigns.
const LOWEST_PORT: u16 = 1024;

/// How long a router keeps an unanswered connection of its own (`nf_conntrack_udp_timeout`).
const OWN_LIFETIME: Duration = Duration::from_secs(30);

/// The most sessions of one mapping; further destinations are refused.
const MAX_SESSIONS: usize = 262_144;

/// Why a NAT dropped a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Inbound: the port has no mapping, or no longer.
    NoMapping,
    /// Inbound: the mapping does not admit the sender.
    Filtered,
    /// Outbound: no free port, or too many destinations.
    Exhausted,
    /// Outbound, to the NAT's own external address, while hairpinning is off.
    NoHairpin,
}

/// A NAT with one external IPv4 address: a state machine that rewrites addresses.
///
/// ```
/// use teredo::Instant;
/// use teredo_sim::{Nat, NatBehaviour, Refusal};
///
/// let mut nat = Nat::new(NatBehaviour::restricted(), [203, 0, 113, 1].into(), 0);
/// let (host, server, stranger) =
///     ("10.0.0.2:40000".parse()?, "192.0.2.1:3544".parse()?, "198.51.100.9:3544".parse()?);
/// let now = Instant::from_nanos(0);
///
/// let mapped = nat.outbound(now, host, server).unwrap();
/// assert_eq!(mapped, "203.0.113.1:40000".parse()?);
/// assert_eq!(nat.inbound(now, server, mapped.port()), Ok(host));
/// assert_eq!(nat.inbound(now, stranger, mapped.port()), Err(Refusal::Filtered));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Nat {
    behaviour: NatBehaviour,
    external: Ipv4Addr,
    /// By external port.
    bindings: BTreeMap<u16, Binding>,
    /// The external port of each outbound binding.
    ports: BTreeMap<Key, u16>,
    /// The external port of each socket with a port forward.
    forwards: BTreeMap<SocketAddrV4, u16>,
    /// The router's own connections, by external port and sender, with the time of the last datagram.
    own: BTreeMap<(u16, SocketAddrV4), Instant>,
    next_port: u16,
    random: Stream,
}

/// The key of a mapping: the internal socket, and the part of the destination that the mapping depends on.
type Key = (SocketAddrV4, Option<Ipv4Addr>, Option<u16>);

#[derive(Clone, Debug)]
struct Binding {
    inside: SocketAddrV4,
    /// `None`: a port forward, which never expires and admits any sender.
    key: Option<Key>,
    /// When each destination was last sent to (or heard, if that counts).
    sessions: BTreeMap<SocketAddrV4, Instant>,
    /// When the mapping itself was last refreshed.
    refreshed: Instant,
}

impl Nat {
    /// A NAT without mappings. The seed matters if ports are assigned at random or in sequence.
    pub fn new(behaviour: NatBehaviour, external: Ipv4Addr, seed: u64) -> Self {
        Self::with_stream(behaviour, external, Stream::new(seed, 0))
    }

    pub(crate) fn with_stream(
        behaviour: NatBehaviour,
        external: Ipv4Addr,
        mut random: Stream,
    ) -> Self {
        let next_port = port_from(random.below(20_000));
        Self {
            behaviour,
            external,
            bindings: BTreeMap::new(),
            ports: BTreeMap::new(),
            forwards: BTreeMap::new(),
            own: BTreeMap::new(),
            next_port,
            random,
        }
    }

    /// The external address.
    pub fn external(&self) -> Ipv4Addr {
        self.external
    }

    /// The behaviour. Changes affect new mappings only.
    pub fn behaviour_mut(&mut self) -> &mut NatBehaviour {
        &mut self.behaviour
    }

    /// How it behaves.
    pub fn behaviour(&self) -> &NatBehaviour {
        &self.behaviour
    }

    /// Forgets all mappings except port forwards, as a router does on restart.
    pub fn forget(&mut self) {
        self.bindings.retain(|_, binding| binding.key.is_none());
        self.ports.clear();
        self.own.clear();
    }

    /// Changes the external address and forgets all mappings, as after a forced reconnection.
    pub(crate) fn renumber(&mut self, external: Ipv4Addr) {
        self.external = external;
        self.forget();
    }

    /// Forwards an external port to an internal socket, for all senders and without expiry (RFC 4380 §5.2.10: a
    /// reserved port). The socket's own traffic leaves from that port to all destinations.
    pub fn forward(&mut self, port: u16, inside: SocketAddrV4) {
        self.release(port);
        if let Some(earlier) = self.forwards.insert(inside, port) {
            self.bindings.remove(&earlier);
        }
        let binding = Binding {
            inside,
            key: None,
            sessions: BTreeMap::new(),
            refreshed: Instant::default(),
        };
        self.bindings.insert(port, binding);
    }

    /// The number of live mappings at `now`, including port forwards.
    pub fn mappings(&self, now: Instant) -> usize {
        self.bindings
            .values()
            .filter(|binding| self.alive(now, binding))
            .count()
    }

    /// Translates an outbound datagram: returns the external source.
    ///
    /// # Errors
    ///
    /// [`Refusal::Exhausted`] if no external port is free.
    pub fn outbound(
        &mut self,
        now: Instant,
        inside: SocketAddrV4,
        to: SocketAddrV4,
    ) -> Result<SocketAddrV4, Refusal> {
        let port = match self.forwards.get(&inside) {
            Some(&port) => port,
            None => {
                let usual = self.usual_key(inside, to);
                let port = self.mapped_port(now, usual)?;
                if self.is_own(now, port, to) {
                    self.mapped_port(now, (inside, Some(*to.ip()), Some(to.port())))?
                } else {
                    port
                }
            }
        };
        let lifetime = self.behaviour.lifetime;
        if let Some(binding) = self.bindings.get_mut(&port) {
            if binding.sessions.len() >= MAX_SESSIONS {
                binding.sessions.retain(|_, last| now - *last < lifetime);
                if binding.sessions.len() >= MAX_SESSIONS {
                    return Err(Refusal::Exhausted);
                }
            }
            binding.refreshed = now;
            binding.sessions.insert(to, now);
        }
        Ok(SocketAddrV4::new(self.external, port))
    }

    /// Translates an inbound datagram for an external port: returns the internal socket.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoMapping`] or [`Refusal::Filtered`].
    pub fn inbound(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        port: u16,
    ) -> Result<SocketAddrV4, Refusal> {
        let outcome = if self.is_own(now, port, from) {
            Err(Refusal::Filtered)
        } else {
            self.admit(now, from, port)
        };
        if outcome.is_err() && self.behaviour.open_input {
            self.own.retain(|_, last| now - *last < OWN_LIFETIME);
            if self.own.len() < MAX_SESSIONS {
                self.own.insert((port, from), now);
            }
        }
        outcome
    }

    fn admit(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        port: u16,
    ) -> Result<SocketAddrV4, Refusal> {
        let NatBehaviour {
            filtering,
            lifetime,
            refresh_inbound,
            ..
        } = self.behaviour;
        let binding = self
            .bindings
            .get(&port)
            .filter(|binding| self.alive(now, binding))
            .ok_or(Refusal::NoMapping)?;
        let (inside, forward) = (binding.inside, binding.key.is_none());
        let open = |first, last| {
            let remotes =
                SocketAddrV4::new(*from.ip(), first)..=SocketAddrV4::new(*from.ip(), last);
            binding
                .sessions
                .range(remotes)
                .any(|(_, last)| now - *last < lifetime)
        };
        let admitted = forward
            || match filtering {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => open(0, u16::MAX),
                Filtering::AddressAndPortDependent => open(from.port(), from.port()),
            };
        if !admitted {
            return Err(Refusal::Filtered);
        }
        if refresh_inbound && let Some(binding) = self.bindings.get_mut(&port) {
            binding.refreshed = now;
            if let Some(last) = binding.sessions.get_mut(&from) {
                *last = now;
            }
        }
        Ok(inside)
    }

    /// Translates a datagram from inside to the NAT's own external address (RFC 4787 §6, "external source IP address
    /// and port"): returns the source that the receiver sees, and the receiver.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoHairpin`] if the NAT does not hairpin, or any refusal of other datagrams.
    pub fn hairpin(
        &mut self,
        now: Instant,
        inside: SocketAddrV4,
        to: SocketAddrV4,
    ) -> Result<(SocketAddrV4, SocketAddrV4), Refusal> {
        if !self.behaviour.hairpin {
            return Err(Refusal::NoHairpin);
        }
        let source = self.outbound(now, inside, to)?;
        let target = self.inbound(now, source, to.port())?;
        Ok((source, target))
    }

    fn alive(&self, now: Instant, binding: &Binding) -> bool {
        binding.key.is_none() || now - binding.refreshed < self.behaviour.lifetime
    }

    /// Whether the router has a connection of its own between that port and that sender.
    fn is_own(&self, now: Instant, port: u16, stranger: SocketAddrV4) -> bool {
        self.own
            .get(&(port, stranger))
            .is_some_and(|last| now - *last < OWN_LIFETIME)
    }

    fn usual_key(&self, inside: SocketAddrV4, to: SocketAddrV4) -> Key {
        match self.behaviour.mapping {
            Mapping::EndpointIndependent => (inside, None, None),
            Mapping::AddressDependent => (inside, Some(*to.ip()), None),
            Mapping::AddressAndPortDependent => (inside, Some(*to.ip()), Some(to.port())),
        }
    }

    fn mapped_port(&mut self, now: Instant, key: Key) -> Result<u16, Refusal> {
        let (inside, ..) = key;
        if let Some(&port) = self.ports.get(&key) {
            if self
                .bindings
                .get(&port)
                .is_some_and(|binding| self.alive(now, binding))
            {
                return Ok(port);
            }
            self.release(port);
        }
        let port = match self.free_port(inside.port()) {
            Some(port) => port,
            None => {
                self.expire(now);
                self.free_port(inside.port()).ok_or(Refusal::Exhausted)?
            }
        };
        self.ports.insert(key, port);
        let binding = Binding {
            inside,
            key: Some(key),
            sessions: BTreeMap::new(),
            refreshed: now,
        };
        self.bindings.insert(port, binding);
        Ok(port)
    }

    fn expire(&mut self, now: Instant) {
        let dead = self
            .bindings
            .iter()
            .filter(|(_, binding)| !self.alive(now, binding));
        for port in dead.map(|(&port, _)| port).collect::<Vec<_>>() {
            self.release(port);
        }
    }

    fn release(&mut self, port: u16) {
        match self.bindings.remove(&port) {
            Some(Binding { key: Some(key), .. }) => self.ports.remove(&key),
            Some(Binding { inside, .. }) => self.forwards.remove(&inside),
            None => None,
        };
    }

    fn free_port(&mut self, wanted: u16) -> Option<u16> {
        let first = match self.behaviour.ports {
            PortAssignment::Preserving => wanted,
            PortAssignment::Sequential => self.next_port,
            PortAssignment::Random => {
                port_from(self.random.below(u64::from(u16::MAX - LOWEST_PORT) + 1))
            }
        };
        let port = (first..=u16::MAX)
            .chain(LOWEST_PORT..first)
            .find(|port| !self.bindings.contains_key(port))?;
        if self.behaviour.ports == PortAssignment::Sequential {
            self.next_port = port.checked_add(1).unwrap_or(LOWEST_PORT);
        }
        Some(port)
    }
}

/// The port `offset` above the lowest; `offset` is below the size of the range.
fn port_from(offset: u64) -> u16 {
    u16::try_from(u64::from(LOWEST_PORT) + offset).unwrap_or(u16::MAX)
}
