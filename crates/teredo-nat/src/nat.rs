//! Network address translators in the terms of RFC 4787.
//!
//! RFC 4787 divides the old kinds of NAT (cone, restricted, symmetric) into independent properties:
//!
//! - **Mapping** (§4.1): does a socket behind the NAT have the same external address and port for all destinations?
//! - **Filtering** (§5): who may send to that external address and port?
//! - **Pooling** (§4.1): which external address is it, if the NAT has several?
//! - **Port assignment** (§4.2): which external port is it, and is its parity kept?
//! - **Lifetime** (§4.3): how long does an idle mapping last, and what keeps it alive?
//! - **Hairpinning** (§6): do hosts behind the same NAT reach each other by their external addresses?
//!
//! [`NatBehaviour`] has fields for each, and constructors for the kinds of RFC 4380 and RFC 6081. All state is keyed by
//! the inside socket, so the sockets of one host have independent mappings.

mod assignment;
mod behaviour;
mod bindings;
mod igd;
mod kinds;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::Instant;

use self::assignment::nth_port;
pub use self::behaviour::{
    Filtering, HairpinSource, Mapping, NatBehaviour, Pooling, PortAssignment, PortRange,
};
use self::bindings::{Binding, Bindings, Key, Place};
use self::igd::Grant;
pub use self::igd::{Igd, IgdFailure};
use crate::stream::Stream;
use crate::table::Table;

/// How long a router keeps an unanswered connection of its own (`nf_conntrack_udp_timeout`).
const OWN_LIFETIME: Duration = Duration::from_secs(30);

/// The most sessions of one mapping; further destinations are refused.
const MAX_SESSIONS: usize = 262_144;

/// The most sockets that a router without translation has sessions for; others are refused.
const MAX_SOCKETS: usize = 262_144;

/// Why a NAT dropped a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Inbound: the port has no mapping, or no longer.
    NoMapping,
    /// Inbound: the mapping does not admit the sender.
    Filtered,
    /// Outbound: no free port, too many mappings of the host, or too many destinations.
    Exhausted,
    /// Outbound, to the NAT's own external address, while hairpinning is off.
    NoHairpin,
}

/// A NAT with one or more external IPv4 addresses: a state machine that rewrites addresses.
///
/// ```
/// use teredo::Instant;
/// use teredo_nat::{Nat, NatBehaviour, Refusal};
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
    /// The external addresses after the first.
    others: Box<[Ipv4Addr]>,
    bindings: Bindings,
    /// The router's own connections, by external socket and sender, with the time of the last datagram.
    own: Table<(SocketAddrV4, SocketAddrV4), Instant>,
    /// By port of the first external address.
    grants: Table<u16, Grant>,
    next_address: usize,
    next_port: u16,
    random: Stream,
}

/// Making and changing.
impl Nat {
    /// A NAT without mappings, with as many external addresses as its behaviour says. The seed matters if ports are
    /// assigned at random or in sequence.
    pub fn new(behaviour: NatBehaviour, external: Ipv4Addr, seed: u64) -> Self {
        Self::with_stream(behaviour, external, Stream::new(seed, 0))
    }

    /// As [`new`](Self::new), with a stream of random numbers instead of the seed.
    pub fn with_stream(behaviour: NatBehaviour, external: Ipv4Addr, mut random: Stream) -> Self {
        let size = u64::from(behaviour.range.size());
        let next_port = nth_port(behaviour.range, random.below(size.min(20_000)));
        Self {
            behaviour,
            external,
            others: others(&behaviour, external),
            bindings: Bindings::default(),
            own: Table::default(),
            grants: Table::default(),
            next_address: 0,
            next_port,
            random,
        }
    }

    /// Replaces the external addresses after the first, which [`NatBehaviour::addresses`] gave, and forgets all
    /// mappings.
    pub fn set_pool(&mut self, others: &[Ipv4Addr]) {
        self.others = others.into();
        self.forget();
    }

    /// The first external address.
    pub fn external(&self) -> Ipv4Addr {
        self.external
    }

