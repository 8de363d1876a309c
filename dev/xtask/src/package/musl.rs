//! An archive with a program that needs no library: for distributions without packages of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::stage::{Folders, Stage};
use super::{Release, write};
use crate::command::{DIST, capture, cargo, run as execute};
use crate::tree;

/// Where the licences lie, which each copy has to carry.
const LICENCES: &str = "usr/share/licenses/teredo";

pub(super) fn run(release: &Release, out: &Path) -> Result<Vec<PathBuf>> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let sysroot = capture(&mut crate::command::rustc(&["--print", "sysroot"]))?;
    ensure!(
        Path::new(sysroot.trim())
            .join("lib/rustlib")
            .join(&target)
            .exists(),
        "no Rust standard library for {target}: 'rustup target add {target}' installs it"
    );
    let mut build = cargo(&["build", "--locked", "-p", "teredo-cli", "--profile", DIST]);
    execute(build.args(["--target", &target]))?;
    let program = tree::target_dir().join(&target).join(DIST).join("teredo");

    let folders = Folders {
        libraries: "lib",
        zsh: "usr/share/zsh/site-functions",
    };
    let stage = Stage::of_program(&program, &folders)?;
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let target = stage.root().join(LICENCES).join(licence);
        write(&target, tree::read(licence)?)?;
    }
    let name = format!("teredo-{}-{target}", release.version);
    let archive = out.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.arg("--create")
        .arg("--file")
        .arg(&archive)
        .args(["--use-compress-program", "gzip -9 -n"])
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .arg(format!("--mtime=@{}", release.epoch))
        .arg(format!("--transform=s,^\\.,{name},"))
        .arg("--directory")
        .arg(stage.root())
        .arg(".");
    execute(&mut tar)?;
    Ok(vec![archive])
}
