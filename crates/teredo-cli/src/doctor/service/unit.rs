//! The units, as systemd has them.

use std::path::Path;

use crate::doctor::check::{Check, id};
use crate::doctor::seen::{Full, Seen, Unit, Units};
use crate::doctor::shell::quote;
use crate::text::plain;

pub(super) fn unit(seen: &Seen) -> Check {
    let id = id::SERVICE_UNIT;
    let units = match &seen.units {
        Units::NoManager => {
            return Check::ok(id, "systemd does not run here, so there are no units");
        }
        Units::Unknown(reason) => return Check::skip(id, plain(reason)),
        Units::Known(units) => units,
    };
    if let (Some(full), Some(unit)) = (seen.service.full, units.iter().find(|unit| fails(unit))) {
        return without_room(seen, unit, full);
    }
    if let Some(check) = units.iter().find_map(private) {
        return check;
    }
    if let Some(check) = units.iter().find_map(without_program) {
        return check;
    }
    if let Some(check) = units.iter().find_map(hindered) {
        return check;
    }
    if let Some(check) = units.iter().find_map(not_begun) {
        return check;
    }
    if let Some(unit) = units.iter().find(|unit| unit.active == "failed") {
        let name = short(unit);
        let (why, fix) = match unit.code.as_str() {
            "78" => (
                "its settings are faulty (exit status 78), so it is not tried again".to_owned(),
                format!("teredo config check\nsystemctl restart {name}"),
            ),
            code => (
                format!(
                    "its result is '{}', exit status {code}; its log says more",
                    plain(&unit.result)
                ),
                format!("journalctl -u {name} -n 20 --no-pager\nsystemctl restart {name}"),
            ),
        };
        return Check::fail(id, format!("the unit {name} has failed"))
            .why(why)
            .fix(fix);
    }
    // One start that fails may be bad luck, such as an address that comes late.
    let between_starts = |unit: &&Unit| unit.active == "activating" && fails(unit);
    if let Some(unit) = units.iter().find(between_starts) {
        let name = short(unit);
        return Check::fail(id, format!("the unit {name} is started again and again"))
            .why(format!(
                "{} starts have failed, the last with exit status {}; its log says why",
                plain(&unit.restarts),
                plain(&unit.code)
            ))
            .fix(format!("journalctl -u {name} -n 20 --no-pager"));
    }
    if let Some(unit) = units.iter().find(|unit| unit.file == "masked") {
        let name = short(unit);
        return Check::fail(
            id,
            format!("the unit {name} is masked, so nothing starts it"),
        )
        .fix(format!(
            "systemctl unmask {name}\nsystemctl enable --now {name}"
        ));
    }
    // A client that a socket or another unit starts is not enabled itself.
    let by_socket = units
        .iter()
        .any(|unit| unit.name.ends_with(".socket") && unit.file == "enabled");
    let not_enabled = units.iter().find(|unit| {
        unit.active == "active"
            && unit.file == "disabled"
            && !(by_socket && unit.name.starts_with("teredo-client."))
    });
    if let Some(unit) = not_enabled {
        let name = short(unit);
        return Check::warn(id, format!("the unit {name} runs, but is not enabled"))
            .why("it will not be there after the next start of this host")
            .fix(format!("systemctl enable {name}"));
    }
    let down = units
        .iter()
        .find(|unit| unit.file == "enabled" && unit.active == "inactive" && !by_socket);
    if let Some(unit) = down {
        let name = short(unit);
        return Check::fail(id, format!("the unit {name} is enabled, but does not run"))
            .why("someone has stopped it, or it has ended")
            .fix(format!("systemctl start {name}"));
    }
    let running: Vec<_> = units
        .iter()
        .filter(|unit| unit.active == "active")
        .map(short)
        .collect();
    if running.is_empty() {
        Check::ok(id, "no unit of teredo is enabled")
    } else {
        Check::ok(id, format!("{}: running and enabled", running.join(", ")))
    }
}

fn short(unit: &Unit) -> String {
    unit.name.trim_end_matches(".service").to_owned()
}

/// Whether its starts fail.
fn fails(unit: &Unit) -> bool {
    let again = unit.restarts.parse().is_ok_and(|count: u32| count > 1);
    unit.active == "failed" || (unit.active == "activating" && again)
}

/// Takes a drop-in out of the way, and starts the unit without it.
fn without(unit: &Unit, file: &str) -> String {
    format!(
        "mv {file} {file}.off\nsystemctl daemon-reload\nsystemctl restart {}",
        quote(&short(unit)),
        file = quote(file),
    )
}

/// The commands that show these properties, and the files that set them.
fn show(unit: &Unit, properties: &str) -> String {
    let name = quote(&short(unit));
    format!("systemctl cat {name}\nsystemctl show -p {properties},DropInPaths {name}")
}

