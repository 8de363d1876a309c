//! The units, as systemd has them.

use std::path::Path;

use crate::doctor::check::{Check, id};
use crate::doctor::closed;
use crate::doctor::seen::{Full, Seen, Unit, Units};
use crate::doctor::shell::quote;

pub(super) fn unit(seen: &Seen) -> Check {
    let id = id::SERVICE_UNIT;
    let units = match &seen.units {
        Units::NoManager => {
            return Check::ok(id, "systemd does not run here, so there are no units");
        }
        Units::Unknown(reason) => return Check::skip(id, reason),
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
    if let Some(check) = units.iter().find_map(|unit| unusable(seen, unit)) {
        return check;
    }
    if let Some(check) = units.iter().find_map(not_begun) {
        return check;
    }
    let mut failing = units.iter().filter(|unit| fails(unit));
    if let Some(check) = failing.find_map(|unit| shut_out(seen, unit)) {
        return check;
    }
    let states = [failed, restarted, not_enabled, down];
    if let Some(check) = states.into_iter().find_map(|state| state(units)) {
        return check;
    }
    let running: Vec<_> = units
        .iter()
        .filter(|unit| unit.active == "active")
        .map(Unit::short)
        .collect();
    if running.is_empty() {
        Check::ok(id, "no unit of teredo is enabled")
    } else {
        Check::ok(id, format!("{}: running and enabled", running.join(", ")))
    }
}

/// A unit whose user cannot open a file that it needs.
fn shut_out(seen: &Seen, unit: &Unit) -> Option<Check> {
    let name = unit.short();
    let (reason, fix) = closed::of_unit(seen, name)?;
    let check = Check::fail(id::SERVICE_UNIT, format!("the unit {name} does not start"));
    Some(check.why(reason).fix(fix))
}

/// A unit that systemd does not try again.
fn failed(units: &[Unit]) -> Option<Check> {
    let unit = units.iter().find(|unit| unit.active == "failed")?;
    let name = unit.short();
    let typed = quote(name);
    let (why, fix) = match unit.code.as_str() {
        "78" => (
            "its settings are faulty (exit status 78), so it is not tried again".to_owned(),
            format!("teredo config check\nsystemctl restart {typed}"),
        ),
        "243" => (
            "systemd could not read its key, the file of LoadCredential in the unit (exit status 243)".to_owned(),
            format!("systemctl cat {typed}\nsystemctl restart {typed}"),
        ),
        code => (
            format!(
                "its result is '{}', exit status {code}; its log says more",
                unit.result
            ),
            format!("journalctl -u {typed} -n 20 --no-pager\nsystemctl restart {typed}"),
        ),
    };
    let check = Check::fail(id::SERVICE_UNIT, format!("the unit {name} has failed"));
    Some(check.why(why).fix(fix))
}

/// A unit between two of its starts that fail. One such start may be bad luck, such as an address that comes late.
fn restarted(units: &[Unit]) -> Option<Check> {
    let between_starts = |unit: &&Unit| unit.active == "activating" && fails(unit);
    let unit = units.iter().find(between_starts)?;
    let name = unit.short();
    let check = Check::fail(
        id::SERVICE_UNIT,
        format!("the unit {name} is started again and again"),
    )
    .why(format!(
        "{} starts have failed, the last with exit status {}; its log says why",
        unit.restarts, unit.code
    ));
    Some(check.fix(format!("journalctl -u {} -n 20 --no-pager", quote(name))))
}

/// Whether a socket starts the unit, so that it is not enabled itself.
fn starts_by_socket(units: &[Unit], unit: &Unit) -> bool {
    let socket = unit.name.replace(".service", ".socket");
    units.iter().any(|other| {
        other.name == socket
            && other.name != unit.name
            && (other.file == "enabled" || other.active == "active")
    })
}

/// A unit that runs, and will not after the next start of this host.
fn not_enabled(units: &[Unit]) -> Option<Check> {
    let unit = units.iter().find(|unit| {
        unit.active == "active"
            && (unit.is_masked() || unit.file == "disabled" && !starts_by_socket(units, unit))
    })?;
    let name = unit.short();
    let typed = quote(name);
    let check = if unit.is_masked() {
        Check::warn(
            id::SERVICE_UNIT,
            format!("the unit {name} runs, but is masked"),
        )
        .fix(format!(
            "systemctl unmask {typed}\nsystemctl enable {typed}"
        ))
    } else {
        Check::warn(
            id::SERVICE_UNIT,
            format!("the unit {name} runs, but is not enabled"),
        )
        .fix(format!("systemctl enable {typed}"))
    };
    Some(check.why("it will not be there after the next start of this host"))
}

/// A unit that is to run, and does not.
fn down(units: &[Unit]) -> Option<Check> {
    let unit = units.iter().find(|unit| {
        unit.file == "enabled" && unit.active == "inactive" && !starts_by_socket(units, unit)
    })?;
    let name = unit.short();
    let check = Check::fail(
        id::SERVICE_UNIT,
        format!("the unit {name} is enabled, but does not run"),
    )
    .why(if unit.was_tried {
        "it was stopped, or it has ended"
    } else {
        "it was not started since this host was, such as after 'enable' without '--now'"
    });
    Some(check.fix(format!("systemctl start {}", quote(name))))
}

/// Whether its starts fail.
fn fails(unit: &Unit) -> bool {
    let again = unit.restarts.parse().is_ok_and(|count: u32| count > 1);
    unit.active == "failed" || (unit.active == "activating" && again)
}

/// A setting of a unit that is to blame for its state.
struct Blame<'a> {
    /// The fault of the unit.
    what: String,
    /// The reason behind it.
    why: String,
    /// The drop-in that sets it, and its line; none: the unit's own file, or nothing, does.
    set_by: Option<(&'a str, &'a str)>,
    /// The properties that show it.
    properties: &'a str,
}

