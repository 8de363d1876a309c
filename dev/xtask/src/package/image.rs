//! A container image, from the Debian packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Release, deb, write};
use crate::command::{run as execute, say, succeeds};
use crate::tree;

/// The programs that build images.
const ENGINES: &[&str] = &["podman", "docker"];

/// The instructions, from the root of the repository.
const SOURCE: &str = "packaging/image/Containerfile";

/// The package that the instructions put into the image.
const PACKAGE: &str = "teredo_*.deb";

/// Writes a folder to build the image from, and builds it if an engine is installed.
pub(super) fn run(release: &Release, debug: bool, out: &Path) -> Result<Vec<PathBuf>> {
    let mut made = deb::run(release, debug, out)?;
    let file = out.join("Containerfile");
    write(&file, instructions(&tree::read(SOURCE)?, &made)?)?;
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

/// The instructions for these packages. The folder may have packages of other versions, too, and apt-get would take the
/// newest.
fn instructions(source: &str, packages: &[PathBuf]) -> Result<String> {
    let names = packages.iter().filter_map(|package| package.file_name());
    let name = names
        .map(|name| name.to_string_lossy())
        .find(|name| name.starts_with("teredo_"))
        .context("there is no package of the program")?;
    let copy = format!("COPY {PACKAGE} ");
    ensure!(
        source.contains(&copy),
        "{SOURCE} has no line with '{copy}' any more"
    );
    Ok(source.replace(&copy, &format!("COPY {name} ")))
}

#[cfg(test)]
mod tests;
