//! The path of known peers in the kernel (`teredo-bpf`), as a node has it: loaded once, shared by the lanes, open only while
//! nothing stands in its way.
//!
//! ```text
//!            the last obstacle is cleared
//!   closed ───────────────────────────────> open ──┐
//!     ^    <───────────────────────────────        │ require_proof: the rules of the stack may have changed
//!     │              an obstacle            ^──────┘
//!   load
//! ```
//!
//! User space carries all packets of a closed path, and those that the programs leave.

mod error;
mod hooks;
mod lane;
mod obstacles;
mod probe;
mod ways;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use nix::net::if_::if_indextoname;
use teredo_bpf::{Entry, Hooks, Interfaces, Path, PathError, Settings, Traffic, wait_for_programs};

use crate::Tun;

pub use error::KernelError;
pub use teredo_bpf::{Outcome, Outcomes};

use hooks::{Job, Jobs};
pub(crate) use lane::{Endpoint, KernelLane, Share};
use obstacles::Obstacles;

/// The most interfaces to the IPv4 Internet that the programs are attached to.
const MOST_UNDERLAYS: usize = 16;

const ELSEWHERE: &str = "the tunnel's interface is in another network namespace";

/// The loopback interface. Peers behind it are programs of this host.
const LOOPBACK: u32 = 1;

pub use choice::ParseDataPathError;

mod choice;

/// The data path that the operator asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataPathChoice {
    /// The kernel's where it can be had, and user space otherwise.
    #[default]
    Auto,
    /// The kernel's; a node that cannot have it does not start.
    Kernel,
    /// User space alone.
    User,
}

/// Something that keeps the path closed. The order is that of the reasons in a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Obstacle {
    /// The interface of the tunnel is in another network namespace.
    Interface,
    /// The programs cannot be attached to the interface to the IPv4 Internet.
    Underlay,
    /// The port is not settled, or there is none.
    Port,
    /// The programs are not attached to the interface of the tunnel yet, or cannot be.
    Hooks,
    /// A gating firewall was lost, or has not confirmed the port.
    Gate,
    /// The rules of the host judge single packets, of which the path shows them samples only.
    Rules,
    /// An IPsec policy may concern the datagrams.
    Ipsec,
    /// The kernel refused a change of the map.
    Refused,
}

/// The state of a [`KernelPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelStatus {
    /// Whether it is open.
    pub open: bool,
    /// Since when it is open, or closed.
    pub since: SystemTime,
    /// Why it is closed.
    pub reason: Option<String>,
    /// The packets that it has carried or left to user space, by outcome.
    pub outcomes: Outcomes,
}

impl KernelStatus {
    /// The packets that it has carried, both ways.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.outcomes.get(Outcome::Encapsulated) + self.outcomes.get(Outcome::Decapsulated)
    }
}

/// The programs in the kernel, shared by the lanes, the control loop and the status.
#[derive(Clone)]
pub struct KernelPath(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    hooks: Hooks,
    jobs: Mutex<Jobs>,
    /// How many interfaces were looked at.
    changes: AtomicU64,
}

struct State {
    path: Path,
    /// The interface of the tunnel.
    overlay: u32,
    /// The interfaces to the IPv4 Internet that were seen.
    underlays: BTreeMap<u32, Place>,
    /// The native networks of a relay.
    natives: Vec<(Ipv6Addr, u8, bool)>,
    obstacles: Obstacles,
    since: SystemTime,
    /// How often the path was opened.
    openings: u64,
    /// The opening after which no program runs any more that saw the path open.
    over: u64,
}

/// An interface to the IPv4 Internet, as far as it is known.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// The programs are being attached.
    Awaited,
    Attached(Underlay),
    /// They cannot be attached.
    Refused,
}

/// An interface to the IPv4 Internet that the programs are attached to.
#[derive(Clone, Copy, Debug)]
struct Underlay {
    /// It finishes no checksums.
    is_virtual: bool,
}

impl KernelPath {
    /// Finds out by a packet whether this kernel can have the path, and loads the programs for so many peers. This needs
    /// CAP_BPF and CAP_NET_ADMIN; later calls need no CAP_BPF. [`attach`](Self::attach) does the rest. The path is closed by
    /// [`Obstacle::Port`].
    ///
    /// It takes some 100 ms, and a second if packets get lost.
    ///
    /// # Errors
    ///
    /// [`KernelError`]; nothing is left behind.
    pub fn prepare(most_peers: u32, tun: &Tun) -> Result<Self, KernelError> {
        let settings = Settings {
            most_peers,
            ..Settings::default()
        };
        // First: it is what is refused most often.
        let path = Path::load(settings)?;
        let probed = probe::probe()?;
        let (overlay, hooks) = (tun.index(), path.hooks().clone());
        let mut obstacles = Obstacles::without_a_port();
        obstacles.await_hooks();
        Ok(Self(Arc::new(Shared {
            state: Mutex::new(State {
                path,
                overlay,
                underlays: BTreeMap::new(),
                natives: Vec::new(),
                obstacles,
                since: SystemTime::now(),
                openings: 0,
                over: 0,
            }),
            hooks,
            jobs: Mutex::new(Jobs::of([Job::Overlay(overlay), Job::Release(probed)])),
            changes: AtomicU64::new(0),
        })))
    }

