//! The way of the port's datagrams through the rules of this host, and the lines that open it.

use std::net::Ipv4Addr;

use teredo_firewall::{SetPath, Target, ufw_lines};
use teredo_nft::{Family, KeyType, TableName};

use super::gather::any_link;
use super::opening::{Direction, Opening, Rich, insert, is_denied, object, ufw_place};
use super::rules::evaluate::Assumed;
use super::rules::packet::{ESTABLISHED, Link, NEW, Packet, STRANGER, kinds};
use super::rules::ruleset::{SetContents, Table};
use super::rules::walk::{End, Fate, Keeper, Place, Rules};
use super::seen::Seen;
use super::shell::quote;

/// A port that stands for the one that the system will choose.
pub(super) const ANY_PORT: u16 = 45_444;
/// The port for a host whose firewall can open fixed ports alone.
const FIXED_PORT: u16 = 45_444;
/// The comment of the agent's elements.
const MARK: &str = "teredo";
/// The key of the set at the perimeter of a fleet.
const ENDPOINT: KeyType = KeyType::IPV4_ADDR.then(KeyType::INET_SERVICE);

/// The name that the documents give the administrator's set.
const USUAL_SET: &str = "teredo_ports";

/// The port, the interfaces and the set that the rules are asked about.
pub(super) struct Way<'a> {
    seen: &'a Seen,
    rules: &'a Rules,
    pub(super) outside: Link,
    /// The address and the port of this host.
    pub(super) here: (Ipv4Addr, u16),
    /// The administrator's set, if the agent is to fill one.
    pub(super) set: Option<SetPath>,
}

impl<'a> Way<'a> {
    pub(super) fn new(seen: &'a Seen, rules: &'a Rules) -> Self {
        let local = seen
            .server
            .local
            .as_ref()
            .and_then(|local| local.as_ref().ok());
        let in_use = seen.status().and_then(|status| status.local);
        let address = in_use
            .map(|local| *local.ip())
            .filter(|ip| !ip.is_unspecified());
        let address = address
            .or_else(|| local.copied())
            .unwrap_or(Ipv4Addr::new(192, 168, 1, 2));
        Self {
            seen,
            rules,
            outside: outside(seen),
            here: (address, seen.port().unwrap_or(ANY_PORT)),
            set: set(seen, rules),
        }
    }

    pub(super) fn stranger(&self) -> Ipv4Addr {
        STRANGER
    }

    /// A datagram to the port from somebody whom the host knows nothing of.
    pub(super) fn strangers_datagram(&self) -> Packet {
        kinds::to_port(&self.outside, (STRANGER, 40_000), self.here, NEW)
    }

    /// A datagram to a peer.
    pub(super) fn datagram_to_peer(&self) -> Packet {
        kinds::from_port(
            &self.outside,
            self.here,
            (STRANGER, 40_000),
            self.seen.service.uid,
        )
    }

    pub(super) fn follow(&self, packet: &Packet) -> Fate {
        self.rules.follow(packet, None)
    }

    /// The fate of the packet if the set held the port.
    pub(super) fn follow_with_set(&self, packet: &Packet) -> Fate {
        let assumed = self.set.as_ref().map(|path| Assumed {
            table: path.table.clone(),
            set: path.set.clone(),
            port: self.here.1,
        });
        self.rules.follow(packet, assumed.as_ref())
    }

    pub(super) fn passes_with_set(&self, packet: &Packet) -> bool {
        self.set.is_some() && self.follow_with_set(packet) == Fate::Passes
    }

    pub(super) fn table_of_set(&self) -> Option<&Table> {
        self.rules.nftables.table(&self.set.as_ref()?.table)
    }

    pub(super) fn tables(&self) -> &[Table] {
        &self.rules.nftables.tables
    }

    pub(super) fn contents(&self) -> Option<&SetContents> {
        let path = self.set.as_ref()?;
        self.table_of_set()?.named_set(&path.set)
    }

