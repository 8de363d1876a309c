//! The columns: clients with their NATs at the sides, servers and relays between them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::bursts::Burst;
use super::{Arrow, Column, Crossing, Tone, halves, label};
use crate::nodes::{KnownNat, NatKind, Node, Role};
use crate::observation::Fate;
use crate::recognise::is_public;
use crate::trace::{Packet, RouterMessage, Trace};

/// The most nodes with a column of their own; the others share one.
const MOST_NODES: usize = 12;
/// The most addresses in the head of a column.
const MOST_LINES: usize = 2;

/// The columns, and which node has which.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Vec<Column>,
    /// The column of a node, by its identifier.
    nodes: BTreeMap<String, usize>,
    /// The columns of the NATs in front of a node, from the node to the Internet.
    nats: BTreeMap<String, Vec<usize>>,
    /// The ports by which people know the nodes that have several.
    ports: BTreeMap<String, [Option<u16>; 2]>,
    /// The column of all others.
    others: usize,
}

impl Columns {
    pub(super) fn new(trace: &Trace) -> Self {
        let mut busiest: Vec<&Node> = trace.nodes.iter().collect();
        busiest.sort_by_key(|node| std::cmp::Reverse(node.sent + node.received));
        let shown: Vec<&str> = (busiest.iter().take(MOST_NODES))
            .map(|node| node.id.as_str())
            .collect();
        let is_shown = |node: &&Node| shown.contains(&node.id.as_str());
        let nodes: Vec<&Node> = trace.nodes.iter().filter(is_shown).collect();

        let mut columns = Self {
            columns: Vec::new(),
            nodes: BTreeMap::new(),
            nats: BTreeMap::new(),
            ports: ports(&nodes),
            others: 0,
        };
        let mut homes = homes(&nodes);
        let clients: usize = homes.iter().map(|(_, clients)| clients.len()).sum();
        let mut left = 0;
        let mut right = Vec::new();
        for home in homes.drain(..) {
            if left == 0 || (left + home.1.len()) * 2 <= clients {
                left += home.1.len();
                for client in &home.1 {
                    columns.add(client);
                }
                columns.add_nats(home.0, &home.1, Side::Left);
            } else {
                right.push(home);
            }
        }
        let of_role = |role: Role| nodes.iter().filter(move |node| node.role == role);
        for role in [Role::Server, Role::Relay, Role::Unknown] {
            for node in of_role(role) {
                columns.add(node);
            }
        }
        for (nat, clients) in right {
            columns.add_nats(nat, &clients, Side::Right);
            for client in clients {
                columns.add(client);
            }
        }
        // Nothing passes on what is for a group, so it stays at its sender.
        for node in of_role(Role::Group).filter(|node| node.sent > 0) {
            columns.add(node);
        }
        let hidden = trace.nodes.len() - nodes.len();
        if hidden > 0 {
            columns.others = columns.columns.len();
            columns.columns.push(Column {
                title: format!("{hidden} others"),
                lines: Vec::new(),
                is_nat: false,
            });
        }
        columns
    }

    fn add(&mut self, node: &Node) {
        self.nodes.insert(node.id.clone(), self.columns.len());
        self.columns.push(Column {
            title: node.name.clone().unwrap_or_else(|| title(node)),
            lines: lines(node),
            is_nat: false,
        });
    }

    fn add_nats(&mut self, address: Option<Ipv4Addr>, clients: &[&Node], side: Side) {
        let Some(address) = address else {
            return;
        };
        let nats = || clients.iter().filter_map(|client| client.nat.as_ref());
        let known = nats().find(|nat| !nat.chain.is_empty());
        let chain = known.map_or_else(
            || {
                let kind = nats()
                    .find_map(|nat| nat.kind)
                    .map_or("NAT", |kind| match kind {
                        NatKind::Cone => "cone NAT",
                        NatKind::Restricted => "restricted NAT",
                        NatKind::Symmetric => "symmetric NAT",
                        NatKind::None => "NAT",
                    });
                vec![KnownNat {
                    name: kind.to_owned(),
                    addresses: vec![address],
                }]
            },
            |nat| nat.chain.clone(),
        );
        let first = self.columns.len();
        let mut places: Vec<usize> = (first..first + chain.len()).collect();
        let mut columns: Vec<Column> = chain.iter().map(column_of_nat).collect();
        if side == Side::Right {
            places.reverse();
            columns.reverse();
        }
        self.columns.extend(columns);
        for client in clients {
            self.nats.insert(client.id.clone(), places.clone());
        }
    }

    pub(super) fn into_columns(self) -> Vec<Column> {
        self.columns
    }

    fn of(&self, id: &str) -> usize {
        self.nodes.get(id).copied().unwrap_or(self.others)
    }

    fn nats_of(&self, id: &str) -> &[usize] {
        self.nats.get(id).map_or(&[], Vec::as_slice)
    }

    /// The label of a burst.
    pub(super) fn burst(&self, trace: &Trace, packet: &Packet, burst: &Burst) -> String {
        let is_one = [0, 1].map(|way: usize| burst.ports[way].len() == 1);
        burst.words(packet) + &self.some_ends(trace, packet, is_one)
    }

    /// The ends of a packet that are not those in the heads of the columns.
    pub(super) fn ends(&self, trace: &Trace, packet: &Packet) -> String {
        self.some_ends(trace, packet, [true; 2])
    }