    /// Takes over the programs of a node that has ended in this process, for a tunnel whose interface may be another one.
    ///
    /// # Errors
    ///
    /// [`KernelError`]
    pub fn take_over(&self, tun: &Tun) -> Result<(), KernelError> {
        let mut state = self.state();
        let (before, index) = (state.overlay, tun.index());
        // What stood in that node's way may not stand in this one's, which finds out by itself.
        state.shut();
        state.obstacles.forget_all();
        state.overlay = index;
        state.path.remove_all(|_| true)?;
        state.serve(&[])?;
        if before != index {
            state.obstacles.await_hooks();
            drop(state);
            self.work([Job::Detach(before), Job::Overlay(index)]);
        }
        Ok(())
    }

    /// Closes the path, and waits until nothing leaves by it any more, up to some 20 ms. `words` complete "user space
    /// carries the packets:", and are in the log, too, except those of [`Obstacle::Port`] and [`Obstacle::Interface`].
    pub fn hinder(&self, obstacle: Obstacle, words: impl Into<String>) {
        let mut state = self.state();
        state.hinder(obstacle, words.into());
        let opening = state.openings;
        if state.over < opening {
            drop(state);
            if let Err(error) = wait_for_programs() {
                tracing::error!(%error, "a packet may still leave by the path in the kernel");
            }
            let mut state = self.state();
            state.over = opening.max(state.over);
        }
    }

    /// Closes the path in a microsecond. A packet that is on its way by then may still leave.
    pub fn hinder_at_once(&self, obstacle: Obstacle, words: impl Into<String>) {
        self.state().hinder(obstacle, words.into());
    }

    /// The same for an obstacle that goes by itself, or is said elsewhere: the log has nothing of it.
    pub fn suspend(&self, obstacle: Obstacle, words: impl Into<String>) {
        let mut state = self.state();
        let was_open = state.obstacles.is_empty();
        state.obstacles.suspend(obstacle, words.into());
        state.close_from(was_open);
    }

    /// Opens the path if this was the last obstacle.
    pub fn clear(&self, obstacle: Obstacle) {
        self.state().clear(obstacle);
    }

    /// The rules of the stack may have changed: each peer needs a new proof that the stack lets its datagrams pass.
    pub fn require_proof(&self) {
        let mut state = self.state();
        if let Err(error) = state.path.require_proof() {
            state.hinder(Obstacle::Refused, error.to_string());
        }
    }

    /// The index of the tunnel's interface.
    pub fn interface(&self) -> u32 {
        self.state().overlay
    }

    /// The tunnel's interface has left the network namespace, or is back. There, the index of the interface to the Internet
    /// may be that of another one, and the programs would send by it.
    pub fn set_elsewhere(&self, elsewhere: bool) {
        match elsewhere {
            true => self.hinder_at_once(Obstacle::Interface, ELSEWHERE),
            false => self.clear(Obstacle::Interface),
        }
    }

    /// The state now.
    pub fn status(&self) -> KernelStatus {
        let state = self.state();
        KernelStatus {
            open: state.obstacles.is_empty(),
            since: state.since,
            reason: state.obstacles.first().map(str::to_owned),
            outcomes: state.path.outcomes().unwrap_or_default(),
        }
    }

    /// Watches the datagrams that arrive at a socket of a service port, without which no peer of it is proven.
    fn watch(&self, socket: impl AsFd) {
        // It waits for a change of the hooks, as at a start: a copy of the socket for another thread would keep the port in use
        // after its end.
        let refused = self
            .0
            .hooks
            .watch(socket)
            .err()
            .map(|error| error.to_string());
        if let Some(words) = refused {
            self.state().hinder(Obstacle::Refused, words);
        }
    }

    /// Adds a peer behind the interface `underlay`, or replaces its entry. If that cannot be, user space carries its packets.
    /// Returns false if the programs are still being attached to the interface: then it can be tried again after the next of
    /// the [changes](Self::changes).
    fn insert(
        &self,
        peer: Ipv6Addr,
        underlay: u32,
        entry: impl FnOnce(Interfaces) -> Entry,
    ) -> bool {
        let mut state = self.state();
        let (place, job) = state.place(underlay);
        let Place::Attached(Underlay { is_virtual }) = place else {
            state.remove(peer);
            drop(state);
            self.work(job);
            return !matches!(place, Place::Awaited);
        };
        let overlay = state.overlay;
        let entry = Entry {
            needs_checksums: is_virtual,
            ..entry(Interfaces { overlay, underlay })
        };
        match state.path.insert(peer, &entry) {
            // In a full map it was not before.
            Ok(()) | Err(PathError::Full) => {}
            Err(error @ PathError::NotPermitted) => {
                state.hinder(Obstacle::Refused, error.to_string());
            }
            Err(error) => {
                tracing::warn!(%error, "the path in the kernel is not taken for a peer");
                state.remove(peer);
            }
        }
        true
    }

