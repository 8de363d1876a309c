//! The programs in the kernel, as one value.

use std::fmt;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use rustix::thread::{MembarrierCommand, membarrier};
use rustix::time::{ClockId, clock_gettime};

use crate::entry::{self, Entry, Interfaces, Traffic, nanos};
use crate::error::PathError;
use crate::hooks::Hooks;
use crate::loader;
use crate::outcome::{Outcome, Outcomes};

/// The programs, compiled by `programs/build`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../object/path.o");

// The elements of `control`.
const SINCE: u32 = 0;
const INTERVAL: u32 = 1;
const PATIENCE: u32 = 2;
const EMPTY: u32 = 3;
pub(crate) const LANES: u32 = 64;
const PRIORITY: u32 = EMPTY + LANES;

/// A flag of a map's update: there is no such key yet (linux/bpf.h).
const BPF_NOEXIST: u64 = 1;

/// The value of `since` in a closed path.
const CLOSED: u64 = 0;

/// How a [`Path`] is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most peers in the map. One takes some 270 bytes of the kernel's memory while it is there.
    pub most_peers: u32,
    /// After so much time a peer's packet asks the stack again, in each direction. A proof is good for four times that. With
    /// many peers the interval is longer, up to 8 s, so that not more than 2000 packets a second ask.
    pub interval: Duration,
    /// So long at most packets of a peer follow earlier ones through user space, lest they overtake them.
    pub patience: Duration,
}

impl Default for Settings {
    /// 65,536 peers, an interval of 2 s, and a patience of 500 ms.
    fn default() -> Self {
        Self {
            most_peers: 65_536,
            interval: Duration::from_secs(2),
            patience: Duration::from_millis(500),
        }
    }
}

/// The path of known peers in the kernel.
///
/// ```text
///            attach                open
///   loaded ─────────> closed <──────────────> open ──┐
///                            close                   │ require_proof
///                                                ^───┘
/// ```
///
/// Only an open path carries packets, and only those of peers that were [inserted](Self::insert) and for which the stack has
/// let a datagram pass since the path was opened, or since the last [`require_proof`](Self::require_proof). When the value
/// is dropped or the process ends, the kernel detaches the programs.
pub struct Path {
    hooks: Hooks,
    peers: HashMap<MapData, [u8; 16], entry::Bytes>,
    natives: LpmTrie<MapData, [u8; 16], u32>,
    control: Array<MapData, u64>,
    outcomes: PerCpuArray<MapData, u64>,
    is_open: bool,
    /// The number of entries.
    len: u32,
    /// The least interval, and the one in use.
    intervals: (Duration, Duration),
}

/// With more peers, the interval grows, so that all of them ask so often together.
const QUESTIONS_PER_SECOND: u32 = 2000;
/// The longest interval: the state machines know a peer's silence by the packets that ask (RFC 4380 §5.2.4).
const LONGEST_INTERVAL: Duration = Duration::from_secs(8);

impl Path {
    /// Loads the programs into the kernel, which checks them. They are attached to nothing yet.
    ///
    /// # Errors
    ///
    /// [`PathError::NotPermitted`], [`PathError::Refused`] with the verifier's log, [`PathError::Map`].
    pub fn load(settings: Settings) -> Result<Self, PathError> {
        Self::load_object(OBJECT, settings)
    }

    pub(crate) fn load_object(object: &[u8], settings: Settings) -> Result<Self, PathError> {
        if cfg!(target_endian = "big") {
            return Err(PathError::ByteOrder);
        }
        let mut ebpf = loader::load(object, settings.most_peers.max(1))?;
        let id = match ebpf.map("peers") {
            Some(Map::HashMap(peers)) => peers.info()?.id(),
            _ => return Err(missing("peers")),
        };
        let mut path = Self {
            peers: map(&mut ebpf, "peers")?,
            natives: map(&mut ebpf, "natives")?,
            control: map(&mut ebpf, "control")?,
            outcomes: map(&mut ebpf, "outcomes")?,
            hooks: Hooks::load(ebpf)?,
            is_open: false,
            len: 0,
            intervals: (settings.interval, settings.interval),
        };
        let interval = nanos(settings.interval).max(1);
        path.control.set(INTERVAL, interval, 0)?;
        path.control.set(PATIENCE, nanos(settings.patience), 0)?;
        path.control.set(PRIORITY, u64::from(priority_of(id)), 0)?;
        Ok(path)
    }