    /// The commands that let the packet pass at this place, with the port that may change if that is possible.
    pub(super) fn open(&self, place: &Place, packet: &Packet) -> String {
        if let End::Rule {
            redirects: true, ..
        } = place.end
        {
            return insert(place, "");
        }
        let inbound = packet.arrives();
        match (&self.set, place.keeper) {
            (Some(set), Keeper::Administrator) if set.table.to_string() == place.table => {
                insert(place, &udp(inbound, &format!("@{}", set.set)))
            }
            (None, Keeper::Administrator) => self.way_of_set(place, inbound),
            _ => self.open_fixed(place, self.here.1, inbound),
        }
    }

    /// The commands that let the server's datagrams pass. If a rule is about the server alone, its port is enough.
    pub(super) fn open_server(&self, place: &Place, packet: &Packet) -> String {
        let inbound = packet.arrives();
        let others = if inbound {
            kinds::to_port(&self.outside, (STRANGER, 40_000), self.here, ESTABLISHED)
        } else {
            self.datagram_to_peer()
        };
        if matches!(self.follow(&others), Fate::Dropped(_)) {
            return self.open(place, packet);
        }
        let port = teredo::wire::PORT;
        let ufw = if inbound {
            format!("in proto udp from any port {port}")
        } else {
            format!("out {port}/udp")
        };
        // The server has the port.
        let side = if inbound { "sport" } else { "dport" };
        udp_port(inbound, side, port, ufw_allow(place, &ufw)).commands(place)
    }

    /// A set in the table that drops.
    fn way_of_set(&self, place: &Place, inbound: bool) -> String {
        let path = format!("{} {USUAL_SET}", place.table);
        [
            format!("nft add set {path} '{{ type inet_service; flags timeout; }}'"),
            insert(place, &udp(inbound, &format!("@{USUAL_SET}"))),
            self.agent_for(&path),
        ]
        .join("\n")
    }

    /// Names a set to the agent, for good.
    pub(super) fn agent_for(&self, path: &str) -> String {
        let settings = self.seen.set("firewall", "set", &format!("\"{path}\""));
        let agent = if self.seen.has_unit("teredo-firewall") {
            "systemctl enable teredo-firewall\nsystemctl restart teredo-firewall".to_owned()
        } else {
            self.agent_by_hand(path)
        };
        format!("{settings}\n{agent}")
    }

    /// Ends an agent that runs, and starts one for the set.
    fn agent_by_hand(&self, set: &str) -> String {
        let end: Vec<String> = self
            .seen
            .running("firewall")
            .map(|process| process.program().end("teredo-firewall"))
            .collect();
        let start = self
            .seen
            .teredo(&format!("firewall --set {} &", quote(set)));
        [end, vec![start]].concat().join("\n")
    }

    /// Opens a port that does not change.
    pub(super) fn open_fixed(&self, place: &Place, port: u16, inbound: bool) -> String {
        let mut lines = Vec::new();
        let fixed = self.seen.settings.client.port.is_some() || port == teredo::wire::PORT;
        if !fixed
            && inbound
            && let Some(lines) = self.by_the_agent(place)
        {
            return lines;
        }
        let port = if port == 0 { FIXED_PORT } else { port };
        if !fixed {
            lines.push(self.seen.set("client", "port", &port.to_string()));
        }
        let (side, ufw) = if inbound {
            ("dport", format!("{port}/udp"))
        } else {
            ("sport", "out proto udp to any".to_owned())
        };
        lines.push(udp_port(inbound, side, port, ufw_allow(place, &ufw)).commands(place));
        // A client that has another port moves without a restart.
        let in_use = self.seen.status().map(|status| status.port);
        if !fixed && in_use.is_some_and(|in_use| in_use != 0 && in_use != port) {
            lines.push(self.seen.teredo(&format!("rebind --port {port}")));
        } else if !fixed && in_use.is_none() && self.seen.has_unit("teredo-client") {
            lines.push("systemctl restart teredo-client".to_owned());
        }
        lines.join("\n")
    }

