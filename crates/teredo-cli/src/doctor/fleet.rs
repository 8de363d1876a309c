//! Judges what a fleet asks of this host: the publisher of its port, and the firewall at the perimeter.

use serde_json::Value;
use teredo_notify::types::FirewallStatus;

use super::check::{Check, id};
use super::seen::Seen;
use crate::fleet::report::PERIMETER_SOCKET;

const PUBLISH: &str = "teredo-publish";
const PERIMETER: &str = "teredo-perimeter";

pub(super) fn judge(seen: &Seen) -> Vec<Check> {
    let gates = seen
        .status()
        .map_or(&[][..], |status| status.firewall.as_slice());
    let publisher = gates.iter().find(|gate| gate.is_of_fleet());
    vec![
        publisher.map_or_else(|| without_publisher(seen), of_publisher),
        seen.perimeter
            .as_ref()
            .map_or_else(|| without_perimeter(seen), of_perimeter),
    ]
}

/// Whether this host is a perimeter, or is to be one.
pub(super) fn is_perimeter(seen: &Seen) -> bool {
    seen.perimeter.is_some() || runs_perimeter(seen) || is_wanted(seen, PERIMETER)
}

fn runs_perimeter(seen: &Seen) -> bool {
    seen.running("perimeter").next().is_some()
}

fn is_wanted(seen: &Seen, unit: &str) -> bool {
    seen.unit(unit).is_some_and(|unit| {
        unit.file == "enabled" || matches!(&*unit.active, "active" | "activating" | "failed")
    })
}

/// No publisher has reported to the service.
fn without_publisher(seen: &Seen) -> Check {
    let id = id::FLEET_PUBLISHER;
    let runs = seen.running("publish").next().is_some();
    let problems = seen.status().map_or(&[][..], |status| &status.problems);
    let ended = problems
        .iter()
        .find(|problem| problem.contains("perimeters learn of no new port"));
    if !runs && ended.is_none() && !is_wanted(seen, PUBLISH) {
        return Check::ok(id, "this host belongs to no fleet");
    }
    let check = Check::fail(id, "the perimeters do not learn of this host's port");
    if !runs && !seen.has_unit(PUBLISH) {
        return check
            .why(ended.map_or("no publisher runs", String::as_str))
            .advise("start 'teredo publish' again, as it was started before");
    }
    if !runs {
        return check.why(format!("{PUBLISH} does not run")).fix(format!(
            "journalctl -u {PUBLISH} -n 20 --no-pager\nsystemctl restart {PUBLISH}"
        ));
    }
    let why = if seen.status().is_some() {
        "the publisher runs, and does not report to the service that was asked: it follows another --socket, or may not \
         confirm ports, for which it has to be in the service's group"
    } else {
        "the publisher runs, and there is no service whose port it could publish"
    };
    check
        .why(why)
        .advise(format!("'journalctl -u {PUBLISH}' tells more"))
}

fn without_perimeter(seen: &Seen) -> Check {
    let id = id::FLEET_PERIMETER;
    if !is_perimeter(seen) {
        return Check::ok(id, "this host is no perimeter");
    }
    let check = Check::fail(id, "the firewall of the fleet does not answer");
    if runs_perimeter(seen) {
        return check
            .why(format!(
                "it runs, and not with the socket {PERIMETER_SOCKET}, where 'teredo status' asks it"
            ))
            .advise("'teredo --socket PATH status' asks another one");
    }
    check
        .why(format!("{PERIMETER} is enabled, and does not run"))
        .fix(format!(
            "journalctl -u {PERIMETER} -n 20 --no-pager\nsystemctl restart {PERIMETER}"
        ))
}

fn of_publisher(gate: &FirewallStatus) -> Check {
    let id = id::FLEET_PUBLISHER;
    match &gate.trouble {
        Some(trouble) if trouble.contains("did not confirm") || trouble.contains("does so no longer") => {
            Check::warn(id, "a firewall at the perimeter does not confirm the port")
                .why(trouble)
                .advise("look at that perimeter: 'teredo doctor' there, and whether its name is right in --perimeter")
        }
        Some(trouble) => Check::fail(id, "the perimeters do not learn of this host's port")
            .why(trouble)
            .advise("'journalctl -u teredo-publish' tells more; the servers, the key and the authority are in its options"),
        None if !gate.in_sync => Check::warn(id, "the publisher of the port is behind"),
        None => Check::ok(id, "the perimeters know the port"),
    }
}

fn of_perimeter(report: &Value) -> Check {
    let id = id::FLEET_PERIMETER;
    let why = report["trouble"].as_str().unwrap_or_default();
    let set = report["set"].as_str().unwrap_or_default();
    match (report["following"] == true, report["in_step"] == true) {
        (true, true) if report["refused"]["not_granted"].as_u64() > Some(0) => {
            Check::warn(id, format!("a host asks for an address that no --network permits ({} times)", report["refused"]["not_granted"]))
                .why(format!("the set '{set}' does not hold that endpoint; the log of the perimeter names the host"))
                .advise("if the host is right: --network HOST=ADDRESS/32 at the perimeter; 'teredo explain not_granted' tells more")
        }
        (true, true) if !why.is_empty() => {
            Check::warn(id, format!("the set '{set}' is in step, and the perimeter has a trouble"))
                .why(why)
                .advise("'journalctl -u teredo-perimeter' tells more")
        }
        (true, true) => {
            let endpoints = &report["endpoints"];
            let plural = if *endpoints == 1 { "" } else { "s" };
            Check::ok(id, format!("the set '{set}' holds {endpoints} endpoint{plural}"))
        }
        (false, _) => Check::fail(id, "the bucket is not followed: what is open closes with its lease")
            .why(why)
            .advise("'journalctl -u teredo-perimeter' tells more; the servers, the key and the authority are in its options"),
        (true, false) => {
            Check::fail(id, format!("the set '{set}' does not hold the endpoints of the fleet"))
                .why(why)
                .advise(format!("declare it as '{}' and look in it", teredo_firewall::ENDPOINT_SET))
        }
    }
}

#[cfg(test)]
mod tests;
