//! The tests of the workspace, one program each, as `cargo test` would run them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::Message;

use crate::command::{capture, cargo};
use crate::tree;

/// A program of tests.
pub(crate) struct Suite {
    program: PathBuf,
    /// The folder of its crate.
    folder: PathBuf,
}

impl Suite {
    /// Builds all, with the features that they have together, in the order of their crates.
    pub(crate) fn build() -> Result<Vec<Self>> {
        let mut build = cargo(&["test", "--workspace", "--locked", "--no-run"]);
        let built = capture(build.arg("--message-format=json-render-diagnostics"))?;
        let mut suites = Vec::new();
        for message in Message::parse_stream(built.as_bytes()) {
            if let Message::CompilerArtifact(artifact) =
                message.context("cannot read cargo's account of the build")?
                && artifact.profile.test
                && let Some(program) = artifact.executable
            {
                let folder = artifact.manifest_path.parent();
                let folder = folder.context("a manifest without a folder")?;
                suites.push(Self {
                    program: program.into(),
                    folder: folder.into(),
                });
            }
        }
        suites.sort_by(|one, other| {
            (&one.folder, &one.program).cmp(&(&other.folder, &other.program))
        });
        Ok(suites)
    }

    /// Whether it belongs to the crate in this folder of the repository.
    pub(crate) fn is_of(&self, folder: &str) -> bool {
        self.folder == tree::root().join(folder)
    }

    /// The title of its run.
    pub(crate) fn title(&self) -> String {
        let folder = self.folder.strip_prefix(tree::root());
        let folder = folder.unwrap_or(&self.folder).display();
        let program = self.program.file_name().unwrap_or_default();
        format!("     Running {folder}: {}", program.display())
    }

    /// Its run, where cargo would run it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}
