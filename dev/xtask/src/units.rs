//! The systemd units of `packaging/`: what `systemd-analyze` finds wrong with them, and how much they leave exposed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::command::{capture, say};
use crate::package::PROGRAM;
use crate::{tools, tree};

/// The units, from the root of the repository.
pub(crate) const FOLDER: &str = "packaging/systemd";

/// The highest exposure of a service, in tenths: systemd's scale is from 0 (none) to 10.
const CEILING: u32 = 20;

/// Checks every unit; the error lists all that is wrong.
pub(crate) fn check() -> Result<()> {
    tools::require(
        "systemd-analyze",
        "systemd",
        "judges the units of packaging/systemd",
    )?;
    let folder = copies()?;
    let mut units = Vec::new();
    let listing = fs::read_dir(folder.path()).context("cannot list the copies of the units")?;
    for entry in listing {
        units.push(entry.context("cannot list the copies of the units")?.path());
    }
    units.sort();
    let mut faults = mistakes(&units)?;
    for unit in units.iter().filter(|unit| is_service(unit)) {
        let mut analyze = Command::new("systemd-analyze");
        analyze
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={CEILING}"))
            .arg(unit);
        match capture(&mut analyze) {
            Ok(report) => {
                // The last line is the verdict.
                let verdict = report.lines().next_back().unwrap_or_default();
                say(format_args!("    {}", verdict.trim_start_matches("→ ")))?;
            }
            Err(_) => {
                let unit = unit.file_name().unwrap_or_default().to_string_lossy();
                faults.push(format!(
                    "{unit} is exposed more than {}.{}: 'systemd-analyze security --offline=true {FOLDER}/{unit}' lists by what",
                    CEILING / 10,
                    CEILING % 10
                ));
            }
        }
    }
    ensure!(faults.is_empty(), "\n  {}", faults.join("\n  "));
    Ok(())
}

/// The units as copies that start this program instead of the installed one: `verify` looks for it.
fn copies() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir().context("no place for temporary files")?;
    let own = std::env::current_exe().context("cannot find this program")?;
    let installed = format!("=/{PROGRAM} ");
    let source = tree::root().join(FOLDER);
    let listing = fs::read_dir(source).with_context(|| format!("cannot list {FOLDER}"))?;
    for entry in listing {
        let entry = entry.with_context(|| format!("cannot list {FOLDER}"))?;
        let name = entry.file_name();
        let text = tree::read(&format!("{FOLDER}/{}", name.to_string_lossy()))?;
        if is_service(&entry.path()) {
            ensure!(
                text.contains(&installed),
                "{FOLDER}/{} does not start /{PROGRAM}, where the packages put the program",
                name.to_string_lossy()
            );
        }
        let text = text.replace(&installed, &format!("={} ", own.display()));
        fs::write(folder.path().join(name), text).context("cannot copy a unit")?;
    }
    Ok(folder)
}

/// The complaints of `systemd-analyze verify` about these units. It succeeds whatever it finds, and speaks of other
/// units of this machine as well.
fn mistakes(units: &[PathBuf]) -> Result<Vec<String>> {
    let mut verify = Command::new("systemd-analyze");
    verify
        .args(["verify", "--man=no"])
        .args(units)
        .stdin(Stdio::null());
    let output = verify
        .output()
        .context("cannot start `systemd-analyze verify`")?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    let ours = complaints.lines().filter(|line| line.contains("teredo"));
    // The copies are gone when a person reads this.
    let folder = units.first().and_then(|unit| unit.parent());
    let copies = format!("{}/", folder.unwrap_or_else(|| Path::new("")).display());
    Ok(ours.map(|line| line.replace(&copies, "")).collect())
}

fn is_service(unit: &Path) -> bool {
    unit.extension()
        .is_some_and(|extension| extension == "service")
}
