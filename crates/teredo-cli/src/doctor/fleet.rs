//! Judges what a fleet asks of this host: the publisher of its port, and the firewall at the perimeter.

use serde_json::Value;
use teredo_fleet::GATE;
use teredo_notify::types::FirewallStatus;

use super::check::{Check, id};
use super::seen::Seen;

pub(super) fn judge(seen: &Seen) -> Vec<Check> {
    let gates = seen
        .status()
        .map_or(&[][..], |status| status.firewall.as_slice());
    let publisher = gates.iter().find(|gate| is_publisher(gate));
    vec![
        publisher.map_or_else(
            || Check::ok(id::FLEET_PUBLISHER, "this host belongs to no fleet"),
            of_publisher,
        ),
        seen.perimeter.as_ref().map_or_else(
            || Check::ok(id::FLEET_PERIMETER, "this host is no perimeter"),
            of_perimeter,
        ),
    ]
}

/// Whether a gate is the publisher of a fleet: it opens no port of this host.
pub(super) fn is_publisher(gate: &FirewallStatus) -> bool {
    gate.backend.as_deref() == Some(GATE)
}

fn of_publisher(gate: &FirewallStatus) -> Check {
    let id = id::FLEET_PUBLISHER;
    match &gate.trouble {
        Some(trouble) if trouble.contains("did not confirm") => {
            Check::warn(id, "a firewall at the perimeter has not confirmed the port")
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
        (true, true) => Check::ok(id, format!("the set '{set}' holds {} endpoints", report["endpoints"])),
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
