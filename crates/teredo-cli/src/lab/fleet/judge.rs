//! Judges what both sets held: no port is open after its lease, and no live port is closed for longer than the lease.
//!
//! ```text
//!  a port is live at a perimeter while   its client has it,
//!                                        its publisher runs, and reaches the cluster,
//!                                        the perimeter runs, and reaches the cluster
//!
//!                  live                         one of them ends
//!  ────┬─────────────────────────────────────────────┬──────────────────────┬────────
//!      │ closed for the lease at most                │ open for the lease   │ closed
//!                                                    │ at most              │
//! ```
//!
//! It looks at no clock, so its tests run in virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use super::plan::{HOSTS, SIDES, Side, host_address};
use super::record::Open;

/// A condition, and since when it is so.
#[derive(Clone, Copy, Debug)]
enum Since {
    Up(Instant),
    Down(Instant),
}

impl Since {
    /// Changes it, if it changes.
    fn set(&mut self, is_up: bool, now: Instant) {
        match (*self, is_up) {
            (Self::Up(_), false) => *self = Self::Down(now),
            (Self::Down(_), true) => *self = Self::Up(now),
            _ => {}
        }
    }

    fn down(self) -> Option<Instant> {
        match self {
            Self::Down(since) => Some(since),
            Self::Up(_) => None,
        }
    }
}

/// A host.
#[derive(Debug)]
struct Known {
    /// The port that its client has, and since when.
    port: Option<(SocketAddrV4, Instant)>,
    /// The ports that it had, and until when.
    past: BTreeMap<SocketAddrV4, Instant>,
    /// Whether its publisher reaches the cluster.
    told: Since,
}

/// A violation of a lease.
#[derive(Debug)]
pub(super) struct Breach {
    /// The host whose port it is about, if it is one's.
    pub(super) host: Option<usize>,
    pub(super) words: String,
}

/// The hosts and perimeters, as far as they are known.
#[derive(Debug)]
pub(super) struct Judge {
    lease: Duration,
    /// How much later than it should be a change may be seen.
    late: Duration,
    hosts: Vec<Known>,
    /// Whether each perimeter runs and reaches the cluster.
    following: [Since; 2],
    /// When each perimeter last had a live port in its set.
    seen: [Vec<Option<Instant>>; 2],
    /// Ports that no host is known to have had, at the last look.
    strange: Open,
    /// The longest time that a port was open after its end, and closed while it was live.
    pub(super) open: Duration,
    pub(super) closed: Duration,
}

impl Judge {
    /// All hosts and perimeters are up, and the hosts have no port yet.
    pub(super) fn new(now: Instant, lease: Duration, late: Duration) -> Self {
        let known = || Known {
            port: None,
            past: BTreeMap::new(),
            told: Since::Up(now),
        };
        Self {
            lease,
            late,
            hosts: (0..HOSTS).map(|_| known()).collect(),
            following: [Since::Up(now); 2],
            seen: [vec![None; HOSTS], vec![None; HOSTS]],
            strange: Open::new(),
            open: Duration::ZERO,
            closed: Duration::ZERO,
        }
    }

    /// The port that the client of a host has now.
    pub(super) fn port(&mut self, host: usize, port: Option<SocketAddrV4>, now: Instant) {
        let known = &mut self.hosts[host];
        if known.port.map(|(port, _)| port) == port {
            return;
        }
        if let Some((past, _)) = known.port.take() {
            known.past.insert(past, now);
        }
        known.port = port.map(|port| (port, now));
        if let Some(port) = port {
            known.past.remove(&port);
        }
        for seen in &mut self.seen {
            seen[host] = None;
        }
    }

    /// Whether the publisher of a host runs and reaches the cluster.
    pub(super) fn told(&mut self, host: usize, is_told: bool, now: Instant) {
        self.hosts[host].told.set(is_told, now);
    }

    /// Whether a perimeter runs and reaches the cluster.
    pub(super) fn following(&mut self, side: Side, is_following: bool, now: Instant) {
        self.following[side as usize].set(is_following, now);
    }

    /// Judges the contents of a perimeter's set.
    pub(super) fn look(&mut self, side: Side, open: &Open, now: Instant) -> Result<(), Breach> {
        for port in open {
            self.look_at_open(side, *port, now)?;
        }
        for host in 0..HOSTS {
            self.look_at_live(side, host, open, now)?;
        }
        Ok(())
    }

    /// A port that is open is live, or ended not longer ago than the lease.
    fn look_at_open(&mut self, side: Side, port: SocketAddrV4, now: Instant) -> Result<(), Breach> {
        let host = (0..HOSTS).find(|host| host_address(*host) == *port.ip());
        let known = host.map(|host| &self.hosts[host]);
        let is_current = |known: &&Known| known.port.is_some_and(|(current, _)| current == port);
        let ended = match known {
            Some(known) if known.past.contains_key(&port) => known.past.get(&port).copied(),
            Some(known) if is_current(&known) => None,
            // Its client may have it since the last look at the host.
            _ if self.strange.insert(port) => return Ok(()),
            _ => {
                let words = format!("{port} is open at {}, and nobody's", side.perimeter());
                return Err(Breach { host, words });
            }
        };
        self.strange.remove(&port);
        let told = known.and_then(|known| known.told.down());
        let following = self.following[side as usize].down();
        let Some(end) = [ended, told, following].into_iter().flatten().min() else {
            return Ok(());
        };
        let after = now.saturating_duration_since(end);
        self.open = self.open.max(after);
        if after > self.lease + self.late {
            let current = known.and_then(|known| known.port).map(|(port, _)| port);
            let causes = [
                (ended, format!("its client has {current:?}")),
                (told, "its host does not reach the cluster".to_owned()),
                (following, "the perimeter does not follow".to_owned()),
            ];
            let causes = causes.into_iter().filter(|(since, _)| since.is_some());
            let causes: Vec<_> = causes.map(|(_, cause)| cause).collect();
            let words = format!(
                "{port} is open at {} {} ms after its end: {}",
                side.perimeter(),
                after.as_millis(),
                causes.join(", ")
            );
            return Err(Breach { host, words });
        }
        Ok(())
    }

    /// A live port is open, or was so not longer ago than the lease.
    fn look_at_live(
        &mut self,
        side: Side,
        host: usize,
        open: &Open,
        now: Instant,
    ) -> Result<(), Breach> {
        let seen = &mut self.seen[side as usize][host];
        let known = &self.hosts[host];
        let (Some((port, since)), Since::Up(told), Since::Up(following)) =
            (known.port, known.told, self.following[side as usize])
        else {
            return Ok(());
        };
        if open.contains(&port) {
            *seen = Some(now);
            return Ok(());
        }
        let live = since.max(told).max(following);
        let closed = now.saturating_duration_since(seen.map_or(live, |seen| seen.max(live)));
        self.closed = self.closed.max(closed);
        if closed > self.lease + self.late {
            let words = format!(
                "{port} is closed at {} for {} ms, and live",
                side.perimeter(),
                closed.as_millis()
            );
            let host = Some(host);
            return Err(Breach { host, words });
        }
        Ok(())
    }

    /// The hosts whose ports are live at both perimeters.
    pub(super) fn live(&self) -> impl Iterator<Item = usize> + '_ {
        let is_following = SIDES
            .into_iter()
            .all(|side| self.following[side as usize].down().is_none());
        let is_live = move |host: &usize| {
            let known = &self.hosts[*host];
            is_following && known.port.is_some() && known.told.down().is_none()
        };
        (0..HOSTS).filter(is_live)
    }
}

#[cfg(test)]
mod tests;
