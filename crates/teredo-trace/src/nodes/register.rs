//! Which endpoints belong to one node.
//!
//! A client has a local end and a mapping, or several mappings behind a symmetric NAT; a server has two addresses. Each
//! datagram that proves that two endpoints are the same node unites them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use teredo::wire::{PORT, RouterAdvertisement};

use super::{Node, Role, embedded_end};
use crate::contents::{Contents, Message, embedded};
use crate::recognise::is_public;
use crate::seen::Seen;

/// The most addresses that are kept for a node.
const KEPT: usize = 16;

/// All endpoints, and the facts about them.
#[derive(Debug)]
pub(crate) struct Register {
    servers: BTreeSet<Ipv4Addr>,
    index: BTreeMap<SocketAddrV4, usize>,
    teredo: BTreeMap<Ipv6Addr, usize>,
    /// Link-local addresses with an identifier of their own, per public IPv4 address.
    identifiers: BTreeMap<(Ipv4Addr, Ipv6Addr), usize>,
    entries: Vec<Entry>,
    /// By nonce: the end that asked with it, and the address of the server.
    asked: BTreeMap<[u8; 8], [SocketAddrV4; 2]>,
    /// The most entries; further endpoints share the last one.
    limit: usize,
}

#[derive(Debug, Default)]
struct Entry {
    /// The entry that it was united with.
    parent: Option<usize>,
    is_server: bool,
    is_client: bool,
    is_relay: bool,
    is_group: bool,
    /// The endpoint that it was made for.
    first: Option<SocketAddrV4>,
    addresses: Vec<Ipv4Addr>,
    local: Option<SocketAddrV4>,
    mapped: Option<SocketAddrV4>,
    teredo: Vec<Ipv6Addr>,
    sent: u64,
    received: u64,
}

impl Register {
    /// An empty register of at most `limit` nodes.
    pub(crate) const fn new(servers: BTreeSet<Ipv4Addr>, limit: usize) -> Self {
        Self {
            servers,
            index: BTreeMap::new(),
            teredo: BTreeMap::new(),
            identifiers: BTreeMap::new(),
            entries: Vec::new(),
            asked: BTreeMap::new(),
            limit,
        }
    }

    pub(crate) const fn servers(&self) -> &BTreeSet<Ipv4Addr> {
        &self.servers
    }

