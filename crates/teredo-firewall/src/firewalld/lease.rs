//! The leases of exceptions, and the rich rules that hold them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use super::{Side, Wish};
use crate::config::Exception;

/// The priority of the first rule of a lease. The priorities from here to [`LAST`] are the agent's.
const FIRST: i16 = 13_544;
/// The number of rules that take turns. Two of them live at a time.
const TURNS: i16 = 16;
const LAST: i16 = FIRST + TURNS - 1;

/// An exception in a zone. Ports come first in the order, because a node waits for them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lease {
    purpose: Purpose,
    pub(super) zone: String,
    /// The rule behind its priority.
    body: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    Port(u16),
    Discovery,
    Inside,
}

impl Lease {
    pub(super) fn port(zone: &str, port: u16) -> Self {
        Self {
            purpose: Purpose::Port(port),
            zone: zone.to_owned(),
            body: format!(r#"family="ipv4" port port="{port}" protocol="udp" accept"#),
        }
    }

    /// Local discovery, and the membership in its group (RFC 4380 §5.2.8).
    fn discovery(zone: &str) -> [Self; 2] {
        let lease = |body: &str| Self {
            purpose: Purpose::Discovery,
            zone: zone.to_owned(),
            body: body.to_owned(),
        };
        [
            lease(DISCOVERY),
            lease(r#"family="ipv4" protocol value="igmp" accept"#),
        ]
    }

    /// An exception inside the tunnel. The zone may have other interfaces, so the rule is about Teredo addresses alone.
    fn inside(zone: &str, side: Side, exception: Exception) -> Self {
        let end = match side {
            Side::Here => "destination",
            Side::There => "source",
        };
        let Exception { port, protocol } = exception;
        Self {
            purpose: Purpose::Inside,
            zone: zone.to_owned(),
            body: format!(
                r#"family="ipv6" {end} address="{TEREDO}" port port="{port}" protocol="{protocol}" accept"#
            ),
        }
    }

    /// The rule with this priority.
    pub(super) fn rule(&self, priority: i16) -> String {
        let mut rule = format!(r#"rule priority="{priority}" "#);
        let _ = rule.write_str(&self.body);
        rule
    }

    /// The port that it opens.
    pub(super) fn opens(&self) -> Option<u16> {
        match self.purpose {
            Purpose::Port(port) => Some(port),
            _ => None,
        }
    }

    /// The lease that a rule of a zone belongs to, and the rule's priority; none if it is not an agent's.
    pub(super) fn of_rule(zone: &str, rule: &str) -> Option<(Self, i16)> {
        let rest = rule.strip_prefix(r#"rule priority=""#)?;
        let (priority, body) = rest.split_once(r#"" "#)?;
        let priority: i16 = priority.parse().ok()?;
        if !(FIRST..=LAST).contains(&priority) {
            return None;
        }
        let port = body
            .strip_prefix(r#"family="ipv4" port port=""#)
            .and_then(|rest| rest.strip_suffix(r#"" protocol="udp" accept"#))
            .and_then(|port| port.parse().ok());
        if let Some(port) = port {
            return Some((Self::port(zone, port), priority));
        }
        let known = Self::discovery(zone)
            .into_iter()
            .find(|lease| lease.body == body);
        let inside = ["destination", "source"].iter().any(|end| {
            let head = format!(r#"family="ipv6" {end} address="{TEREDO}" port port=""#);
            body.starts_with(&head) && body.ends_with(" accept")
        });
        let inside = inside.then(|| Self {
            purpose: Purpose::Inside,
            zone: zone.to_owned(),
            body: body.to_owned(),
        });
        known.or(inside).map(|lease| (lease, priority))
    }
}

const TEREDO: &str = "2001::/32";
const DISCOVERY: &str =
    r#"family="ipv4" destination address="224.0.0.253" port port="3544" protocol="udp" accept"#;

/// The zones of interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zones {
    /// Those by which datagrams arrive.
    pub(super) uplinks: std::collections::BTreeSet<String>,
    /// That of each tunnel's interface.
    pub(super) tunnels: BTreeMap<String, String>,
}

/// All leases of a wish.
pub(super) fn leases(wish: &Wish, zones: &Zones) -> std::collections::BTreeSet<Lease> {
    let mut leases = std::collections::BTreeSet::new();
    for zone in &zones.uplinks {
        let ports = wish.ports.union(&wish.random);
        leases.extend(ports.map(|port| Lease::port(zone, *port)));
        if wish.discovery && !wish.ports.is_empty() {
            leases.extend(Lease::discovery(zone));
        }
    }
    for (interface, side) in &wish.tunnels {
        if let Some(zone) = zones.tunnels.get(interface) {
            let inside = wish.inside.iter();
            leases.extend(inside.map(|exception| Lease::inside(zone, *side, *exception)));
        }
    }
    leases
}

/// The rules of one lease that may be in firewalld.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    /// When each was added, by its priority.
    added: BTreeMap<i16, Instant>,
    last: Option<i16>,
}

impl Turns {
    /// The priority of the next rule.
    pub(super) fn next(&mut self) -> i16 {
        let next = match self.last {
            Some(last) if last < LAST => last + 1,
            _ => FIRST,
        };
        self.last = Some(next);
        next
    }

    /// How many tries find a priority that is free, if one is.
    pub(super) fn tries() -> i16 {
        TURNS
    }

    /// A rule was added then, or was found.
    pub(super) fn add(&mut self, priority: i16, now: Instant) {
        self.added.insert(priority, now);
    }

    /// The rules that may still live.
    pub(super) fn alive(&mut self, now: Instant, lease: Duration) -> Vec<i16> {
        // firewalld's clock has full seconds.
        let limit = lease + Duration::from_secs(2);
        self.added.retain(|_, added| now - *added < limit);
        self.added.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests;
