//! The entries of all hosts, and which endpoints they keep open until when. No I/O.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use slab::Slab;

use crate::delay::Delay;
use crate::{Entry, EntryError, Grants, HostKey, ParseKeyError, ServerClock};

/// The hosts that a ledger has room for by default.
pub const MAX_HOSTS: usize = 250_000;

/// A lease with no more time than this may have ended in the kernel: its element can be a little ahead, and one that is about to
/// end is not added again.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// The former boots of a host that it remembers.
const FORMER_BOOTS: usize = 3;

/// The terms under which entries open endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long an entry lasts from the server's stamp on; one that was held up on its way to the server, shorter by that.
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
    /// The number of the entry in the bucket; it grows.
    pub revision: u64,
    /// When the server took it, since the epoch, by the server's clock.
    pub stamp: Duration,
    /// The value; none: the key was deleted.
    pub value: Option<&'a [u8]>,
    /// Whether the server has read the value from a stream before: a host writes none of these.
    pub is_copy: bool,
}

/// The effect of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// Nothing: it is known, as those of a snapshot are.
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
    /// The host may not name that address.
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
    /// The name of its counter.
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
/// Time is that of the bucket's server, as a [`ServerClock`] knows it, and a lease never lasts longer than one lease after
/// the entry has arrived here. So a snapshot of old entries opens nothing for long.
#[derive(Debug)]
pub struct Ledger {
    terms: Terms,
    clock: ServerClock,
    names: HashMap<HostKey, u32>,
    hosts: Slab<Host>,
    /// The hosts with an open endpoint.
    open: usize,
    /// The hosts of each endpoint.
    owners: HashMap<SocketAddrV4, Vec<u32>>,
    /// The endpoints to look at.
    dirty: HashSet<SocketAddrV4>,
}

#[derive(Debug)]
struct Host {
    key: HostKey,
    revision: u64,
    boot: Box<str>,
    former: Vec<Box<str>>,
    /// Of the last entry, by the host's clock.
    time: Duration,
    sequence: u64,
    /// The local and the mapped one.
    endpoints: [Option<SocketAddrV4>; 2],
    /// When the server would have taken the last entry if nothing had held it up.
    stamp: Duration,
    arrived: Instant,
    delay: Delay,
    /// Its own lease, if it named one.
    lease: Option<Duration>,
}

/// The state of a host that a perimeter has acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    /// The boot of the host.
    pub boot: Box<str>,
    /// When the host wrote its last entry, by its own clock.
    pub time: Duration,
    /// The number of the announcement.
    pub sequence: u64,
}

