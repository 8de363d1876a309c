//! Which endpoints belong to one node.
//!
//! A client has a local end and a mapping, or several mappings behind a symmetric NAT; a server has two addresses. Each
//! datagram that proves that two endpoints are the same node unites them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::wire::{PORT, RouterAdvertisement};

use super::{Node, Role, embedded_end};
use crate::contents::{Contents, Message, embedded};
use crate::questions::Questions;
use crate::recognise::is_public;
use crate::seen::Seen;

/// The most addresses that are kept for a node.
const KEPT: usize = 16;
/// The number of all endpoints beyond the limit. There is no such entry: facts about them are not kept.
const BEYOND: usize = usize::MAX;
/// The questions of one qualification leave within this time.
const QUALIFICATION: Duration = Duration::from_secs(10);
/// The clients with one identifier behind one address that are told apart.
const MOST_TWINS: usize = 16;
/// The name of the node that stands for all endpoints beyond the limit.
pub(crate) const OTHERS: &str = "others";

/// All endpoints, and the facts about them.
#[derive(Debug)]
pub(crate) struct Register {
    servers: BTreeSet<Ipv4Addr>,
    questions: Questions,
    index: BTreeMap<SocketAddrV4, usize>,
    teredo: BTreeMap<Ipv6Addr, usize>,
    /// Link-local addresses with an identifier of their own, per public IPv4 address.
    identifiers: BTreeMap<(Ipv4Addr, Ipv6Addr), Vec<Twin>>,
    /// The ports that may be guesses of a client's port, with its Teredo address.
    guesses: BTreeMap<SocketAddrV4, Ipv6Addr>,
    entries: Vec<Entry>,
    /// The most entries.
    limit: usize,
    /// The datagrams from and to endpoints beyond it.
    beyond: [u64; 2],
}

#[derive(Debug, Default)]
struct Entry {
    /// The entry that it was united with.
    parent: Option<usize>,
    is_server: bool,
    is_client: bool,
    /// It got an advertisement that nobody was seen to ask for.
    may_be_client: bool,
    is_relay: bool,
    /// Others treat it as a relay, which a single forged datagram can do.
    may_be_relay: bool,
    is_group: bool,
    /// The observer knows all of its ends, and the first of them is the one that people know it by.
    is_known: bool,
    /// The endpoint that it was made for.
    first: Option<SocketAddrV4>,
    addresses: Vec<Ipv4Addr>,
    local: Option<SocketAddrV4>,
    mapped: Option<SocketAddrV4>,
    teredo: Vec<Ipv6Addr>,
    /// The Teredo address whose service port is certainly the local end: a server passed a packet on to it.
    proved: Option<Ipv6Addr>,
    sent: u64,
    received: u64,
}

/// One of the clients that share an identifier and a public address: two homes behind a carrier's NAT have it, if both
/// hosts have the same private end.
#[derive(Debug)]
struct Twin {
    at: usize,
    /// By server: the end that asked it.
    asked: BTreeMap<SocketAddrV4, SocketAddrV4>,
    last: Duration,
}

impl Twin {
    /// Whether a question from another end can be this client's: its NAT has another mapping for each server, and it has
    /// not asked this one.
    fn may_ask(&self, seen: &Seen) -> bool {
        let mut ends: Vec<_> = self.asked.values().collect();
        ends.sort_unstable();
        ends.dedup();
        ends.len() == self.asked.len()
            && !self.asked.contains_key(&seen.destination)
            && seen.time.saturating_sub(self.last) <= QUALIFICATION
    }
}

/// How sure it is that two endpoints are one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// The observer knows it, or both ends used one nonce.
    Sure,
    /// A datagram says so, which may be forged: two nodes that are known on their own stay two.
    Word,
}

impl Register {
    /// An empty register of at most `limit` nodes, one of which stands for all that are beyond it.
    pub(crate) const fn new(
        servers: BTreeSet<Ipv4Addr>,
        questions: Questions,
        limit: usize,
    ) -> Self {
        Self {
            servers,
            questions,
            index: BTreeMap::new(),
            teredo: BTreeMap::new(),
            identifiers: BTreeMap::new(),
            guesses: BTreeMap::new(),
            entries: Vec::new(),
            limit: limit.saturating_sub(1),
            beyond: [0; 2],
        }
    }

    pub(crate) const fn servers(&self) -> &BTreeSet<Ipv4Addr> {
        &self.servers
    }

