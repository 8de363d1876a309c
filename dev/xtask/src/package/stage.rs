//! The tree that packages are cut from: every file where it lies on a host.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{PREFIX, PROGRAM, compress, elf, files, pages, write};
use crate::command::{capture, run};
use crate::{install, tree, units};

/// Files that are copied as they are, and the folders that they belong to.
const COPIED: &[(&str, &str)] = &[
    (units::FOLDER, "usr/lib/systemd/system"),
    ("packaging/preset", "usr/lib/systemd/system-preset"),
    ("packaging/network", "usr/lib/systemd/network"),
    ("packaging/NetworkManager", "usr/lib/NetworkManager/conf.d"),
    ("packaging/polkit", "usr/share/polkit-1/rules.d"),
    ("packaging/sysusers.d", "usr/lib/sysusers.d"),
    ("packaging/tmpfiles.d", "usr/lib/tmpfiles.d"),
    ("packaging/metrics", "usr/share/teredo"),
    ("packaging/hooks.d", "etc/teredo/hooks.d"),
];

/// A distribution's folders that differ from those of others.
pub(crate) struct Folders<'a> {
    /// The folder of the libraries below `/usr`.
    pub(crate) libraries: &'a str,
    /// That of completions for zsh.
    pub(crate) zsh: &'a str,
}

/// The tree, which lasts as long as this value.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    /// Builds everything and puts it in its place, stripped.
    pub(crate) fn new(folders: &Folders<'_>, debug: bool) -> Result<Self> {
        let folder = tempfile::tempdir().context("no place for temporary files")?;
        let stage = Self { folder };
        install::install(&install::Options {
            prefix: PREFIX.into(),
            libdir: folders.libraries.to_owned(),
            destdir: Some(stage.root().to_owned()),
            libraries: false,
            debug,
        })?;
        stage.complete(folders)?;
        Ok(stage)
    }

    /// The tree of a program that is built already, without libraries.
    pub(super) fn of_program(program: &Path, folders: &Folders<'_>) -> Result<Self> {
        let folder = tempfile::tempdir().context("no place for temporary files")?;
        let stage = Self { folder };
        let installed = stage.root().join(PROGRAM);
        let contents = fs::read(program);
        let contents = contents.with_context(|| format!("cannot read {}", program.display()))?;
        write(&installed, contents)?;
        fs::set_permissions(&installed, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot change {}", installed.display()))?;
        let pages = stage.root().join("usr/share/man/man1");
        fs::create_dir_all(&pages).with_context(|| format!("cannot create {}", pages.display()))?;
        run(Command::new(program).arg("man").arg(pages))?;
        stage.complete(folders)?;
        Ok(stage)
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        files(self.root())
    }

    /// Adds what is neither compiled nor part of an installation from source, and removes the symbols.
    fn complete(&self, folders: &Folders<'_>) -> Result<()> {
        for (source, target) in COPIED {
            let source = tree::root().join(source);
            for name in files(&source)? {
                self.copy(&source.join(&name), &format!("{target}/{}", name.display()))?;
            }
        }
        let packaging = tree::root().join("packaging");
        self.copy(&packaging.join("teredo.toml"), "etc/teredo/teredo.toml")?;
        self.copy(
            &packaging.join("man/teredo.7"),
            "usr/share/man/man7/teredo.7",
        )?;
        let settings = pages::settings(&tree::read("docs/settings.md")?)?;
        self.write("usr/share/man/man5/teredo.toml.5", settings)?;
        let zsh = format!("{}/_teredo", folders.zsh);
        for (shell, target) in [
            ("bash", "usr/share/bash-completion/completions/teredo"),
            ("zsh", &zsh),
            ("fish", "usr/share/fish/vendor_completions.d/teredo.fish"),
        ] {
            let program = self.root().join(PROGRAM);
            let script = capture(Command::new(program).args(["completions", shell]))?;
            self.write(target, script)?;
        }
        for page in files(&self.root().join("usr/share/man"))? {
            compress(&self.root().join("usr/share/man").join(page))?;
        }
        for file in self.files()? {
            elf::strip(&self.root().join(file))?;
        }
        Ok(())
    }

    fn copy(&self, source: &Path, target: &str) -> Result<()> {
        let contents =
            fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        self.write(target, contents)
    }

    fn write(&self, target: &str, contents: impl AsRef<[u8]>) -> Result<()> {
        let path = self.root().join(target);
        write(&path, contents)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
            .with_context(|| format!("cannot change {}", path.display()))
    }
}