    /// All external addresses, in the order of their use.
    pub fn externals(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        std::iter::once(self.external).chain(self.others.iter().copied())
    }

    /// The behaviour. Changes affect new mappings only, and not the number of addresses.
    pub fn behaviour_mut(&mut self) -> &mut NatBehaviour {
        &mut self.behaviour
    }

    /// How it behaves.
    pub fn behaviour(&self) -> &NatBehaviour {
        &self.behaviour
    }

    /// Forgets all mappings except port forwards, as a router does on restart. An Internet Gateway Device forgets what
    /// it granted.
    pub fn forget(&mut self) {
        self.bindings.forget();
        self.own.clear();
        self.grants.clear();
    }

    /// Changes the external addresses and forgets all mappings, as after a forced reconnection.
    pub fn renumber(&mut self, external: Ipv4Addr) {
        self.external = external;
        self.others = others(&self.behaviour, external);
        self.bindings.move_to(external);
        self.own.clear();
        self.grants.clear();
    }

    /// Forwards an external port to an internal socket, for all senders and without expiry (RFC 4380 §5.2.10: a
    /// reserved port). The socket's own traffic leaves from that port to all destinations.
    pub fn forward(&mut self, port: u16, inside: SocketAddrV4) {
        let place = Place::whole(SocketAddrV4::new(self.external, port));
        self.bindings.clear(place);
        if let Some(earlier) = self.bindings.forward_of(inside) {
            self.bindings.remove(&earlier);
        }
        let binding = Binding {
            inside,
            key: None,
            sessions: Table::default(),
            refreshed: Instant::default(),
        };
        self.bindings.insert(place, binding);
    }

    /// The number of live mappings at `now`, including port forwards.
    pub fn mappings(&self, now: Instant) -> usize {
        self.bindings
            .iter()
            .filter(|binding| self.alive(now, binding))
            .count()
    }

    /// The external sockets of the live mappings of an inside socket, in order.
    pub fn mapped(&self, now: Instant, inside: SocketAddrV4) -> Vec<SocketAddrV4> {
        let of_socket = self.bindings.of_socket(inside);
        let alive = of_socket.filter(|(_, binding)| self.alive(now, binding));
        let mut externals: Vec<_> = alive.map(|(place, _)| place.external).collect();
        externals.sort_unstable();
        externals.dedup();
        externals
    }
}

/// Translating.
impl Nat {
    /// Translates an outbound datagram: returns the external source.
    ///
    /// # Errors
    ///
    /// [`Refusal::Exhausted`] if no external port is free, or the host has as many mappings as it may.
    pub fn outbound(
        &mut self,
        now: Instant,
        inside: SocketAddrV4,
        to: SocketAddrV4,
    ) -> Result<SocketAddrV4, Refusal> {
        if !self.keeps_state() {
            return Ok(inside);
        }
        let place = match self.bindings.forward_of(inside) {
            Some(place) => place,
            None if !self.behaviour.translates => self.untranslated(now, inside)?,
            None => {
                let place = self.mapped_place(now, self.usual_key(inside, to))?;
                if self.is_own(now, place.external, to) {
                    let detour = Key {
                        inside,
                        address: Some(*to.ip()),
                        port: Some(to.port()),
                    };
                    self.mapped_place(now, detour)?
                } else {
                    place
                }
            }
        };
        let NatBehaviour {
            lifetime,
            refresh_outbound,
            ..
        } = self.behaviour;
        if let Some(binding) = self.bindings.get_mut(&place) {
            if binding.sessions.len() >= MAX_SESSIONS && !binding.sessions.contains(&to) {
                binding.sessions.retain(|_, last| now - *last < lifetime);
                if binding.sessions.len() >= MAX_SESSIONS {
                    return Err(Refusal::Exhausted);
                }
            }
            // Without refreshment, a session that has expired begins anew.
            let running = binding.sessions.get(&to);
            let runs = running.is_some_and(|last| now - *last < lifetime);
            if refresh_outbound {
                binding.refreshed = now;
            }
            if refresh_outbound || !runs {
                binding.sessions.insert(to, now);
            }
        }
        Ok(place.external)
    }