    /// Learns from a datagram. All datagrams have to be taught before [`Self::nodes`].
    pub(crate) fn learn(&mut self, seen: &Seen) {
        let from = self.at(seen.source);
        let to = self.at(seen.near_destination());
        self.edit(from, |entry| entry.sent += 1);
        self.edit(to, |entry| entry.received += 1);
        if let Some(public) = seen.public_source.filter(|public| *public != seen.source) {
            self.unite_mapping(seen.source, public);
        }
        if let Some(inner) = seen
            .inner_destination
            .filter(|inner| *inner != seen.destination)
        {
            self.unite_mapping(inner, seen.destination);
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
                if let Some(element) = contents.authentication
                    && self.asked.len() < self.limit
                {
                    self.asked.insert(element.nonce, seen.ends());
                }
            }
            Message::Advertisement(advertisement) => {
                self.edit(to, |entry| entry.is_client = true);
                self.learn_server(seen.source, contents, advertisement.as_deref().ok());
                if let Some(origin) = contents.origin {
                    self.unite_mapping(seen.near_destination(), origin);
                    // Captured at both sides of the NAT: the question inside, the answer outside.
                    let asked = contents.authentication;
                    if let Some(&[local, _]) =
                        asked.and_then(|element| self.asked.get(&element.nonce))
                        && local != origin
                    {
                        self.unite_mapping(local, origin);
                    }
                }
            }
            _ => self.learn_origin(contents),
        }
    }

    /// One server has both addresses: it was asked at one and answered from the other, or it advertises the prefix of the
    /// other (RFC 4380 §5.3.2).
    fn learn_server(
        &mut self,
        from: SocketAddrV4,
        contents: &Contents,
        advertisement: Option<&RouterAdvertisement>,
    ) {
        let asked = contents
            .authentication
            .and_then(|element| self.asked.get(&element.nonce))
            .map(|[_, asked]| *asked);
        let prefix = advertisement
            .and_then(|advertisement| advertisement.prefixes.first())
            .and_then(|prefix| embedded(prefix.prefix))
            .map(|address| SocketAddrV4::new(address.server, PORT));
        for other in [prefix, asked].into_iter().flatten() {
            if self.is_server(from) && self.is_server(other) {
                let (other, from) = (self.at(other), self.at(from));
                self.unite(other, from);
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
            self.know_teredo(seen.source, contents.source, address.mapped);
        }
    }

    fn learn_destination(&mut self, seen: &Seen, contents: &Contents) {
        let (near, far) = (seen.near_destination(), seen.destination);
        let to = self.at(near);
        match embedded(contents.destination) {
            Some(address) if self.speaks_for(near, far, address.mapped) => {
                self.know_teredo(near, contents.destination, address.mapped);
            }
            // Servers get packets to native hosts, too; only its own packets show that a server is a relay.
            None if !self.is_server(near)
                && is_plain(contents.destination)
                && !is_discovery(&contents.message)
                && !matches!(contents.message, Message::EchoRequest(_))
                && !far.ip().is_multicast() =>
            {
                self.edit(to, |entry| entry.is_relay = true);
            }
            _ => {}
        }
    }

    /// A server names the endpoint that it got a bubble from. If the bubble's source is native, that is a relay.
    fn learn_origin(&mut self, contents: &Contents) {
        let Some(origin) = contents.origin else {
            return;
        };
        let at = self.at(origin);
        match embedded(contents.source) {
            None if is_plain(contents.source) => self.edit(at, |entry| entry.is_relay = true),
            Some(address) if address.mapped == origin => {
                self.know_teredo(origin, contents.source, origin);
            }
            _ => {}
        }
    }

    /// Whether the node at an outer end is the one whose Teredo address has this mapping. A private end is behind the NAT;
    /// another port of the same address is another mapping of a symmetric NAT. Anything else may be forged.
    fn speaks_for(&self, near: SocketAddrV4, far: SocketAddrV4, mapped: SocketAddrV4) -> bool {
        let is_same = far == mapped || near == mapped;
        let is_inside = !is_public(*near.ip()) && !near.ip().is_multicast();
        let is_symmetric = far.ip() == mapped.ip();
        is_same || !self.is_server(near) && (is_inside || is_symmetric)
    }

    fn is_server(&self, end: SocketAddrV4) -> bool {
        end.port() == PORT && self.servers.contains(end.ip())
    }

    fn know_teredo(&mut self, end: SocketAddrV4, address: Ipv6Addr, mapped: SocketAddrV4) {
        let at = self.at(end);
        let at = match self.teredo.get(&address) {
            Some(&known) => self.unite(known, at),
            None if self.teredo.len() < self.limit => {
                self.teredo.insert(address, at);
                at
            }
            None => at,
        };
        self.edit(at, |entry| {
            entry.is_client = true;
            entry.mapped = entry.mapped.or(Some(mapped));
            if !entry.teredo.contains(&address) && entry.teredo.len() < KEPT {
                entry.teredo.push(address);
            }
        });
        if mapped != end && !self.is_server(mapped) {
            self.unite_mapping(end, mapped);
        }
    }

    /// A local end and its mapping are one node.
    fn unite_mapping(&mut self, local: SocketAddrV4, mapped: SocketAddrV4) {
        if self.is_server(mapped) || self.is_server(local) {
            return;
        }
        let (inside, outside) = (self.at(local), self.at(mapped));
        let at = self.unite(inside, outside);
        self.edit(at, |entry| {
            if local != mapped {
                entry.local = Some(local);
            }
            entry.mapped = Some(mapped);
        });
    }

    /// Two solicitations from one public address with the same unusual identifier come from one client.
    fn know_identifier(&mut self, seen: &Seen, contents: &Contents) {
        if is_shared_identifier(contents.source) {
            return;
        }
        let key = (*seen.far_source().ip(), contents.source);
        let at = self.at(seen.source);
        if is_public(*seen.source.ip())
            && let Some(local) = embedded_end(contents.source)
        {
            self.edit(at, |entry| entry.local = entry.local.or(Some(local)));
        }
        match self.identifiers.get(&key) {
            Some(&known) => {
                self.unite(known, at);
            }
            None if self.identifiers.len() < self.limit => {
                self.identifiers.insert(key, at);
            }
            None => {}
        }
    }

    /// The entry of an endpoint.
    fn at(&mut self, end: SocketAddrV4) -> usize {
        if let Some(&known) = self.index.get(&end) {
            let root = self.root(known);
            if root != known {
                // The next look-up is short again.
                self.index.insert(end, root);
            }
            return root;
        }
        let new = if self.entries.len() < self.limit.max(1) {
            self.entries.push(Entry {
                is_server: self.is_server(end),
                is_group: end.ip().is_multicast(),
                first: Some(end),
                addresses: vec![*end.ip()],
                ..Entry::default()
            });
            self.index.insert(end, self.entries.len() - 1);
            self.entries.len() - 1
        } else {
            self.entries.len().saturating_sub(1)
        };
        self.root(new)
    }

    fn root(&self, mut at: usize) -> usize {
        while let Some(parent) = self.entries.get(at).and_then(|entry| entry.parent) {
            at = parent;
        }
        at
    }

    fn edit(&mut self, at: usize, change: impl FnOnce(&mut Entry)) {
        let root = self.root(at);
        if let Some(entry) = self.entries.get_mut(root) {
            change(entry);
        }
    }

    /// Makes two entries one; returns the one that stays, which is the older.
    fn unite(&mut self, a: usize, b: usize) -> usize {
        let (a, b) = (self.root(a), self.root(b));
        let (stays, goes) = (a.min(b), a.max(b));
        if stays == goes {
            return stays;
        }
        let Some(gone) = self.entries.get_mut(goes) else {
            return stays;
        };
        let gone = std::mem::replace(
            gone,
            Entry {
                parent: Some(stays),
                ..Entry::default()
            },
        );
        self.edit(stays, |entry| {
            entry.is_server |= gone.is_server;
            entry.is_client |= gone.is_client;
            entry.is_relay |= gone.is_relay;
            entry.is_group |= gone.is_group;
            entry.local = entry.local.or(gone.local);
            entry.mapped = entry.mapped.or(gone.mapped);
            entry.sent += gone.sent;
            entry.received += gone.received;
            for address in gone.addresses {
                if !entry.addresses.contains(&address) && entry.addresses.len() < KEPT {
                    entry.addresses.push(address);
                }
            }
            for address in gone.teredo {
                if !entry.teredo.contains(&address) && entry.teredo.len() < KEPT {
                    entry.teredo.push(address);
                }
            }
        });
        stays
    }

    /// The nodes that sent or received something, and the place of each endpoint among them.
    pub(crate) fn nodes(&self) -> (Vec<Node>, BTreeMap<SocketAddrV4, usize>) {
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
        let ends = (self.index.iter())
            .filter_map(|(end, &at)| Some((*end, *places.get(&self.root(at))?)))
            .collect();
        (nodes, ends)
    }
}

impl Entry {
    const fn role(&self) -> Role {
        match self {
            Self { is_group: true, .. } => Role::Group,
            Self {
                is_server: true, ..
            } => Role::Server,
            Self {
                is_client: true, ..
            } => Role::Client,
            Self { is_relay: true, .. } => Role::Relay,
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
