//! The files that a crate is compiled from, as the compiler says it in its dep-info.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cargo_metadata::{Artifact, Message, Package};

use crate::command::{capture, cargo};
use crate::tree;

/// The files of each crate of the workspace, as the libraries and programs in it read them.
pub(super) struct Sources {
    artifacts: Vec<Artifact>,
}

impl Sources {
    /// Reads cargo's account of the build that clippy has made.
    pub(super) fn read() -> Result<Self> {
        let mut check = cargo(&["clippy", "--quiet", "--workspace", "--all-targets"]);
        // With other arguments than those of the step 'clippy', all would be checked again.
        check.args(["--locked", "--message-format=json", "--", "-D", "warnings"]);
        let built = capture(&mut check)?;
        let mut artifacts = Vec::new();
        for message in Message::parse_stream(built.as_bytes()) {
            if let Message::CompilerArtifact(artifact) =
                message.context("cannot read cargo's account of the build")?
                && !artifact.profile.test
                && artifact.target.kind.iter().any(is_published)
            {
                artifacts.push(artifact);
            }
        }
        Ok(Self { artifacts })
    }

    /// The sources of `package` in the repository, from its root.
    pub(super) fn of(&self, package: &Package) -> Result<BTreeSet<PathBuf>> {
        let own = |artifact: &&Artifact| artifact.package_id == package.id;
        let mut sources = BTreeSet::new();
        for artifact in self.artifacts.iter().filter(own) {
            for file in &artifact.filenames {
                let path = dep_info(file.as_std_path());
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                sources.extend(in_repository(&text, &tree::root()));
            }
        }
        Ok(sources)
    }
}

/// Examples and tests are nobody's dependency.
fn is_published(kind: &cargo_metadata::TargetKind) -> bool {
    use cargo_metadata::TargetKind::*;
    matches!(
        kind,
        Lib | RLib | DyLib | CDyLib | StaticLib | ProcMacro | Bin
    )
}

/// `libname-hash.rmeta` is described by `name-hash.d`.
fn dep_info(artifact: &Path) -> PathBuf {
    let name = artifact.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_prefix("lib").unwrap_or(&name);
    artifact.with_file_name(name).with_extension("d")
}

/// The names of what clippy reads for itself.
const OF_CLIPPY: [&str; 2] = ["Cargo.toml", "clippy.toml"];

/// The files that dep-info names, which are those before a colon at the end of a line, relative to `root`. Others, such as what
/// a build script has written, are not from the repository.
pub(super) fn in_repository(dep_info: &str, root: &Path) -> BTreeSet<PathBuf> {
    let files = dep_info.lines().filter_map(|line| line.strip_suffix(':'));
    files
        .filter(|file| !OF_CLIPPY.iter().any(|own| Path::new(file).ends_with(own)))
        .filter_map(|file| {
            let file = root.join(file.replace("\\ ", " "));
            file.strip_prefix(root).ok().map(normal)
        })
        .filter(|file| !file.starts_with("target"))
        .collect()
}

/// Without `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            std::path::Component::ParentDir => {
                path.pop();
            }
            part => path.push(part),
        }
        path
    })
}
