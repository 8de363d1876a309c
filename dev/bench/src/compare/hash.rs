//! A hash of a stream, fast enough not to be what is measured.

const BLOCK: usize = 64;
const LANES: usize = BLOCK / 8;
/// Odd, so that multiplying by it loses nothing: a word that differs makes another hash.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// Depends on every byte and on the order of them; against accidents, not against enemies.
#[derive(Clone, Debug)]
pub(crate) struct Rolling {
    lanes: [u64; LANES],
    rest: [u8; BLOCK],
    held: usize,
    len: u64,
}

impl Rolling {
    pub(crate) fn new() -> Self {
        Self {
            lanes: std::array::from_fn(|lane| lane as u64 + 1),
            rest: [0; BLOCK],
            held: 0,
            len: 0,
        }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if self.held > 0 {
            let taken = bytes.len().min(BLOCK - self.held);
            self.rest[self.held..self.held + taken].copy_from_slice(&bytes[..taken]);
            self.held += taken;
            bytes = &bytes[taken..];
            if self.held < BLOCK {
                return;
            }
            let block = self.rest;
            self.absorb(&block);
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for block in blocks {
            self.absorb(block);
        }
        self.rest[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    pub(crate) fn finish(mut self) -> u64 {
        self.rest[self.held..].fill(0);
        let block = self.rest;
        self.absorb(&block);
        self.lanes.iter().fold(self.len, |hash, lane| {
            (hash ^ lane).wrapping_mul(FACTOR).rotate_left(29)
        })
    }

    fn absorb(&mut self, block: &[u8; BLOCK]) {
        let (words, _) = block.as_chunks::<8>();
        for (lane, word) in self.lanes.iter_mut().zip(words) {
            *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
        }
    }
}

#[cfg(test)]
mod tests;
