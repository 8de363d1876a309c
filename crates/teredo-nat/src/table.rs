//! A sorted table that is small while it has few entries.

use std::collections::BTreeMap;
use std::mem;

/// The most entries of a sorted list; beyond it, inserting into the middle costs more than a tree.
const FEW: usize = 16;

/// A map in the order of its keys: a sorted list without spare room up to 16 entries, and a [`BTreeMap`] beyond.
///
/// Most home NATs have one or two mappings. The node of a `BTreeMap` has room for eleven entries, and so
/// would take most of the memory of a simulated internet.
#[derive(Clone, Debug)]
pub struct Table<K, V>(Entries<K, V>);

#[derive(Clone, Debug)]
enum Entries<K, V> {
    /// Sorted by key.
    Few(Vec<(K, V)>),
    Many(BTreeMap<K, V>),
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Entries::Few(Vec::new()))
    }
}

impl<K: Ord + Copy, V> Table<K, V> {
    /// The number of entries.
    pub fn len(&self) -> usize {
        match &self.0 {
            Entries::Few(list) => list.len(),
            Entries::Many(tree) => tree.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        match &self.0 {
            Entries::Few(list) => {
                let index = list.binary_search_by_key(key, |(key, _)| *key).ok()?;
                Some(&list[index].1)
            }
            Entries::Many(tree) => tree.get(key),
        }
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match &mut self.0 {
            Entries::Few(list) => {
                let index = list.binary_search_by_key(key, |(key, _)| *key).ok()?;
                Some(&mut list[index].1)
            }
            Entries::Many(tree) => tree.get_mut(key),
        }
    }

    /// Whether the key has a value.
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Adds an entry; returns the earlier value of the key.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Entries::Few(list) = &mut self.0 {
            match list.binary_search_by_key(&key, |(key, _)| *key) {
                Ok(index) => return Some(mem::replace(&mut list[index].1, value)),
                Err(index) if list.len() < FEW => {
                    // `insert` alone would double the capacity.
                    list.reserve_exact(1);
                    list.insert(index, (key, value));
                    return None;
                }
                Err(_) => self.0 = Entries::Many(mem::take(list).into_iter().collect()),
            }
        }
        match &mut self.0 {
            Entries::Many(tree) => tree.insert(key, value),
            // Replaced above.
            Entries::Few(_) => None,
        }
    }

    /// Removes an entry; returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        match &mut self.0 {
            Entries::Few(list) => {
                let index = list.binary_search_by_key(key, |(key, _)| *key).ok()?;
                Some(list.remove(index).1)
            }
            Entries::Many(tree) => tree.remove(key),
        }
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Keeps the entries for which `wanted` is true.
    pub fn retain(&mut self, mut wanted: impl FnMut(&K, &mut V) -> bool) {
        match &mut self.0 {
            Entries::Few(list) => list.retain_mut(|(key, value)| wanted(key, value)),
            Entries::Many(tree) => tree.retain(|key, value| wanted(key, value)),
        }
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (list, tree) = match &self.0 {
            Entries::Few(list) => (Some(list.iter()), None),
            Entries::Many(tree) => (None, Some(tree.iter())),
        };
        let list = list.into_iter().flatten().map(|(key, value)| (key, value));
        list.chain(tree.into_iter().flatten())
    }

    /// The entries with keys from `first` to `last`, both inclusive.
    pub fn range(&self, first: K, last: K) -> impl Iterator<Item = (&K, &V)> {
        let (list, tree) = match &self.0 {
            Entries::Few(list) => {
                let start = list.partition_point(|(key, _)| *key < first);
                let end = list.partition_point(|(key, _)| *key <= last);
                (list.get(start..end), None)
            }
            Entries::Many(_) if first > last => (None, None),
            Entries::Many(tree) => (None, Some(tree.range(first..=last))),
        };
        let list = list.into_iter().flatten().map(|(key, value)| (key, value));
        list.chain(tree.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests;