    /// These ends belong to one node, the first of which is its own.
    pub(crate) fn know(&mut self, ends: &[SocketAddrV4]) {
        let mut ends = ends.to_vec();
        // The secondary address of a server follows the primary one (RFC 4380 §5.3), whichever spoke first.
        if ends.iter().all(|end| self.is_server(*end)) {
            ends.sort_unstable();
        }
        let Some((first, others)) = ends.split_first() else {
            return;
        };
        let at = self.at(*first);
        self.edit(at, |entry| {
            entry.is_known = true;
            entry.local = (!entry.is_server).then_some(*first);
        });
        for other in others {
            let other = self.at(*other);
            self.unite(at, other, Proof::Sure);
        }
    }

    /// Learns from a datagram. All datagrams have to be taught before [`Self::nodes`].
    pub(crate) fn learn(&mut self, seen: &Seen) {
        let from = self.at(seen.source);
        let to = self.at(seen.near_destination());
        self.beyond[0] += u64::from(from == BEYOND);
        self.beyond[1] += u64::from(to == BEYOND);
        self.edit(from, |entry| entry.sent += 1);
        self.edit(to, |entry| entry.received += 1);
        if let Some(public) = seen.public_source.filter(|public| *public != seen.source) {
            self.unite_mapping(seen.source, public, Proof::Sure);
        }
        if let Some(inner) = seen
            .inner_destination
            .filter(|inner| *inner != seen.destination)
        {
            self.unite_mapping(inner, seen.destination, Proof::Sure);
        }
        let Ok(contents) = &seen.contents else {
            return;
        };
        self.learn_source(seen, contents);
        self.learn_destination(seen, contents);
        match &contents.message {
            Message::Solicitation(_) => {
                self.edit(from, |entry| entry.is_client = true);
                self.know_identifier(seen, contents);
            }
            Message::Advertisement(advertisement) => {
                self.edit(to, |entry| entry.may_be_client = true);
                if let Some(question) = self.questions.answered_by(seen, contents) {
                    self.edit(to, |entry| entry.is_client = true);
                    self.learn_server(seen.source, question.to, advertisement.as_deref().ok());
                    self.learn_mapping(seen, contents, question.from);
                }
            }
            _ => self.learn_origin(contents),
        }
    }

    /// The answer to a solicitation names the mapping of the end that asked.
    fn learn_mapping(&mut self, seen: &Seen, contents: &Contents, asked: SocketAddrV4) {
        let Some(origin) = contents.origin else {
            return;
        };
        let near = seen.near_destination();
        // Captured at both sides of the NAT, the question is there twice.
        let nonce = contents.authentication.map(|element| element.nonce);
        let proof = |local| {
            let has = |end| nonce.is_some_and(|nonce| self.questions.has(&nonce, end));
            if has(local) && has(origin) {
                Proof::Sure
            } else {
                Proof::Word
            }
        };
        let [by_asked, by_near] = [proof(asked), proof(near)];
        self.unite_mapping(asked, origin, by_asked);
        if near != asked {
            self.unite_mapping(near, origin, by_near);
        }
    }

    /// One server has both addresses: it was asked at one and answered from the other, or it advertises the prefix of the
    /// other (RFC 4380 §5.3.2). Behind a NAT of one address to one, that prefix is of its public address.
    fn learn_server(
        &mut self,
        from: SocketAddrV4,
        asked: SocketAddrV4,
        advertisement: Option<&RouterAdvertisement>,
    ) {
        let prefix = advertisement
            .and_then(|advertisement| advertisement.prefixes.first())
            .and_then(|prefix| embedded(prefix.prefix))
            .map(|address| SocketAddrV4::new(address.server, PORT));
        if let Some(public) = prefix.filter(|public| {
            self.is_server(from) && !is_public(*from.ip()) && is_public(*public.ip())
        }) {
            self.servers.insert(*public.ip());
            let at = self.at(public);
            self.edit(at, |entry| entry.is_server = true);
        }
        for other in [prefix, Some(asked)].into_iter().flatten() {
            if self.is_server(from) && self.is_server(other) {
                let (other, from) = (self.at(other), self.at(from));
                self.unite(other, from, Proof::Sure);
            }
        }
    }

    fn learn_source(&mut self, seen: &Seen, contents: &Contents) {
        let from = self.at(seen.source);
        let Some(address) = embedded(contents.source) else {
            // With an origin indication, a server passes on the packet of a relay.
            let is_own = contents.origin.is_none() && !is_discovery(&contents.message);
            if is_own && is_plain(contents.source) {
                self.edit(from, |entry| entry.is_relay = true);
            }
            return;
        };
        if contents.origin.is_none()
            && self.speaks_for(seen.source, seen.far_source(), address.mapped)
        {
            self.know_teredo(seen.source, contents.source, address.mapped, Proof::Word);
        }
    }

