//! Translation of IPv4 packets, in place: addresses, ports and checksums, as the NAT says. No I/O.
//!
//! UDP, TCP and queries of ICMP have a NAT each of the same behaviour, with an identifier as the port of a query (RFC
//! 5508 §3). ICMP errors follow the datagrams that they are about (RFC 5508 §4). Fragments follow their first one. Other
//! packets are dropped.

mod fragments;
mod packet;

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, SystemTime};

use teredo::Instant;
use teredo_nat::{Nat, NatBehaviour, Refusal};

use self::fragments::{Fragments, Key, Way};
use self::packet::{Content, Packet, Part, Protocol};

/// The most dropped packets that are kept; older ones are forgotten first.
const KEPT_DISCARDS: usize = 4096;
/// How much is kept of a dropped packet, in bytes.
const KEPT_BYTES: usize = 2048;

/// A side of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The home network.
    Inside,
    /// The Internet.
    Outside,
}

/// Why a NAT in user space dropped a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiscardReason {
    /// The NAT refused it.
    Refused(Refusal),
    /// It is a fragment, and its first one has not passed.
    Fragment,
    /// It is of another protocol than UDP, TCP and ICMP, or an ICMP message that no NAT forwards.
    Protocol,
    /// It is no whole IPv4 packet.
    Malformed,
    /// An ICMP error about a datagram that no mapping has sent or received.
    Unrelated,
}

impl fmt::Display for DiscardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(Refusal::NoMapping) => "no mapping",
            Self::Refused(Refusal::Filtered) => "filtered",
            Self::Refused(Refusal::Exhausted) => "no free port",
            Self::Refused(Refusal::NoHairpin) => "no hairpinning",
            Self::Fragment => "a fragment without its first",
            Self::Protocol => "another protocol",
            Self::Malformed => "malformed",
            Self::Unrelated => "an error about another's datagram",
        })
    }
}

/// A packet that a NAT in user space dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discard {
    /// When.
    pub time: SystemTime,
    /// The side that it came from.
    pub side: Side,
    /// Its IPv4 packet, or the first 2048 bytes.
    pub packet: Vec<u8>,
    /// Why.
    pub reason: DiscardReason,
}

/// A NAT for whole packets.
#[derive(Debug)]
pub(super) struct Translator {
    udp: Nat,
    tcp: Nat,
    query: Nat,
    fragments: Fragments,
    discards: VecDeque<Discard>,
}