impl Blame<'_> {
    fn check(&self, unit: &Unit) -> Check {
        let check = Check::fail(id::SERVICE_UNIT, &self.what);
        match self.set_by {
            Some((file, line)) => {
                check.why(format!("the drop-in {file} says '{line}'; {}", self.why))
            }
            None => check.why(&self.why),
        }
        .fix(self.mend(unit))
    }

    /// Takes the drop-in out of the way, and starts the unit without it. What a package or a generator made is only shown.
    fn mend(&self, unit: &Unit) -> String {
        match self.set_by {
            Some((file, _)) if is_of_administrator(file) => without_drop_in(file, unit),
            _ => format!(
                "systemctl cat {name}\nsystemctl show -p {},DropInPaths {name}",
                self.properties,
                name = quote(unit.short())
            ),
        }
    }
}

fn is_of_administrator(drop_in: &str) -> bool {
    drop_in.starts_with("/etc/systemd/")
}

/// Takes a drop-in out of the way, and starts the unit without it.
fn without_drop_in(file: &str, unit: &Unit) -> String {
    format!(
        "mv {file} {file}.off\nsystemctl daemon-reload\nsystemctl restart {name}",
        file = quote(file),
        name = quote(unit.short())
    )
}

/// A daemon in a network of its own has a tunnel that no program of the host sees.
fn private(unit: &Unit) -> Option<Check> {
    let runs = unit.active == "active" || fails(unit);
    (unit.private_network && runs).then(|| in_private_network(unit).check(unit))
}

fn in_private_network(unit: &Unit) -> Blame<'_> {
    let is_on = |value: &str| matches!(value, "1" | "yes" | "y" | "true" | "t" | "on");
    Blame {
        what: format!(
            "the unit {} runs in a network namespace of its own (PrivateNetwork=yes)",
            unit.short()
        ),
        why: "no program of this host sees the tunnel, and the agent opens nothing for it"
            .to_owned(),
        set_by: unit
            .set_by(|key, value| key == "PrivateNetwork" && is_on(&value.to_ascii_lowercase())),
        properties: "PrivateNetwork",
    }
}

