//! The rules of `iptables-legacy`, which nftables does not show: `iptables-legacy-save` writes them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use teredo_nft::Hook;

use super::packet::{ESTABLISHED, ICMPV6, IGMP, NEW, Packet, TCP, Truth, UDP, UNTRACKED};

/// The tables of IPv4 and of IPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Legacy {
    ipv4: Vec<Table>,
    ipv6: Vec<Table>,
}

/// A table: its chains with their policies, and its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// `DROP`, `ACCEPT`, or `-` for a chain that rules jump to.
    policies: BTreeMap<String, String>,
    rules: BTreeMap<String, Vec<Rule>>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) text: String,
    pub(crate) target: Target,
    matches: Vec<Match>,
}

/// The target of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Accept,
    Drop,
    Return,
    Untrack,
    Chain {
        name: String,
        goto: bool,
    },
    /// It lets the packet go on.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Match {
    inverted: bool,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Protocol(String),
    Into(String),
    OutOf(String),
    Source(String),
    Destination(String),
    SourcePorts(String),
    DestinationPorts(String),
    State(String),
    AddressType { source: bool, kind: String },
    Mark(String),
    Unknown,
}

impl Legacy {
    /// Reads the output of `iptables-legacy-save` and `ip6tables-legacy-save`.
    pub(crate) fn parse(ipv4: &str, ipv6: &str) -> Self {
        Self {
            ipv4: tables(ipv4),
            ipv6: tables(ipv6),
        }
    }

    /// Whether there is a rule or a policy that does something.
    pub(crate) fn is_in_use(&self) -> bool {
        let mut tables = self.ipv4.iter().chain(&self.ipv6);
        tables.any(|table| {
            !table.rules.is_empty() || table.policies.values().any(|policy| policy == "DROP")
        })
    }

    /// The chains of a hook, with the priorities that the kernel gives their tables.
    pub(super) fn base_chains(
        &self,
        hook: Hook,
        ipv6: bool,
    ) -> impl Iterator<Item = (i32, &Table, &'static str)> {
        let name = match hook {
            Hook::Prerouting => "PREROUTING",
            Hook::Input => "INPUT",
            Hook::Forward => "FORWARD",
            Hook::Output => "OUTPUT",
            Hook::Postrouting => "POSTROUTING",
        };
        let tables = if ipv6 { &self.ipv6 } else { &self.ipv4 };
        tables.iter().filter_map(move |table| {
            let priority = match table.name.as_str() {
                "raw" => -300,
                "mangle" => -150,
                "filter" => 0,
                "security" => 50,
                _ => return None,
            };
            table
                .policies
                .contains_key(name)
                .then_some((priority, table, name))
        })
    }
}

impl Table {
    pub(super) fn drops_by_policy(&self, chain: &str) -> bool {
        self.policies
            .get(chain)
            .is_some_and(|policy| policy == "DROP")
    }

    pub(super) fn rules(&self, chain: &str) -> &[Rule] {
        self.rules.get(chain).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_of_ufw(&self) -> bool {
        self.policies.keys().any(|chain| chain.starts_with("ufw"))
    }
}

impl Rule {
    pub(super) fn matches(&self, packet: &Packet) -> Truth {
        self.matches.iter().fold(Truth::Yes, |so_far, one| {
            so_far.and(one.kind.holds(packet).xor(one.inverted))
        })
    }
}

fn tables(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            tables.push(Table {
                name: name.trim().to_owned(),
                ..Table::default()
            });
            continue;
        }
        let Some(table) = tables.last_mut() else {
            continue;
        };
        if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            if let (Some(name), Some(policy)) = (words.next(), words.next()) {
                table.policies.insert(name.to_owned(), policy.to_owned());
            }
        } else if line.starts_with("-A ") {
            let words = words(line);
            if let Some(chain) = words.get(1) {
                let rule = rule(line, &words[2..], &table.policies);
                table.rules.entry(chain.clone()).or_default().push(rule);
            }
        }
    }
    tables
}

/// The words of a line, of which one in quotation marks may have spaces.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => word.extend(characters.next()),
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => word.push(other),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn rule(line: &str, words: &[String], chains: &BTreeMap<String, String>) -> Rule {
    let mut rule = Rule {
        text: line.to_owned(),
        target: Target::Other,
        matches: Vec::new(),
    };
    let mut inverted = false;
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default().to_owned();
        let kind = match word {
            "!" => {
                inverted = true;
                continue;
            }
            "-j" | "-g" => {
                rule.target = target(&value(), word == "-g", chains);
                if rule.target == Target::Other && words.clone().any(|word| word == "--notrack") {
                    rule.target = Target::Untrack;
                }
                // The rest are options of the target.
                break;
            }
            "-p" => Kind::Protocol(value()),
            "-i" => Kind::Into(value()),
            "-o" => Kind::OutOf(value()),
            "-s" => Kind::Source(value()),
            "-d" => Kind::Destination(value()),
            "--sport" | "--sports" => Kind::SourcePorts(value()),
            "--dport" | "--dports" => Kind::DestinationPorts(value()),
            "--ctstate" | "--state" => Kind::State(value()),
            "--dst-type" | "--src-type" => Kind::AddressType {
                source: word == "--src-type",
                kind: value(),
            },
            "--mark" => Kind::Mark(value()),
            "-m" => match value().as_str() {
                "udp" | "tcp" | "comment" | "conntrack" | "state" | "multiport" | "addrtype"
                | "mark" => {
                    continue;
                }
                _ => Kind::Unknown,
            },
            "--comment" => {
                let _ = value();
                continue;
            }
            // The options of a module that is known to be unknown.
            option if option.starts_with("--") => Kind::Unknown,
            _ => continue,
        };
        rule.matches.push(Match { inverted, kind });
        inverted = false;
    }
    rule
}