    /// The receiver of a datagram did not ask for it, so the datagram alone shows little.
    fn learn_destination(&mut self, seen: &Seen, contents: &Contents) {
        let (near, far) = (seen.near_destination(), seen.destination);
        let to = self.at(near);
        match embedded(contents.destination) {
            Some(address) => {
                let is_same = far == address.mapped || near == address.mapped;
                let entry = self.entries.get(to);
                let is_known = entry.is_some_and(|entry| {
                    entry.mapped == Some(address.mapped)
                        || entry.teredo.contains(&contents.destination)
                });
                if is_same || is_known {
                    // Peers send to its other sockets as well (RFC 6081 §5.4); a server sends to the mapping in the address.
                    let proof = match self.is_server(seen.source) {
                        true => Proof::Sure,
                        false => Proof::Word,
                    };
                    self.know_teredo(near, contents.destination, address.mapped, proof);
                } else if near.ip() == address.mapped.ip() && self.guesses.len() < self.limit {
                    self.guesses.insert(near, contents.destination);
                }
            }
            // Servers get packets to native hosts, too.
            None if !self.is_server(near)
                && is_plain(contents.destination)
                && !is_discovery(&contents.message)
                && !matches!(contents.message, Message::EchoRequest(_))
                && !far.ip().is_multicast() =>
            {
                self.edit(to, |entry| entry.may_be_relay = true);
            }
            None => {}
        }
    }

    /// A server names the endpoint that it got a bubble from. If the bubble's source is native, that is a relay.
    fn learn_origin(&mut self, contents: &Contents) {
        let Some(origin) = contents.origin else {
            return;
        };
        let at = self.at(origin);
        match embedded(contents.source) {
            None if is_plain(contents.source) => {
                self.edit(at, |entry| entry.may_be_relay = true);
            }
            Some(address) if address.mapped == origin => {
                self.know_teredo(origin, contents.source, origin, Proof::Word);
            }
            _ => {}
        }
    }

    /// Whether the sender is the node whose Teredo address has this mapping. A private end is behind the NAT; another
    /// port of the same address is another mapping of a symmetric NAT. Anything else may be forged.
    fn speaks_for(&self, near: SocketAddrV4, far: SocketAddrV4, mapped: SocketAddrV4) -> bool {
        let is_same = far == mapped || near == mapped;
        let is_inside = !is_public(*near.ip()) && !near.ip().is_multicast();
        let is_symmetric = far.ip() == mapped.ip();
        is_same || !self.is_server(near) && (is_inside || is_symmetric)
    }

    fn is_server(&self, end: SocketAddrV4) -> bool {
        end.port() == PORT && self.servers.contains(end.ip())
    }

    fn know_teredo(
        &mut self,
        end: SocketAddrV4,
        address: Ipv6Addr,
        mapped: SocketAddrV4,
        service_port: Proof,
    ) {
        let mut at = self.at(end);
        let owner = self.teredo.get(&address).copied();
        let outside = (mapped != end && !self.is_server(mapped)).then(|| self.at(mapped));
        for other in [owner, outside].into_iter().flatten() {
            match self.unite(other, at, Proof::Word) {
                Some(one) => at = one,
                // The address is another node's.
                None => return,
            }
        }
        if owner.is_none() && self.teredo.len() < self.limit && at != BEYOND {
            self.teredo.insert(address, at);
        }
        let is_inside = outside.is_some() && !is_public(*end.ip());
        self.edit(at, |entry| {
            entry.is_client = true;
            entry.mapped = entry.mapped.or(Some(mapped));
            let is_sure = service_port == Proof::Sure;
            if is_inside && !entry.is_known && (is_sure || entry.proved != Some(address)) {
                (entry.local, entry.mapped) = (Some(end), Some(mapped));
                entry.proved = is_sure.then_some(address);
            }
            if !entry.teredo.contains(&address) && entry.teredo.len() < KEPT {
                entry.teredo.push(address);
            }
        });
    }

    /// A local end and its mapping are one node.
    fn unite_mapping(&mut self, local: SocketAddrV4, mapped: SocketAddrV4, proof: Proof) {
        if self.is_server(mapped) || self.is_server(local) {
            return;
        }
        let (inside, outside) = (self.at(local), self.at(mapped));
        let Some(at) = self.unite(inside, outside, proof) else {
            return;
        };
        self.edit(at, |entry| {
            // Its other sockets, for peers or after a change of the port, have other mappings.
            if entry.is_known && (entry.local != Some(local) || entry.mapped.is_some()) {
                return;
            }
            if local != mapped && (proof == Proof::Sure || !is_public(*local.ip())) {
                entry.local = Some(local);
            }
            entry.mapped = Some(mapped);
        });
    }

