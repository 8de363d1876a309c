//! Confirmations: a perimeter tells a host that its port is open, so that the host waits for it before it sends.
//!
//! ```text
//!  host                       bucket                 perimeter
//!   │── entry (time T) ─────────>│── entry ────────────>│ opens the endpoint
//!   │<───────── teredo.confirmed.HOST.PERIMETER (T) ────│
//!   │── teredo.ask.HOST ───────────────────────────────>│ if no answer came, and every 20 s:
//!   │<───────── teredo.confirmed.HOST.PERIMETER (T) ────│ the perimeter says it again
//! ```
//!
//! They are plain messages. One that is lost costs a question, or the deadline of the gate.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::entry::whole_micros;
use crate::{HostKey, HostState};

/// The first tokens of the subjects of confirmations.
pub(crate) const CONFIRMED: &str = "teredo.confirmed";

/// The first tokens of the subjects of questions.
pub(crate) const ASK: &str = "teredo.ask";

/// The name of the format of a confirmation.
pub const CONFIRMATION_SCHEMA: &str = "teredo.confirmed/1";

/// A perimeter's word that it has acted on the entries of a host up to one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    schema: String,
    /// The boot of the host.
    pub boot: String,
    /// The number of the announcement.
    pub sequence: u64,
    /// The time of the host's last entry, as the entry has it.
    pub time: String,
    /// The same since the boot, in microseconds, if the entry has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_us: Option<u64>,
}

impl Confirmation {
    /// The confirmation of a host's state.
    #[must_use]
    pub fn of(state: &HostState) -> Self {
        Self {
            schema: CONFIRMATION_SCHEMA.to_owned(),
            boot: state.boot.clone(),
            sequence: state.sequence,
            time: teredo_notify::types::rfc3339(SystemTime::UNIX_EPOCH + state.time),
            uptime_us: state.uptime.map(whole_micros),
        }
    }

    /// Reads one; none if it is none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let read: Self = serde_json::from_slice(bytes).ok()?;
        (read.schema == CONFIRMATION_SCHEMA).then_some(read)
    }

    /// The confirmation in JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The perimeters that a host waits for, and how far each has come.
#[derive(Debug)]
pub(crate) struct Perimeters {
    boot: String,
    known: BTreeMap<HostKey, Known>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The last entry that it has confirmed, by its time since the boot.
    confirmed: Duration,
    /// When it was last heard.
    heard: Option<Instant>,
}

impl Perimeters {
    pub(crate) fn new(boot: String, names: &[HostKey]) -> Self {
        let never = |name: &HostKey| (name.clone(), Known::default());
        Self {
            boot,
            known: names.iter().map(never).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Takes the message of a perimeter; one that is not waited for counts for nothing.
    pub(crate) fn take(&mut self, perimeter: &str, message: &[u8], now: Instant) {
        let known = perimeter
            .parse()
            .ok()
            .and_then(|name: HostKey| self.known.get_mut(&name));
        let confirmation =
            Confirmation::decode(message).filter(|message| message.boot == self.boot);
        let uptime = confirmation.and_then(|message| message.uptime_us);
        if let (Some(known), Some(uptime)) = (known, uptime) {
            known.confirmed = known.confirmed.max(Duration::from_micros(uptime));
            known.heard = Some(now);
        }
    }

    /// Those that have not confirmed the entry of this time since the boot.
    pub(crate) fn missing(&self, uptime: Duration) -> Vec<&HostKey> {
        let missing = self
            .known
            .iter()
            .filter(|(_, known)| known.confirmed < uptime);
        missing.map(|(name, _)| name).collect()
    }

    /// Those that have confirmed, and were not heard for so long, during a connection that has lasted since then.
    pub(crate) fn silent(
        &self,
        connected: Instant,
        now: Instant,
        limit: Duration,
    ) -> Vec<&HostKey> {
        let is_silent = |known: &Known| {
            let heard = known.heard?.max(connected);
            Some(now.saturating_duration_since(heard) > limit)
        };
        let silent = self
            .known
            .iter()
            .filter(|(_, known)| is_silent(known) == Some(true));
        silent.map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests;
