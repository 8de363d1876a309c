//! Seeded randomness. Each user has a stream of its own, so an additional one does not affect the others.

use std::time::Duration;

/// The fraction of the golden ratio, made odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of random numbers that depends only on its seed and number: SplitMix64 (Steele, Lea, Flood: Fast Splittable
/// Pseudorandom Number Generators, 2014). A simulated
/// internet has millions of them, so its state is one word.
#[derive(Clone, Copy, Debug)]
pub struct Stream(u64);

impl Stream {
    /// Stream `number` of those with `seed`.
    pub fn new(seed: u64, number: u64) -> Self {
        Self(mix(seed.wrapping_add(GOLDEN)) ^ mix(mix(number.wrapping_mul(GOLDEN))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// True with the given probability. A number is always drawn, so that other probabilities do not shift the stream.
    pub fn chance(&mut self, probability: f64) -> bool {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < probability
    }

    /// A number below `bound`, or 0 if `bound` is 0. The bias of the modulo is below 2^-32 for the bounds in use.
    pub fn below(&mut self, bound: u64) -> u64 {
        let drawn = self.next();
        if bound == 0 { 0 } else { drawn % bound }
    }

    /// A duration from zero to `bound`, inclusive.
    pub fn up_to(&mut self, bound: Duration) -> Duration {
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.below(nanos.saturating_add(1)))
    }
}

/// Spreads each bit of a word over all of them (Stafford's variant 13).
pub fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests;
