//! Programs and libraries: without symbols of their own, and with the versions of the system's that they need.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{capture, run};
use crate::tools;

/// Removes symbols from a program or a library; leaves other files alone.
pub(super) fn strip(path: &Path) -> Result<()> {
    let is_archive = path.extension().is_some_and(|extension| extension == "a");
    let option = match (is_archive, is_elf(path)?) {
        // The linker needs the symbols of an archive.
        (true, _) => "--strip-debug",
        (_, true) => "--strip-unneeded",
        _ => return Ok(()),
    };
    require_binutils()?;
    run(Command::new("strip")
        .args([
            option,
            "--enable-deterministic-archives",
            "--remove-section=.comment",
        ])
        .arg(path))
}

/// The newest version of glibc that a program or library asks for, such as `2.34`, and whether it needs libgcc.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) glibc: Option<(u32, u32)>,
    pub(crate) libgcc: bool,
}

impl Needs {
    /// Adds those of another file.
    pub(crate) fn add(&mut self, path: &Path) -> Result<()> {
        if path.is_symlink() || !is_elf(path)? {
            return Ok(());
        }
        require_binutils()?;
        let mut readelf = Command::new("readelf");
        readelf.args(["--wide", "--dynamic", "--version-info"]);
        self.read(&capture(readelf.arg(path))?);
        Ok(())
    }

    pub(super) fn read(&mut self, report: &str) {
        self.libgcc |= report.contains("Shared library: [libgcc_s.so.1]");
        let versions: BTreeSet<(u32, u32)> = report
            .split("Name: GLIBC_")
            .skip(1)
            .filter_map(|rest| {
                let version = rest.split_whitespace().next()?;
                let mut numbers = version.split('.').map(str::parse);
                Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
            })
            .collect();
        self.glibc = self.glibc.max(versions.last().copied());
    }
}

fn require_binutils() -> Result<()> {
    for program in ["strip", "readelf"] {
        tools::require(program, "binutils", "reads and shortens programs")?;
    }
    Ok(())
}

fn is_elf(path: &Path) -> Result<bool> {
    let mut start = [0; 4];
    let read = File::open(path)
        .and_then(|mut file| file.read(&mut start))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(read == start.len() && start == *b"\x7fELF")
}

#[cfg(test)]
mod tests;
