//! Which elements of the kernel's set have to change, and which may stay. No I/O.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// An element that ends so soon is neither removed nor renewed: the kernel may have removed it before the request arrives,
/// which would refuse the transaction.
const BRINK: Duration = Duration::from_millis(50);

/// How much later or earlier a moment must be to be worth a transaction.
const TOLERANCE: Duration = Duration::from_millis(250);

/// The kernel's elements, as far as they are known.
#[derive(Debug)]
pub(super) struct Plan {
    lease: Duration,
    /// The elements of this program, and when the kernel removes each.
    held: HashMap<SocketAddrV4, Instant>,
    /// Those of others, which stay as they are, and when the kernel removes each; none: never.
    foreign: HashMap<SocketAddrV4, Option<Instant>>,
}

/// The changes of one transaction.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) remove: Vec<SocketAddrV4>,
    /// With the moments when they end.
    pub(super) add: Vec<(SocketAddrV4, Instant)>,
}

impl Plan {
    pub(super) fn new(lease: Duration) -> Self {
        Self {
            lease,
            held: HashMap::new(),
            foreign: HashMap::new(),
        }
    }

    pub(super) fn set_lease(&mut self, lease: Duration) {
        self.lease = lease;
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn held(&self) -> impl Iterator<Item = SocketAddrV4> + '_ {
        self.held.keys().copied()
    }

    /// Half a lease before its end, an element has to be renewed.
    fn margin(&self) -> Duration {
        self.lease / 2
    }

    pub(super) fn due(&self, now: Instant) -> Vec<SocketAddrV4> {
        let horizon = now + self.margin();
        let due = self.held.iter().filter(|(_, end)| **end <= horizon);
        let left = self.foreign.iter().filter(|(_, end)| has_left(end, now));
        let own = due.map(|(endpoint, _)| *endpoint);
        own.chain(left.map(|(endpoint, _)| *endpoint)).collect()
    }

    /// The changes that the kernel's set needs for these endpoints to be open until the moments of `until`.
    pub(super) fn steps(
        &self,
        endpoints: &[SocketAddrV4],
        until: impl Fn(&SocketAddrV4) -> Option<Instant>,
        now: Instant,
    ) -> Steps {
        let mut steps = Steps::default();
        for endpoint in endpoints {
            let foreign = self.foreign.get(endpoint);
            if foreign.is_some_and(|end| !has_left(end, now)) {
                continue;
            }
            let end = self.held.get(endpoint).copied();
            let is_on_the_brink = end.is_some_and(|end| now <= end && end < now + BRINK);
            if is_on_the_brink {
                continue;
            }
            let end = end.filter(|end| *end > now);
            let wanted = until(endpoint).filter(|moment| *moment >= now + BRINK);
            match (end, wanted) {
                (None, None) => {}
                (None, Some(moment)) => steps.add.push((*endpoint, moment)),
                (Some(_), None) => steps.remove.push(*endpoint),
                (Some(end), Some(moment)) => {
                    let is_due = end <= now + self.margin();
                    let is_late = moment + TOLERANCE < end;
                    if is_late || is_due && moment > end + TOLERANCE {
                        steps.remove.push(*endpoint);
                        steps.add.push((*endpoint, moment));
                    }
                }
            }
        }
        steps
    }

    /// The kernel has taken them.
    pub(super) fn taken(&mut self, steps: &Steps) {
        for endpoint in &steps.remove {
            self.held.remove(endpoint);
        }
        self.held.extend(steps.add.iter().copied());
    }

    /// Takes the content of the kernel's set. Returns whether it is something else than was known.
    pub(super) fn found(
        &mut self,
        own: impl Iterator<Item = (SocketAddrV4, Instant)>,
        foreign: impl Iterator<Item = (SocketAddrV4, Option<Instant>)>,
        now: Instant,
    ) -> bool {
        let held: HashMap<_, _> = own.collect();
        let foreign: HashMap<_, _> = foreign.collect();
        let is_alive = |end: &Instant| *end > now + BRINK;
        let missing = |(endpoint, end): (&SocketAddrV4, &Instant)| {
            is_alive(end) && !held.contains_key(endpoint)
        };
        // One that is loaded again with a saved ruleset may never end.
        let is_new = |(endpoint, end): (&SocketAddrV4, &Instant)| {
            self.held
                .get(endpoint)
                .is_none_or(|known| *end > *known + TOLERANCE)
        };
        let same_foreign = foreign.len() == self.foreign.len()
            && foreign.keys().all(|one| self.foreign.contains_key(one));
        let differs = self.held.iter().any(missing) || held.iter().any(is_new) || !same_foreign;
        (self.held, self.foreign) = (held, foreign);
        differs
    }

    /// Forgets what the kernel has removed by now.
    pub(super) fn forget_ended(&mut self, now: Instant) {
        self.held.retain(|_, end| *end > now);
        self.foreign.retain(|_, end| !has_left(end, now));
    }
}

/// Whether the kernel has removed an element of another program.
fn has_left(end: &Option<Instant>, now: Instant) -> bool {
    end.is_some_and(|end| now >= end + BRINK)
}

#[cfg(test)]
mod tests;
