//! The units of this program, as systemd has them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::doctor::seen::{Unit, Units};

const UNITS: [&str; 5] = [
    "teredo-client.service",
    "teredo-client.socket",
    "teredo-server.service",
    "teredo-relay.service",
    "teredo-firewall.service",
];

/// The properties that are asked for.
const PROPERTIES: &str = "Id,LoadState,ActiveState,UnitFileState,Result,ExecMainStatus,NRestarts,ConditionResult,\
                          PrivateNetwork,ExecStart,DropInPaths,Requires,BindsTo";

/// The units, and that of the client's instance if its name is given.
pub(super) fn all(instance: Option<&str>) -> Units {
    // As sd_booted(3) has it.
    if fs::metadata("/run/systemd/system").is_err() {
        return Units::NoManager;
    }
    let instance = instance.map(|name| format!("teredo-client@{name}.service"));
    let names = UNITS.into_iter().chain(instance.as_deref());
    let names: Vec<_> = names.chain(["teredo-client@*.service"]).collect();
    match show(PROPERTIES, &names) {
        Ok(text) => {
            let mut units = parse(&text);
            for unit in &mut units {
                finish(unit);
            }
            Units::Known(units)
        }
        Err(reason) => Units::Unknown(reason),
    }
}

fn show(properties: &str, units: &[&str]) -> Result<String, String> {
    let mut command = Command::new("systemctl");
    command
        .args(["show", "--no-pager", "--property", properties, "--"])
        .args(units)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(_) => Err("systemctl does not answer".to_owned()),
        Err(error) => Err(format!("cannot run systemctl: {error}")),
    }
}

/// Reads the drop-ins, and keeps only those needed units that do not exist.
fn finish(unit: &mut Unit) {
    unit.lacks_program = !unit.program.is_empty() && !Path::new(&unit.program).exists();
    for (path, text) in &mut unit.drop_ins {
        *text = fs::read_to_string(path).unwrap_or_default();
    }
    if unit.active == "active" || unit.missing.is_empty() {
        unit.missing.clear();
        return;
    }
    let needed: Vec<_> = unit.missing.iter().map(String::as_str).collect();
    let answer = show("Id,LoadState", &needed).unwrap_or_default();
    let absent = |block: &str| {
        let name = block.lines().find_map(|line| line.strip_prefix("Id="));
        let is_absent = block.lines().any(|line| line == "LoadState=not-found");
        name.filter(|_| is_absent).map(str::to_owned)
    };
    unit.missing = answer.split("\n\n").filter_map(absent).collect();
}

/// Units are divided by an empty line. Of their drop-ins, the paths are known.
pub(crate) fn parse(text: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for block in text.split("\n\n") {
        let mut unit = Unit::default();
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            let words = || value.split_whitespace().map(str::to_owned);
            let field = match key {
                "Id" => &mut unit.name,
                "LoadState" => &mut unit.loaded,
                "ActiveState" => &mut unit.active,
                "UnitFileState" => &mut unit.file,
                "Result" => &mut unit.result,
                "ExecMainStatus" => &mut unit.code,
                "NRestarts" => &mut unit.restarts,
                "ConditionResult" => &mut unit.condition,
                "PrivateNetwork" => {
                    unit.private_network = value == "yes";
                    continue;
                }
                "ExecStart" => {
                    let path = value.split_once("path=").map_or("", |(_, path)| path);
                    unit.program = path.split(" ;").next().unwrap_or_default().to_owned();
                    continue;
                }
                "DropInPaths" => {
                    unit.drop_ins = words().map(|path| (path, String::new())).collect();
                    continue;
                }
                "Requires" | "BindsTo" => {
                    // Others are the manager's own, such as slices.
                    let plain =
                        |word: &String| word.ends_with(".service") && !word.contains(['\\', '"']);
                    unit.missing.extend(words().filter(plain));
                    continue;
                }
                _ => continue,
            };
            value.clone_into(field);
        }
        let again = units.iter().any(|known| known.name == unit.name);
        if unit.loaded == "loaded" && !again {
            units.push(unit);
        }
    }
    units
}
