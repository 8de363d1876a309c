//! The way of a packet through all chains of a hook.

use std::fmt;

use teredo_nft::{Family, Hook, Policy, TableName, Verdict};

use super::evaluate::{AFTER_UNTRACK, Assumed, Effect, evaluate};
use super::legacy::Legacy;
use super::packet::{NEW, Packet, Truth};
use super::render::render;
use super::ruleset::{At, Chain, Ruleset, Table};

/// The fate of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Passes,
    /// It is dropped here, whatever else there is.
    Dropped(Place),
    /// It may be dropped here: not everything on its way can be told from outside.
    Doubtful(Place),
}

/// A rule, or the policy of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) keeper: Keeper,
    /// The table as its program names it: `inet filter`, `filter`.
    pub(crate) table: String,
    pub(crate) chain: String,
    pub(crate) end: End,
}

/// How a chain ends a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Policy,
    Rule {
        /// The number in the table; none for iptables-legacy.
        handle: Option<u64>,
        text: String,
        redirects: bool,
    },
}

/// The program that a chain belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// The administrator's own rules.
    Administrator,
    Firewalld,
    Ufw,
    /// Rules of `iptables`, in nftables.
    Iptables,
    /// Rules of `iptables-legacy`, which nftables does not show.
    IptablesLegacy,
    /// The table `inet teredo`.
    Teredo,
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Administrator => "nftables",
            Self::Firewalld => "firewalld",
            Self::Ufw => "ufw",
            Self::Iptables => "iptables",
            Self::IptablesLegacy => "iptables-legacy",
            Self::Teredo => "teredo",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.keeper {
            Keeper::Administrator | Keeper::Teredo => {}
            keeper => write!(f, "{keeper}, ")?,
        }
        write!(f, "chain '{} {}': ", self.table, self.chain)?;
        match &self.end {
            End::Policy => write!(f, "its policy is drop"),
            End::Rule {
                handle,
                text,
                redirects,
            } => {
                write!(f, "rule '{text}'")?;
                if let Some(handle) = handle {
                    write!(f, " (handle {handle})")?;
                }
                if *redirects {
                    f.write_str(", which sends them elsewhere")?;
                }
                Ok(())
            }
        }
    }
}

/// More than any sane ruleset has for one packet, so that the walk ends.
const MOST_RULES: usize = 200_000;
/// NFT_JUMP_STACK_SIZE
const DEEPEST: usize = 16;

/// All rules of this host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) nftables: Ruleset,
    pub(crate) legacy: Legacy,
}

impl Rules {
    /// Follows a packet to this host, from it, or through it. `assumed` may add a port to a set.
    pub(crate) fn follow(&self, packet: &Packet, assumed: Option<&Assumed>) -> Fate {
        let hooks: &[_] = match (&packet.into, &packet.out_of) {
            (Some(_), None) => &[None, Some(Hook::Prerouting), Some(Hook::Input)],
            (Some(_), Some(_)) => &[None, Some(Hook::Prerouting), Some(Hook::Forward)],
            (None, _) => &[Some(Hook::Output), Some(Hook::Postrouting), None],
        };
        let mut packet = packet.clone();
        let mut doubt = None;
        for &hook in hooks {
            let mut chains = self.base_chains(hook, &packet);
            chains.sort_by_key(|(priority, _)| *priority);
            for (_, chain) in chains {
                match chain.follow(&mut packet, assumed) {
                    Fate::Passes => {}
                    Fate::Doubtful(place) => doubt = doubt.or(Some(place)),
                    dropped => return dropped,
                }
            }
        }
        doubt.map_or(Fate::Passes, Fate::Doubtful)
    }

    /// Takes away the table of this place, to see who else drops.
    pub(crate) fn without(&mut self, place: &Place) {
        if place.keeper == Keeper::IptablesLegacy {
            self.legacy = Legacy::default();
            return;
        }
        self.nftables
            .tables
            .retain(|table| table.name.to_string() != place.table);
        if place.keeper == Keeper::Ufw {
            self.legacy = Legacy::default();
        }
    }