    /// Solicitations from one public address with the same unusual identifier come from one client, if its NAT is
    /// symmetric: it asks each server from another port.
    fn know_identifier(&mut self, seen: &Seen, contents: &Contents) {
        if is_shared_identifier(contents.source) {
            return;
        }
        let at = self.at(seen.source);
        if is_public(*seen.source.ip())
            && let Some(local) = embedded_end(contents.source)
        {
            self.edit(at, |entry| entry.local = entry.local.or(Some(local)));
        }
        let key = (*seen.far_source().ip(), contents.source);
        if at == BEYOND
            || self.identifiers.len() >= self.limit && !self.identifiers.contains_key(&key)
        {
            return;
        }
        let twins = self.identifiers.entry(key).or_default();
        let is_own = |twin: &&mut Twin| twin.asked.values().any(|end| *end == seen.source);
        let known = match twins.iter_mut().find(is_own) {
            Some(twin) => Some(twin),
            None => twins.iter_mut().find(|twin| twin.may_ask(seen)),
        };
        let Some(twin) = known else {
            if twins.len() < MOST_TWINS {
                twins.push(Twin {
                    at,
                    asked: BTreeMap::from([(seen.destination, seen.source)]),
                    last: seen.time,
                });
            }
            return;
        };
        twin.last = seen.time;
        if twin.asked.len() < KEPT {
            twin.asked.insert(seen.destination, seen.source);
        }
        let known = twin.at;
        self.unite(known, at, Proof::Word);
    }

    /// The entry of an endpoint.
    fn at(&mut self, end: SocketAddrV4) -> usize {
        if let Some(&known) = self.index.get(&end) {
            return self.root(known);
        }
        if self.entries.len() >= self.limit {
            return BEYOND;
        }
        let new = self.entries.len();
        self.entries.push(Entry {
            is_server: self.is_server(end),
            is_group: end.ip().is_multicast(),
            first: Some(end),
            addresses: vec![*end.ip()],
            ..Entry::default()
        });
        self.index.insert(end, new);
        new
    }

    /// The entry that this one was united with, if any. The next search is short again.
    fn root(&mut self, at: usize) -> usize {
        let parent = |entries: &[Entry], at: usize| entries.get(at).and_then(|entry| entry.parent);
        let mut root = at;
        while let Some(next) = parent(&self.entries, root) {
            root = next;
        }
        let mut at = at;
        while let Some(entry) = self.entries.get_mut(at)
            && let Some(next) = entry.parent
        {
            entry.parent = Some(root);
            at = next;
        }
        root
    }

    fn edit(&mut self, at: usize, change: impl FnOnce(&mut Entry)) {
        let root = self.root(at);
        if let Some(entry) = self.entries.get_mut(root) {
            change(entry);
        }
    }

    /// Makes two entries one; returns the one that stays, which is the older. `None` if they are two nodes.
    fn unite(&mut self, a: usize, b: usize, proof: Proof) -> Option<usize> {
        let (a, b) = (self.root(a), self.root(b));
        let (stays, goes) = (a.min(b), a.max(b));
        if stays == goes {
            return Some(stays);
        }
        let (one, other) = (self.entries.get(stays)?, self.entries.get(goes)?);
        if !one.may_be(other, proof) {
            return None;
        }
        let parent = Entry {
            parent: Some(stays),
            ..Entry::default()
        };
        let gone = std::mem::replace(self.entries.get_mut(goes)?, parent);
        self.edit(stays, |entry| entry.take(gone));
        Some(stays)
    }

    /// A port that nobody sent from, at the address of a client's NAT, is a guess of that client's port (RFC 6081 §5.4).
    fn assign_guesses(&mut self) {
        for (end, address) in std::mem::take(&mut self.guesses) {
            let at = self.at(end);
            let is_silent = |entry: &Entry| entry.sent == 0 && entry.role() == Role::Unknown;
            if let Some(&owner) = self.teredo.get(&address)
                && self.entries.get(at).is_some_and(is_silent)
            {
                self.unite(owner, at, Proof::Word);
            }
        }
    }

