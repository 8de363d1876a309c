//! The published crates: each package compiles, and the oldest Rust compiles the crates.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::semver::Version;
use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::command::{capture, cargo, cargo_of, run, say};
use crate::tree;

/// Packs every crate, and compiles each from its package, with the others' packages as its dependencies.
///
/// Changes that are not committed are packed as well, because tests come before the commit. [`metadata`] has fetched all
/// dependencies.
pub(crate) fn package() -> Result<()> {
    let metadata = metadata()?;
    let crates = published(&metadata);
    for package in &crates {
        let lacking = lacking(package);
        ensure!(
            lacking.is_empty(),
            "{} has no {}: crates.io shows it, or searches by it",
            package.manifest_path,
            lacking.join(", no ")
        );
    }
    let home = fresh_home()?;
    let mut command = cargo(&[
        "package",
        "--quiet",
        "--locked",
        "--offline",
        "--allow-dirty",
    ]);
    run(command.args(selection(&crates)).env("CARGO_HOME", home))
}

/// A home for cargo that shares what was downloaded, and has unpacked nothing of ours. Cargo unpacks each package once for
/// a version and a place, so in the usual home a later run would compile the packages of an earlier one.
fn fresh_home() -> Result<PathBuf> {
    let usual = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir()
            .context("no home directory")?
            .join(".cargo"),
    };
    let home = tree::target_dir().join("package-home");
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("cannot remove {}", home.display()))?;
    }
    let sources = home.join("registry/src");
    fs::create_dir_all(&sources).with_context(|| format!("cannot make {}", sources.display()))?;
    let downloads = |name: &str| !name.starts_with('-');
    for (from, to) in [
        (usual.clone(), home.clone()),
        (usual.join("registry"), home.join("registry")),
        (usual.join("registry/src"), sources),
    ] {
        // A home that does not exist has nothing to share.
        for entry in fs::read_dir(&from).into_iter().flatten().flatten() {
            let target = to.join(entry.file_name());
            if !target.exists() && downloads(&entry.file_name().to_string_lossy()) {
                symlink(entry.path(), &target)
                    .with_context(|| format!("cannot make {}", target.display()))?;
            }
        }
    }
    Ok(home)
}

/// Compiles the crates with the oldest Rust that they promise to support, if rustup has it.
pub(crate) fn oldest() -> Result<()> {
    let metadata = metadata()?;
    let crates = published(&metadata);
    let oldest = crates
        .iter()
        .filter_map(|package| package.rust_version.as_ref())
        .max()
        .context("no crate has a rust-version")?;
    let newer = newer(&metadata, oldest);
    ensure!(
        newer.is_empty(),
        "these need a newer Rust than {oldest}: {}",
        newer.join(", ")
    );
    let toolchains = capture(Command::new("rustup").args(["toolchain", "list"]));
    let Some(toolchain) = toolchains.ok().and_then(|list| toolchain(&list, oldest)) else {
        let (major, minor) = (oldest.major, oldest.minor);
        return say(format_args!(
            "    left out: cargo check with Rust {major}.{minor} (rustup toolchain install {major}.{minor})"
        ));
    };
    let mut command = cargo_of(&toolchain);
    command
        .args(["check", "--locked", "--target-dir"])
        .arg(tree::target_dir().join("oldest"))
        .args(selection(&crates));
    run(&mut command)
}

fn metadata() -> Result<Metadata> {
    let mut command = cargo(&["metadata", "--locked", "--format-version", "1"]);
    MetadataCommand::parse(capture(&mut command)?).context("cannot read cargo's metadata")
}

/// The members of the workspace without `publish = false`.
fn published(metadata: &Metadata) -> Vec<&Package> {
    let members = metadata.workspace_packages().into_iter();
    members
        .filter(|package| package.publish.as_ref().is_none_or(|to| !to.is_empty()))
        .collect()
}

fn selection(crates: &[&Package]) -> Vec<String> {
    let arguments = crates
        .iter()
        .flat_map(|package| ["-p".to_owned(), package.name.to_string()]);
    arguments.collect()
}

/// The fields of the manifest that a published crate has, and this one has not.
fn lacking(package: &Package) -> Vec<&'static str> {
    [
        ("description", package.description.is_none()),
        ("license", package.license.is_none()),
        ("readme", package.readme.is_none()),
        ("keywords", package.keywords.is_empty()),
        ("categories", package.categories.is_empty()),
        (
            "package.metadata.docs.rs",
            package.metadata.pointer("/docs/rs").is_none(),
        ),
    ]
    .into_iter()
    .filter_map(|(field, is_missing)| is_missing.then_some(field))
    .collect()
}

/// The dependencies that ask for a newer Rust.
fn newer(metadata: &Metadata, oldest: &Version) -> Vec<String> {
    let packages = metadata.packages.iter().filter(|package| {
        package
            .rust_version
            .as_ref()
            .is_some_and(|version| version > oldest)
    });
    packages
        .map(|package| format!("{} {}", package.name, package.version))
        .collect()
}

/// The toolchain for a version of Rust, in the output of `rustup toolchain list`: `1.88-...`, or any `1.88.x`.
fn toolchain(list: &str, version: &Version) -> Option<String> {
    let mut names = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let wanted = format!("{}.{}", version.major, version.minor);
    names
        .find(|name| {
            name.strip_prefix(&wanted)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests;
