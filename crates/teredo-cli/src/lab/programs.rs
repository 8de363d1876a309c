//! The programs of the system that the labs run.

use std::path::PathBuf;

/// The folders of daemons, which the search path of an ordinary user lacks.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// A program by its path, or none.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    let mut programs = folders.map(|folder| folder.join(name));
    programs.find(|program| program.is_file())
}