    /// The base chains of a hook, with their priorities; `None` is the hook of the device.
    fn base_chains(&self, hook: Option<Hook>, packet: &Packet) -> Vec<(i32, BaseChain<'_>)> {
        let mut found = Vec::new();
        let device = packet.into.as_ref().or(packet.out_of.as_ref());
        for table in &self.nftables.tables {
            let family = table.name.family;
            let sees = match family {
                Family::Ip => !packet.is_ipv6(),
                Family::Ip6 => packet.is_ipv6(),
                _ => true,
            };
            if table.dormant || !sees {
                continue;
            }
            for chain in &table.chains {
                let Some(place) = &chain.place else {
                    continue;
                };
                let here = |names: &[String]| device.is_some_and(|link| names.contains(&link.name));
                let meets = match (&place.at, hook) {
                    (At::Hook(at), Some(hook)) => *at == hook,
                    (At::Ingress(names), None) => packet.arrives() && here(names),
                    (At::Egress(names), None) => !packet.arrives() && here(names),
                    _ => false,
                };
                if meets {
                    let policy = place.policy;
                    let chain = BaseChain::Nftables {
                        table,
                        chain,
                        policy,
                    };
                    found.push((place.priority, chain));
                }
            }
        }
        if let Some(hook) = hook {
            let legacy = self.legacy.base_chains(hook, packet.is_ipv6());
            found
                .extend(legacy.map(|(priority, table, chain)| {
                    (priority, BaseChain::Legacy { table, chain })
                }));
        }
        found
    }
}

enum BaseChain<'a> {
    Nftables {
        table: &'a Table,
        chain: &'a Chain,
        policy: Policy,
    },
    Legacy {
        table: &'a super::legacy::Table,
        chain: &'a str,
    },
}

impl BaseChain<'_> {
    fn follow(&self, packet: &mut Packet, assumed: Option<&Assumed>) -> Fate {
        let mut walk = Walk {
            packet,
            assumed,
            maybe_dropped: None,
            maybe_accepted: false,
            rules: 0,
        };
        let (flow, policy) = match self {
            Self::Nftables {
                table,
                chain,
                policy,
            } => {
                let flow = walk.chain(table, &chain.name, 0);
                let place = place(table, &chain.name, End::Policy);
                (flow, (*policy == Policy::Drop).then_some(place))
            }
            Self::Legacy { table, chain } => {
                let flow = walk.legacy(table, chain, 0);
                let drops = table.drops_by_policy(chain);
                (flow, drops.then(|| legacy_place(table, chain, End::Policy)))
            }
        };
        let dropped = match flow {
            Flow::Dropped(place) => Some(place),
            Flow::Through => policy,
            Flow::Accepted => None,
        };
        match (dropped, walk.maybe_dropped) {
            (Some(place), _) if walk.maybe_accepted => Fate::Doubtful(place),
            (Some(place), _) => Fate::Dropped(place),
            (None, Some(place)) => Fate::Doubtful(place),
            (None, None) => Fate::Passes,
        }
    }
}

/// The end of a chain.
#[derive(Debug)]
enum Flow {
    Accepted,
    Dropped(Place),
    /// No rule decided.
    Through,
}

struct Walk<'a> {
    packet: &'a mut Packet,
    assumed: Option<&'a Assumed>,
    maybe_dropped: Option<Place>,
    maybe_accepted: bool,
    rules: usize,
}

