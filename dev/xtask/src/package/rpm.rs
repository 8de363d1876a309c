//! RPM packages, by rpmbuild from a spec that only divides the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Release;
use super::stage::{Folders, Stage};
use crate::command::run as execute;
use crate::{tools, tree};

pub(super) fn run(release: &Release, debug: bool, out: &Path) -> Result<Vec<PathBuf>> {
    build(&stage(debug)?, release, debug, out)
}

/// The tree of a host with RPM.
pub(crate) fn stage(debug: bool) -> Result<Stage> {
    tools::require("rpmbuild", "rpm", "writes RPM packages")?;
    let folders = Folders {
        libraries: "lib64",
        zsh: "usr/share/zsh/site-functions",
    };
    Stage::new(&folders, debug)
}

/// Writes the packages; `fast` compresses little.
pub(crate) fn build(
    stage: &Stage,
    release: &Release,
    fast: bool,
    out: &Path,
) -> Result<Vec<PathBuf>> {
    let folder = tempfile::tempdir().context("no place for temporary files")?;
    let packages = folder.path().join("RPMS");
    let compression = if fast { "w1.gzdio" } else { "w6.xzdio" };
    let mut build = Command::new("rpmbuild");
    build
        .args(["-bb", "--quiet"])
        .arg(tree::root().join("packaging/rpm/teredo.spec"))
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string());
    for (name, value) in [
        ("_topdir", folder.path().display().to_string()),
        ("_rpmdir", packages.display().to_string()),
        // A host's own scheme may have a folder for each architecture.
        (
            "_rpmfilename",
            "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm".to_owned(),
        ),
        ("_libdir", "/usr/lib64".to_owned()),
        ("teredo_stage", stage.root().display().to_string()),
        ("teredo_sources", tree::root().display().to_string()),
        ("teredo_version", release.version.to_owned()),
        ("teredo_release", release.revision.to_string()),
        ("clamp_mtime_to_source_date_epoch", "1".to_owned()),
        ("use_source_date_epoch_as_buildtime", "1".to_owned()),
        ("_buildhost", "localhost".to_owned()),
        ("_binary_payload", compression.to_owned()),
    ] {
        build.arg("--define").arg(format!("{name} {value}"));
    }
    execute(&mut build)?;
    let mut made = Vec::new();
    for package in super::files(&packages)? {
        let target = out.join(package.file_name().context("a package without a name")?);
        fs::copy(packages.join(&package), &target)
            .with_context(|| format!("cannot write {}", target.display()))?;
        made.push(target);
    }
    Ok(made)
}
