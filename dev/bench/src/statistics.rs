//! Percentiles.

use serde::Serialize;

/// Durations in nanoseconds, summed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Distribution {
    pub(crate) count: usize,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// `None` if there are fewer than a thousand values.
    pub(crate) p99_9: Option<u64>,
    pub(crate) max: u64,
}

impl Distribution {
    /// `None` if there are no values.
    pub(crate) fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let max = *values.last()?;
        let count = values.len();
        // Nearest rank: the least value that so many per mille do not exceed.
        let at = |per_mille: usize| values[(count * per_mille).div_ceil(1000).max(1) - 1];
        Some(Self {
            count,
            p50: at(500),
            p99: at(990),
            p99_9: (count >= 1000).then(|| at(999)),
            max,
        })
    }
}

#[cfg(test)]
mod tests;
