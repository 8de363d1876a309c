//! The rule of a mend that lets packets through, in the words of each firewall.

use teredo_firewall::UfwPlace;

use super::rules::walk::{End, Keeper, Place};
use super::shell::quote;

/// Where packets pass a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
    Forward,
}

impl Direction {
    /// The chain of iptables.
    const fn chain(self) -> &'static str {
        match self {
            Self::In => "INPUT",
            Self::Out => "OUTPUT",
            Self::Forward => "FORWARD",
        }
    }
}

/// As a rich rule of firewalld selects packets.
#[derive(Clone, Debug)]
pub(crate) enum Rich {
    /// To a port of this host, such as `22/tcp`, for which firewalld has an option of its own.
    Port(u16, String),
    Other(String),
}

impl Rich {
    fn rule(&self) -> String {
        match self {
            Self::Port(port, protocol) => format!("port port={port} protocol={protocol}"),
            Self::Other(rule) => rule.clone(),
        }
    }
}

/// Packets that a mend lets through.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) direction: Direction,
    pub(crate) ipv6: bool,
    /// As nftables selects them.
    pub(crate) nft: String,
    /// As iptables selects them, in one line or several.
    pub(crate) iptables: Vec<String>,
    /// The commands of ufw; none: it has no words for them, and iptables inserts the rule.
    pub(crate) ufw: Option<String>,
    /// As firewalld selects them; none if its chains never drop them.
    pub(crate) firewalld: Vec<Rich>,
}

impl Opening {
    /// The commands that let them pass at this place.
    pub(crate) fn commands(&self, place: &Place) -> String {
        let iptables = |program: &str| {
            let head = at(program, place, self.direction.chain());
            let lines = self.iptables.iter();
            let lines = lines.map(|line| match line.as_str() {
                "" => format!("{head} -j ACCEPT"),
                line => format!("{head} {line} -j ACCEPT"),
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        match (place.keeper, &self.ufw) {
            (Keeper::Ufw, Some(commands)) => commands.clone(),
            (Keeper::Iptables | Keeper::Ufw, _) if self.ipv6 => iptables("ip6tables"),
            (Keeper::Iptables | Keeper::Ufw, _) => iptables("iptables"),
            (Keeper::IptablesLegacy, _) if self.ipv6 => iptables("ip6tables-legacy"),
            (Keeper::IptablesLegacy, _) => iptables("iptables-legacy"),
            (Keeper::Firewalld, _) => self.rich_rules(place),
            (Keeper::Administrator | Keeper::Teredo, _) => insert(place, &self.nft),
        }
    }

    /// Rich rules with a priority below 0 come before those that deny, and before the end of the zone.
    fn rich_rules(&self, place: &Place) -> String {
        let family = if self.ipv6 { "ipv6" } else { "ipv4" };
        let mut lines = Vec::new();
        let object = match self.direction {
            _ if self.firewalld.is_empty() => {
                return "firewall-cmd --get-active-zones\nfirewall-cmd --get-active-policies"
                    .to_owned();
            }
            Direction::In => object(&place.chain),
            // Zones are about what comes in.
            Direction::Out | Direction::Forward => {
                const POLICY: &str = "teredo-host";
                lines.push(format!(
                    "firewall-cmd --permanent --get-policies | grep -qw {POLICY} || firewall-cmd --permanent --new-policy={POLICY}"
                ));
                let options = [
                    "--add-ingress-zone=HOST",
                    "--add-egress-zone=ANY",
                    "--set-priority=-100",
                ];
                // Each option needs a call of its own.
                lines.extend(
                    options.map(|option| {
                        format!("firewall-cmd --permanent --policy={POLICY} {option}")
                    }),
                );
                format!("--policy={POLICY} ")
            }
        };
        lines.extend(self.firewalld.iter().map(|rich| match rich {
            Rich::Port(port, protocol) if self.direction == Direction::In && !is_denied(place) => {
                format!("firewall-cmd --permanent {object}--add-port={port}/{protocol}")
            }
            rich => {
                let rule = rich.rule();
                let rule = format!("rule priority=-100 family={family} {rule} accept");
                format!(
                    "firewall-cmd --permanent {object}--add-rich-rule={}",
                    quote(&rule)
                )
            }
        }));
        lines.push("firewall-cmd --reload".to_owned());
        lines.join("\n")
    }
}

/// Whether a rule of the administrator's own denies. ufw and firewalld evaluate it before the agent's rules.
pub(super) fn is_denied(place: &Place) -> bool {
    match place.keeper {
        Keeper::Ufw => place.chain.contains("user"),
        Keeper::Firewalld => place.chain.ends_with("_deny") || place.chain.ends_with("_pre"),
        _ => false,
    }
}

/// The place among ufw's rules at which the agent's mark passes in spite of this one.
pub(super) fn ufw_place(place: &Place) -> UfwPlace {
    if is_denied(place) {
        UfwPlace::Before
    } else {
        UfwPlace::After
    }
}

/// The option that names the zone or the policy of a chain of firewalld, such as `filter_IN_public_deny`; none for the
/// default zone.
pub(super) fn object(chain: &str) -> String {
    let Some((_, name)) = chain.split_once("_IN_") else {
        return String::new();
    };
    const PARTS: [&str; 5] = ["_pre", "_log", "_deny", "_allow", "_post"];
    let name = PARTS
        .iter()
        .find_map(|part| name.strip_suffix(part))
        .unwrap_or(name);
    match name.strip_prefix("policy_") {
        Some(policy) => format!("--policy={} ", quote(policy)),
        None => format!("--zone={} ", quote(name)),
    }
}

/// The head of an iptables command that inserts a rule where the place is. A chain of its own is entered from `chain`, if
/// its table has that.
fn at(program: &str, place: &Place, chain: &str) -> String {
    let table = place.table.rsplit(' ').next().unwrap_or("filter");
    let is_built_in = !place.chain.contains(|c: char| !c.is_ascii_uppercase());
    let has_chain = matches!(
        (table, chain),
        ("filter" | "mangle" | "security", _) | ("raw", "OUTPUT")
    );
    let chain = if is_built_in || !has_chain {
        &place.chain
    } else {
        chain
    };
    let table = match table {
        "filter" => String::new(),
        table => format!(" -t {}", quote(table)),
    };
    format!("{program}{table} -I {}", quote(chain))
}

/// A rule at the head of the chain, before any that drops.
pub(super) fn insert(place: &Place, rule: &str) -> String {
    let typed = if rule.contains(['\'', '"', '{', ';', '&']) {
        format!("'{}'", rule.replace('\'', r"'\''"))
    } else {
        rule.to_owned()
    };
    // A rule that redirects is in another hook than the one that drops.
    if let End::Rule {
        handle: Some(handle),
        redirects: true,
        ..
    } = place.end
    {
        return format!(
            "nft delete rule {} {} handle {handle}",
            place.table,
            quote(&place.chain)
        );
    }
    format!(
        "nft insert rule {} {} {typed} accept",
        place.table,
        quote(&place.chain)
    )
}

#[cfg(test)]
mod tests;
