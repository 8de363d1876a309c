//! The programs in a folder, as run-parts(8) finds them, and whether anybody but root or this user could have put them
//! there.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// The most programs of a folder.
const MOST: usize = 64;

/// A program of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    /// The name of its file, which has no character that needs care.
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// The programs of a folder in the order of their names, and the files that are none, with the reason.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) hooks: Vec<Hook>,
    pub(super) refused: Vec<(String, Refusal)>,
}

/// Why a folder or a program is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    System(#[from] io::Error),
    #[error("{} is no folder", .0.display())]
    NoFolder(PathBuf),
    #[error("{} belongs to the user {owner}, and must belong to root{}", path.display(), or_user(*.own))]
    Owner { path: PathBuf, owner: u32, own: u32 },
    #[error("others than its owner can write to {} (mode {mode:04o}): 'chmod go-w {}'", .path.display(), .path.display())]
    Writable { path: PathBuf, mode: u32 },
    #[error("{} is not executable: 'chmod 755 {}'", .0.display(), .0.display())]
    NotExecutable(PathBuf),
    #[error("more than {MOST} programs")]
    TooMany,
}

fn or_user(user: u32) -> String {
    match user {
        0 => String::new(),
        user => format!(" or to {user}"),
    }
}

/// Lists the programs.
///
/// # Errors
/// The folder cannot be read, or others than root and this user could put programs there.
pub(super) fn list(folder: &Path) -> Result<Listing, Refusal> {
    let real = folder.canonicalize()?;
    let metadata = real.metadata()?;
    if !metadata.is_dir() {
        return Err(Refusal::NoFolder(folder.to_owned()));
    }
    trust(&real)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(&real)? {
        // A name that is no text is none of a program, and a folder of a million files is not sorted.
        if let Ok(name) = entry?.file_name().into_string()
            && is_name(&name)
        {
            if names.len() > MOST * 16 {
                return Err(Refusal::TooMany);
            }
            names.push(name);
        }
    }
    names.sort_unstable();
    let mut listing = Listing::default();
    for name in names {
        let path = real.join(&name);
        match check(&path) {
            Ok(false) => {}
            Ok(true) if listing.hooks.len() < MOST => listing.hooks.push(Hook { name, path }),
            Ok(true) => listing.refused.push((name, Refusal::TooMany)),
            Err(refusal) => listing.refused.push((name, refusal)),
        }
    }
    Ok(listing)
}

/// Whether run-parts(8) would take it: no dot, so neither a copy of an editor nor one of dpkg.
fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !name.is_empty() && name.chars().all(is_part)
}

/// Whether it is a program; a folder is none, and no fault.
fn check(path: &Path) -> Result<bool, Refusal> {
    // The target of a link is what runs.
    let real = path.canonicalize()?;
    let metadata = real.metadata()?;
    if !metadata.is_file() {
        return Ok(false);
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(Refusal::NotExecutable(path.to_owned()));
    }
    trust(&real)?;
    Ok(true)
}

/// Fails if others than root and this user can change `path`, or put something else in its place. `path` has no links.
fn trust(path: &Path) -> Result<(), Refusal> {
    for part in path.ancestors() {
        let metadata = part.metadata()?;
        let owner = metadata.uid();
        let own = geteuid().as_raw();
        if owner != 0 && owner != own {
            return Err(Refusal::Owner {
                path: part.to_owned(),
                owner,
                own,
            });
        }
        if is_open(&metadata, part == path) {
            return Err(Refusal::Writable {
                path: part.to_owned(),
                mode: metadata.mode() & 0o7777,
            });
        }
    }
    Ok(())
}

/// Whether others than its owner can change it. In a folder such as /tmp (sticky), they cannot replace what is not theirs;
/// they can add to it, so it holds no programs itself.
fn is_open(metadata: &Metadata, is_last: bool) -> bool {
    let mode = metadata.mode();
    let is_sticky_folder = metadata.is_dir() && mode & 0o1000 != 0;
    mode & 0o022 != 0 && (is_last || !is_sticky_folder)
}

#[cfg(test)]
mod tests;
