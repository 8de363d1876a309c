//! The documents of an experiment, and their JSON.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// Writes documents, each a file name and its text, into a folder, which is made if there is none.
///
/// # Errors
///
/// If the folder cannot be made, or a file cannot be written.
pub fn write(folder: &Path, documents: &[(&str, &str)]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in documents {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// A JSON array, an entry a line.
///
/// # Errors
///
/// If an entry cannot be JSON.
pub fn lines<T: Serialize>(entries: &[T]) -> serde_json::Result<String> {
    let entries: Vec<String> = entries
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<_, _>>()?;
    Ok(format!("[\n{}\n]", entries.join(",\n")))
}
