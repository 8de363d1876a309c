//! The task that keeps the leases in firewalld. It alone waits for firewalld, so the agent never does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::bus::{Bus, BusError};
use super::lease::{Lease, Turns, Zones, leases};
use super::{Held, Wish, uplink};
use crate::block::RETRY;

/// The most random ports that firewalld is asked for.
const MOST_RANDOM: usize = 32;

struct Keeper {
    bus: Option<Bus>,
    changed: Arc<Notify>,
    /// How long firewalld keeps a rule.
    lease: Duration,
    zones: Zones,
    /// Whether zones and rules are as firewalld has them.
    current: bool,
    /// The rules that may be there.
    turns: BTreeMap<Lease, Turns>,
    /// When each lease was renewed; none: it has no rule that is known to live.
    renewed: BTreeMap<Lease, Instant>,
}

/// Keeps the wished leases until the wish says that the agent ends, and removes them then.
pub(super) async fn keep(
    mut wishes: watch::Receiver<Wish>,
    held: watch::Sender<Held>,
    lease: Duration,
) {
    let changed = Arc::new(Notify::new());
    let mut keeper = Keeper {
        bus: None,
        changed: Arc::clone(&changed),
        lease,
        zones: Zones::default(),
        current: false,
        turns: BTreeMap::new(),
        renewed: BTreeMap::new(),
    };
    let mut doubts = 0;
    loop {
        let wish = wishes.borrow_and_update().clone();
        if wish.doubts != doubts {
            // firewalld may believe in rules that another program took out of the kernel.
            keeper.current = false;
            keeper.renewed.clear();
            doubts = wish.doubts;
        }
        if wish.end {
            keeper.remove_all().await;
            return;
        }
        let next = match keeper.pass(&wish, &held).await {
            Ok(()) => keeper.next_renewal(),
            Err(error) => {
                keeper.current = false;
                if matches!(error, BusError::NotRunning) {
                    // It has forgotten them, and their timeouts.
                    keeper.turns.clear();
                    keeper.renewed.clear();
                }
                held.send_if_modified(|held| {
                    let new = Held {
                        trouble: Some(error.to_string()),
                        doubts,
                        ..Held::default()
                    };
                    let is_new = *held != new;
                    *held = new;
                    is_new
                });
                Instant::now() + RETRY
            }
        };
        tokio::select! {
            wish = wishes.changed() => if wish.is_err() {
                return;
            },
            () = changed.notified() => keeper.current = false,
            () = sleep_until(next) => {}
        }
    }
}

impl Keeper {
    /// Half a lease: should one renewal fail, others are tried before the lease ends.
    fn period(&self) -> Duration {
        self.lease / 2
    }

    /// When firewalld is asked again without a reason.
    fn next_renewal(&self) -> Instant {
        let oldest = self.renewed.values().min().copied();
        oldest.unwrap_or_else(Instant::now) + self.period()
    }

    /// Makes firewalld have the wished exceptions. New ones come first, ports before others; then old ones go.
    async fn pass(&mut self, wish: &Wish, held: &watch::Sender<Held>) -> Result<(), BusError> {
        let idle = wish.ports.is_empty() && (wish.tunnels.is_empty() || wish.inside.is_empty());
        if idle && self.turns.is_empty() {
            publish(held, wish, &self.zones, true);
            return Ok(());
        }
        if self.bus.as_ref().is_none_or(|bus| !bus.is_alive()) {
            self.bus = Some(Bus::connect(Arc::clone(&self.changed)).await?);
            self.current = false;
        }
        let now = Instant::now();
        let is_due =
            |at: Option<&Instant>, period| at.is_none_or(|at| now.duration_since(*at) >= period);
        let renews = self
            .renewed
            .values()
            .any(|at| is_due(Some(at), self.period()));
        let known = |tunnel| self.zones.tunnels.contains_key(tunnel);
        if !self.current || renews || !wish.tunnels.keys().all(known) {
            self.look(wish).await?;
        }
        let wanted = leases(wish, &self.zones);
        let is_random = |lease: &&Lease| {
            lease
                .opens()
                .is_some_and(|port| !wish.ports.contains(&port))
        };
        let (random, others): (Vec<_>, Vec<_>) = wanted.iter().partition(is_random);
        let mut waits = others
            .iter()
            .filter(|lease| lease.opens().is_some())
            .count();
        for lease in others {
            if is_due(self.renewed.get(lease), self.period()) {
                self.renew(lease).await?;
            }
            if lease.opens().is_some() {
                waits -= 1;
                if waits == 0 {
                    publish(held, wish, &self.zones, false);
                }
            }
        }
        let mut all = true;
        // Each rule takes firewalld some milliseconds, and a block of ports is open for seconds.
        let takes_too_long = random.len() > MOST_RANDOM;
        if takes_too_long {
            tracing::debug!("firewalld opens no block of random ports");
            all = false;
        }
        for lease in random.into_iter().filter(|_| !takes_too_long) {
            if is_due(self.renewed.get(lease), self.period())
                && let Err(error) = self.renew(lease).await
            {
                // The port is open, and the client does without this one.
                tracing::debug!(%error, "firewalld does not open a random port");
                all = false;
                break;
            }
        }
        publish(held, wish, &self.zones, all);
        let old: Vec<_> = self.turns.keys().cloned().collect();
        for lease in old.iter().filter(|lease| !wanted.contains(lease)) {
            self.remove(lease).await?;
        }
        Ok(())
    }

