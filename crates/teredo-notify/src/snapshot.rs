//! The state of the port, and a notification of it.

use serde::{Deserialize, Serialize};

use crate::types::Role;

/// The node behind a port, as far as a firewall must know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Whether it is a client or a relay; none: not known.
    pub role: Option<Role>,
    /// The name of the tunnel interface; none: not known.
    pub interface: Option<String>,
    /// Its index, which a rename does not change.
    pub index: Option<u32>,
    /// Whether interface and port outlive the process, because a service manager keeps them for the next one. A firewall
    /// then waits for that before it closes the port.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
}

/// The whole state: the Teredo client's port, and the number of the state (N-19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Grows by one with each change, within the life of one hub. 0: no port was announced yet.
    pub sequence: u64,
    /// The UDP port in host byte order (N-10); 0: the client has none.
    pub port: u16,
}

impl Snapshot {
    /// Whether the client has a port.
    #[must_use]
    pub fn has_port(self) -> bool {
        self.port != 0
    }
}

/// The kind of a [`Notification`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The registration is in force. Comes first and once, if it was requested (N-02).
    Initial,
    /// The client uses a port where it had none (N-11).
    Add,
    /// The client has no port any more (N-11).
    Delete,
    /// The client uses another port (N-11). A kind of a later version is read as this.
    #[serde(other)]
    Change,
}

impl Kind {
    /// The kind of the step from the `known` port to another.
    ///
    /// ```
    /// use teredo_notify::Kind;
    ///
    /// assert_eq!(Kind::of_step(0, 4500), Some(Kind::Add));
    /// assert_eq!(Kind::of_step(4500, 4501), Some(Kind::Change));
    /// assert_eq!(Kind::of_step(4500, 0), Some(Kind::Delete));
    /// assert_eq!(Kind::of_step(4500, 4500), None);
    /// ```
    #[must_use]
    pub fn of_step(known: u16, now: u16) -> Option<Self> {
        match (known, now) {
            (known, now) if known == now => None,
            (0, _) => Some(Self::Add),
            (_, 0) => Some(Self::Delete),
            _ => Some(Self::Change),
        }
    }

    /// The name in JSON and Varlink.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Add => "add",
            Self::Change => "change",
            Self::Delete => "delete",
        }
    }
}

/// A notification: the kind of the step, and the whole state after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Notification {
    /// The step from the state that this receiver knew.
    pub kind: Kind,
    /// The new state; for [`Kind::Initial`] the state at registration.
    pub state: Snapshot,
}
