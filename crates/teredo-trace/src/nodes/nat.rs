//! The NAT in front of a client, as far as the datagrams show it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use serde::Serialize;

use crate::recognise::is_public;

/// The most answers of servers that are kept for a client.
const MOST_ANSWERS: usize = 64;
/// Two servers' answers in this time are about one mapping. Behind them, the mapping may have expired in between.
const TOGETHER: Duration = Duration::from_secs(15);
/// A round trip is no shorter than this, for a busy host.
const SHORT: Duration = Duration::from_millis(50);
/// A mapping that was used is alive for this time at least (RFC 4787 §4.3 has two minutes).
const ALIVE: Duration = Duration::from_secs(60);
/// The mappings of a client that are kept.
const MOST_MAPPINGS: usize = 8;
/// A client asks with the cone bit so often (RFC 4380 §5.2.1).
const CONE_TRIES: u32 = 3;
/// The times to live that hosts begin with: such a datagram was captured on its own host or link.
const INITIAL_TTLS: [u8; 3] = [64, 128, 255];

/// A NAT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nat {
    /// Its name, if the observer knows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The NATs in a row that the observer knows, from the client to the Internet; empty in captures.
    #[serde(skip)]
    pub chain: Vec<KnownNat>,
    /// Its public address.
    pub address: Option<Ipv4Addr>,
    /// Its kind, in the words of RFC 4380 §3.1; `None` if the datagrams do not show it.
    pub kind: Option<NatKind>,
    /// How it chooses the mapping, in the words of RFC 4787 §4.1; `None` if the datagrams do not show it.
    pub mapping: Option<Mapping>,
    /// Whether it keeps the number of the port.
    pub port_preserving: Option<bool>,
    /// The reasons for the above, and what does not show, each as a sentence.
    pub evidence: Vec<String>,
}

/// A NAT that the observer knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNat {
    /// Its name.
    pub name: String,
    /// Its addresses on the side of the Internet.
    pub addresses: Vec<Ipv4Addr>,
}

/// The kind of a NAT as a Teredo client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NatKind {
    /// There is none.
    None,
    /// One mapping for all destinations, and everybody may send to it.
    Cone,
    /// One mapping for all destinations, and only those may send to it that were sent to.
    Restricted,
    /// Another mapping for each destination.
    Symmetric,
}

impl NatKind {
    /// The name of the kind, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cone => "cone",
            Self::Restricted => "restricted",
            Self::Symmetric => "symmetric",
        }
    }
}

/// How a NAT chooses the mapping of an internal end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Mapping {
    /// One for all destinations: it is not symmetric.
    EndpointIndependent,
    /// Another one for each destination: it is symmetric.
    EndpointDependent,
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.kind, self.mapping) {
            (Some(NatKind::None), _) => "no NAT",
            (Some(NatKind::Cone), _) => "cone NAT",
            (Some(NatKind::Restricted), _) => "restricted NAT",
            (Some(NatKind::Symmetric), _) => "symmetric NAT",
            (None, Some(Mapping::EndpointIndependent)) => "NAT, not symmetric (cone or restricted)",
            (None, _) => "NAT of an unknown kind",
        })?;
        match self.port_preserving {
            Some(true) if self.kind != Some(NatKind::None) => f.write_str(", keeps the port"),
            Some(false) => f.write_str(", changes the port"),
            _ => Ok(()),
        }
    }
}

/// An answer of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// When the client asked.
    pub(crate) asked: Duration,
    /// When the answer came.
    pub(crate) at: Duration,
    /// The address that was asked, which is the destination of the mapping.
    pub(crate) server: Ipv4Addr,
    pub(crate) local: SocketAddrV4,
    pub(crate) mapped: SocketAddrV4,
}

impl Answer {
    /// Whether another answer is about the same end, as another destination sees it.
    fn is_pair_of(&self, other: &Self) -> bool {
        let is_outside = |answer: &Self| answer.local == answer.mapped;
        self.server != other.server
            && (self.local == other.local || is_outside(self) && is_outside(other))
            && other.at.saturating_sub(self.at) <= TOGETHER
    }

    /// Whether the other question left so early that this mapping cannot have been replaced in between: within one round
    /// trip after the answer.
    fn was_alive_at(&self, other: &Self) -> bool {
        let round_trip = self.at.saturating_sub(self.asked).max(SHORT);
        other.asked.saturating_sub(self.at) <= round_trip
    }
}

/// The mappings of one client that were used.
#[derive(Clone, Debug, Default)]
struct Mappings {
    /// With the time of the last use.
    used: Vec<(SocketAddrV4, Duration)>,
    /// Two that were used in turn: a mapping, another one, and the first one again.
    both: Option<[SocketAddrV4; 2]>,
}

