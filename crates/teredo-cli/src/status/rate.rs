//! The traffic a second, from two looks at the counters.

use std::time::Duration;

use teredo_notify::types::Counters;

use crate::text::bytes;

/// The rates in both directions, in bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rates {
    rx: u64,
    tx: u64,
}

impl Rates {
    /// The rates between two looks. After a restart, the counters begin anew.
    pub(crate) fn between(before: &Counters, now: &Counters, elapsed: Duration) -> Self {
        Self {
            rx: per_second(before.rx_bytes, now.rx_bytes, elapsed),
            tx: per_second(before.tx_bytes, now.tx_bytes, elapsed),
        }
    }

    /// From the IPv4 side, for people.
    pub(crate) fn rx(self) -> String {
        format!("{}/s", bytes(self.rx))
    }

    /// To the IPv4 side, for people.
    pub(crate) fn tx(self) -> String {
        format!("{}/s", bytes(self.tx))
    }
}

/// The increase of a counter in a second.
pub(crate) fn per_second(before: u64, now: u64, elapsed: Duration) -> u64 {
    let added = u128::from(now.checked_sub(before).unwrap_or(now));
    let rate = added * 1000 / elapsed.as_millis().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
