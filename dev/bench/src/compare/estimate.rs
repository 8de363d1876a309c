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
    /// None of no values. The same values give the same interval.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let median = median(values)?;
        let mut random = Random(0x5DEE_CE66_D1CE_4E5B);
        let mut medians = Vec::with_capacity(RESAMPLES);
        let mut drawn = Vec::with_capacity(values.len());
        for _ in 0..RESAMPLES {
            drawn.clear();
            drawn.extend((0..values.len()).map(|_| values[random.below(values.len())]));
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

/// The middle value, or the mean of the two; none of no values.
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

/// SplitMix64: what it draws only has to look random.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests;
