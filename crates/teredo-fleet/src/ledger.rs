//! The entries of all hosts, and which endpoints they keep open until when. No I/O.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use slab::Slab;
use smallvec::SmallVec;

use crate::boot::Boot;
use crate::delay::Delay;
use crate::{Entry, EntryError, Grants, HostKey, ParseKeyError, ServerClock};

/// The hosts that a ledger has room for by default.
pub const MAX_HOSTS: usize = 250_000;

/// A lease with no more time than this may have ended in the kernel: its element can be a little ahead, and one that is about to
/// end is not added again.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// How long a host that is gone stays known: what a cut holds up for so long opens nothing when it comes.
const MEMORY: Duration = Duration::from_secs(20 * 60);

/// The former boots of a host that it remembers.
const FORMER_BOOTS: usize = 3;

/// The terms under which entries open endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long an entry lasts from when the host wrote it.
    pub lease: Duration,
    /// Whether the mapped endpoint of each host is open, too.
    pub mapped: bool,
    /// Which addresses hosts may name.
    pub grants: Grants,
    /// The most hosts.
    pub hosts: usize,
}

/// The bucket's word of one key.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    /// The key.
    pub key: &'a str,
    /// When the server took it, since the epoch, by the server's clock.
    pub stamp: Duration,
    /// When it arrived, since the epoch, by the clock of this host.
    pub wall: Duration,
    /// The value; none: the key was deleted.
    pub value: Option<&'a [u8]>,
    /// Whether the server has read the value from a stream before: a host writes none of these.
    pub is_copy: bool,
}

/// The effect of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// Nothing: it is known, as those of a snapshot may be.
    Known,
    /// The lease.
    Renewed,
    /// The endpoints, the boot or the number of the announcement.
    Changed,
    /// The host has gone.
    Gone,
}

/// Why an entry counts for nothing. What the host had is open until its lease ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No host has such a key.
    #[error(transparent)]
    Key(#[from] ParseKeyError),
    /// The value is no entry of the key.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The host may not name that address. If it is the mapped one, the local one counts.
    #[error("{0} is not granted to it")]
    NotGranted(Ipv4Addr),
    /// It is not later than the last one of its boot, or of a boot that has ended.
    #[error("it is older than what the host wrote before")]
    Replayed,
    /// The server has read it from the bucket, and somebody let the answer be written there again.
    #[error("it is a copy of an entry")]
    Copied,
    /// There is no room.
    #[error("there are too many hosts")]
    Full,
}

impl Refusal {
    /// The names of all counters.
    pub const NAMES: [&str; 8] = [
        "key",
        "other_host",
        "address",
        "malformed",
        "not_granted",
        "replayed",
        "copied",
        "full",
    ];

    /// The name of its counter: one of [`NAMES`](Self::NAMES).
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Entry(EntryError::OtherHost) => "other_host",
            Self::Entry(EntryError::Address(_)) => "address",
            Self::Entry(_) => "malformed",
            Self::NotGranted(_) => "not_granted",
            Self::Replayed => "replayed",
            Self::Copied => "copied",
            Self::Full => "full",
        }
    }
}

/// The hosts of a bucket.
///
/// A lease counts from when the host wrote its entry. How long that took to arrive is known from the entries before it
/// (`delay.rs`). The first entry of a host may be one of a snapshot: it is as old as the clocks of the host, of the server and
/// of this machine say, and at least as a [`ServerClock`] shows. No entry lasts longer than one lease after it has arrived
/// here.
#[derive(Debug)]
pub struct Ledger {
    terms: Terms,
    clock: ServerClock,
    /// Arrivals count from here.
    epoch: Option<Instant>,
    names: HashMap<HostKey, u32>,
    hosts: Slab<Host>,
    /// The hosts with an open endpoint.
    open: usize,
    /// The hosts of each endpoint.
    owners: HashMap<SocketAddrV4, SmallVec<[u32; 2]>>,
    /// The endpoints to look at.
    dirty: HashSet<SocketAddrV4>,
}

