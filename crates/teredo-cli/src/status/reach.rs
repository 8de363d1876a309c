//! Who is reached from behind a symmetric NAT, and who is not, by the rule of docs/nat-matrix.md.
//!
//! A client does not see all of its NAT: not whether it counts its ports up, nor how many addresses it has. So each NAT that
//! looks like that is considered.

use std::collections::BTreeMap;

use serde::Serialize;
use teredo::client::NatTraversal;
use teredo_lab::NatKind;
use teredo_notify::types::{Phase, Status};

use crate::nat_pairs::{Expectation, Path, expected, is_listed};

/// Whether a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outlook {
    /// Always.
    Yes,
    /// Under a condition.
    Perhaps,
    /// Never.
    No,
}

/// Who is reached from behind this NAT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reach {
    /// Peers of this program, by the kind of their NAT (a kind of `teredo lab`): `yes`, `perhaps` or `no`.
    pub(crate) peers: BTreeMap<&'static str, Outlook>,
    /// Peers that follow RFC 4380 alone, such as miredo.
    pub(crate) rfc4380_peers: Outlook,
    /// Native hosts through a relay of this program.
    pub(crate) native: Outlook,
    /// Native hosts through another relay.
    pub(crate) native_by_other_relays: Outlook,
    /// For each `perhaps`, the condition in words.
    pub(crate) conditions: BTreeMap<&'static str, &'static str>,
}

impl Reach {
    /// `None`: the client is not behind a symmetric NAT, or does not work for another reason.
    pub(crate) fn of(status: &Status) -> Option<Self> {
        let mode: NatTraversal = status.nat_traversal.as_deref()?.parse().ok()?;
        let is_offline = mode == NatTraversal::Rfc4380;
        let is_symmetric = status.nat.as_deref() == Some("symmetric");
        if !is_symmetric || status.state != Phase::Qualified && !is_offline {
            return None;
        }
        let mut peers = BTreeMap::new();
        let mut conditions = BTreeMap::new();
        for kind in kinds() {
            let (outlook, condition) = to(candidates(status), kind, mode);
            peers.insert(kind.name(), outlook);
            if let Some(condition) = condition {
                conditions.insert(kind.name(), condition);
            }
        }
        Some(Self {
            peers,
            rfc4380_peers: Outlook::No,
            native: match is_offline {
                true => Outlook::No,
                false => Outlook::Yes,
            },
            native_by_other_relays: Outlook::No,
            conditions,
        })
    }

    /// The lines for a person: each with its label.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        if self.native == Outlook::No {
            let nobody = "nobody: by RFC 4380 alone, a client behind such a NAT has no address; 'nat_traversal = \
                          \"rfc6081\"' gives it one";
            return vec![("Not reached", nobody.to_owned())];
        }
        let mut lines = vec![(
            "Reached",
            format!(
                "peers {}; native hosts through relays of this program",
                behind(&self.having(Outlook::Yes))
            ),
        )];
        let mut conditions: Vec<&str> = Vec::new();
        for condition in kinds().filter_map(|kind| self.conditions.get(kind.name())) {
            if !conditions.contains(condition) {
                conditions.push(condition);
            }
        }
        lines.extend(conditions.into_iter().zip(0..).map(|(condition, index)| {
            let label = if index == 0 { "Perhaps" } else { "" };
            let kinds = kinds().map(NatKind::name);
            let has_it = |kind: &&str| self.conditions.get(kind) == Some(&condition);
            let kinds: Vec<_> = kinds.filter(has_it).collect();
            (label, format!("peers {}, {condition}", behind(&kinds)))
        }));
        let others = "peers with miredo; native hosts through other relays";
        let never = self.having(Outlook::No);
        let never = match never.is_empty() {
            true => others.to_owned(),
            false => format!("peers {}; {others}", behind(&never)),
        };
        lines.push(("Not reached", never));
        lines
    }

    fn having(&self, outlook: Outlook) -> Vec<&'static str> {
        let kinds = kinds().map(NatKind::name);
        kinds
            .filter(|kind| self.peers.get(kind) == Some(&outlook))
            .collect()
    }
}

/// The kinds of the matrix, the most open first.
fn kinds() -> impl Iterator<Item = NatKind> {
    let all = NatKind::ALL.into_iter();
    all.filter(|kind| is_listed((*kind).into()))
}

/// The NATs that look like this one.
fn candidates(status: &Status) -> &'static [NatKind] {
    let gateway = status.gateway.as_ref();
    let given = gateway.and_then(|gateway| gateway.external);
    // Another NAT behind the router makes its port worthless.
    if given.is_some() && given == status.mapped {
        return &[NatKind::IgdSymmetric];
    }
    let behaviour = status.nat_behaviour.as_ref();
    match behaviour.map(|nat| nat.port_assignment.as_str()) {
        Some("preserving") => &[NatKind::SymmetricPreserving],
        _ => &[
            NatKind::SymmetricSequential,
            NatKind::Symmetric,
            NatKind::AddressSymmetric,
        ],
    }
}

/// Whether a peer behind `kind` is reached from behind one of `ours`, and the condition.
fn to(ours: &[NatKind], kind: NatKind, mode: NatTraversal) -> (Outlook, Option<&'static str>) {
    const NONE: Expectation = Expectation::Sure(Path::None);
    const DIRECT: Expectation = Expectation::Sure(Path::Direct);
    let there = |nat: &NatKind| expected((*nat).into(), kind.into(), mode);
    let back = |nat: &NatKind| expected(kind.into(), (*nat).into(), mode);
    let perhaps = |condition| (Outlook::Perhaps, Some(condition));
    if ours.iter().all(|nat| there(nat) == DIRECT) {
        (Outlook::Yes, None)
    } else if ours.iter().any(|nat| there(nat) == Expectation::Guess) {
        perhaps("mostly, by guessed ports, if the peer is eager, too")
    } else if ours.iter().any(|nat| there(nat) == DIRECT) {
        perhaps("if this NAT counts its ports up")
    } else if ours.iter().all(|nat| back(nat) == NONE) {
        (Outlook::No, None)
    } else if ours.iter().all(|nat| back(nat) == DIRECT) {
        perhaps("if the peer sends first")
    } else {
        perhaps("if the peer sends first, and this NAT counts its ports up")
    }
}

/// The peers behind NATs of these kinds, in words.
fn behind(kinds: &[&'static str]) -> String {
    let nats = kinds.iter().filter(|kind| **kind != "none");
    let nats = nats.map(|kind| match *kind {
        "port-restricted" => "port-restricted (most home routers)",
        other => other,
    });
    let nats = nats.collect::<Vec<_>>().join(", ");
    match kinds.contains(&"none") {
        true => format!("without a NAT or behind {nats}"),
        false => format!("behind {nats}"),
    }
}

#[cfg(test)]
mod tests;