/// Gives a unit the network of the host.
pub(super) fn open_network(unit: &Unit) -> String {
    in_private_network(unit).mend(unit)
}

/// Neither systemd nor the daemon can make the socket's folder.
fn without_room(seen: &Seen, unit: &Unit, full: Full) -> Check {
    let (what, commands) = room(&seen.service.socket, full);
    let name = unit.short();
    Check::fail(
        id::SERVICE_UNIT,
        format!("the unit {name} cannot start: {what}"),
    )
    .why("delete what fills it, or give the file system more")
    .fix(format!("{commands}\nsystemctl restart {}", quote(name)))
}

/// The part of the socket's file system that is used up, and the commands that show the largest folders.
pub(super) fn room(socket: &Path, full: Full) -> (String, String) {
    let folder = socket.ancestors().nth(2).unwrap_or(socket);
    let shown = folder.display();
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
    let blame = Blame {
        what: format!(
            "the unit {} cannot start its program, {} (exit status 203)",
            unit.short(),
            unit.program
        ),
        why: "the program does not exist, or cannot be run: install the package again, or correct ExecStart".to_owned(),
        set_by: unit.set_by(|key, value| key == "ExecStart" && !value.is_empty()),
        properties: "ExecStart",
    };
    Some(blame.check(unit))
}

/// A setting that takes away a right that the daemon needs. Lines of several files add up, so that only the sum tells.
fn hindered(unit: &Unit) -> Option<Check> {
    fails(unit).then_some(())?;
    const FAMILIES: &[&str] = &["af_inet", "af_netlink", "af_unix"];
    let (families, capabilities): (&[&str], &[&str]) = match unit.short() {
        "teredo-server" => (FAMILIES, &["cap_net_raw"]),
        "teredo-firewall" => (&["af_netlink", "af_unix"], &["cap_net_admin"]),
        "teredo-hooks" => (&["af_unix"], &[]),
        _ => (FAMILIES, &["cap_net_admin"]),
    };
    let lacking = |allowed: &Option<String>, needed: &[&'static str]| {
        let allowed = allowed.as_deref()?;
        let mut needed = needed.iter().copied();
        needed.find(|right| !allows(allowed, right))
    };
    let family = lacking(&unit.families, families).map(|right| ("RestrictAddressFamilies", right));
    let capability = || lacking(&unit.capabilities, capabilities);
    let capability = || capability().map(|right| ("CapabilityBoundingSet", right));
    let (key, right) = family.or_else(capability)?;
    let blame = Blame {
        what: format!(
            "the unit {} fails: a setting takes a right away that it needs",
            unit.short()
        ),
        why: format!(
            "the unit may not have {}, and the daemon needs it for its sockets, its interface or the rules",
            right.to_ascii_uppercase()
        ),
        set_by: taker(unit, key, right),
        properties: key,
    };
    Some(blame.check(unit))
}

/// Whether a list in force has the word. `~` stands before a list of what is left out.
fn allows(list: &str, word: &str) -> bool {
    let (rest, has) = match list.strip_prefix('~') {
        Some(rest) => (rest, false),
        None => (list, true),
    };
    rest.split_whitespace().any(|one| one == word) == has
}

/// The drop-in that takes the right: by its name, else by beginning the list anew, else by having a list at all.
fn taker<'a>(unit: &'a Unit, key: &str, right: &str) -> Option<(&'a str, &'a str)> {
    let names = |value: &str| {
        let value = value.to_ascii_lowercase();
        value == "none" || value.starts_with('~') && !allows(&value, right)
    };
    unit.set_by(|own, value| own == key && names(value))
        .or_else(|| unit.set_by(|own, value| own == key && value.is_empty()))
        .or_else(|| unit.set_by(|own, _| own == key))
}