#[derive(Debug)]
struct Host {
    key: HostKey,
    boot: Boot,
    former: Vec<Boot>,
    /// Of the last entry, by the host's clock, and since its boot.
    time: Duration,
    uptime: Option<Duration>,
    sequence: u64,
    /// The local and the mapped one.
    endpoints: [Option<SocketAddrV4>; 2],
    /// Whether both of them are granted.
    is_whole: bool,
    arrived: Instant,
    delay: Delay,
    /// How long the last entry was held up.
    held_up: Duration,
    /// When the server would have taken an entry without one before it, whose way is not known, at once.
    stamp: Option<Duration>,
    /// Its own lease, if it named one.
    lease: Option<Duration>,
    /// Its key was deleted: of the entry of before, nothing holds.
    is_withdrawn: bool,
}

impl Host {
    /// The place of the last entry among those of its boot.
    fn moment(&self) -> Duration {
        self.uptime.unwrap_or(self.time)
    }
}

/// The state of a host that a perimeter has acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    /// The boot of the host.
    pub boot: String,
    /// When the host wrote its last entry, by its own clock.
    pub time: Duration,
    /// The same since its boot, if the entry has it.
    pub uptime: Option<Duration>,
    /// The number of the announcement.
    pub sequence: u64,
}

impl Ledger {
    /// A ledger without hosts.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            clock: ServerClock::new(terms.lease),
            epoch: None,
            terms,
            names: HashMap::new(),
            hosts: Slab::new(),
            open: 0,
            owners: HashMap::new(),
            dirty: HashSet::new(),
        }
    }

    /// The number of hosts with an open endpoint.
    #[must_use]
    pub fn open_hosts(&self) -> usize {
        self.open
    }

    /// The lease of an entry.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.terms.lease
    }

    /// The bucket has another lease now.
    pub fn set_lease(&mut self, lease: Duration) {
        self.terms.lease = lease;
        self.clock.set_window(lease);
        self.dirty.extend(self.owners.keys());
    }

    /// The bucket is another one, whose server may have another clock. What a host wrote before stays known, so that nobody
    /// writes it again; and an entry lasts for one lease after it has arrived, as ever.
    pub fn begin_anew(&mut self) {
        self.clock = ServerClock::new(self.terms.lease);
    }

    /// Takes what the bucket says of a key.
    ///
    /// # Errors
    ///
    /// [`Refusal`]
    pub fn learn(&mut self, news: &News<'_>, now: Instant) -> Result<Learnt, Refusal> {
        self.clock.observe(news.stamp, now);
        let key: HostKey = news.key.parse()?;
        let known = self.names.get(&key).copied();
        let Some(value) = news.value else {
            return Ok(self.withdraw(known));
        };
        if news.is_copy {
            return Err(Refusal::Copied);
        }
        let entry = Entry::decode(&key, value)?;
        let permitted = |endpoint: &SocketAddrV4| self.terms.grants.permit(&key, *endpoint.ip());
        if let Some(refused) = entry.local.filter(|endpoint| !permitted(endpoint)) {
            return Err(Refusal::NotGranted(*refused.ip()));
        }
        let mapped = entry
            .mapped
            .filter(|_| self.terms.mapped && entry.local.is_some());
        let refused = mapped.filter(|endpoint| !permitted(endpoint));
        let claim = Claim {
            endpoints: [entry.local, mapped.filter(permitted)],
            is_whole: refused.is_none(),
            stamp: news.stamp,
            wall: news.wall,
            arrived: now,
        };
        let learnt = match known {
            Some(index) => self.update(index, entry, claim)?,
            None => self.admit(key, entry, claim)?,
        };
        match refused {
            Some(refused) if learnt != Learnt::Known => Err(Refusal::NotGranted(*refused.ip())),
            _ => Ok(learnt),
        }
    }

    fn admit(&mut self, key: HostKey, entry: Entry, claim: Claim) -> Result<Learnt, Refusal> {
        if self.hosts.len() >= self.terms.hosts {
            self.forget_one()?;
        }
        let since = claim.wall.saturating_sub(claim.stamp);
        let First { delay, age, stamp } = self.begin(&entry, &claim, since);
        let index = self.hosts.insert(Host {
            key: key.clone(),
            boot: Boot::new(&entry.boot),
            former: Vec::new(),
            time: entry.time,
            uptime: entry.uptime,
            sequence: entry.sequence,
            endpoints: [None; 2],
            is_whole: claim.is_whole,
            arrived: claim.arrived,
            delay,
            held_up: age,
            stamp: Some(stamp),
            lease: entry.lease,
            is_withdrawn: false,
        });
        // `Terms::hosts` is far below.
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.names.insert(key, index);
        self.move_to(index, claim.endpoints);
        Ok(Learnt::Changed)
    }

    /// Makes room: of the hosts that are gone, the one that went first is forgotten.
    fn forget_one(&mut self) -> Result<(), Refusal> {
        let gone = self
            .hosts
            .iter()
            .filter(|(_, host)| host.endpoints == [None; 2]);
        let first = gone.min_by_key(|(_, host)| host.arrived);
        let (index, _) = first.ok_or(Refusal::Full)?;
        self.forget(index);
        Ok(())
    }

    /// The way of an entry without one before it, by the clocks of the host, of the server and of this machine. Other programs'
    /// entries, without an uptime, may have any time. `since` is how long ago the server had it.
    fn begin(&mut self, entry: &Entry, claim: &Claim, since: Duration) -> First {
        let epoch = *self.epoch.get_or_insert(claim.arrived);
        let to_server = match entry.uptime {
            Some(_) => claim.stamp.saturating_sub(entry.time),
            None => Duration::ZERO,
        };
        let age = to_server.saturating_add(since);
        First {
            delay: Delay::begin(epoch, (entry.moment(), claim.arrived), age),
            age,
            stamp: claim.stamp.saturating_sub(to_server),
        }
    }

    fn update(&mut self, index: u32, entry: Entry, claim: Claim) -> Result<Learnt, Refusal> {
        let now = claim.arrived;
        let rest = self.rest(&self.hosts[index as usize], now);
        let since = match entry.uptime {
            Some(_) => claim.wall.saturating_sub(claim.stamp),
            // It has just been written: it is no entry of a snapshot.
            None => Duration::ZERO,
        };
        let begun = self.begin(&entry, &claim, since);
        let epoch = self.epoch.unwrap_or(now);
        let host = &mut self.hosts[index as usize];
        let boot = Boot::new(&entry.boot);
        let same_boot = host.boot == boot;
        let same =
            same_boot && entry.sequence == host.sequence && claim.endpoints == host.endpoints;
        let like = entry.uptime.is_some() == host.uptime.is_some();
        let is_quiet = now.saturating_duration_since(host.arrived) >= self.terms.lease * 2;
        let goes_on = same_boot && like && entry.moment() > host.moment();
        if same_boot && like && entry.moment() == host.moment() {
            // Its endpoints may have ended here meanwhile.
            return if entry.sequence == host.sequence {
                Ok(Learnt::Known)
            } else {
                Err(Refusal::Replayed)
            };
        }
        // A machine may go back to a saved state of itself, and a clock may be set back.
        if !goes_on && !is_quiet && (same_boot && like || host.former.contains(&boot)) {
            return Err(Refusal::Replayed);
        }
        if goes_on && entry.uptime.is_some() {
            let last = (host.moment(), host.arrived);
            host.held_up = host.delay.of(epoch, last, (entry.moment(), now));
            host.stamp = None;
        } else {
            (host.delay, host.held_up, host.stamp) = (begun.delay, begun.age, Some(begun.stamp));
        }
        if !same_boot {
            let ended = std::mem::replace(&mut host.boot, boot);
            host.former.push(ended);
            if host.former.len() > FORMER_BOOTS {
                host.former.remove(0);
            }
        }
        (host.time, host.uptime, host.sequence) = (entry.time, entry.uptime, entry.sequence);
        (host.arrived, host.lease, host.is_whole) = (now, entry.lease, claim.is_whole);
        host.is_withdrawn = false;
        if same {
            // The kernel must not keep a longer lease than the new one; and at the last moment of the old one, its element
            // may have gone.
            if rest < LAST_MOMENT || self.rest(&self.hosts[index as usize], now) < rest {
                self.dirty.extend(claim.endpoints.into_iter().flatten());
            }
            Ok(Learnt::Renewed)
        } else {
            self.move_to(index, claim.endpoints);
            Ok(Learnt::Changed)
        }
    }

    fn withdraw(&mut self, known: Option<u32>) -> Learnt {
        let Some(index) = known else {
            return Learnt::Known;
        };
        self.hosts[index as usize].is_withdrawn = true;
        self.move_to(index, [None; 2]);
        Learnt::Gone
    }

    fn move_to(&mut self, index: u32, endpoints: [Option<SocketAddrV4>; 2]) {
        let host = &mut self.hosts[index as usize];
        let before = std::mem::replace(&mut host.endpoints, endpoints);
        let is_open =
            |endpoints: &[Option<SocketAddrV4>]| usize::from(endpoints.iter().any(Option::is_some));
        self.open = self.open + is_open(&endpoints) - is_open(&before);
        for endpoint in before.into_iter().flatten() {
            if let Some(owners) = self.owners.get_mut(&endpoint) {
                owners.retain(|owner| *owner != index);
                if owners.is_empty() {
                    self.owners.remove(&endpoint);
                }
            }
            self.dirty.insert(endpoint);
        }
        for endpoint in endpoints.into_iter().flatten() {
            let owners = self.owners.entry(endpoint).or_default();
            if !owners.contains(&index) {
                owners.push(index);
            }
            self.dirty.insert(endpoint);
        }
    }

    /// Closes what has ended, and forgets hosts that have been gone for long.
    pub fn expire(&mut self, now: Instant) {
        let gone = |host: &Host| now.saturating_duration_since(host.arrived);
        let memory = MEMORY.max(self.terms.lease * 2);
        let ended: Vec<_> = self
            .hosts
            .iter()
            .filter(|(_, host)| match host.endpoints {
                [None, None] => gone(host) >= memory,
                _ => self.rest(host, now).is_zero(),
            })
            .map(|(index, host)| (index, gone(host) >= memory))
            .collect();
        for (index, is_forgotten) in ended {
            self.move_to(u32::try_from(index).unwrap_or(u32::MAX), [None; 2]);
            if is_forgotten {
                self.forget(index);
            }
        }
    }

    /// Forgets a host without an endpoint.
    fn forget(&mut self, index: usize) {
        let host = self.hosts.remove(index);
        self.names.remove(&host.key);
    }

    /// The rest of a host's lease.
    fn rest(&self, host: &Host, now: Instant) -> Duration {
        let lease = self.terms.lease;
        let lease = host.lease.map_or(lease, |own| own.min(lease));
        let here = now.saturating_duration_since(host.arrived);
        let there = host.stamp.and_then(|stamp| {
            let server = self.clock.now(now)?;
            Some(server.saturating_sub(stamp))
        });
        let age = here.saturating_add(host.held_up);
        lease.saturating_sub(age.max(there.unwrap_or_default()))
    }

    /// Until when an endpoint is open; none: it is closed.
    #[must_use]
    pub fn until(&self, endpoint: &SocketAddrV4, now: Instant) -> Option<Instant> {
        let owners = self.owners.get(endpoint)?;
        let rests = owners
            .iter()
            .map(|index| self.rest(&self.hosts[*index as usize], now));
        rests
            .max()
            .filter(|rest| !rest.is_zero())
            .map(|rest| now + rest)
    }

    /// The endpoints that may have opened or closed since the last call.
    pub fn take_dirty(&mut self) -> HashSet<SocketAddrV4> {
        std::mem::take(&mut self.dirty)
    }

    /// All endpoints of hosts.
    pub fn endpoints(&self) -> impl Iterator<Item = SocketAddrV4> + '_ {
        self.owners.keys().copied()
    }

    /// The last entry of a host; none if its lease is about to end, or an endpoint that it needs is not granted.
    #[must_use]
    pub fn state(&self, key: &HostKey, now: Instant) -> Option<HostState> {
        let host = &self.hosts[*self.names.get(key)? as usize];
        let holds = host.is_whole && !host.is_withdrawn && self.rest(host, now) >= LAST_MOMENT;
        holds.then(|| HostState {
            boot: host.boot.to_string(),
            time: host.time,
            uptime: host.uptime,
            sequence: host.sequence,
        })
    }
}

/// The claim of an entry: its endpoints, as far as they are granted, and when it came.
struct Claim {
    endpoints: [Option<SocketAddrV4>; 2],
    is_whole: bool,
    stamp: Duration,
    wall: Duration,
    arrived: Instant,
}

/// The way of an entry without one before it.
struct First {
    delay: Delay,
    /// How long ago it was written, as far as is known.
    age: Duration,
    /// When the server would have taken it at once.
    stamp: Duration,
}

#[cfg(test)]
mod tests;