    /// After a refusal, an entry may be in the map that ought to be gone: none is left, or the path stays closed. Other lanes'
    /// peers go by user space until they are offered again.
    fn try_again(&self) {
        let mut state = self.state();
        if state.obstacles.has(Obstacle::Refused) {
            match state.path.remove_all(|_| true) {
                Ok(()) => state.clear(Obstacle::Refused),
                Err(error) => state.hinder(Obstacle::Refused, error.to_string()),
            }
        }
    }

    /// A lane's queues were found empty after that time.
    fn queues_empty(&self, lane: usize, at: Duration) {
        let mut state = self.state();
        if let Err(error) = state.path.queues_empty(lane as u32, at) {
            state.hinder(Obstacle::Refused, error.to_string());
        }
    }

    fn remove(&self, peer: Ipv6Addr) {
        self.state().remove(peer);
    }

    /// The peers in the map.
    pub fn peers(&self) -> Vec<Ipv6Addr> {
        self.state().path.peers().flatten().collect()
    }

    /// Removes the peers that `which` chooses.
    fn remove_all(&self, which: impl FnMut(Ipv6Addr) -> bool) {
        let mut state = self.state();
        if let Err(error) = state.path.remove_all(which) {
            state.hinder(Obstacle::Refused, error.to_string());
        }
    }

    /// The programs' notes about a peer; `None` if it is not in the map.
    fn traffic(&self, peer: Ipv6Addr) -> Option<Traffic> {
        self.state().path.traffic(peer).ok().flatten()
    }

    /// Replaces the native networks of a relay, each with whether packets of it are carried.
    fn serve(&self, natives: &[(Ipv6Addr, u8, bool)]) {
        let mut state = self.state();
        if let Err(error) = state.serve(natives) {
            state.hinder(Obstacle::Refused, error.to_string());
        }
    }

    /// Whether an interface in use finishes no checksums.
    fn is_on_virtual_link(&self) -> bool {
        let state = self.state();
        state.attached().any(|underlay| underlay.is_virtual)
    }

    /// The network has changed: interfaces may have gone, and others may be of use by now.
    fn forget_underlays(&self) {
        let mut gone = Vec::new();
        self.state().underlays.retain(|&index, place| match place {
            Place::Awaited => true,
            Place::Attached(_) if if_indextoname(index).is_ok() => true,
            Place::Attached(_) => {
                gone.push(Job::Detach(index));
                false
            }
            Place::Refused => false,
        });
        self.work(gone);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hinder(&mut self, obstacle: Obstacle, words: String) {
        let was_open = self.obstacles.is_empty();
        self.obstacles.insert(obstacle, words);
        self.close_from(was_open);
        self.obstacles.tell();
    }

    /// Closes the path if it was open.
    fn close_from(&mut self, was_open: bool) {
        if was_open {
            self.since = SystemTime::now();
            self.shut();
        }
    }

    fn shut(&mut self) {
        if let Err(error) = self.path.shut() {
            tracing::error!(%error, "the path in the kernel cannot be closed");
        }
    }

    fn clear(&mut self, obstacle: Obstacle) {
        if self.obstacles.remove(obstacle) && self.obstacles.is_empty() {
            self.since = SystemTime::now();
            self.openings += 1;
            if let Err(error) = self.path.open() {
                self.obstacles.insert(Obstacle::Refused, error.to_string());
            }
        }
        self.obstacles.tell();
    }

    /// An entry that stays would be used: without its removal there is no path.
    fn remove(&mut self, peer: Ipv6Addr) {
        if let Err(error) = self.path.remove(peer) {
            self.hinder(Obstacle::Refused, error.to_string());
        }
    }

    fn serve(&mut self, natives: &[(Ipv6Addr, u8, bool)]) -> Result<(), PathError> {
        if self.natives == natives {
            return Ok(());
        }
        let mut before = std::mem::take(&mut self.natives);
        let replaced = self.replace(&before, natives);
        self.natives = natives.to_vec();
        if replaced.is_err() {
            // Any of them may be in the map.
            self.natives.append(&mut before);
        }
        replaced
    }

    /// At no moment is more carried than before or after.
    fn replace(
        &mut self,
        before: &[(Ipv6Addr, u8, bool)],
        natives: &[(Ipv6Addr, u8, bool)],
    ) -> Result<(), PathError> {
        for &(network, prefix, carried) in before {
            if carried && !natives.contains(&(network, prefix, carried)) {
                self.path.unserve(network, prefix)?;
            }
        }
        for wanted in [false, true] {
            for &(network, prefix, carried) in natives {
                if carried == wanted {
                    self.path.serve(network, prefix, carried)?;
                }
            }
        }
        for &(network, prefix, carried) in before {
            let stays = |new: &(Ipv6Addr, u8, bool)| (new.0, new.1) == (network, prefix);
            if !carried && !natives.iter().any(stays) {
                self.path.unserve(network, prefix)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for KernelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KernelPath").field(&self.status()).finish()
    }
}

#[cfg(test)]
mod tests;
