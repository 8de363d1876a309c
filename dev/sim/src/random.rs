//! Seeded randomness. Each link, NAT and host has a stream of its own, so an additional one does not affect the others.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
pub(crate) use teredo_nat::stream::{Stream, mix};

/// The seed of state machine `number` of the world with `seed`.
pub(crate) fn machine_seed(seed: u64, number: u64) -> [u8; 32] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