    /// The nodes that sent or received something, and the place of each endpoint among them. An endpoint beyond the limit
    /// has none; the last node, [`OTHERS`], counts its datagrams.
    pub(crate) fn nodes(&mut self) -> (Vec<Node>, BTreeMap<SocketAddrV4, usize>) {
        self.assign_guesses();
        let mut counts: BTreeMap<Role, usize> = BTreeMap::new();
        let mut places = BTreeMap::new();
        let mut nodes = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            if entry.parent.is_some() || entry.sent + entry.received == 0 {
                continue;
            }
            let role = entry.role();
            let count = counts.entry(role).or_default();
            *count += 1;
            places.insert(at, nodes.len());
            // The mapping of a client that was seen from outside is not its own end.
            let is_own = |end: &SocketAddrV4| {
                role != Role::Client || entry.mapped.is_none() || !is_public(*end.ip())
            };
            nodes.push(Node {
                id: format!("{}-{count}", role.name()),
                role,
                is_relay: entry.is_relay && role != Role::Relay,
                name: None,
                addresses: entry.addresses.clone(),
                local: entry.local.or_else(|| entry.first.filter(is_own)),
                mapped: entry.mapped,
                teredo: entry.teredo.clone(),
                nat: None,
                sent: entry.sent,
                received: entry.received,
            });
        }
        let [sent, received] = self.beyond;
        if sent + received > 0 {
            nodes.push(Node {
                id: String::from(OTHERS),
                role: Role::Unknown,
                is_relay: false,
                name: None,
                addresses: Vec::new(),
                local: None,
                mapped: None,
                teredo: Vec::new(),
                nat: None,
                sent,
                received,
            });
        }
        let index: Vec<_> = self.index.iter().map(|(end, at)| (*end, *at)).collect();
        let ends = (index.into_iter())
            .filter_map(|(end, at)| Some((end, *places.get(&self.root(at))?)))
            .collect();
        (nodes, ends)
    }
}

impl Entry {
    /// Whether it has an identity of its own.
    const fn is_somebody(&self) -> bool {
        self.mapped.is_some() || !self.teredo.is_empty()
    }

    /// Whether another entry may be the same node.
    fn may_be(&self, other: &Self, proof: Proof) -> bool {
        let differ = |a: Option<SocketAddrV4>, b: Option<SocketAddrV4>| {
            a.zip(b).is_some_and(|(a, b)| a.ip() != b.ip())
        };
        if self.is_server != other.is_server || self.is_group != other.is_group {
            return false;
        }
        match proof {
            Proof::Sure => !differ(self.local, other.local),
            Proof::Word => !(self.is_somebody() && other.is_somebody()),
        }
    }

    fn take(&mut self, gone: Self) {
        self.is_server |= gone.is_server;
        self.is_client |= gone.is_client;
        self.may_be_client |= gone.may_be_client;
        self.is_relay |= gone.is_relay;
        self.may_be_relay |= gone.may_be_relay;
        self.is_group |= gone.is_group;
        self.is_known |= gone.is_known;
        self.local = self.local.or(gone.local);
        self.mapped = self.mapped.or(gone.mapped);
        self.proved = self.proved.or(gone.proved);
        self.sent += gone.sent;
        self.received += gone.received;
        for address in gone.addresses {
            if !self.addresses.contains(&address) && self.addresses.len() < KEPT {
                self.addresses.push(address);
            }
        }
        for address in gone.teredo {
            if !self.teredo.contains(&address) && self.teredo.len() < KEPT {
                self.teredo.push(address);
            }
        }
    }

    const fn role(&self) -> Role {
        match self {
            Self { is_group: true, .. } => Role::Group,
            Self {
                is_server: true, ..
            } => Role::Server,
            Self {
                is_client: true, ..
            } => Role::Client,
            Self { is_relay: true, .. }
            | Self {
                may_be_relay: true, ..
            } => Role::Relay,
            Self {
                may_be_client: true,
                ..
            } => Role::Client,
            _ => Role::Unknown,
        }
    }
}

/// Whether an address is one node's, and no Teredo address.
fn is_plain(address: Ipv6Addr) -> bool {
    !address.is_multicast() && !address.is_unspecified() && embedded(address).is_none()
}

const fn is_discovery(message: &Message) -> bool {
    matches!(
        message,
        Message::Solicitation(_) | Message::Advertisement(_)
    )
}

/// The identifiers that all Windows clients share: "TEREDO" in letters, and those of Windows Vista and later.
fn is_shared_identifier(source: Ipv6Addr) -> bool {
    let [.., a, b, c] = source.segments();
    matches!(
        (a, b, c),
        (0x5445, 0x5245, 0x444f) | (0xffff, 0xffff, 0xfffc..=0xffff)
    )
}