/// A unit that cannot be started at all: masked, or with a mistake in its files. One that nobody needs may be so on purpose.
fn unusable(seen: &Seen, unit: &Unit) -> Option<Check> {
    let id = id::SERVICE_UNIT;
    let name = unit.short();
    let typed = quote(name);
    if matches!(unit.loaded.as_str(), "bad-setting" | "error")
        && (unit.file == "enabled" || is_missed(seen, unit))
    {
        if let Some(check) = unit
            .complaint
            .as_deref()
            .and_then(|line| complained(unit, line))
        {
            return Some(check);
        }
        let reason = &unit.load_error;
        return Some(
            Check::fail(id, format!("systemd cannot use the files of the unit {name}: {reason}"))
                .why("it is not started until that is corrected; a drop-in of the administrator may be the cause")
                .fix(format!(
                    "systemd-analyze verify {}\nsystemctl cat {typed}",
                    quote(&unit.name)
                )),
        );
    }
    (unit.is_masked() && unit.active != "active" && is_missed(seen, unit)).then(|| {
        Check::fail(
            id,
            format!("the unit {name} is masked, so nothing starts it"),
        )
        .why("it was masked, and no other process does its work")
        .fix(format!(
            "systemctl unmask {typed}\nsystemctl enable --now {typed}"
        ))
    })
}

/// The drop-in that systemd complains of: the one that it names, or the only one that sets the key, or the only one.
fn complained(unit: &Unit, line: &str) -> Option<Check> {
    let key = line
        .split_whitespace()
        .find_map(|word| word.strip_suffix('='));
    let named = unit
        .drop_ins
        .iter()
        .find(|(path, _)| line.contains(path.as_str()));
    let by_key = || {
        let key = key?;
        let sets = |text: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            lines.any(|(own, _)| own.trim() == key)
        };
        unit.drop_ins.iter().rev().find(|(_, text)| sets(text))
    };
    let only = || match unit.drop_ins.as_slice() {
        [one] => Some(one),
        _ => None,
    };
    let (file, _) = named.or_else(by_key).or_else(only)?;
    is_of_administrator(file).then_some(())?;
    let name = unit.short();
    Some(
        Check::fail(
            id::SERVICE_UNIT,
            format!("systemd cannot use the files of the unit {name}: {line}"),
        )
        .why(format!(
            "the drop-in {file} is to blame; the unit is not started until it is corrected"
        ))
        .fix(without_drop_in(file, unit)),
    )
}

/// Whether the work of the unit is to be done here, and no process does it.
fn is_missed(seen: &Seen, unit: &Unit) -> bool {
    let (roles, has) = (seen.roles(), seen.settings.has);
    let runs = |command| seen.running(command).next().is_some();
    let name = unit.short();
    match name {
        "teredo-server" => has.server && !runs("server"),
        "teredo-relay" => has.relay && !runs("relay"),
        "teredo-firewall" => has.firewall && !runs("firewall"),
        // The checks of the fleet tell.
        "teredo-publish" | "teredo-perimeter" => false,
        _ => roles.client && seen.status().is_none() && name == seen.unit_of("client"),
    }
}

/// A start that systemd left out, or refused.
fn not_begun(unit: &Unit) -> Option<Check> {
    let is_down = unit.active == "inactive" && unit.file == "enabled";
    is_down.then_some(())?;
    let name = unit.short();
    if let Some(missing) = unit.missing.first() {
        let needs = |key: &str, value: &str| {
            matches!(key, "Requires" | "BindsTo")
                && value.split_whitespace().any(|word| word == missing)
        };
        let blame = Blame {
            what: format!("the unit {name} cannot start: it needs {missing}, which does not exist"),
            why: "systemd starts no unit without those that it needs".to_owned(),
            set_by: unit.set_by(needs),
            properties: "Requires,BindsTo",
        };
        return Some(blame.check(unit));
    }
    // It also says 'no' of a unit that nobody tried to start.
    (unit.condition == "no" && unit.was_tried).then_some(())?;
    let blame = Blame {
        what: format!("systemd does not start the unit {name}: a condition does not hold"),
        why: "'systemctl start' reports success all the same".to_owned(),
        set_by: unit.set_by(|key, value| key.starts_with("Condition") && !value.is_empty()),
        properties: "ConditionResult",
    };
    Some(blame.check(unit))
}