impl Mappings {
    fn uses(&mut self, at: Duration, mapped: SocketAddrV4) {
        let before = self.used.iter().position(|(known, _)| *known == mapped);
        if let Some(before) = before {
            let (_, last) = self.used.remove(before);
            let between = self
                .used
                .iter()
                .find(|(_, other)| *other > last && at.saturating_sub(*other) <= ALIVE);
            if let Some((other, _)) = between {
                self.both = self.both.or(Some([mapped, *other]));
            }
        } else if self.used.len() >= MOST_MAPPINGS {
            self.used.remove(0);
        }
        self.used.push((mapped, at));
    }
}

/// The observations about the NAT of one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    answers: Vec<Answer>,
    mappings: Mappings,
    /// A solicitation with the cone bit was answered from this address, which was not asked.
    cone_answered: Option<Ipv4Addr>,
    /// So many solicitations with the cone bit were not, while others were.
    cone_unanswered: u32,
    /// A bubble came in from an end that was not sent to: that end, and whether its address was sent to.
    stranger: Option<(SocketAddrV4, bool)>,
    /// A datagram came in from an end that was not sent to in the capture, but perhaps before it.
    unknown: Option<SocketAddrV4>,
    /// A peer saw the client at this end instead of the one in its Teredo address.
    elsewhere: Option<(SocketAddrV4, SocketAddrV4)>,
    /// The time to live of its solicitations.
    ttl: Option<u8>,
    /// The private end in the identifier of its solicitations (RFC 4380 §5.2.1).
    embedded: Option<SocketAddrV4>,
}

impl Evidence {
    pub(crate) fn solicited(&mut self, ttl: u8, embedded: Option<SocketAddrV4>) {
        self.ttl = self.ttl.or(Some(ttl));
        self.embedded = self.embedded.or(embedded);
    }

    pub(crate) fn answered(&mut self, answer: Answer) {
        self.mappings.uses(answer.asked, answer.mapped);
        if self.answers.len() < MOST_ANSWERS {
            self.answers.push(answer);
        }
    }

    /// The client sends from this mapping.
    pub(crate) fn has_mapping(&mut self, at: Duration, mapped: SocketAddrV4) {
        self.mappings.uses(at, mapped);
    }

    pub(crate) fn cone_answered(&mut self, from: Ipv4Addr) {
        self.cone_answered = self.cone_answered.or(Some(from));
    }

    pub(crate) const fn cone_unanswered(&mut self, count: u32) {
        self.cone_unanswered = self.cone_unanswered.saturating_add(count);
    }

    pub(crate) fn stranger(&mut self, from: SocketAddrV4, address_is_known: bool) {
        // A stranger's address says more than another port of a known one.
        match self.stranger {
            Some((_, false)) => {}
            Some(_) if address_is_known => {}
            _ => self.stranger = Some((from, address_is_known)),
        }
    }

    pub(crate) fn unknown(&mut self, from: SocketAddrV4) {
        self.unknown = self.unknown.or(Some(from));
    }

    pub(crate) fn seen_elsewhere(&mut self, mapped: SocketAddrV4, seen: SocketAddrV4) {
        self.elsewhere = self.elsewhere.or(Some((mapped, seen)));
    }

    /// The verdict; `None` if nothing is known at all. `local` and `mapped` are the client's own ends.
    pub(crate) fn judge(
        &self,
        local: Option<SocketAddrV4>,
        mapped: Option<SocketAddrV4>,
    ) -> Option<Nat> {
        let mapped = mapped?;
        let mut evidence = Vec::new();
        let (kind, mapping) = self.kind(mapped, local, &mut evidence);
        if kind == Some(NatKind::Symmetric) {
            evidence.push(String::from(
                "a client without RFC 6081 has no service behind it (RFC 4380 §5.2.1)",
            ));
        }
        // Outside of a NAT, an end is its own mapping, which says nothing about the port inside.
        let inner = local
            .or(self.embedded)
            .filter(|inner| kind == Some(NatKind::None) || *inner != mapped);
        let port_preserving = inner.map(|inner| inner.port() == mapped.port());
        if let (Some(inner), Some(kept)) = (inner, port_preserving)
            && kind != Some(NatKind::None)
        {
            let verb = if kept { "keeps" } else { "changes" };
            evidence.push(format!("{inner} is mapped to {mapped}: it {verb} the port"));
        }
        self.moves(&mut evidence);
        if kind.is_none() && evidence.is_empty() {
            return None;
        }
        Some(Nat {
            name: None,
            chain: Vec::new(),
            address: (kind != Some(NatKind::None)).then(|| *mapped.ip()),
            kind,
            mapping,
            port_preserving,
            evidence,
        })
    }

