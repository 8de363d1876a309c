//! A timing wheel.

/// The slots of a wheel.
pub(super) const SLOTS: usize = 256;

/// Lists of entries, and which of them have any.
pub(super) struct Wheel<E> {
    slots: Vec<Vec<E>>,
    /// A bit for each slot with entries.
    occupied: [u64; SLOTS / 64],
}

impl<E> Default for Wheel<E> {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; SLOTS / 64],
        }
    }
}

impl<E> Wheel<E> {
    pub(super) fn push(&mut self, slot: usize, entry: E) {
        self.slots[slot].push(entry);
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    pub(super) fn slot(&self, slot: usize) -> &[E] {
        &self.slots[slot]
    }

    /// Empties a slot. Its memory goes with it, since a slot that was full once would keep it for hours.
    pub(super) fn take(&mut self, slot: usize) -> Vec<E> {
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        std::mem::take(&mut self.slots[slot])
    }

    /// The next slot with entries after `slot`.
    pub(super) fn next_after(&self, slot: usize) -> Option<usize> {
        let start = slot + 1;
        let mut mask = u64::MAX << (start % 64);
        for word in start / 64..self.occupied.len() {
            let found = self.occupied[word] & mask;
            if found != 0 {
                return Some(word * 64 + found.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }
}
