//! A sorted table that is small while it has few entries.

use std::collections::BTreeMap;
use std::mem;

/// The most entries of a sorted list; beyond it, inserting into the middle costs more than a tree.
const FEW: usize = 16;

/// A map in the order of its keys: a sorted list without spare room up to 16 entries, and a [`BTreeMap`] beyond.
///
/// A million home NATs have one or two mappings each. The node of a `BTreeMap` has room for eleven entries, and so
/// would take most of the simulator's memory.
#[derive(Clone, Debug)]
pub(crate) enum Table<K, V> {
    /// Sorted by key.
    Few(Vec<(K, V)>),
    Many(BTreeMap<K, V>),
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<K: Ord + Copy, V> Table<K, V> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(tree) => tree.len(),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        match self {
            Self::Few(list) => {
                let index = list.binary_search_by_key(key, |(key, _)| *key).ok()?;
                Some(&list[index].1)
            }
            Self::Many(tree) => tree.get(key),
        }
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            Self::Few(list) => {
                let index = list.binary_search_by_key(key, |(key, _)| *key).ok()?;
                Some(&mut list[index].1)
            }
            Self::Many(tree) => tree.get_mut(key),
        }
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Adds an entry; returns the earlier value of the key.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Self::Few(list) = self {
            match list.binary_search_by_key(&key, |(key, _)| *key) {
                Ok(index) => return Some(mem::replace(&mut list[index].1, value)),
                Err(index) if list.len() < FEW => {
                    // `insert` alone would double the capacity.
                    list.reserve_exact(1);
                    list.insert(index, (key, value));
                    return None;
                }
                Err(_) => *self = Self::Many(mem::take(list).into_iter().collect()),
            }
        }
        match self {
            Self::Many(tree) => tree.insert(key, value),
            // Replaced above.
            Self::Few(_) => None,
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Self::Few(list) => {
                let index = list.binary_search_by_key(key, |(key, _)| *key).ok()?;
                Some(list.remove(index).1)
            }
            Self::Many(tree) => tree.remove(key),
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Keeps the entries for which `wanted` is true.
    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(&K, &mut V) -> bool) {
        match self {
            Self::Few(list) => list.retain_mut(|(key, value)| wanted(key, value)),
            Self::Many(tree) => tree.retain(|key, value| wanted(key, value)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (list, tree) = match self {
            Self::Few(list) => (Some(list.iter()), None),
            Self::Many(tree) => (None, Some(tree.iter())),
        };
        let list = list.into_iter().flatten().map(|(key, value)| (key, value));
        list.chain(tree.into_iter().flatten())
    }

    /// The entries with keys from `first` to `last`, both inclusive.
    pub(crate) fn range(&self, first: K, last: K) -> impl Iterator<Item = (&K, &V)> {
        let (list, tree) = match self {
            Self::Few(list) => {
                let start = list.partition_point(|(key, _)| *key < first);
                let end = list.partition_point(|(key, _)| *key <= last);
                (list.get(start..end), None)
            }
            Self::Many(_) if first > last => (None, None),
            Self::Many(tree) => (None, Some(tree.range(first..=last))),
        };
        let list = list.into_iter().flatten().map(|(key, value)| (key, value));
        list.chain(tree.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests;
