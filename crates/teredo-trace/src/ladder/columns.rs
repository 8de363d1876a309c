//! The columns: clients with their NATs at the sides, servers and relays between them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::{Arrow, Column, Crossing, Tone, halves, label};
use crate::nodes::{NatKind, Node, Role};
use crate::observation::Fate;
use crate::recognise::is_public;
use crate::trace::{Packet, Trace};

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
    /// The column of a node's NAT.
    nats: BTreeMap<String, usize>,
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
                columns.add_nat(home.0, &home.1);
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
            columns.add_nat(nat, &clients);
            for client in clients {
                columns.add(client);
            }
        }
        for node in of_role(Role::Group) {
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

    fn add_nat(&mut self, address: Option<Ipv4Addr>, clients: &[&Node]) {
        let Some(address) = address else {
            return;
        };
        for client in clients {
            self.nats.insert(client.id.clone(), self.columns.len());
        }
        let name = clients
            .iter()
            .find_map(|client| client.nat.as_ref()?.name.clone());
        let kind = clients
            .iter()
            .find_map(|client| client.nat.as_ref()?.kind)
            .map_or("NAT", |kind| match kind {
                NatKind::Cone => "cone NAT",
                NatKind::Restricted => "restricted NAT",
                NatKind::Symmetric => "symmetric NAT",
                NatKind::None => "NAT",
            });
        self.columns.push(Column {
            title: name.unwrap_or_else(|| kind.to_owned()),
            lines: vec![address.to_string()],
            is_nat: true,
        });
    }

    pub(super) fn into_columns(self) -> Vec<Column> {
        self.columns
    }

    fn of(&self, id: &str) -> usize {
        self.nodes.get(id).copied().unwrap_or(self.others)
    }

    /// The arrow of a packet.
    pub(super) fn arrow(&self, trace: &Trace, packet: &Packet) -> Arrow {
        let (from, to) = (self.of(&packet.from_node), self.of(&packet.to_node));
        // Between two neighbours on a link there is no NAT, although each has one.
        let goes_out = is_public(*packet.to.ip());
        let comes_in = is_public(*packet.from.ip());
        let nat = |id: &str, passes: bool| self.nats.get(id).copied().filter(|_| passes);
        let nats = [
            nat(&packet.from_node, goes_out),
            nat(&packet.to_node, goes_out || comes_in),
        ];
        let between = from.min(to)..=from.max(to);
        let mut via: Vec<usize> = (nats.into_iter().flatten())
            .filter(|nat| between.contains(nat))
            .collect();
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
        if let [Some(nat), Some(other)] = nats
            && nat == other
            && packet.from_node != packet.to_node
            && goes_out
        {
            label.push_str(&format!(", by way of the NAT at {}", packet.to));
        }
        for (id, end, word) in [
            (&packet.from_node, packet.from, "from"),
            (&packet.to_node, packet.to, "to"),
        ] {
            let server = trace.node(id).filter(|node| node.role == Role::Server);
            if server.is_some_and(|node| node.addresses.first() != Some(end.ip())) {
                label.push_str(&format!(", {word} {}", end.ip()));
            }
        }
        Arrow {
            n: packet.n,
            count: 1,
            at: packet.at(),
            kind: packet.kind,
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
