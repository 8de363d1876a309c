//! The files of the repository.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Folders at any depth whose files are generated, or not ours.
const FOREIGN: &[&str] = &[".git", "target", "artifacts", "corpus", "vendor"];

/// The root of the repository. It does not depend on the working directory.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.ancestors()
        .nth(2)
        .map_or_else(|| here.clone(), Path::to_path_buf)
}

/// The folder of everything that cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root().join(target)
}

/// A file of the repository; the error names it by its path from the root.
pub(crate) fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))
}

/// Every own file and folder of the repository, as sorted paths from the root.
pub(crate) fn entries() -> Result<Vec<PathBuf>> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        let listing =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in listing {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && FOREIGN.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            if is_folder {
                open.push(path.clone());
            }
            // Every path found lies below the root, so the prefix is always there.
            found.push(path.strip_prefix(&root).unwrap_or(&path).to_path_buf());
        }
    }
    found.sort();
    Ok(found)
}

/// The Rust source files of the repository.
pub(crate) fn rust_files() -> Result<Vec<PathBuf>> {
    let mut paths = entries()?;
    paths.retain(|path| path.extension() == Some(OsStr::new("rs")));
    Ok(paths)
}