fn target(name: &str, goto: bool, chains: &BTreeMap<String, String>) -> Target {
    match name {
        "ACCEPT" => Target::Accept,
        "DROP" | "REJECT" | "TARPIT" => Target::Drop,
        "RETURN" => Target::Return,
        "NOTRACK" => Target::Untrack,
        name if chains.contains_key(name) => Target::Chain {
            name: name.to_owned(),
            goto,
        },
        _ => Target::Other,
    }
}

impl Kind {
    fn holds(&self, packet: &Packet) -> Truth {
        let link = |link: &Option<super::packet::Link>, wanted: &str| {
            let name = link.as_ref().map_or("", |link| link.name.as_str());
            Truth::from(match wanted.strip_suffix('+') {
                Some(prefix) => name.starts_with(prefix),
                None => name == wanted,
            })
        };
        match self {
            Self::Protocol(name) => match name.as_str() {
                "all" => Truth::Yes,
                "udp" => (packet.protocol == UDP).into(),
                "tcp" => (packet.protocol == TCP).into(),
                "igmp" => (packet.protocol == IGMP).into(),
                "ipv6-icmp" | "icmpv6" => (packet.protocol == ICMPV6).into(),
                "icmp" => (packet.protocol == 1).into(),
                other => match other.parse::<u8>() {
                    Ok(number) => (packet.protocol == number).into(),
                    // Another protocol by its name.
                    Err(_) => Truth::No,
                },
            },
            Self::Into(name) => link(&packet.into, name),
            Self::OutOf(name) => link(&packet.out_of, name),
            Self::Source(network) => within(network, packet.source),
            Self::Destination(network) => within(network, packet.destination),
            Self::SourcePorts(ports) => one_of(ports, packet.ports.map(|ports| ports.0)),
            Self::DestinationPorts(ports) => one_of(ports, packet.ports.map(|ports| ports.1)),
            Self::State(states) => {
                let name = match packet.state {
                    NEW => "NEW",
                    ESTABLISHED => "ESTABLISHED",
                    UNTRACKED => "UNTRACKED",
                    _ => return Truth::Unknown,
                };
                states.split(',').any(|state| state == name).into()
            }
            Self::AddressType { source, kind } => {
                let own = match (*source, packet.arrives()) {
                    (true, true) | (false, false) => "UNICAST",
                    _ if packet.is_multicast() => "MULTICAST",
                    _ => "LOCAL",
                };
                kind.split(',').any(|kind| kind == own).into()
            }
            Self::Mark(text) => {
                let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
                let number = |text: &str| match text.strip_prefix("0x") {
                    Some(digits) => u32::from_str_radix(digits, 16).ok(),
                    None => text.parse().ok(),
                };
                match (number(value), number(mask), packet.mark) {
                    (Some(value), Some(mask), Some(own)) => (own & mask == value).into(),
                    _ => Truth::Unknown,
                }
            }
            Self::Unknown => Truth::Unknown,
        }
    }
}

fn one_of(list: &str, port: Option<u16>) -> Truth {
    let Some(port) = port else {
        return Truth::No;
    };
    let mut known = true;
    let found = list.split(',').any(|part| {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&port),
            _ => {
                known = false;
                false
            }
        }
    });
    match (found, known) {
        (true, _) => Truth::Yes,
        (false, true) => Truth::No,
        (false, false) => Truth::Unknown,
    }
}

fn within(network: &str, address: IpAddr) -> Truth {
    let (base, length) = network.split_once('/').unwrap_or((network, ""));
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let Ok(base) = base.parse::<IpAddr>() else {
        return Truth::Unknown;
    };
    let ((wanted, width), (own, own_width)) = (bits(base), bits(address));
    if width != own_width {
        return Truth::No;
    }
    let length = match length {
        "" => width,
        text => match (text.parse::<u32>(), text.parse::<std::net::Ipv4Addr>()) {
            (Ok(length), _) => length,
            (_, Ok(mask)) => mask.to_bits().leading_ones(),
            _ => return Truth::Unknown,
        },
    };
    let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
    (wanted & mask == own & mask).into()
}

#[cfg(test)]
mod tests;