    /// Translates an inbound datagram for a port of the first external address: returns the internal socket.
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
        self.inbound_to(now, from, SocketAddrV4::new(self.external, port))
    }

    /// Translates an inbound datagram for an external socket: returns the internal socket.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoMapping`] or [`Refusal::Filtered`].
    pub fn inbound_to(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        external: SocketAddrV4,
    ) -> Result<SocketAddrV4, Refusal> {
        let outcome = if self.is_own(now, external, from) {
            Err(Refusal::Filtered)
        } else {
            let admitted = self.admit(now, from, external);
            admitted.or_else(|refusal| self.granted(now, external).ok_or(refusal))
        };
        if outcome.is_err() && self.behaviour.open_input {
            if self.own.len() >= MAX_SESSIONS {
                self.own.retain(|_, last| now - *last < OWN_LIFETIME);
            }
            if self.own.len() < MAX_SESSIONS {
                self.own.insert((external, from), now);
            }
        }
        outcome
    }

    fn admit(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        external: SocketAddrV4,
    ) -> Result<SocketAddrV4, Refusal> {
        let NatBehaviour {
            filtering,
            lifetime,
            refresh_inbound,
            ..
        } = self.behaviour;
        if !self.keeps_state() {
            return Ok(external);
        }
        let place = self.bindings.at(external, from).ok_or(Refusal::NoMapping)?;
        let binding = self
            .bindings
            .get(&place)
            .filter(|binding| self.alive(now, binding))
            .ok_or(Refusal::NoMapping)?;
        let inside = binding.inside;
        let open = |first, last| {
            let (first, last) = (
                SocketAddrV4::new(*from.ip(), first),
                SocketAddrV4::new(*from.ip(), last),
            );
            let mut sessions = binding.sessions.range(first, last);
            sessions.any(|(_, last)| now - *last < lifetime)
        };
        let admitted = binding.is_forward()
            || match filtering {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => open(0, u16::MAX),
                Filtering::AddressAndPortDependent => open(from.port(), from.port()),
            };
        if !admitted {
            return Err(Refusal::Filtered);
        }
        if refresh_inbound && let Some(binding) = self.bindings.get_mut(&place) {
            binding.refreshed = now;
            if let Some(last) = binding.sessions.get_mut(&from) {
                *last = now;
            }
        }
        Ok(inside)
    }

    /// Translates a datagram from inside to one of the NAT's own external addresses (RFC 4787 §6): returns the source
    /// that the receiver sees, and the receiver.
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
        let target = self.inbound_to(now, source, to)?;
        match self.behaviour.hairpin_source {
            HairpinSource::External => Ok((source, target)),
            HairpinSource::Internal => Ok((inside, target)),
        }
    }

    /// Translates an ICMP error about an outbound datagram, which had that external source and that destination:
    /// returns the inside socket that sent it; `None` if no mapping has sent to there. The mapping stays as it is (RFC
    /// 4787 §9, REQ-12).
    pub fn error_inbound(
        &self,
        now: Instant,
        external: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Option<SocketAddrV4> {
        if !self.keeps_state() {
            return Some(external);
        }
        let binding = self.bindings.get(&self.bindings.at(external, remote)?)?;
        let sent = self.alive(now, binding) && binding.sessions.contains(&remote);
        sent.then_some(binding.inside)
    }

    /// Translates an ICMP error about an inbound datagram from `remote` to an inside socket: returns the external
    /// socket that it was sent to, as far as the mappings tell.
    pub fn error_outbound(
        &self,
        now: Instant,
        inside: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Option<SocketAddrV4> {
        if !self.keeps_state() {
            return Some(inside);
        }
        let of_socket = || {
            let all = self.bindings.of_socket(inside);
            all.filter(|(_, binding)| self.alive(now, binding))
        };
        let exact = of_socket().find(|(_, binding)| binding.sessions.contains(&remote));
        let (place, _) = exact.or_else(|| of_socket().next())?;
        Some(place.external)
    }

    /// Whether it keeps sessions: all do, except a router that lets everything pass.
    fn keeps_state(&self) -> bool {
        self.behaviour.translates || self.behaviour.filtering != Filtering::EndpointIndependent
    }

    fn alive(&self, now: Instant, binding: &Binding) -> bool {
        binding.is_forward() || now - binding.refreshed < self.behaviour.lifetime
    }

    /// Whether the router has a connection of its own between that external socket and that sender.
    fn is_own(&self, now: Instant, external: SocketAddrV4, stranger: SocketAddrV4) -> bool {
        self.own
            .get(&(external, stranger))
            .is_some_and(|last| now - *last < OWN_LIFETIME)
    }

    fn address(&self, number: usize) -> Ipv4Addr {
        match number.checked_sub(1) {
            None => self.external,
            Some(index) => self.others[index],
        }
    }

    fn usual_key(&self, inside: SocketAddrV4, to: SocketAddrV4) -> Key {
        let (address, port) = match self.behaviour.mapping {
            Mapping::EndpointIndependent => (None, None),
            Mapping::AddressDependent => (Some(*to.ip()), None),
            Mapping::AddressAndPortDependent => (Some(*to.ip()), Some(to.port())),
        };
        Key {
            inside,
            address,
            port,
        }
    }

    /// The place of the key's live mapping, which is made if there is none.
    fn mapped_place(&mut self, now: Instant, key: Key) -> Result<Place, Refusal> {
        if let Some(place) = self.bindings.of(&key) {
            let binding = self.bindings.get(&place);
            if binding.is_some_and(|binding| self.alive(now, binding)) {
                return Ok(place);
            }
            self.bindings.remove(&place);
        }
        if let Some(limit) = self.behaviour.most_per_host
            && self.bindings.of_host(*key.inside.ip()) >= limit as usize
        {
            self.expire(now, *key.inside.ip());
            if self.bindings.of_host(*key.inside.ip()) >= limit as usize {
                return Err(Refusal::Exhausted);
            }
        }
        let place = self.free_place(now, &key).ok_or(Refusal::Exhausted)?;
        self.insert(now, place, key);
        Ok(place)
    }

    /// The place of a socket behind a router, which is itself.
    fn untranslated(&mut self, now: Instant, inside: SocketAddrV4) -> Result<Place, Refusal> {
        let place = Place::whole(inside);
        let alive = self.bindings.get(&place);
        if !alive.is_some_and(|binding| self.alive(now, binding)) {
            if self.bindings.len() >= MAX_SOCKETS {
                return Err(Refusal::Exhausted);
            }
            self.bindings.remove(&place);
            let key = Key {
                inside,
                address: None,
                port: None,
            };
            self.insert(now, place, key);
        }
        Ok(place)
    }

    fn insert(&mut self, now: Instant, place: Place, key: Key) {
        let binding = Binding {
            inside: key.inside,
            key: Some(key),
            sessions: Table::default(),
            refreshed: now,
        };
        self.bindings.insert(place, binding);
    }

    /// Removes the expired mappings of an inside host.
    fn expire(&mut self, now: Instant, host: Ipv4Addr) {
        let of_host = self.bindings.of_host_with_places(host);
        let dead = of_host.filter(|(_, binding)| !self.alive(now, binding));
        for place in dead.map(|(place, _)| place).collect::<Vec<_>>() {
            self.bindings.remove(&place);
        }
    }
}

/// The external addresses after the first: the same number in the next /24 networks, so that those of the neighbours
/// stay free.
fn others(behaviour: &NatBehaviour, external: Ipv4Addr) -> Box<[Ipv4Addr]> {
    (1..u32::from(behaviour.addresses))
        .map(|number| Ipv4Addr::from(u32::from(external).wrapping_add(number << 8)))
        .collect()
}
