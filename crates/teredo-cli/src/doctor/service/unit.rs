//! The units, as systemd has them.

use crate::doctor::check::{Check, id};
use crate::doctor::seen::{Seen, Unit, Units};
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
    let short = |unit: &Unit| unit.name.trim_end_matches(".service").to_owned();
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
    let fails = |unit: &&Unit| unit.restarts.parse().is_ok_and(|count: u32| count > 1);
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
