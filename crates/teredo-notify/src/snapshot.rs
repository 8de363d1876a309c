//! The state that everything here is about, and one notification of it.

use serde::{Deserialize, Serialize};

/// The whole current state: which port the Teredo client uses, and the how-manieth state this is
/// (N-19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Grows by one with every change, within the life of one hub. 0: nothing was ever announced.
    pub sequence: u64,
    /// The UDP port in host byte order (N-10); 0 means that the client has none.
    pub port: u16,
}

impl Snapshot {
    /// Whether the client has a port at all.
    #[must_use]
    pub fn has_port(self) -> bool {
        self.port != 0
    }
}

/// What a [`Notification`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The registration is in force. Comes first and once, if it was asked for (N-02).
    Initial,
    /// The client uses a port where it had none (N-11).
    Add,
    /// The client has no port any more (N-11).
    Delete,
    /// The client uses another port (N-11). What a later version calls otherwise is read as this: the port tells.
    #[serde(other)]
    Change,
}

impl Kind {
    /// What a step from one port to another is, seen by somebody who knew the first.
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

/// One notification: the kind of the step, and the whole state after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Notification {
    /// What happened, relative to the state that this receiver was told of before.
    pub kind: Kind,
    /// The state that this notification is about; for [`Kind::Initial`] the one at registration.
    pub state: Snapshot,
}
