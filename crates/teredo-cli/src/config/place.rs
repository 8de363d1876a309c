//! Where a key is set: a file and a line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::text::plain;

/// A line of a file; shown as editors and compilers do, `FILE:LINE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
}

impl Place {
    /// The place of the byte at `offset` in `text`.
    pub(crate) fn at(file: &Path, text: &[u8], offset: usize) -> Self {
        let before = &text[..offset.min(text.len())];
        Self {
            file: file.to_owned(),
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display().to_string();
        write!(f, "{}:{}", plain(&file), self.line)
    }
}

/// The places of a section's keys, as far as a file sets them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places(BTreeMap<String, Place>);

impl Places {
    pub(crate) fn get(&self, key: &str) -> Option<&Place> {
        self.0.get(key)
    }

    /// The first line of them.
    pub(crate) fn first(&self) -> Option<&Place> {
        self.0.values().min_by_key(|place| place.line)
    }

    /// A later place of a key replaces an earlier one.
    pub(super) fn insert(&mut self, key: String, place: Place) {
        self.0.insert(key, place);
    }
}