/// A daemon in a network of its own has a tunnel that no program of the host sees.
fn private(unit: &Unit) -> Option<Check> {
    let runs = unit.active == "active" || fails(unit);
    (unit.private_network && runs).then_some(())?;
    let name = short(unit);
    let check = Check::fail(
        id::SERVICE_UNIT,
        format!("the unit {name} runs in a network namespace of its own (PrivateNetwork=yes)"),
    );
    Some(match unit.set_by(&["PrivateNetwork"]) {
        Some((file, _)) => check
            .why(format!(
                "the drop-in {} sets it: no program of this host sees the tunnel, and the agent opens nothing for it",
                plain(file)
            ))
            .fix(without(unit, file)),
        None => check
            .why("no program of this host sees the tunnel, and the agent opens nothing for it")
            .fix(show(unit, "PrivateNetwork")),
    })
}

/// Gives a unit the network of the host.
pub(super) fn open_network(unit: &Unit) -> String {
    match unit.set_by(&["PrivateNetwork"]) {
        Some((file, _)) => without(unit, file),
        None => show(unit, "PrivateNetwork"),
    }
}

/// Neither systemd nor the daemon can make the socket's folder.
fn without_room(seen: &Seen, unit: &Unit, full: Full) -> Check {
    let (what, commands) = room(&seen.service.socket, full);
    let name = short(unit);
    Check::fail(
        id::SERVICE_UNIT,
        format!("the unit {name} cannot start: {what}"),
    )
    .why("delete what fills it, or give the file system more")
    .fix(format!("{commands}\nsystemctl restart {}", quote(&name)))
}

/// The part of the socket's file system that is used up, and the commands that show the largest folders.
pub(super) fn room(socket: &Path, full: Full) -> (String, String) {
    let folder = socket.ancestors().nth(2).unwrap_or(socket);
    let shown = plain(&folder.display().to_string());
    let folder = quote(&folder.display().to_string());
    let (what, option) = match full {
        Full::Inodes => ("inodes", "--inodes "),
        Full::Space => ("space", ""),
    };
    (
        format!("the file system of {shown} has no {what} left"),
        format!("df {option}{folder}\ndu -x {option}{folder} | sort -n | tail -n 8"),
    )
}

/// EXIT_EXEC of systemd.exec(5).
fn without_program(unit: &Unit) -> Option<Check> {
    (fails(unit) && (unit.code == "203" || unit.lacks_program)).then_some(())?;
    let name = short(unit);
    let check = Check::fail(
        id::SERVICE_UNIT,
        format!(
            "the unit {name} cannot start its program, {} (exit status 203)",
            plain(&unit.program)
        ),
    );
    Some(match unit.set_by(&["ExecStart"]) {
        Some((file, line)) => check
            .why(format!(
                "it does not exist, or cannot be run; the drop-in {} names it: '{}'",
                plain(file),
                plain(line)
            ))
            .fix(without(unit, file)),
        None => check
            .why("it does not exist, or cannot be run: install the package again, or correct ExecStart")
            .fix(format!("ls -l {}\n{}", quote(&unit.program), show(unit, "ExecStart"))),
    })
}

/// A drop-in that takes away a right that each daemon with a tunnel or rules needs.
fn hindered(unit: &Unit) -> Option<Check> {
    fails(unit).then_some(())?;
    let of_server = unit.name.starts_with("teredo-server");
    let takes = |key: &'static str, needed: &str| {
        let (file, line) = unit.set_by(&[key])?;
        let lacks = !line.to_ascii_lowercase().contains(needed) || line.contains("=~");
        lacks.then_some((file, line))
    };
    let families = takes("RestrictAddressFamilies", "af_netlink");
    let capabilities = || takes("CapabilityBoundingSet", "cap_net_admin").filter(|_| !of_server);
    let (file, line) = families.or_else(capabilities)?;
    let name = short(unit);
    Some(
        Check::fail(
            id::SERVICE_UNIT,
            format!("the unit {name} fails: a drop-in takes a right away that it needs"),
        )
        .why(format!(
            "{} says '{}', and the daemon needs netlink and CAP_NET_ADMIN for its interface and the rules",
            plain(file),
            plain(line)
        ))
        .fix(without(unit, file)),
    )
}

/// A start that systemd left out, or refused.
fn not_begun(unit: &Unit) -> Option<Check> {
    let is_down = unit.active == "inactive" && unit.file == "enabled";
    is_down.then_some(())?;
    let name = short(unit);
    if let Some(missing) = unit.missing.first() {
        let check = Check::fail(
            id::SERVICE_UNIT,
            format!(
                "the unit {name} cannot start: it needs {}, which does not exist",
                plain(missing)
            ),
        );
        return Some(match unit.set_by(&["Requires", "BindsTo"]) {
            Some((file, line)) => check
                .why(format!(
                    "the drop-in {} says '{}'",
                    plain(file),
                    plain(line)
                ))
                .fix(without(unit, file)),
            None => check
                .why("the file of the unit names it")
                .fix(show(unit, "Requires,BindsTo")),
        });
    }
    (unit.condition == "no").then_some(())?;
    let check = Check::fail(
        id::SERVICE_UNIT,
        format!("systemd does not start the unit {name}: a condition does not hold"),
    );
    Some(match unit.set_by(&["Condition"]) {
        Some((file, line)) => check
            .why(format!(
                "the drop-in {} says '{}'",
                plain(file),
                plain(line)
            ))
            .fix(without(unit, file)),
        None => check
            .why("'systemctl start' reports success all the same")
            .fix(show(unit, "ConditionResult")),
    })
}