    /// The same, of the sender, of the receiver or of both.
    fn some_ends(&self, trace: &Trace, packet: &Packet, wanted: [bool; 2]) -> String {
        let mut words = String::new();
        let ends = [
            (&packet.from_node, packet.from, "from"),
            (&packet.to_node, packet.to, "to"),
        ];
        for ((id, end, word), _) in ends.into_iter().zip(wanted).filter(|(_, wanted)| *wanted) {
            let server = trace.node(id).filter(|node| node.role == Role::Server);
            if server.is_some_and(|node| node.addresses.first() != Some(end.ip())) {
                words.push_str(&format!(", {word} {}", end.ip()));
            }
            let ports = self.ports.get(id).filter(|_| packet.origin != Some(end));
            if ports.is_some_and(|ports| !ports.contains(&Some(end.port()))) {
                words.push_str(&format!(", {word} port {}", end.port()));
            }
        }
        words
    }

    /// The arrow of a packet.
    pub(super) fn arrow(&self, trace: &Trace, packet: &Packet) -> Arrow {
        let from = self.of(&packet.from_node);
        // It stays on its link.
        let to = match packet.to.ip().is_multicast() {
            true => from,
            false => self.of(&packet.to_node),
        };
        // Between two neighbours on a link there is no NAT, although each has one.
        let goes_out = is_public(*packet.to.ip());
        let comes_in = is_public(*packet.from.ip());
        let nats = [&packet.from_node, &packet.to_node].map(|id| self.nats_of(id));
        let passes = [goes_out, goes_out || comes_in];
        let passed = (nats.into_iter().zip(passes))
            .filter(|(_, passes)| *passes)
            .flat_map(|(nats, _)| nats.iter().copied());
        let between = from.min(to)..=from.max(to);
        let mut via: Vec<usize> = passed.filter(|nat| between.contains(nat)).collect();
        via.dedup();
        let crossing = match &packet.fate {
            Some(Fate::Dropped { by, reason }) => Some(Crossing {
                halves: halves(*by, from, to, nats),
                reason: reason.clone(),
            }),
            _ => None,
        };
        let mut label = label(packet);
        // Both behind one NAT, and to its public side: the NAT turns it around (RFC 4787 §6).
        if !nats[0].is_empty()
            && nats[0] == nats[1]
            && packet.from_node != packet.to_node
            && goes_out
        {
            label.push_str(&format!(", by way of the NAT at {}", packet.to));
        }
        if packet.to.ip().is_multicast() {
            label.push_str(&format!(", to {}", packet.to.ip()));
        }
        label.push_str(&self.ends(trace, packet));
        Arrow {
            n: Some(packet.n),
            count: 1,
            at: packet.at(),
            kind: Some(packet.kind),
            from,
            to,
            both: false,
            via,
            crossing,
            label,
            tone: Tone::from(packet.worst()),
            findings: packet.findings.clone(),
        }
    }
}

impl Columns {
    /// The arrow of a message between a client and its router. Without a column of the router there is none.
    pub(super) fn message(&self, trace: &Trace, message: &RouterMessage) -> Option<Arrow> {
        let mut nodes = trace.nodes.iter();
        let node = nodes.find(|node| node.name.as_ref() == Some(&message.node))?;
        let (client, router) = (*self.nodes.get(&node.id)?, *self.nats_of(&node.id).first()?);
        let (from, to) = match message.from_router {
            true => (router, client),
            false => (client, router),
        };
        Some(Arrow {
            n: None,
            count: 1,
            at: message.at,
            kind: None,
            from,
            to,
            both: false,
            via: Vec::new(),
            crossing: None,
            label: message.text.clone(),
            tone: Tone::Plain,
            findings: Vec::new(),
        })
    }
}

/// The side of the picture that a client is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

fn column_of_nat(nat: &KnownNat) -> Column {
    let lines = match &nat.addresses[..] {
        [] => Vec::new(),
        [one] => vec![one.to_string()],
        [first, .., last] => vec![first.to_string(), format!("to {last}")],
    };
    Column {
        title: nat.name.clone(),
        lines,
        is_nat: true,
    }
}

/// The inner and the outer port of each client that the observer knows by name, and so all sockets of.
fn ports(nodes: &[&Node]) -> BTreeMap<String, [Option<u16>; 2]> {
    let named = nodes
        .iter()
        .filter(|node| node.role == Role::Client && node.name.is_some());
    named
        .map(|node| {
            (
                node.id.clone(),
                [node.local, node.mapped].map(|end| end.map(|end| end.port())),
            )
        })
        .collect()
}

/// The clients, those behind one NAT together.
fn homes<'a>(nodes: &[&'a Node]) -> Vec<(Option<Ipv4Addr>, Vec<&'a Node>)> {
    let mut homes: Vec<(Option<Ipv4Addr>, Vec<&Node>)> = Vec::new();
    for node in nodes.iter().filter(|node| node.role == Role::Client) {
        // A column of its own needs both sides: which end is inside, and which address is outside.
        let is_behind = node.local.is_some() && node.local != node.mapped;
        let nat = node.nat.as_ref().and_then(|nat| nat.address);
        let mapped = node.mapped.map(|mapped| *mapped.ip());
        let address = nat.or(mapped).filter(|_| is_behind);
        match homes
            .iter_mut()
            .find(|(home, _)| address.is_some() && *home == address)
        {
            Some((_, clients)) => clients.push(node),
            None => homes.push((address, vec![node])),
        }
    }
    homes
}

fn title(node: &Node) -> String {
    let mut title = node.id.replace('-', " ");
    if node.is_relay {
        title.push_str(" + relay");
    }
    title
}

fn lines(node: &Node) -> Vec<String> {
    if node.role == Role::Server {
        let addresses = node.addresses.iter().take(MOST_LINES);
        return addresses.map(ToString::to_string).collect();
    }
    match node.end() {
        Some(end) => vec![end.ip().to_string(), format!("port {}", end.port())],
        None => Vec::new(),
    }
}
