//! The units of this program, as systemd has them.

use std::fs;
use std::process::{Command, Stdio};

use crate::doctor::seen::{Unit, Units};

const UNITS: [&str; 5] = [
    "teredo-client.service",
    "teredo-client.socket",
    "teredo-server.service",
    "teredo-relay.service",
    "teredo-firewall.service",
];

pub(super) fn all() -> Units {
    // As sd_booted(3) has it.
    if fs::metadata("/run/systemd/system").is_err() {
        return Units::NoManager;
    }
    let mut command = Command::new("systemctl");
    command
        .args(["show", "--no-pager", "--property"])
        .arg("Id,LoadState,ActiveState,UnitFileState,Result,ExecMainStatus,NRestarts")
        .args(UNITS)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => {
            Units::Known(parse(&String::from_utf8_lossy(&output.stdout)))
        }
        Ok(_) => Units::Unknown("systemctl does not answer".to_owned()),
        Err(error) => Units::Unknown(format!("cannot run systemctl: {error}")),
    }
}

/// Units are divided by an empty line.
pub(crate) fn parse(text: &str) -> Vec<Unit> {
    let mut units = Vec::new();
    for block in text.split("\n\n") {
        let mut unit = Unit::default();
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            let field = match key {
                "Id" => &mut unit.name,
                "LoadState" => &mut unit.loaded,
                "ActiveState" => &mut unit.active,
                "UnitFileState" => &mut unit.file,
                "Result" => &mut unit.result,
                "ExecMainStatus" => &mut unit.code,
                "NRestarts" => &mut unit.restarts,
                _ => continue,
            };
            value.clone_into(field);
        }
        if unit.loaded == "loaded" {
            units.push(unit);
        }
    }
    units
}
