//! The published crates: each package has all files of its crate, and the oldest Rust compiles the crates.

mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::semver::Version;
use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::command::{capture, cargo, cargo_of, run, say};
use crate::tree;
use sources::Sources;

/// Packs every crate. A file that the compiler has read for a crate, and that its package lacks, is an error, as are fields
/// that crates.io shows.
///
/// `compile` compiles the packages, too, as one workspace made of them alone. Their dependencies have other features there
/// than in our own, so that most are compiled anew: it takes minutes. Changes that are not committed are packed as well,
/// because tests come before the commit. [`metadata`] has fetched all dependencies.
pub(crate) fn package(compile: bool) -> Result<()> {
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
    let mut command = cargo(&[
        "package",
        "--quiet",
        "--locked",
        "--offline",
        "--allow-dirty",
        "--no-verify",
    ]);
    run(command.args(selection(&crates)))?;
    let workspace = unpack(&crates)?;
    let files = check_files(&crates, &workspace)?;
    say(format_args!(
        "    {} packages have all {files} files of their crates",
        crates.len()
    ))?;
    if !compile {
        return say("    they are not compiled by themselves (--long)");
    }
    let mut check = cargo(&["check", "--quiet", "--offline", "--workspace"]);
    check
        .arg("--manifest-path")
        .arg(workspace.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(tree::target_dir());
    run(&mut check)
}

/// Finds each file that a crate is compiled from in its package. Returns how many there are.
fn check_files(crates: &[&Package], workspace: &Path) -> Result<usize> {
    let sources = Sources::read()?;
    let mut count = 0;
    for package in crates {
        let folder = package.manifest_path.parent();
        let folder = folder.context("a manifest without a folder")?;
        let folder = folder.strip_prefix(tree::root()).unwrap_or(folder);
        let packed = workspace.join(format!("{}-{}", package.name, package.version));
        let files = sources.of(package)?;
        ensure!(!files.is_empty(), "{} has no sources", package.name);
        for file in &files {
            let is_packed = file
                .strip_prefix(folder)
                .is_ok_and(|inside| packed.join(inside).is_file());
            ensure!(
                is_packed,
                "{} is compiled from {}, which is not in its package",
                package.name,
                file.display()
            );
        }
        count += files.len();
    }
    Ok(count)
}

/// Makes a workspace of the packages, in which each finds the others, with the versions of our own lock file.
fn unpack(crates: &[&Package]) -> Result<PathBuf> {
    let workspace = tree::target_dir().join("packages");
    if workspace.exists() {
        fs::remove_dir_all(&workspace)
            .with_context(|| format!("cannot remove {}", workspace.display()))?;
    }
    fs::create_dir_all(&workspace)
        .with_context(|| format!("cannot make {}", workspace.display()))?;
    let mut manifest =
        "[workspace]\nmembers = [\"*\"]\nresolver = \"3\"\n\n[patch.crates-io]\n".to_owned();
    for package in crates {
        let name = format!("{}-{}", package.name, package.version);
        let archive = tree::target_dir()
            .join("package")
            .join(format!("{name}.crate"));
        run(Command::new("tar")
            .args(["--extract", "--gzip", "--file"])
            .arg(archive)
            .arg("--directory")
            .arg(&workspace))?;
        manifest += &format!("{} = {{ path = \"{name}\" }}\n", package.name);
    }
    fs::write(workspace.join("Cargo.toml"), manifest)
        .and_then(|()| {
            fs::copy(
                tree::root().join("Cargo.lock"),
                workspace.join("Cargo.lock"),
            )
        })
        .with_context(|| format!("cannot write to {}", workspace.display()))?;
    Ok(workspace)
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
