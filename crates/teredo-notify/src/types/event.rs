use std::fmt;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::status::Phase;
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
    /// The time: RFC 3339, UTC, with microseconds.
    pub time: String,
    /// The number of the port's state at that time; for a port event, that of the new state.
    pub sequence: u64,
    /// The event itself.
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

/// A point of time in the form of RFC 3339, UTC with microseconds: `2026-11-22T16:00:00.000000Z`.
///
/// The form has years of four digits: times before 1970 become 1970, and times after 9999 the end of that year.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    let last = SystemTime::UNIX_EPOCH + YEAR_10000 - Duration::from_micros(1);
    humantime::format_rfc3339_micros(time.clamp(SystemTime::UNIX_EPOCH, last)).to_string()
}

/// The content of an [`Event`]: the field `event` in JSON, and beside it the fields of its kind.
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
        /// The new state.
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
    /// This monitor was too slow and has lost events. Port events are never lost: they coalesce.
    Lost {
        /// How many it has lost.
        count: u64,
    },
    /// An event of a later version.
    #[serde(other)]
    Unknown,
}

impl Detail {
    /// The filter of `Monitor` that passes this; none: all of them.
    #[must_use]
    pub fn name(&self) -> Option<EventName> {
        match self {
            Self::Port { .. } => Some(EventName::Port),
            Self::State { .. } => Some(EventName::State),
            Self::Lost { .. } | Self::Unknown => None,
        }
    }
}

/// A kind of events that `Monitor` can select.
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

/// The kind of a port event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortKind {
    /// The state as the monitor begins.
    Current,
    /// The client uses a port where it had none.
    Add,
    /// The client has no port any more.
    Delete,
    /// The client uses another port. A kind of a later version is read as this.
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