    fn bus(&self) -> Result<&Bus, BusError> {
        self.bus.as_ref().ok_or(BusError::NotRunning)
    }

    /// Learns the zones, and the rules that firewalld still has. Those may be of an agent before this one.
    async fn look(&mut self, wish: &Wish) -> Result<(), BusError> {
        let bus = self.bus()?;
        let default = bus.default_zone().await?;
        let mut zones = Zones::default();
        for interface in uplink::interfaces() {
            let zone = bus.zone_of(&interface).await?;
            zones
                .uplinks
                .insert(zone.unwrap_or_else(|| default.clone()));
        }
        if zones.uplinks.is_empty() {
            zones.uplinks.insert(default.clone());
        }
        for tunnel in wish.tunnels.keys() {
            let zone = bus.zone_of(tunnel).await?;
            let zone = zone.unwrap_or_else(|| default.clone());
            zones.tunnels.insert(tunnel.clone(), zone);
        }
        let mut visited: BTreeSet<&String> = zones.uplinks.iter().collect();
        visited.extend(zones.tunnels.values());
        visited.extend(self.turns.keys().map(|lease| &lease.zone));
        let mut found = BTreeSet::new();
        let now = Instant::now();
        for zone in visited {
            for rule in bus.rules(zone).await? {
                found.extend(Lease::of_rule(zone, &rule));
            }
        }
        // A reload takes the rules away, but not their timeouts, which would remove a rule of the same text. The turns
        // go on from the last one, so the next rule has another.
        self.renewed
            .retain(|lease, _| found.iter().any(|(known, _)| known == lease));
        for (lease, priority) in found {
            self.turns.entry(lease).or_default().add(priority, now);
        }
        self.zones = zones;
        self.current = true;
        Ok(())
    }

    async fn renew(&mut self, lease: &Lease) -> Result<(), BusError> {
        let seconds = self.lease.as_secs() + u64::from(self.lease.subsec_nanos() > 0);
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX).max(1);
        let turns = self.turns.entry(lease.clone()).or_default();
        let bus = self.bus.as_ref().ok_or(BusError::NotRunning)?;
        for _ in 0..Turns::tries() {
            let priority = turns.next();
            let result = bus.add(&lease.zone, &lease.rule(priority), seconds).await;
            match result {
                Ok(()) => {
                    let now = Instant::now();
                    turns.add(priority, now);
                    self.renewed.insert(lease.clone(), now);
                    return Ok(());
                }
                // Of an agent before this one.
                Err(BusError::AlreadyEnabled) => turns.add(priority, Instant::now()),
                Err(error) => return Err(error),
            }
        }
        Err(BusError::AlreadyEnabled)
    }

    async fn remove(&mut self, lease: &Lease) -> Result<(), BusError> {
        self.renewed.remove(lease);
        let bus = self.bus.as_ref().ok_or(BusError::NotRunning)?;
        if let Some(turns) = self.turns.get_mut(lease) {
            for priority in turns.alive(Instant::now(), self.lease) {
                match bus.remove(&lease.zone, &lease.rule(priority)).await {
                    Ok(()) | Err(BusError::NotEnabled) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.turns.remove(lease);
        Ok(())
    }

    /// Removes every rule. One that firewalld does not remove now ends with its lease.
    async fn remove_all(&mut self) {
        for lease in self.turns.keys().cloned().collect::<Vec<_>>() {
            if let Err(error) = self.remove(&lease).await {
                tracing::debug!(%error, "firewalld keeps a rule until its lease ends");
            }
        }
    }
}

/// The wish is fulfilled; if not `all`, then without random ports that were not open before.
fn publish(held: &watch::Sender<Held>, wish: &Wish, zones: &Zones, all: bool) {
    held.send_if_modified(|held| {
        let random = match all {
            true => wish.random.clone(),
            false => wish.random.intersection(&held.random).copied().collect(),
        };
        let new = Held {
            ports: wish.ports.clone(),
            random,
            zones: zones.uplinks.clone(),
            trouble: None,
            doubts: wish.doubts,
        };
        let is_new = *held != new;
        *held = new;
        is_new
    });
}
