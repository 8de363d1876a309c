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

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::Tun;
pub use teredo_bpf::{Outcome, Outcomes};
use teredo_bpf::{Path, PathError, ProbeError, Settings};

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

/// The path in the kernel cannot be had.
#[derive(Debug)]
pub struct KernelError {
    reason: String,
    log: Option<String>,
}

impl KernelError {
    /// The kernel's whole account of a program that it refuses, in many lines.
    #[must_use]
    pub fn verifier_log(&self) -> Option<&str> {
        self.log.as_deref()
    }
}

/// The reason, in one line.
impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for KernelError {}

impl From<PathError> for KernelError {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Refused {
                program,
                error,
                log,
            } => Self {
                reason: format!("the kernel refuses the program `{program}`: {error}"),
                log: Some(log),
            },
            error => Self {
                reason: error.to_string(),
                log: None,
            },
        }
    }
}

impl From<ProbeError> for KernelError {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Path(error) => error.into(),
            error => Self {
                reason: format!("a probe of the path failed: {error}"),
                log: None,
            },
        }
    }
}

/// Something that keeps the path closed. The order is that of the reasons in a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Obstacle {
    /// The interface of the tunnel is in another network namespace, or there is no interface to the IPv4 Internet that the
    /// programs can be attached to.
    Interface,
    /// The port is not settled, or there is none.
    Port,
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
pub struct KernelPath(Arc<Mutex<State>>);

struct State {
    path: Path,
    /// The interface of the tunnel.
    overlay: Option<u32>,
    /// Each with its words.
    obstacles: BTreeMap<Obstacle, String>,
    since: SystemTime,
}

impl KernelPath {
    /// Loads the programs for so many peers, which needs CAP_BPF and CAP_NET_ADMIN; later calls need neither. The path is
    /// closed by [`Obstacle::Port`].
    ///
    /// # Errors
    ///
    /// [`KernelError`]
    pub fn load(most_peers: u32) -> Result<Self, KernelError> {
        let settings = Settings {
            most_peers,
            ..Settings::default()
        };
        Ok(Self(Arc::new(Mutex::new(State {
            path: Path::load(settings)?,
            overlay: None,
            obstacles: BTreeMap::from([(Obstacle::Port, "the port is not settled".to_owned())]),
            since: SystemTime::now(),
        }))))
    }

    /// Loads the programs, and attaches them to a tunnel's interface.
    ///
    /// # Errors
    ///
    /// [`KernelError`]; nothing is left behind.
    pub fn prepare(most_peers: u32, tun: &Tun) -> Result<Self, KernelError> {
        let path = Self::load(most_peers)?;
        path.attach_to(tun)?;
        Ok(path)
    }

    /// Attaches the programs to a tunnel's interface, which may be that of a node before.
    ///
    /// # Errors
    ///
    /// [`KernelError`]
    pub fn attach_to(&self, tun: &Tun) -> Result<(), KernelError> {
        let mut state = self.state();
        if state.overlay != Some(tun.index()) {
            state.overlay = Some(state.path.attach_overlay(tun.name())?);
        }
        Ok(())
    }

    /// Closes the path. At the return, nothing leaves by it any more. `words` complete "user space carries the packets:".
    pub fn hinder(&self, obstacle: Obstacle, words: impl Into<String>) {
        let mut state = self.state();
        let was_open = state.obstacles.is_empty();
        state.obstacles.insert(obstacle, words.into());
        if was_open {
            state.since = SystemTime::now();
            if let Err(error) = state.path.close() {
                tracing::error!(%error, "the path in the kernel may not be closed");
            }
        }
    }

    /// Opens the path if this was the last obstacle.
    pub fn clear(&self, obstacle: Obstacle) {
        let mut state = self.state();
        if state.obstacles.remove(&obstacle).is_some() && state.obstacles.is_empty() {
            state.since = SystemTime::now();
            if let Err(error) = state.path.open() {
                state.obstacles.insert(Obstacle::Refused, error.to_string());
            }
        }
    }

    /// The rules of the stack may have changed: each peer needs a new proof that the stack lets its datagrams pass.
    pub fn require_proof(&self) {
        let mut state = self.state();
        if let Err(error) = state.path.require_proof() {
            drop(state);
            self.hinder(Obstacle::Refused, error.to_string());
        }
    }

    /// The state now.
    pub fn status(&self) -> KernelStatus {
        let state = self.state();
        KernelStatus {
            open: state.obstacles.is_empty(),
            since: state.since,
            reason: state.obstacles.values().next().cloned(),
            outcomes: state.path.outcomes().unwrap_or_default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KernelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KernelPath").field(&self.status()).finish()
    }
}
