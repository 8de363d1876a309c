//! The solicitations of a capture, and its servers. Anybody can send an advertisement with any source; only one that
//! answers a solicitation proves something.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::wire::PORT;

use crate::contents::{Contents, Message, embedded, is_cone};
use crate::recognise::is_public;
use crate::seen::Seen;

/// The ends that are kept for one nonce, and the servers for one end. A nonce has two ends if the capture is from both
/// sides of a NAT.
const KEPT: usize = 8;

/// A solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
    cone: bool,
}

/// The solicitations of a whole capture. They are at most as many as its packets.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    with_nonce: BTreeMap<[u8; 8], Vec<Question>>,
    without: BTreeMap<SocketAddrV4, Vec<Question>>,
}

impl Questions {
    pub(crate) fn of<'a>(all: impl Iterator<Item = &'a Seen>) -> Self {
        let mut questions = Self::default();
        for seen in all {
            let Ok(contents) = &seen.contents else {
                continue;
            };
            if !matches!(contents.message, Message::Solicitation(_)) {
                continue;
            }
            let question = Question {
                from: seen.source,
                to: seen.destination,
                cone: is_cone(contents.source),
            };
            let list = match contents.authentication {
                Some(element) => questions.with_nonce.entry(element.nonce).or_default(),
                None => questions.without.entry(seen.source).or_default(),
            };
            if list.len() < KEPT && !list.contains(&question) {
                list.push(question);
            }
        }
        questions
    }

    /// The solicitation that an advertisement answers. On the one side of a NAT it may be captured while the answer is
    /// captured on the other.
    pub(crate) fn answered_by(&self, seen: &Seen, contents: &Contents) -> Option<Question> {
        let to = seen.near_destination();
        let Some(element) = contents.authentication else {
            let mut asked = self.without.get(&to)?.iter();
            return asked
                .find(|asked| asked.cone || asked.to.ip() == seen.source.ip())
                .copied();
        };
        let asked = self.with_nonce.get(&element.nonce)?;
        let from = |end: SocketAddrV4| asked.iter().find(move |asked| asked.from == end);
        let is_mapping = contents.origin == Some(to);
        from(to)
            .or_else(|| from(contents.origin?))
            .or_else(|| asked.first().filter(|_| is_mapping))
            .copied()
    }

    /// Whether this end asked with this nonce.
    pub(crate) fn has(&self, nonce: &[u8; 8], from: SocketAddrV4) -> bool {
        let asked = self.with_nonce.get(nonce);
        asked.is_some_and(|asked| asked.iter().any(|asked| asked.from == from))
    }

    /// The addresses that are a server's. One that was only asked or that only passed something on is none if a client
    /// sends from it: a single datagram to a client must not make it a server.
    pub(crate) fn servers<'a>(&self, all: impl Iterator<Item = &'a Seen>) -> BTreeSet<Ipv4Addr> {
        let mut servers = BTreeSet::new();
        let mut possible = BTreeSet::new();
        let mut clients = BTreeSet::new();
        for seen in all {
            let Ok(contents) = &seen.contents else {
                continue;
            };
            if is_of_client(seen, contents) {
                clients.insert(seen.source);
            }
            let (from, to) = (seen.source, seen.destination);
            let server_of = |inner| embedded(inner).map(|address| address.server);
            let answers = matches!(contents.message, Message::Advertisement(_));
            if from.port() == PORT && answers && self.answered_by(seen, contents).is_some() {
                servers.insert(*from.ip());
            }
            let passes_on = contents.origin.is_some()
                || server_of(contents.destination) == Some(*from.ip())
                    && !comes_from_mapping(seen, contents);
            if from.port() == PORT && (answers || passes_on) {
                possible.insert(from);
            }
            let is_asked = match &contents.message {
                Message::Solicitation(_) => true,
                Message::EchoRequest(_) => server_of(contents.source) == Some(*to.ip()),
                _ => false,
            } || server_of(contents.destination) == Some(*to.ip());
            if to.port() == PORT && is_asked && !to.ip().is_multicast() {
                possible.insert(to);
            }
        }
        servers.extend(possible.difference(&clients).map(SocketAddrV4::ip));
        servers
    }
}

/// Whether a client sends this: it asks for a mapping, or speaks for its own Teredo address.
fn is_of_client(seen: &Seen, contents: &Contents) -> bool {
    if contents.origin.is_some() {
        return false;
    }
    matches!(contents.message, Message::Solicitation(_))
        || comes_from_mapping(seen, contents)
        || embedded(contents.source).is_some() && !is_public(*seen.source.ip())
}

/// Whether the mapping in the inner source is the outer source: the sender speaks for itself.
fn comes_from_mapping(seen: &Seen, contents: &Contents) -> bool {
    embedded(contents.source).is_some_and(|address| address.mapped == seen.far_source())
}

#[cfg(test)]
mod tests;
