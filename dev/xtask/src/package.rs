//! `cargo xtask package`: everything that others install.
//!
//! ```text
//!  stage ──> the whole tree, as it lies on a host ──> deb      four packages
//!    │                                                rpm      four packages
//!    │                                                static   one archive, the program linked with musl
//!    └── install.rs, packaging/                       image    a container image from the Debian packages
//! ```

mod deb;
mod elf;
mod image;
mod musl;
mod pages;
pub(crate) mod rpm;
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::fs::Mode;

use crate::command::{capture, say};
use crate::tree;

pub(crate) use deb::{PACKAGES, build as build_deb, owner, stage as stage_deb};
pub(crate) use elf::Needs;
pub(crate) use stage::Stage;

#[derive(clap::Args)]
pub(crate) struct Options {
    kind: Kind,
    /// Where the packages are written.
    #[arg(long, value_name = "DIR", default_value = "target/packages")]
    out: PathBuf,
    /// The number behind the version: it grows if the same version is packed again.
    #[arg(long, value_name = "N", default_value_t = 1)]
    revision: u32,
    /// Build without optimisation.
    #[arg(long)]
    debug: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Debian packages: teredo, teredo-firewall, libteredo0 and libteredo-dev
    Deb,
    /// RPM packages: teredo, teredo-firewall, teredo-libs and teredo-devel
    Rpm,
    /// A container image, or the folder to build it from if there is no podman or docker
    Image,
    /// An archive with a program that needs no library
    Static,
}

/// The program, from the root of the host.
pub(crate) const PROGRAM: &str = "usr/bin/teredo";

/// The prefix of all packages.
const PREFIX: &str = "/usr";

/// How a package is called, and when it was made.
pub(crate) struct Release {
    pub(crate) version: &'static str,
    pub(crate) revision: u32,
    /// Seconds since 1970: the time in the packages, the same for each build of a commit.
    epoch: u64,
}

impl Release {
    /// The time of `SOURCE_DATE_EPOCH`, or of the last commit.
    pub(crate) fn new(revision: u32) -> Result<Self> {
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => capture(Command::new("git").current_dir(tree::root()).args([
                "log",
                "-1",
                "--format=%ct",
            ]))
            .context("no time for the packages: set SOURCE_DATE_EPOCH outside of a git clone")?,
        };
        let epoch = epoch.trim().parse();
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            revision,
            epoch: epoch.context("SOURCE_DATE_EPOCH is no number of seconds since 1970")?,
        })
    }

    /// The time in the format that `date` is given.
    fn date(&self, format: &str) -> Result<String> {
        let mut date = Command::new("date");
        date.args(["-u", "-d", &format!("@{}", self.epoch), format]);
        Ok(capture(date.env("LC_ALL", "C"))?.trim_end().to_owned())
    }
}

/// Makes the packages of one kind.
pub(crate) fn run(options: &Options) -> Result<()> {
    // The caller's may keep others from reading what is packed.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let out = std::path::absolute(&options.out).context("--out is no path")?;
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let release = Release::new(options.revision)?;
    let made = match options.kind {
        Kind::Deb => deb::run(&release, options.debug, &out)?,
        Kind::Rpm => rpm::run(&release, options.debug, &out)?,
        Kind::Image => image::run(&release, options.debug, &out)?,
        Kind::Static => musl::run(&release, &out)?,
    };
    for package in made {
        let size = fs::metadata(&package)
            .with_context(|| format!("{} was not made", package.display()))?
            .len();
        say(format_args!("{:>10}  {}", size, package.display()))?;
    }
    Ok(())
}

/// Writes a file, and the folders above it.
fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, contents))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// `PATH.gz` in its place, the same bytes each time.
fn compress(path: &Path) -> Result<()> {
    crate::command::run(Command::new("gzip").args(["-9", "-n", "-f"]).arg(path))
}

/// The files and links below a folder, as sorted paths from it.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let listing =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in listing {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            } else if let Ok(path) = entry.path().strip_prefix(root) {
                found.push(path.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
