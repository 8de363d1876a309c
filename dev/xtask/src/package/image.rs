//! A container image, from the Debian packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Release, deb, write};
use crate::command::{run as execute, say, succeeds};
use crate::tree;

/// The programs that build images.
const ENGINES: &[&str] = &["podman", "docker"];

/// Writes a folder to build the image from, and builds it if an engine is installed.
pub(super) fn run(release: &Release, debug: bool, out: &Path) -> Result<Vec<PathBuf>> {
    let mut made = deb::run(release, debug, out)?;
    let file = out.join("Containerfile");
    write(&file, tree::read("packaging/image/Containerfile")?)?;
    made.push(file);
    let tag = format!("teredo:{}", release.version);
    let engine = ENGINES
        .iter()
        // A client without its service can build nothing.
        .find(|engine| succeeds(Command::new(engine).arg("info")));
    match engine {
        Some(engine) => {
            let mut build = Command::new(engine);
            build.args(["build", "--tag", &tag, "--file"]);
            execute(build.arg(out.join("Containerfile")).arg(out))?;
            say(format_args!("the image {tag} is built"))?;
        }
        None => say(format_args!(
            "neither podman nor docker runs here: 'podman build --tag {tag} {}' builds the image elsewhere",
            out.display()
        ))?,
    }
    Ok(made)
}