    /// Attaches the programs to the service port's socket, to a TUN interface, and to the interface to the IPv4 Internet.
    ///
    /// # Errors
    ///
    /// Those of [`watch`](Self::watch), [`attach_overlay`](Self::attach_overlay) and
    /// [`attach_underlay`](Self::attach_underlay).
    pub fn attach(
        &mut self,
        service: impl AsFd,
        overlay: &str,
        underlay: &str,
    ) -> Result<Interfaces, PathError> {
        self.watch(service)?;
        Ok(Interfaces {
            underlay: self.attach_underlay(underlay)?,
            overlay: self.attach_overlay(overlay)?,
        })
    }

    /// Where the programs are attached, for other threads, too.
    pub fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// [`Hooks::watch`].
    ///
    /// # Errors
    ///
    /// [`PathError::Attach`].
    pub fn watch(&mut self, service: impl AsFd) -> Result<(), PathError> {
        self.hooks.watch(service)
    }

    /// [`Hooks::attach_overlay`].
    ///
    /// # Errors
    ///
    /// [`PathError::NoInterface`], [`PathError::Kind`], [`PathError::Attach`] (before Linux 6.6).
    pub fn attach_overlay(&mut self, name: &str) -> Result<u32, PathError> {
        self.hooks.attach_overlay(name)
    }

    /// [`Hooks::attach_underlay`].
    ///
    /// # Errors
    ///
    /// [`PathError::NoInterface`], [`PathError::Kind`], [`PathError::Attach`] (before Linux 6.6).
    pub fn attach_underlay(&mut self, name: &str) -> Result<u32, PathError> {
        self.hooks.attach_underlay(name)
    }

    /// [`Hooks::detach`].
    pub fn detach(&mut self, index: u32) {
        self.hooks.detach(index);
    }