    /// The agent's own way through firewalld and ufw, if it has one.
    fn by_the_agent(&self, place: &Place) -> Option<String> {
        let agent = self.seen.running("firewall").next();
        let start = self.seen.start("firewall", "firewall &");
        let ufw = || ufw_lines(ufw_place(place), true).join("\n");
        match (place.keeper, agent) {
            (Keeper::Ufw, _) if is_denied(place) => Some(ufw()),
            (Keeper::Firewalld, _) if is_denied(place) => {
                let of_zone = object(&place.chain);
                Some(format!(
                    "firewall-cmd {of_zone}--list-rich-rules\n\
                     firewall-cmd --permanent {of_zone}--remove-rich-rule='RULE'\nfirewall-cmd --reload"
                ))
            }
            // ufw has no exception that ends by itself, so it accepts the agent's mark.
            (Keeper::Ufw, Some(_)) => Some(ufw()),
            (Keeper::Ufw, None) => Some(format!("{}\n{start}", ufw())),
            // The agent asks firewalld over D-Bus.
            (Keeper::Firewalld, None) => Some(start),
            _ => None,
        }
    }

    /// All places that drop the packet, each in another table.
    pub(super) fn droppers(&self, packet: &Packet) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        let mut rules = self.rules.clone();
        while places.len() < MOST_PLACES
            && let Fate::Dropped(place) = rules.follow(packet, None)
        {
            rules.without(&place);
            places.push(place);
        }
        places
    }
}

/// The interface that leads to the server, or else to everybody.
fn outside(seen: &Seen) -> Link {
    let to_server = seen.server.outside.clone();
    let to_others = || {
        let name = seen.host.outside.as_ref()?;
        let mut links = seen.host.links.iter();
        links.find(|link| link.name == *name).cloned()
    };
    to_server.or_else(to_others).unwrap_or_else(any_link)
}

/// More tables than any host has that drop.
const MOST_PLACES: usize = 8;

fn udp(inbound: bool, port: &str) -> String {
    let what = if inbound { "dport" } else { "sport" };
    format!("udp {what} {port}")
}

/// Datagrams with a port on one side, `sport` or `dport`.
fn udp_port(inbound: bool, side: &str, port: u16, ufw: String) -> Opening {
    let rich = match side {
        "sport" => Rich::Other(format!("source-port port={port} protocol=udp")),
        _ => Rich::Port(port, "udp".to_owned()),
    };
    Opening {
        direction: if inbound {
            Direction::In
        } else {
            Direction::Out
        },
        ipv6: false,
        nft: format!("udp {side} {port}"),
        iptables: vec![format!("-p udp --{side} {port}")],
        ufw: Some(ufw),
        firewalld: vec![rich],
    }
}

/// The commands by which ufw accepts. A rule that denies must come later, or be changed if it is about the same packets:
/// `prepend` leaves such a one as it is, and `allow` changes it where it stands.
fn ufw_allow(place: &Place, what: &str) -> String {
    match place.end {
        End::Rule { .. } => format!("ufw prepend allow {what}\nufw allow {what}"),
        End::Policy => format!("ufw allow {what}"),
    }
}

/// The set that the agent fills: by the settings, or by what is in the ruleset.
fn set(seen: &Seen, rules: &Rules) -> Option<SetPath> {
    let running = seen.running("firewall").next();
    if let Target::AdministratorSet(path) = &seen.settings.firewall.agent.target {
        return Some(path.clone());
    }
    if running.is_some() && seen.settings.mistakes.is_empty() {
        return None;
    }
    // An agent that ended, or one that could not start, has left it.
    candidates(rules).into_iter().next()
}

/// Sets that look like one for the agent: with its elements, or with its name.
fn candidates(rules: &Rules) -> Vec<SetPath> {
    let own = TableName::new(Family::Inet, "teredo");
    let tables = rules.nftables.tables.iter();
    let mut found = Vec::new();
    for table in tables.filter(|table| table.name != own) {
        // Those of a perimeter hold the ports of other hosts.
        let sets = table.sets.iter().filter(|(_, set)| set.key != ENDPOINT);
        for (name, set) in sets {
            let marked = set
                .elements
                .iter()
                .any(|element| element.comment.as_deref() == Some(MARK));
            let named = name.contains("teredo") && !set.map;
            if marked || named {
                let fits = set.key == KeyType::INET_SERVICE;
                found.push((
                    !marked,
                    !fits,
                    SetPath {
                        table: table.name.clone(),
                        set: name.clone(),
                    },
                ));
            }
        }
    }
    found.sort_by_key(|(unmarked, unfit, _)| (*unmarked, *unfit));
    found.into_iter().map(|(_, _, path)| path).collect()
}
