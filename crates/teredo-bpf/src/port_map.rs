//! The service port in a pinned map, for the eBPF firewalls of this host.
//!
//! ```text
//!  node ── show ──> map <── look-up ── XDP, tc and cgroup programs of others
//!                    ^
//!  /sys/fs/bpf/teredo/port, its pin: outlives the node, is taken over by the next
//! ```
//!
//! A program that is loaded keeps its map, whatever is pinned later. So the map stays when the node ends, empty, and the next
//! node takes it over: firewalls go on as if nothing had happened. The port in it does not stay. The node removes it at its
//! end, and that of a killed node expires.

mod error;
mod pin;

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aya::maps::{HashMap, MapData};
use rustix::time::{ClockId, clock_gettime};

use crate::entry::nanos;
use crate::path::is_absence;

pub use error::PortMapError;

/// The pin of the node whose service has the default socket.
pub const PORT_MAP: &str = "/sys/fs/bpf/teredo/port";

/// How long a state counts that is not shown again.
pub const PORT_LEASE: Duration = Duration::from_secs(15);

/// The only key.
const KEY: u32 = 0;

/// The bytes of a value, in the layout of `struct teredo_port` (`programs/teredo_port.h`).
type Value = [u8; 24];

/// A state of the port, as programs see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownPort {
    /// The UDP port; 0: none.
    pub port: u16,
    /// The number of the announcement.
    pub sequence: u64,
    /// The index of the tunnel interface; 0: not known.
    pub interface: u32,
}

/// A pinned map with one port, which this process writes and others read.
///
/// Its folder is locked as long as this value lives, so no two nodes write to one map.
pub struct PortMap {
    lease: Duration,
    state: Mutex<State>,
    _lock: OwnedFd,
}

struct State {
    map: HashMap<MapData, u32, Value>,
    /// The greatest sequence that this process has shown.
    newest: u64,
}

impl PortMap {
    /// Takes over the map that is pinned at `path`, or makes one there, in a folder of its own, which is made if it is
    /// missing. `lease` is how long a state counts that is not shown again ([`PORT_LEASE`]).
    ///
    /// A port that a killed node has left stays until the first [`show`](Self::show), or until it expires.
    ///
    /// Needs CAP_BPF. Later calls need no privilege since Linux 6.0.
    ///
    /// # Errors
    ///
    /// [`PortMapError`]; what was there is unchanged, unless nobody could use it.
    pub fn open(path: &Path, lease: Duration) -> Result<Self, PortMapError> {
        let lock = pin::lock_folder(path)?;
        let map = pin::take_over(path).map_or_else(|| pin::create(path), Ok)?;
        Ok(Self {
            lease,
            state: Mutex::new(State { map, newest: 0 }),
            _lock: lock,
        })
    }

    /// How long a state counts that is not shown again.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Replaces the state, or removes it if there is no port. The same state again begins another lease. A state that is older
    /// than the one shown last changes nothing, so several threads may call this.
    ///
    /// # Errors
    ///
    /// [`PortMapError::Map`]: the state before counts until it expires.
    pub fn show(&self, state: ShownPort) -> Result<(), PortMapError> {
        let mut this = self.state();
        if this.newest > state.sequence {
            return Ok(());
        }
        this.newest = state.sequence;
        if state.port == 0 {
            return match this.map.remove(&KEY) {
                Err(error) if !is_absence(&error) => Err(error.into()),
                _ => Ok(()),
            };
        }
        let value = value(state, now() + self.lease);
        Ok(this.map.insert(KEY, value, 0)?)
    }

    // A write is one call of the kernel, so a poisoned state is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PortMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortMap")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// The time that programs compare with. It stands still while the machine sleeps and the node cannot renew anything.
fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    // Neither is negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn value(state: ShownPort, valid_until: Duration) -> Value {
    let mut value = Value::default();
    value[..8].copy_from_slice(&nanos(valid_until).to_ne_bytes());
    value[8..16].copy_from_slice(&state.sequence.to_ne_bytes());
    value[16..20].copy_from_slice(&state.interface.to_ne_bytes());
    value[20..22].copy_from_slice(&state.port.to_ne_bytes());
    value
}
