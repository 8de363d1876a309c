//! The agent, as the service and the processes show it, and the troubles that it reports.

use teredo_notify::types::FirewallStatus;

use crate::doctor::check::{Check, Id, id};
use crate::doctor::seen::Seen;

/// The troubles that agents report, by the check that they belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Set,
    Table,
    /// Datagrams arrived and did not pass.
    Lost,
    /// A chain may drop them, and none came yet.
    Suspected,
    Hangs,
    Other,
}

pub(super) fn kind(trouble: &str) -> Trouble {
    if trouble.contains("no datagram for the port has passed it yet") {
        Trouble::Suspected
    } else if trouble.contains("arrived and none passed") {
        Trouble::Lost
    } else if trouble.contains("table 'inet teredo' exists") {
        Trouble::Table
    } else if trouble.contains("the set '") {
        Trouble::Set
    } else if trouble.contains("it hangs") {
        Trouble::Hangs
    } else {
        Trouble::Other
    }
}

/// The gates that open the port on this host.
pub(super) fn gates(seen: &Seen) -> Vec<&FirewallStatus> {
    let all = seen
        .status()
        .map_or(&[][..], |status| status.firewall.as_slice());
    all.iter().filter(|gate| !gate.is_of_fleet()).collect()
}

/// The first trouble of a kind.
pub(super) fn trouble(seen: &Seen, wanted: Trouble) -> Option<&str> {
    let mut troubles = gates(seen)
        .into_iter()
        .filter_map(|gate| gate.trouble.as_deref());
    troubles.find(|trouble| kind(trouble) == wanted)
}

pub(super) fn agent(seen: &Seen) -> Check {
    let id = id::FIREWALL_AGENT;
    let start = seen.start("firewall", "firewall &");
    let stopped = seen.running("firewall").find(|process| process.stopped);
    let stopped_gate = gates(seen).iter().find_map(|gate| {
        let pid = gate.pid?;
        seen.processes
            .iter()
            .find(|process| process.pid == pid && process.stopped)
    });
    if let Some(process) = stopped.or(stopped_gate) {
        return Check::fail(id, format!("the firewall agent {} is stopped by a signal (SIGSTOP)", process.program()))
            .why("it renews no lease, so the port closes after 15 s, and each change of the port waits for it")
            .fix(seen.resume(process));
    }
    if let Some(check) = elsewhere(seen, id) {
        return check;
    }
    if let Some(status) = seen.status() {
        let problems = status.problems.iter();
        let departed = problems
            .clone()
            .find(|problem| problem.contains("has ended, and no firewall follows the port"));
        if let Some(problem) = departed {
            return Check::fail(
                id,
                "the firewall agent has ended, and nobody follows the port",
            )
            .why(problem)
            .fix(start);
        }
    }
    let name = |gate: &FirewallStatus| {
        let name = gate.command.as_deref().unwrap_or("a firewall");
        match gate.pid {
            Some(pid) => format!("{name} (pid {pid})"),
            None => name.to_owned(),
        }
    };
    for gate in gates(seen) {
        match gate.trouble.as_deref().map(|text| (kind(text), text)) {
            Some((Trouble::Hangs, text)) => {
                let check =
                    Check::fail(id, format!("the firewall agent {} hangs", name(gate))).why(text);
                return match gate.pid {
                    Some(pid) if !seen.has_unit("teredo-firewall") => {
                        check.fix(format!("kill -KILL {pid}\n{start}"))
                    }
                    _ => check.fix("systemctl restart teredo-firewall"),
                };
            }
            Some((Trouble::Other, text)) => {
                return Check::fail(
                    id,
                    format!("the firewall agent {} reports trouble", name(gate)),
                )
                .why(text)
                .fix(seen.restart("firewall"));
            }
            Some(_) => {
                return Check::ok(
                    id,
                    format!(
                        "{} follows the port, and reports what keeps it from its work",
                        name(gate)
                    ),
                );
            }
            None if !gate.in_sync => {
                return Check::warn(id, format!("the firewall agent {} is behind", name(gate)))
                    .why(match gate.sequence {
                        Some(sequence) => format!(
                            "it has confirmed state {sequence}, and the port's state is {}",
                            seen.status().map_or(0, |status| status.sequence)
                        ),
                        None => "it has confirmed nothing yet".to_owned(),
                    })
                    .fix(seen.restart("firewall"));
            }
            None => {}
        }
    }
    if let Some(gate) = gates(seen).first() {
        return Check::ok(
            id,
            format!("{} follows the port, and is in sync", name(gate)),
        );
    }
    if let Some(process) = seen.running("firewall").next() {
        return match seen.status() {
            Some(_) => Check::fail(id, format!("the firewall agent {} does not follow this service", process.program()))
                .why("it follows another socket, or the service does not let it confirm: it must run as root or in the service's group")
                .fix(match (&process.unit, seen.has_unit("teredo-firewall")) {
                    (None, false) => {
                        format!("kill {}\n{}", process.pid, seen.teredo("firewall &"))
                    }
                    _ => seen.restart("firewall"),
                }),
            None => Check::ok(id, format!("{} waits for the service", process.program())),
        };
    }
    if seen.is_hidden() {
        return Check::skip(
            id,
            "this user may not ask the service whether an agent follows it",
        )
        .why("run it as root to see it");
    }
    let unit = seen.unit("teredo-firewall");
    if unit.is_some_and(|unit| unit.active == "active") && seen.status().is_none() {
        return Check::ok(
            id,
            "the unit teredo-firewall runs, and waits for the service",
        );
    }
    if seen.roles().firewall {
        return Check::fail(
            id,
            "no firewall agent runs, although this host is set up for one",
        )
        .why("nobody opens the port, and after 15 s a port that was open is closed")
        .fix(start);
    }
    Check::ok(
        id,
        "no firewall agent runs; the checks below show whether one is needed",
    )
}

/// An agent here can do nothing for a client in another network namespace.
pub(super) fn elsewhere(seen: &Seen, id: Id) -> Option<Check> {
    let text = "the client is in another network namespace (client.interface)";
    (seen.is_elsewhere() && gates(seen).is_empty()).then(|| Check::skip(id, text))
}
