//! A table with a fixed number of places that takes memory only as far as its places count.
//!
//! A client without strangers has a few places in use, and each for seconds. So they are a short list, and become an
//! array of all places when that is full: under a flood, looking up must not cost more than elsewhere.

use crate::Instant;

/// The contents of a place; the default counts for nothing.
pub(in crate::client) trait Entry: Copy + Default {
    /// Whether the entry still differs from the default.
    fn counts(&self, now: Instant) -> bool;
}

/// The most entries of the list.
const FEW: usize = 16;

/// `PLACES` entries.
#[derive(Debug)]
pub(in crate::client) enum Places<E, const PLACES: usize> {
    /// The places that count, and some that no longer do, in any order.
    Few(Vec<(usize, E)>),
    All(Box<[E]>),
}

impl<E, const PLACES: usize> Default for Places<E, PLACES> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<E: Entry, const PLACES: usize> Places<E, PLACES> {
    /// The entry at a place below `PLACES`.
    pub(in crate::client) fn get(&self, place: usize) -> E {
        match self {
            Self::Few(list) => list
                .iter()
                .find_map(|&(at, entry)| (at == place).then_some(entry))
                .unwrap_or_default(),
            Self::All(entries) => entries[place],
        }
    }

    /// The entry at a place below `PLACES`, to be changed at `now`.
    pub(in crate::client) fn get_mut(&mut self, now: Instant, place: usize) -> &mut E {
        if let Self::Few(list) = self
            && list.len() >= FEW
            && list.iter().all(|(at, _)| *at != place)
        {
            list.retain(|(_, entry)| entry.counts(now));
            if list.len() >= FEW {
                let mut entries = vec![E::default(); PLACES].into_boxed_slice();
                for &(at, entry) in &*list {
                    entries[at] = entry;
                }
                *self = Self::All(entries);
            }
        }
        match self {
            Self::Few(list) => {
                let index = list.iter().position(|(at, _)| *at == place);
                let index = index.unwrap_or_else(|| {
                    list.push((place, E::default()));
                    list.len() - 1
                });
                &mut list[index].1
            }
            Self::All(entries) => &mut entries[place],
        }
    }
}

#[cfg(test)]
mod tests;