    fn kind(
        &self,
        mapped: SocketAddrV4,
        local: Option<SocketAddrV4>,
        evidence: &mut Vec<String>,
    ) -> (Option<NatKind>, Option<Mapping>) {
        let symmetric = (Some(NatKind::Symmetric), Some(Mapping::EndpointDependent));
        let independent = Some(Mapping::EndpointIndependent);
        let pairs = || {
            let next = self.answers.iter().skip(1);
            (self.answers.iter().zip(next)).filter(|(a, b)| a.is_pair_of(b))
        };
        let differ = |(a, b): &(&Answer, &Answer)| a.mapped != b.mapped && a.was_alive_at(b);
        if let Some((a, b)) = pairs().find(differ) {
            evidence.push(format!(
                "{} sees {}, and {} sees {}: another mapping for each destination",
                a.server, a.mapped, b.server, b.mapped
            ));
            return symmetric;
        }
        if let Some([one, other]) = self.mappings.both {
            evidence.push(format!(
                "it sends from {one} and from {other} in turn: another mapping for each destination"
            ));
            return symmetric;
        }
        if let Some((mapped, seen)) = self.elsewhere {
            evidence.push(format!(
                "its address says {mapped}, and it sends from {seen}: another mapping for this destination, or the mapping \
                 moved"
            ));
        }
        if self.is_direct(mapped, local, evidence) {
            return (Some(NatKind::None), None);
        }
        let same = pairs().find(|(a, b)| a.mapped == b.mapped);
        if let Some((a, b)) = same {
            evidence.push(format!(
                "{} and {} both see {}: one mapping for all destinations",
                a.server, b.server, a.mapped
            ));
        }
        let mapping = same.and(independent);
        if let Some(from) = self.cone_answered {
            evidence.push(format!(
                "an answer came in from {from}, which was not asked"
            ));
            return (Some(NatKind::Cone), mapping);
        }
        match self.stranger {
            Some((from, false)) => {
                evidence.push(format!(
                    "a bubble came in from {from} before anything was sent to that address"
                ));
                return (Some(NatKind::Cone), mapping);
            }
            Some((from, true)) => evidence.push(format!(
                "a bubble came in from {from} before anything was sent to that port"
            )),
            None => {}
        }
        if let Some(from) = self.unknown {
            evidence.push(format!(
                "a datagram came in from {from}, which may be a contact from before the capture"
            ));
        }
        match (self.cone_unanswered, same) {
            (0, None) => (None, None),
            (0, Some(_)) => {
                evidence.push(String::from(
                    "whether strangers can send to it does not show: no solicitation had the cone bit",
                ));
                (None, mapping)
            }
            (count, _) => {
                evidence.push(format!(
                    "{count} solicitations with the cone bit were not answered, and one without was"
                ));
                // Fewer may have been lost; and behind a symmetric NAT they are not answered, either.
                let is_proof = count >= CONE_TRIES && same.is_some();
                (is_proof.then_some(NatKind::Restricted), mapping)
            }
        }
    }

    /// Whether there is no NAT between the point of capture and the servers, and the point is on the client's own link.
    fn is_direct(
        &self,
        mapped: SocketAddrV4,
        local: Option<SocketAddrV4>,
        evidence: &mut Vec<String>,
    ) -> bool {
        let sees_itself = |answer: &Answer| answer.local == answer.mapped;
        if self.answers.is_empty() || !self.answers.iter().all(sees_itself) {
            return false;
        }
        if local.is_some_and(|local| local != mapped) {
            return false;
        }
        if let Some(inner) = self.embedded.filter(|inner| *inner != mapped) {
            evidence.push(format!(
                "captured outside of the NAT: the client's identifier names {inner}"
            ));
            return false;
        }
        match self.ttl {
            Some(ttl) if INITIAL_TTLS.contains(&ttl) => {
                evidence.push(format!(
                    "the server sees {mapped}, from which the client sends with its first time to live, {ttl}; a NAT that is a \
                     program on the same host, such as a virtual machine's, would look the same"
                ));
                true
            }
            _ => {
                evidence.push(String::from(
                    "captured between the client and its server, perhaps outside of a NAT",
                ));
                false
            }
        }
    }

    /// The times at which one server saw a new mapping of the same end.
    fn moves(&self, evidence: &mut Vec<String>) {
        /// More would be a list, and no evidence.
        const MOST: usize = 3;
        let mut last: Vec<Answer> = Vec::new();
        let mut moves = 0_usize;
        for answer in &self.answers {
            let of_same =
                |old: &&mut Answer| old.server == answer.server && old.local == answer.local;
            match last.iter_mut().find(of_same) {
                Some(old) => {
                    if old.mapped != answer.mapped {
                        moves += 1;
                        if moves <= MOST {
                            let after = answer.at.saturating_sub(old.at).as_secs_f64();
                            evidence.push(format!(
                                "the mapping moved from {} to {} within {after:.1} s",
                                old.mapped, answer.mapped
                            ));
                        }
                    }
                    *old = *answer;
                }
                None => last.push(*answer),
            }
        }
    }
}

/// The private end in the identifier of a solicitation's source, if it is one.
pub(crate) fn embedded_end(source: Ipv6Addr) -> Option<SocketAddrV4> {
    let [.., p0, p1, a, b, c, d] = source.octets();
    let port = !u16::from_be_bytes([p0, p1]);
    let address = Ipv4Addr::new(!a, !b, !c, !d);
    (port != 0 && address.is_private() && !is_public(address))
        .then(|| SocketAddrV4::new(address, port))
}