impl Walk<'_> {
    fn chain(&mut self, table: &Table, name: &str, depth: usize) -> Flow {
        // Whether a rule before may have left the chain.
        let mut unsure = false;
        for rule in table.rules_of(name) {
            self.rules += 1;
            if self.rules > MOST_RULES || depth > DEEPEST {
                return Flow::Through;
            }
            let (truth, effect) = evaluate(table, rule, self.packet, self.assumed);
            let Some(effect) = effect.filter(|_| truth != Truth::No) else {
                continue;
            };
            let truth = if unsure { Truth::Unknown } else { truth };
            let here = |redirects| {
                let text = render(table, rule);
                let handle = Some(rule.handle);
                place(
                    table,
                    name,
                    End::Rule {
                        handle,
                        text,
                        redirects,
                    },
                )
            };
            let flow = match effect {
                Effect::Untrack => {
                    if truth == Truth::Yes {
                        self.packet.state = AFTER_UNTRACK;
                    }
                    continue;
                }
                Effect::Queue => {
                    self.maybe_dropped.get_or_insert_with(|| here(false));
                    Flow::Accepted
                }
                // Translations are decided on by the first packet of a connection.
                Effect::Redirect if self.packet.state != NEW => continue,
                Effect::Redirect if self.packet.arrives() => Flow::Dropped(here(true)),
                Effect::Redirect => Flow::Accepted,
                Effect::Verdict(Verdict::Accept) => Flow::Accepted,
                Effect::Verdict(Verdict::Drop) => Flow::Dropped(here(false)),
                Effect::Verdict(Verdict::Return) if truth == Truth::Yes => return Flow::Through,
                Effect::Verdict(Verdict::Return) => {
                    unsure = true;
                    continue;
                }
                Effect::Verdict(Verdict::Jump(to)) => self.call(table, &to, depth, truth),
                Effect::Verdict(Verdict::Goto(to)) => {
                    let flow = self.call(table, &to, depth, truth);
                    if truth == Truth::Yes {
                        return flow;
                    }
                    unsure = true;
                    flow
                }
            };
            if let Some(end) = self.decide(flow, truth) {
                return end;
            }
        }
        Flow::Through
    }

    /// Takes a jump that is certain, or one that is not: then nothing that happens there is.
    fn call(&mut self, table: &Table, to: &str, depth: usize, truth: Truth) -> Flow {
        let before = self.packet.clone();
        let flow = self.chain(table, to, depth + 1);
        if truth != Truth::Yes {
            *self.packet = before;
        }
        flow
    }

    /// The end of the walk, if `flow` is certain; otherwise it is noted.
    fn decide(&mut self, flow: Flow, truth: Truth) -> Option<Flow> {
        match (flow, truth) {
            (Flow::Through, _) => None,
            (flow, Truth::Yes) => Some(flow),
            (Flow::Accepted, _) => {
                self.maybe_accepted = true;
                None
            }
            (Flow::Dropped(place), _) => {
                self.maybe_dropped.get_or_insert(place);
                None
            }
        }
    }

    fn legacy(&mut self, table: &super::legacy::Table, name: &str, depth: usize) -> Flow {
        use super::legacy::Target;
        let mut unsure = false;
        for rule in table.rules(name) {
            self.rules += 1;
            if self.rules > MOST_RULES || depth > DEEPEST {
                return Flow::Through;
            }
            let truth = rule.matches(self.packet);
            if truth == Truth::No {
                continue;
            }
            let truth = if unsure { Truth::Unknown } else { truth };
            let here = || {
                let end = End::Rule {
                    handle: None,
                    text: rule.text.clone(),
                    redirects: false,
                };
                legacy_place(table, name, end)
            };
            let flow = match &rule.target {
                Target::Accept => Flow::Accepted,
                Target::Drop => Flow::Dropped(here()),
                Target::Untrack => {
                    if truth == Truth::Yes {
                        self.packet.state = AFTER_UNTRACK;
                    }
                    continue;
                }
                Target::Return if truth == Truth::Yes => return Flow::Through,
                Target::Return => {
                    unsure = true;
                    continue;
                }
                Target::Chain { name, goto } => {
                    let before = self.packet.state;
                    let flow = self.legacy(table, name, depth + 1);
                    if truth != Truth::Yes {
                        self.packet.state = before;
                        unsure |= *goto;
                    } else if *goto {
                        return flow;
                    }
                    flow
                }
                Target::Other => continue,
            };
            if let Some(end) = self.decide(flow, truth) {
                return end;
            }
        }
        Flow::Through
    }
}

fn place(table: &Table, chain: &str, end: End) -> Place {
    Place {
        keeper: keeper(table),
        table: table.name.to_string(),
        chain: chain.to_owned(),
        end,
    }
}

fn legacy_place(table: &super::legacy::Table, chain: &str, end: End) -> Place {
    let keeper = if table.is_of_ufw() {
        Keeper::Ufw
    } else {
        Keeper::IptablesLegacy
    };
    Place {
        keeper,
        table: table.name.clone(),
        chain: chain.to_owned(),
        end,
    }
}

/// The program that keeps a table, by the names that it gives.
pub(crate) fn keeper(table: &Table) -> Keeper {
    const OF_IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];
    const BUILT_IN: [&str; 5] = ["INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING"];
    let TableName { family, name } = &table.name;
    if name == "teredo" && *family == Family::Inet {
        return Keeper::Teredo;
    }
    // In panic mode it has a second one.
    if name.starts_with("firewalld") {
        return Keeper::Firewalld;
    }
    let of_iptables = matches!(family, Family::Ip | Family::Ip6)
        && OF_IPTABLES.contains(&name.as_str())
        && table
            .chains
            .iter()
            .any(|chain| BUILT_IN.contains(&chain.name.as_str()) && chain.place.is_some());
    if !of_iptables {
        return Keeper::Administrator;
    }
    let mut names = table.chains.iter().map(|chain| chain.name.as_str());
    if names.any(|name| name.starts_with("ufw-") || name.starts_with("ufw6-")) {
        Keeper::Ufw
    } else {
        Keeper::Iptables
    }
}

#[cfg(test)]
mod tests;
