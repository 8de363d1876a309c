//! Bursts: many equal bubbles at once, from many ports or to many ports (a birthday attack on the ports of two NATs). One
//! row shows all of a burst.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use super::label;
use crate::kind::Kind;
use crate::observation::{Fate, Obstacle};
use crate::trace::Packet;

/// The bubbles of one burst follow each other within this time, although they alternate with those of another.
const TOGETHER: Duration = Duration::from_millis(500);
/// Fewer bubbles have a row each.
const FEWEST: usize = 8;

/// The bursts of a trace.
#[derive(Debug, Default)]
pub(super) struct Bursts {
    bursts: Vec<Burst>,
    /// The burst of a packet, by its number.
    of: BTreeMap<u64, usize>,
}

/// Bubbles that differ in nothing but their ports.
#[derive(Debug)]
pub(super) struct Burst {
    /// The number of its first packet.
    pub(super) first: u64,
    pub(super) count: usize,
    /// The ports of its senders and of its receivers.
    pub(super) ports: [BTreeSet<u16>; 2],
    /// Why they did not arrive; differing ports are left out.
    pub(super) reason: Option<String>,
    last: Duration,
}

/// The features that the bubbles of a burst share.
type Features<'a> = (
    &'a str,
    &'a str,
    String,
    [Option<Ipv6Addr>; 2],
    Option<(Obstacle, String)>,
);

impl Bursts {
    pub(super) fn of(packets: &[Packet]) -> Self {
        let mut open: BTreeMap<Features<'_>, usize> = BTreeMap::new();
        let mut all: Vec<(Burst, Vec<u64>)> = Vec::new();
        let bubbles = packets
            .iter()
            .filter(|packet| packet.kind == Kind::Bubble && packet.findings.is_empty());
        for packet in bubbles {
            let features = features(packet);
            let known = open.get(&features).and_then(|at| all.get_mut(*at));
            match known.filter(|(burst, _)| packet.at().saturating_sub(burst.last) <= TOGETHER) {
                Some((burst, members)) => {
                    burst.take(packet);
                    members.push(packet.n);
                }
                None => {
                    open.insert(features, all.len());
                    all.push((Burst::new(packet), vec![packet.n]));
                }
            }
        }
        let mut found = Self::default();
        for (burst, members) in all {
            if burst.count >= FEWEST {
                let at = found.bursts.len();
                found.of.extend(members.into_iter().map(|n| (n, at)));
                found.bursts.push(burst);
            }
        }
        found
    }

    /// The burst that a packet belongs to.
    pub(super) fn with(&self, packet: &Packet) -> Option<&Burst> {
        self.of.get(&packet.n).and_then(|at| self.bursts.get(*at))
    }
}

impl Burst {
    fn new(packet: &Packet) -> Self {
        let mut burst = Self {
            first: packet.n,
            count: 0,
            ports: [BTreeSet::new(), BTreeSet::new()],
            reason: reason(packet).map(|(_, reason)| reason.to_owned()),
            last: packet.at(),
        };
        burst.take(packet);
        burst
    }

    fn take(&mut self, packet: &Packet) {
        self.count += 1;
        self.last = packet.at();
        let ends = [packet.from, packet.to];
        for (ports, end) in self.ports.iter_mut().zip(ends) {
            ports.insert(end.port());
        }
        if let (Some((_, own)), Some(shared)) = (reason(packet), &mut self.reason)
            && own != shared
        {
            *shared = without_numbers(own);
        }
    }

    /// The label of its first packet, for all of them: `256 bubbles, from 256 ports`.
    pub(super) fn words(&self, packet: &Packet) -> String {
        let one = label(packet);
        let features = one.strip_prefix(packet.kind.words()).unwrap_or_default();
        let mut words = format!("{} bubbles{features}", grouped(self.count));
        for (ports, word) in self.ports.iter().zip(["from", "to"]) {
            if ports.len() > 1 {
                words.push_str(&format!(", {word} {} ports", grouped(ports.len())));
            }
        }
        words
    }
}

fn features(packet: &Packet) -> Features<'_> {
    (
        &packet.from_node,
        &packet.to_node,
        label(packet),
        [packet.source, packet.destination],
        reason(packet).map(|(by, reason)| (by, without_numbers(reason))),
    )
}

fn reason(packet: &Packet) -> Option<(Obstacle, &str)> {
    match &packet.fate {
        Some(Fate::Dropped { by, reason }) => Some((*by, reason)),
        _ => None,
    }
}

/// `no mapping has port …`
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '0'..='9' if out.ends_with('…') => {}
            '0'..='9' => out.push('…'),
            other => out.push(other),
        }
    }
    out
}

/// `1,024`
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
