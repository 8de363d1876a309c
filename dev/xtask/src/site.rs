//! `cargo xtask site`: builds the documentation site from `site/`, and checks it.
//!
//! The pages are written by hand, but for the reference: it is made from the program and the sources, so that it cannot
//! be out of date. mdbook sees a copy of `site/` beside the rest of the repository, whose files the pages include.

mod command_line;
mod html;
mod links;
mod reference;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::Message;

use crate::command::{build_as_tests, capture, say};
use crate::{tools, tree};

#[derive(Default, clap::Args)]
pub(crate) struct Options {
    /// Write the site to this folder instead of `target/site`; it is emptied first.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

const SOURCES: &str = "site";

/// Builds the site, and fails if a link leads nowhere or a command that it shows is none.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mdbook = tools::mdbook()?;
    let program = program()?;
    let out = match &options.out {
        Some(out) => std::path::absolute(out).context("--out is no path")?,
        None => tree::target_dir().join(SOURCES),
    };
    let stage = tempfile::tempdir().context("no place for temporary files")?;
    prepare(stage.path(), &program)?;
    let mut build = Command::new(mdbook);
    build.arg("build").arg(stage.path().join(SOURCES));
    let complaints = complaints(build.arg("--dest-dir").arg(&out))?;
    ensure!(
        complaints.is_empty(),
        "mdbook:\n  {}",
        complaints.join("\n  ")
    );

    let site = html::Site::read(&out)?;
    let mut faults = links::faults(&site);
    let (commands, wrong) = command_line::check(&site, &program)?;
    faults.extend(wrong);
    ensure!(faults.is_empty(), "\n  {}", faults.join("\n  "));
    say(format_args!(
        "    {} pages, {} links, {commands} commands: {}",
        site.pages.len(),
        site.pages
            .values()
            .map(|page| page.links.len())
            .sum::<usize>(),
        out.join("index.html").display()
    ))
}

/// The program, built as the tests build it.
fn program() -> Result<PathBuf> {
    let mut command = build_as_tests(&["--bin", "teredo"]);
    let built = capture(command.arg("--message-format=json-render-diagnostics"))?;
    for message in Message::parse_stream(built.as_bytes()) {
        if let Message::CompilerArtifact(artifact) =
            message.context("cannot read cargo's account of the build")?
            && artifact.target.name == "teredo"
            && let Some(program) = artifact.executable
        {
            return Ok(program.into());
        }
    }
    anyhow::bail!("cargo has not built the program")
}

/// The warnings of mdbook: an included file that is missing is a warning to it.
fn complaints(build: &mut Command) -> Result<Vec<String>> {
    let output = build
        .output()
        .with_context(|| format!("cannot start {}", build.get_program().display()))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let mut complaints: Vec<String> = log
        .lines()
        .filter(|line| line.contains("WARN") || line.contains("ERROR"))
        .map(str::to_owned)
        .collect();
    if !output.status.success() {
        complaints.push(format!("{}: {}", output.status, log.trim_end()));
    }
    Ok(complaints)
}

/// Puts into `stage` what mdbook is to see: `site/` with the generated pages, and the rest of the repository.
fn prepare(stage: &Path, program: &Path) -> Result<()> {
    let root = tree::root();
    for path in tree::entries()? {
        let from = root.join(&path);
        let to = stage.join(&path);
        let is_document = path.extension().is_some_and(|extension| extension == "md");
        let outcome = if from.is_dir() {
            fs::create_dir_all(&to)
        } else if path.starts_with(SOURCES) {
            fs::copy(&from, &to).map(drop)
        } else if is_document {
            let text = tree::read(&path.to_string_lossy())?;
            let folder = path.parent().unwrap_or_else(|| Path::new(""));
            fs::write(&to, links::detached(&text, folder))
        } else {
            symlink(&from, &to)
        };
        outcome.with_context(|| format!("cannot prepare {}", path.display()))?;
    }
    for (name, text) in reference::pages(program)? {
        let page = stage.join(SOURCES).join("src/reference").join(name);
        fs::write(&page, text).with_context(|| format!("cannot write {}", page.display()))?;
    }
    Ok(())
}

/// The output of `program` with `arguments`, no line longer than 76 characters if it can be helped.
fn output(program: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    // The caller's settings must not show in the pages.
    capture(
        command
            .args(arguments)
            .env("COLUMNS", "76")
            .env_remove("TEREDO_SOCKET"),
    )
}