impl Translator {
    /// A NAT with these external addresses, of which there is at least one.
    pub(super) fn new(behaviour: NatBehaviour, externals: &[Ipv4Addr], seed: u64) -> Self {
        let nat = |number: u64| {
            let first = externals.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED);
            let mut nat = Nat::new(behaviour, first, seed.wrapping_add(number));
            nat.set_pool(externals.get(1..).unwrap_or_default());
            nat
        };
        Self {
            udp: nat(0),
            tcp: nat(1),
            query: nat(2),
            fragments: Fragments::default(),
            discards: VecDeque::new(),
        }
    }

    /// Forgets all mappings.
    pub(super) fn forget(&mut self) {
        self.fragments.forget();
        self.each(Nat::forget);
    }

    /// Changes the behaviour of new mappings.
    pub(super) fn change(&mut self, mut change: impl FnMut(&mut NatBehaviour)) {
        self.each(|nat| change(nat.behaviour_mut()));
    }

    /// Gives it other external addresses, and forgets all mappings.
    pub(super) fn renumber(&mut self, externals: &[Ipv4Addr]) {
        self.fragments.forget();
        self.each(|nat| {
            if let [first, others @ ..] = externals {
                nat.renumber(*first);
                nat.set_pool(others);
            }
        });
    }

    /// UDP ports of the first external address are open to all, and lead to these sockets inside; no others do. The
    /// behaviour is that of a gateway device.
    pub(super) fn grant(&mut self, now: Instant, ports: &[(u16, SocketAddrV4)]) {
        let held = self.udp.port_mappings(now);
        for (port, _) in held.iter().filter(|one| !ports.contains(one)) {
            if let Err(error) = self.udp.delete_port_mapping(now, *port) {
                tracing::debug!(port, ?error, "a NAT keeps a port");
            }
        }
        for (port, inside) in ports.iter().filter(|one| !held.contains(one)) {
            if let Err(error) = self
                .udp
                .add_port_mapping(now, *port, *inside, Duration::ZERO)
            {
                tracing::debug!(port, ?error, "a NAT does not give a port");
            }
        }
    }

    /// The dropped packets.
    pub(super) fn discards(&self) -> Vec<Discard> {
        self.discards.iter().cloned().collect()
    }

    fn each(&mut self, mut f: impl FnMut(&mut Nat)) {
        for nat in [&mut self.udp, &mut self.tcp, &mut self.query] {
            f(nat);
        }
    }

    /// Translates a packet that came from one side; returns the side that it leaves to, or `None` if it is dropped.
    pub(super) fn translate(&mut self, now: Instant, from: Side, bytes: &mut [u8]) -> Option<Side> {
        match self.pass(now, from, bytes) {
            Ok(to) => {
                packet::add_hop(bytes);
                Some(to)
            }
            Err(reason) => {
                if self.discards.len() == KEPT_DISCARDS {
                    self.discards.pop_front();
                }
                self.discards.push_back(Discard {
                    time: SystemTime::now(),
                    side: from,
                    packet: bytes[..bytes.len().min(KEPT_BYTES)].to_vec(),
                    reason,
                });
                None
            }
        }
    }

    fn pass(&mut self, now: Instant, from: Side, bytes: &mut [u8]) -> Result<Side, DiscardReason> {
        let (part, protocol, id) = packet::part(bytes)?;
        let [source, destination] = packet::addresses(bytes);
        let key = Key {
            from,
            source,
            destination,
            protocol,
            id,
        };
        if part == Part::LaterFragment {
            let way = self.fragments.way(now, &key);
            let way = way.ok_or(DiscardReason::Fragment)?;
            packet::redirect(bytes, [way.source, way.destination]);
            return Ok(way.to);
        }
        let mut packet = Packet::parse(bytes)?;
        let is_whole = part == Part::Whole;
        // The router answers itself, and does not put anything together.
        if !is_whole && packet.is_echo() && self.is_external(packet.destination()) {
            return Err(DiscardReason::Fragment);
        }
        let to = match from {
            Side::Inside => self.outbound(now, &mut packet),
            Side::Outside => self.inbound(now, &mut packet),
        }?;
        if !is_whole {
            let [source, destination] = packet::addresses(bytes);
            let way = Way {
                to,
                source,
                destination,
            };
            self.fragments.led(now, key, way);
        }
        Ok(to)
    }

    fn outbound(&mut self, now: Instant, packet: &mut Packet<'_>) -> Result<Side, DiscardReason> {
        let (from, to) = (packet.source(), packet.destination());
        let protocol = match packet.content() {
            Content::Udp => Protocol::Udp,
            Content::Tcp => Protocol::Tcp,
            Content::EchoRequest if self.is_external(to) => {
                // The router answers itself.
                packet.answer_echo();
                return Ok(Side::Inside);
            }
            Content::EchoRequest => Protocol::Query,
            Content::EchoReply => return Err(DiscardReason::Protocol),
            Content::Error {
                protocol,
                source,
                destination,
            } => {
                // About a datagram that came in: its destination is the inside socket.
                let external = self.nat(protocol).error_outbound(now, destination, source);
                packet.lead_outside(external.ok_or(DiscardReason::Unrelated)?);
                return Ok(Side::Outside);
            }
        };
        if self.is_external(to) {
            let (source, target) = self.nat(protocol).hairpin(now, from, to)?;
            packet.set_source(source);
            packet.set_destination(target);
            return Ok(Side::Inside);
        }
        packet.set_source(self.nat(protocol).outbound(now, from, to)?);
        Ok(Side::Outside)
    }

    fn inbound(&mut self, now: Instant, packet: &mut Packet<'_>) -> Result<Side, DiscardReason> {
        let (from, external) = (packet.source(), packet.destination());
        if !self.is_external(external) {
            return Err(DiscardReason::Refused(Refusal::NoMapping));
        }
        let protocol = match packet.content() {
            Content::Udp => Protocol::Udp,
            Content::Tcp => Protocol::Tcp,
            Content::EchoReply => Protocol::Query,
            Content::EchoRequest => {
                packet.answer_echo();
                return Ok(Side::Outside);
            }
            Content::Error {
                protocol,
                source,
                destination,
            } => {
                // About a datagram that left: its source is the external socket.
                let inside = self.nat(protocol).error_inbound(now, source, destination);
                packet.lead_inside(inside.ok_or(DiscardReason::Unrelated)?);
                return Ok(Side::Inside);
            }
        };
        packet.set_destination(self.nat(protocol).inbound_to(now, from, external)?);
        Ok(Side::Inside)
    }

    fn nat(&mut self, protocol: Protocol) -> &mut Nat {
        match protocol {
            Protocol::Udp => &mut self.udp,
            Protocol::Tcp => &mut self.tcp,
            Protocol::Query => &mut self.query,
        }
    }

    fn is_external(&self, socket: SocketAddrV4) -> bool {
        self.udp
            .externals()
            .any(|external| external == *socket.ip())
    }
}

impl From<Refusal> for DiscardReason {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[cfg(test)]
mod tests;
