//! Doubly linked lists over slot numbers: the order in which entries make room.

/// No slot.
const NONE: u32 = u32::MAX;

/// A slot's neighbours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    newer: u32,
    older: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            newer: NONE,
            older: NONE,
        }
    }
}

/// One list; the links live with the slots.
#[derive(Debug)]
pub(crate) struct Lru {
    newest: u32,
    oldest: u32,
    len: usize,
}

impl Default for Lru {
    fn default() -> Self {
        Self {
            newest: NONE,
            oldest: NONE,
            len: 0,
        }
    }
}

impl Lru {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Puts `slot`, which is in no list, at the young end.
    pub(crate) fn insert(&mut self, links: &mut impl LinkStore, slot: u32) {
        *links.links(slot) = Links {
            newer: NONE,
            older: self.newest,
        };
        if self.newest == NONE {
            self.oldest = slot;
        } else {
            links.links(self.newest).newer = slot;
        }
        self.newest = slot;
        self.len += 1;
    }

    /// Takes `slot`, which is in this list, out of it.
    pub(crate) fn remove(&mut self, links: &mut impl LinkStore, slot: u32) {
        let Links { newer, older } = std::mem::take(links.links(slot));
        if newer == NONE {
            self.newest = older;
        } else {
            links.links(newer).older = older;
        }
        if older == NONE {
            self.oldest = newer;
        } else {
            links.links(older).newer = newer;
        }
        self.len -= 1;
    }

    /// Moves `slot`, which is in this list, to the young end.
    pub(crate) fn touch(&mut self, links: &mut impl LinkStore, slot: u32) {
        if self.newest != slot {
            self.remove(links, slot);
            self.insert(links, slot);
        }
    }
}

/// Where the links are kept.
pub(crate) trait LinkStore {
    fn links(&mut self, slot: u32) -> &mut Links;
}