impl Ledger {
    /// A ledger without hosts.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            clock: ServerClock::new(terms.lease),
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
        self.dirty.extend(self.owners.keys());
    }

    /// The bucket is another one, which counts its revisions and its time anew. What a host wrote before stays known, so that
    /// nobody writes it again; and an entry lasts for one lease after it has arrived, as ever.
    pub fn begin_anew(&mut self) {
        self.clock = ServerClock::new(self.terms.lease);
        for (_, host) in &mut self.hosts {
            (host.revision, host.delay) = (0, Delay::default());
        }
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
        if let Some(host) = known.and_then(|index| self.hosts.get_mut(index as usize)) {
            if news.revision <= host.revision {
                return Ok(Learnt::Known);
            }
            host.revision = news.revision;
        }
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
        let endpoints = [entry.local, mapped.filter(permitted)];
        match known {
            Some(index) => self.update(index, entry, endpoints, (news, now)),
            None => {
                if self.hosts.len() >= self.terms.hosts {
                    return Err(Refusal::Full);
                }
                self.admit(key, entry, endpoints, (news, now));
                Ok(Learnt::Changed)
            }
        }
    }

    fn admit(
        &mut self,
        key: HostKey,
        entry: Entry,
        endpoints: [Option<SocketAddrV4>; 2],
        (news, now): (&News<'_>, Instant),
    ) {
        let mut delay = Delay::default();
        delay.of(entry.time, news.stamp, self.terms.lease);
        let index = self.hosts.insert(Host {
            key: key.clone(),
            revision: news.revision,
            boot: entry.boot.into(),
            former: Vec::new(),
            time: entry.time,
            sequence: entry.sequence,
            endpoints: [None; 2],
            stamp: news.stamp,
            arrived: now,
            delay,
            lease: entry.lease,
        });
        // `Terms::hosts` is far below.
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.names.insert(key, index);
        self.move_to(index, endpoints);
    }

    fn update(
        &mut self,
        index: u32,
        entry: Entry,
        endpoints: [Option<SocketAddrV4>; 2],
        (news, now): (&News<'_>, Instant),
    ) -> Result<Learnt, Refusal> {
        let rest = self.rest(&self.hosts[index as usize], now);
        let host = &mut self.hosts[index as usize];
        let same_boot = *host.boot == *entry.boot;
        if same_boot && entry.time <= host.time
            || host.former.iter().any(|boot| **boot == *entry.boot)
        {
            return Err(Refusal::Replayed);
        }
        let same = same_boot && entry.sequence == host.sequence && endpoints == host.endpoints;
        if !same_boot {
            host.delay = Delay::default();
            let ended = std::mem::replace(&mut host.boot, entry.boot.into());
            host.former.push(ended);
            if host.former.len() > FORMER_BOOTS {
                host.former.remove(0);
            }
        }
        (host.time, host.sequence) = (entry.time, entry.sequence);
        let held_up = host.delay.of(entry.time, news.stamp, self.terms.lease);
        host.stamp = news.stamp.saturating_sub(held_up);
        (host.arrived, host.lease) = (now, entry.lease);
        if same {
            // The kernel must not keep a longer lease than the new one; and at the last moment of the old one, its element
            // may have gone.
            if rest < LAST_MOMENT || self.rest(&self.hosts[index as usize], now) < rest {
                self.dirty.extend(endpoints.into_iter().flatten());
            }
            Ok(Learnt::Renewed)
        } else {
            self.move_to(index, endpoints);
            Ok(Learnt::Changed)
        }
    }

    fn withdraw(&mut self, known: Option<u32>) -> Learnt {
        let Some(index) = known else {
            return Learnt::Known;
        };
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

    /// Closes what has ended, and forgets hosts one lease later. Until then it knows their old entries again.
    pub fn expire(&mut self, now: Instant) {
        let ended: Vec<_> = self
            .hosts
            .iter()
            .filter(|(_, host)| self.rest(host, now).is_zero())
            .map(|(index, host)| {
                (
                    index,
                    now.saturating_duration_since(host.arrived) >= self.terms.lease * 2,
                )
            })
            .collect();
        for (index, forget) in ended {
            self.move_to(u32::try_from(index).unwrap_or(u32::MAX), [None; 2]);
            if forget {
                let host = self.hosts.remove(index);
                self.names.remove(&host.key);
            }
        }
    }

    /// The rest of a host's lease.
    fn rest(&self, host: &Host, now: Instant) -> Duration {
        let by_server = self.clock.now(now).unwrap_or(host.stamp);
        let lease = self.terms.lease;
        let lease = host.lease.map_or(lease, |own| own.min(lease));
        let here = lease.saturating_sub(now.saturating_duration_since(host.arrived));
        (host.stamp + lease).saturating_sub(by_server).min(here)
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

    /// The last entry of a host; none if its lease has ended.
    #[must_use]
    pub fn state(&self, key: &HostKey, now: Instant) -> Option<HostState> {
        let host = &self.hosts[*self.names.get(key)? as usize];
        (!self.rest(host, now).is_zero()).then(|| HostState {
            boot: host.boot.clone(),
            time: host.time,
            sequence: host.sequence,
        })
    }
}

#[cfg(test)]
mod tests;