    /// Opens a closed path. No peer's packets pass before the stack has let one of its datagrams pass from now on.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn open(&mut self) -> Result<(), PathError> {
        self.is_open = true;
        self.require_proof()
    }

    /// The rules of the stack may have changed: all proofs are void. Takes a microsecond; a closed path stays closed.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn require_proof(&mut self) -> Result<(), PathError> {
        if self.is_open {
            self.control.set(SINCE, nanos(now()), 0)?;
        }
        Ok(())
    }

    /// Closes the path. At the return, no program is running any more that saw it open, so nothing leaves from an old port.
    /// That takes up to some 30 ms.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`]; [`PathError::System`] if the kernel cannot wait for the programs: the path is closed, but a packet
    /// may still be under way.
    pub fn close(&mut self) -> Result<(), PathError> {
        self.shut()?;
        wait_for_programs()
    }

    /// Closes the path in a microsecond: no program begins with a packet any more. Those that run may still send theirs,
    /// until [`wait_for_programs`] returns.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn shut(&mut self) -> Result<(), PathError> {
        self.is_open = false;
        Ok(self.control.set(SINCE, CLOSED, 0)?)
    }

    /// Whether the path is open.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Adds a peer, or replaces its entry as a whole, counters and proofs included.
    ///
    /// # Errors
    ///
    /// [`PathError::Full`], [`PathError::Map`].
    pub fn insert(&mut self, peer: Ipv6Addr, entry: &Entry) -> Result<(), PathError> {
        let (key, bytes) = (peer.octets(), entry.to_bytes());
        match self.peers.insert(key, bytes, BPF_NOEXIST) {
            Ok(()) => self.set_len(self.len + 1),
            Err(MapError::SyscallError(error))
                if error.io_error.kind() == io::ErrorKind::AlreadyExists =>
            {
                Ok(self.peers.insert(key, bytes, 0)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Adapts the interval to the number of peers.
    fn set_len(&mut self, len: u32) -> Result<(), PathError> {
        self.len = len;
        let (least, now) = self.intervals;
        let wanted = interval_for(least, len);
        // Not for each peer.
        if wanted.abs_diff(now) > now / 8 || (wanted == least && wanted != now) {
            self.intervals.1 = wanted;
            self.control.set(INTERVAL, nanos(wanted).max(1), 0)?;
        }
        Ok(())
    }

    /// A lane's queues were empty at that time: entries that were [added](Entry::added) before may carry packets, and a packet
    /// that was left to user space before is not there any more. Lanes with the same remainder by 64 do that together.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn queues_empty(&mut self, lane: u32, at: Duration) -> Result<(), PathError> {
        Ok(self.control.set(EMPTY + lane % LANES, nanos(at), 0)?)
    }

    /// Removes a peer, and returns its traffic; `None` if it was not there.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn remove(&mut self, peer: Ipv6Addr) -> Result<Option<Traffic>, PathError> {
        let traffic = self.traffic(peer)?;
        match self.peers.remove(&peer.octets()) {
            Err(error) if is_absence(&error) => Ok(traffic),
            Err(error) => Err(error.into()),
            Ok(()) => {
                self.set_len(self.len.saturating_sub(1))?;
                Ok(traffic)
            }
        }
    }

    /// The peers in the map.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`]
    pub fn peers(&self) -> impl Iterator<Item = Result<Ipv6Addr, PathError>> {
        let keys = self.peers.keys();
        keys.map(|key| Ok(Ipv6Addr::from(key?)))
    }

    /// Removes the peers that `which` chooses. A million takes a second.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`]; some of them may be left.
    pub fn remove_all(&mut self, mut which: impl FnMut(Ipv6Addr) -> bool) -> Result<(), PathError> {
        // A key that is removed during the walk would begin it again.
        const AT_ONCE: usize = 1 << 16;
        loop {
            let chosen = self.peers().filter(|peer| match peer {
                Ok(peer) => which(*peer),
                Err(_) => true,
            });
            let chosen = chosen.take(AT_ONCE).collect::<Result<Vec<_>, _>>()?;
            for peer in &chosen {
                match self.peers.remove(&peer.octets()) {
                    Ok(()) => self.len = self.len.saturating_sub(1),
                    Err(error) if is_absence(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if chosen.len() < AT_ONCE {
                return self.set_len(self.len);
            }
        }
    }

    /// The traffic of a peer; `None` if it is not in the map.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn traffic(&self, peer: Ipv6Addr) -> Result<Option<Traffic>, PathError> {
        match self.peers.get(&peer.octets(), 0) {
            Ok(bytes) => Ok(Some(Traffic::from_bytes(&bytes))),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// For a relay: packets of this native network are carried, or not. The longest prefix decides, and others are left to
    /// user space. At most 256 networks.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`]; a prefix has 128 bits at most.
    pub fn serve(&mut self, network: Ipv6Addr, prefix: u8, carried: bool) -> Result<(), PathError> {
        let key = Key::new(prefix.into(), network.octets());
        Ok(self.natives.insert(&key, u32::from(carried), 0)?)
    }

    /// Takes a network of [`serve`](Self::serve) back; one that is not there is no error.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`]
    pub fn unserve(&mut self, network: Ipv6Addr, prefix: u8) -> Result<(), PathError> {
        match self
            .natives
            .remove(&Key::new(prefix.into(), network.octets()))
        {
            Err(error) if !is_absence(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The number of packets with each outcome so far.
    ///
    /// # Errors
    ///
    /// [`PathError::Map`].
    pub fn outcomes(&self) -> Result<Outcomes, PathError> {
        let mut outcomes = Outcomes::default();
        for outcome in Outcome::ALL {
            let each = self.outcomes.get(&(outcome as u32), 0)?;
            outcomes.0[outcome as usize] = each.iter().sum();
        }
        Ok(outcomes)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Path")
            .field("is_open", &self.is_open)
            .finish_non_exhaustive()
    }
}

/// Waits until no program runs any more that began before the call: some 10 ms.
///
/// # Errors
///
/// [`PathError::System`] if the kernel cannot wait.
pub fn wait_for_programs() -> Result<(), PathError> {
    // The kernel waits for an RCU grace period, and so for every program that runs now.
    membarrier(MembarrierCommand::Global)
        .map_err(io::Error::from)
        .map_err(PathError::system("wait for the programs"))
}

/// The time since boot, suspend included: the programs' clock.
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    // Neither is negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The interval for so many peers.
fn interval_for(least: Duration, peers: u32) -> Duration {
    let fair = Duration::from_secs(1) * peers / QUESTIONS_PER_SECOND;
    fair.min(LONGEST_INTERVAL).max(least)
}

/// The priority of the packets that the programs with this map of peers carry. Several nodes of a host may use one interface,
/// and no other's packets may be taken for those of user space, nor for those of another node.
///
/// No program of user space chooses such a one, and the lowest bits are those of the usual priority.
const fn priority_of(id: u32) -> u32 {
    0x7e << 24 | (id & 0xf_ffff) << 4
}

/// Takes a map out of the loaded object.
pub(crate) fn map<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, PathError>
where
    M: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| missing(name))?;
    Ok(map.try_into()?)
}

pub(crate) fn missing(name: &'static str) -> PathError {
    PathError::Object(format!("there is no `{name}`, or it is of another kind"))
}

/// Whether a key is not in a map.
pub(crate) fn is_absence(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound => true,
        MapError::SyscallError(error) => error.io_error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
