use std::fmt;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Phase, rfc3339};
use crate::Kind;

/// The name and version of the contract that [`Event`] follows.
pub const EVENT_SCHEMA: &str = "teredo.event/1";

/// One line of `teredo monitor --json`.
///
/// ```
/// use teredo_notify::types::{Detail, Event, PortKind};
///
/// let event: Event = serde_json::from_str(
///     r#"{"schema":"teredo.event/1","time":"2026-11-22T16:00:00.000000Z","sequence":3,
///         "event":"port","kind":"change","port":40123,"added_later":true}"#,
/// )?;
/// assert_eq!(event.detail, Detail::Port { kind: PortKind::Change, port: 40123 });
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Always [`EVENT_SCHEMA`] from this version.
    pub schema: String,
    /// When it happened: RFC 3339, UTC, with microseconds.
    pub time: String,
    /// The port state that was current then: for a port event, the one that it is about.
    pub sequence: u64,
    /// What happened.
    #[serde(flatten)]
    pub detail: Detail,
}

impl Event {
    /// An event that happens now.
    #[must_use]
    pub fn now(sequence: u64, detail: Detail) -> Self {
        Self {
            schema: EVENT_SCHEMA.to_owned(),
            time: rfc3339(SystemTime::now()),
            sequence,
            detail,
        }
    }
}

/// What an [`Event`] tells; the field `event` in JSON, with the fields of the kind beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Detail {
    /// The client's UDP port.
    Port {
        /// `current` first, then the changes.
        kind: PortKind,
        /// The port; 0: none.
        port: u16,
    },
    /// The client's state, after every change of one of these.
    State {
        /// Where it stands.
        state: Phase,
        /// Why it is not qualified.
        #[serde(default)]
        reason: Option<String>,
        /// The Teredo address.
        #[serde(default)]
        address: Option<Ipv6Addr>,
        /// The NAT's mapping.
        #[serde(default)]
        mapped: Option<SocketAddrV4>,
        /// The kind of NAT.
        #[serde(default)]
        nat: Option<String>,
        /// The server as it is configured.
        #[serde(default)]
        server: Option<String>,
    },
    /// This monitor was too slow, and events were left out. Port events never are: they coalesce.
    Lost {
        /// How many were left out.
        count: u64,
    },
    /// An event that a later version has introduced.
    #[serde(other)]
    Unknown,
}

impl Detail {
    /// Which filter of `Monitor` lets this through; none: every one.
    #[must_use]
    pub fn name(&self) -> Option<EventName> {
        match self {
            Self::Port { .. } => Some(EventName::Port),
            Self::State { .. } => Some(EventName::State),
            Self::Lost { .. } | Self::Unknown => None,
        }
    }
}

/// The kinds of events that `Monitor` can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventName {
    /// [`Detail::Port`]
    Port,
    /// [`Detail::State`]
    State,
}

impl EventName {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Port, Self::State];
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Port => "port",
            Self::State => "state",
        })
    }
}

impl std::str::FromStr for EventName {
    type Err = UnknownEventName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.to_string() == name)
            .ok_or_else(|| UnknownEventName(name.to_owned()))
    }
}

/// There is no such kind of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no event \"{0}\": the kinds are port and state")]
pub struct UnknownEventName(pub String);

/// What a port event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortKind {
    /// The state as the monitor begins.
    Current,
    /// The client uses a port where it had none.
    Add,
    /// The client has no port any more.
    Delete,
    /// The client uses another port. What a later version calls otherwise is read as this: the port tells.
    #[serde(other)]
    Change,
}

impl PortKind {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Add => "add",
            Self::Change => "change",
            Self::Delete => "delete",
        }
    }
}

impl From<Kind> for PortKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Initial => Self::Current,
            Kind::Add => Self::Add,
            Kind::Change => Self::Change,
            Kind::Delete => Self::Delete,
        }
    }
}
