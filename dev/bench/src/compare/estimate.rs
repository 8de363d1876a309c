//! Medians, and how far they can be trusted.

use serde::Serialize;

/// A median with its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    /// The ends of the interval that holds 95 % of the medians of samples drawn from the sample.
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// How many samples are drawn.
const RESAMPLES: usize = 2000;

impl Estimate {
    /// `None` if there are no values. The same values give the same interval.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let median = median(values)?;
        let mut random = fastrand::Rng::with_seed(1);
        let mut medians = Vec::with_capacity(RESAMPLES);
        let mut drawn = Vec::with_capacity(values.len());
        for _ in 0..RESAMPLES {
            drawn.clear();
            drawn.extend((0..values.len()).map(|_| values[random.usize(..values.len())]));
            medians.extend(self::median(&drawn));
        }
        medians.sort_by(f64::total_cmp);
        Some(Self {
            median,
            low: medians[RESAMPLES * 25 / 1000],
            high: medians[RESAMPLES * 975 / 1000],
        })
    }
}

/// The middle value, or the mean of the two in the middle; `None` if there are no values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], upper)
    } else {
        upper
    })
}

#[cfg(test)]
mod tests;
