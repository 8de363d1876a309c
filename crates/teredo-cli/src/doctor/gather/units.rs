//! The units of this program, as systemd has them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::command::ask;
use crate::doctor::seen::{Unit, Units, short};

const UNITS: [&str; 8] = [
    "teredo-client.service",
    "teredo-client.socket",
    "teredo-server.service",
    "teredo-relay.service",
    "teredo-firewall.service",
    "teredo-hooks.service",
    "teredo-publish.service",
    "teredo-perimeter.service",
];

/// The properties that are asked for.
const PROPERTIES: &str = "Id,LoadState,LoadError,ActiveState,UnitFileState,Result,ExecMainStatus,NRestarts,ConditionResult,\
                          ConditionTimestampMonotonic,PrivateNetwork,RestrictAddressFamilies,CapabilityBoundingSet,ExecStart,\
                          DropInPaths,Requires,BindsTo,User,Group,SupplementaryGroups,AmbientCapabilities";

/// The units, and that of the client's instance if its name is given.
pub(super) fn all(instance: Option<&str>) -> Units {
    // As sd_booted(3) has it.
    if fs::metadata("/run/systemd/system").is_err() {
        return Units::NoManager;
    }
    let instance = instance.map(|name| format!("teredo-client@{name}.service"));
    let names = UNITS.into_iter().chain(instance.as_deref());
    let names: Vec<_> = names
        .chain(["teredo-client@*.service", "teredo-announce@*.service"])
        .collect();
    match show(PROPERTIES, &names) {
        Ok(text) => {
            let mut units = parse(&text);
            finish(&mut units);
            Units::Known(units)
        }
        Err(reason) => Units::Unknown(reason),
    }
}

fn show(properties: &str, units: &[&str]) -> Result<String, String> {
    let arguments = ["show", "--no-pager", "--property", properties, "--"];
    ask("systemctl", &[&arguments[..], units].concat())
}

/// Reads the drop-ins, and keeps only those needed units that do not exist.
fn finish(units: &mut [Unit]) {
    let mut needed = BTreeSet::new();
    for unit in &mut *units {
        unit.lacks_program = !unit.program.is_empty() && !Path::new(&unit.program).exists();
        for (path, text) in &mut unit.drop_ins {
            *text = fs::read_to_string(path).unwrap_or_default();
        }
        if unit.active == "active" {
            unit.missing.clear();
        }
        if matches!(unit.loaded.as_str(), "bad-setting" | "error") {
            unit.complaint = complaint(&unit.name);
        }
        needed.extend(unit.missing.iter().cloned());
    }
    let names: Vec<_> = needed.iter().map(String::as_str).collect();
    let answer = match names.as_slice() {
        [] => String::new(),
        names => show("Id,LoadState", names).unwrap_or_default(),
    };
    let absent = |block: &str| {
        let name = block.lines().find_map(|line| line.strip_prefix("Id="));
        let is_absent = block.lines().any(|line| line == "LoadState=not-found");
        name.filter(|_| is_absent).map(str::to_owned)
    };
    let absent: BTreeSet<_> = answer.split("\n\n").filter_map(absent).collect();
    for unit in units {
        unit.missing.retain(|name| absent.contains(name));
    }
}

/// The first line about the unit's files. The program ends in failure then, and speaks on its standard error.
fn complaint(unit: &str) -> Option<String> {
    const VERIFY: &str = r#"systemd-analyze verify --man=no -- "$1" 2>&1 || true"#;
    let text = ask("sh", &["-c", VERIFY, "sh", unit]).ok()?;
    let name = short(unit);
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| line.contains(name) && !line.ends_with("bad unit file setting."));
    line.map(str::to_owned)
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
                "User" => &mut unit.user,
                "Group" => &mut unit.group,
                "SupplementaryGroups" => &mut unit.groups,
                // Without a reason, it is empty.
                "LoadError" => {
                    let text = value.split_once(' ').map_or(value, |(_, text)| text);
                    unit.load_error = text.trim_matches('"').to_owned();
                    continue;
                }
                "ConditionTimestampMonotonic" => {
                    unit.was_tried = value != "0" && !value.is_empty();
                    continue;
                }
                "RestrictAddressFamilies" => {
                    unit.families = Some(value.to_ascii_lowercase());
                    continue;
                }
                "CapabilityBoundingSet" => {
                    unit.capabilities = Some(value.to_ascii_lowercase());
                    continue;
                }
                "AmbientCapabilities" => {
                    unit.ambient = value.to_ascii_lowercase();
                    continue;
                }
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
        let is_there = !unit.name.is_empty() && unit.loaded != "not-found";
        if is_there && !again {
            units.push(unit);
        }
    }
    units
}
