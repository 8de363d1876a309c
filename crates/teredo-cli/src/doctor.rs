//! `teredo doctor`: what is wrong with Teredo on this host, and the commands that mend it.
//!
//! ```text
//!  gather.rs    looks at the host, the service, the server and the rules ──> seen.rs
//!  settings.rs  the files, and the options of the daemons that run
//!  host.rs, service.rs, server.rs, nat.rs, routes.rs, firewall.rs   judge what was seen, without a look of their own
//!  relays.rs    whether relays answer
//!  data_path.rs  who carries the packets: the kernel, or the daemon
//!  closed.rs    files that the users of the units may not open
//!  way.rs       the way of the port's datagrams through the rules, and the lines that open it
//!  opening.rs   what a mend lets through, in the words of each firewall
//!  rules.rs     follows a packet through nftables and iptables
//!  check.rs     the names of the checks; report.rs shows them
//! ```
//!
//! It changes nothing, needs no service, and says what it could not see.

pub(crate) mod check;
mod closed;
mod data_path;
mod firewall;
mod fleet;
mod gather;
mod host;
mod nat;
mod opening;
mod relays;
mod report;
mod routes;
mod rules;
mod seen;
mod server;
mod service;
mod settings;
mod shell;
mod way;

use std::path::Path;

use serde::Serialize;

use crate::args::DoctorArgs;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use check::{Check, Verdict, id};
use report::Report;
use seen::{Seen, Settings};

/// The object of schema `teredo.doctor/1`.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    schema: &'static str,
    checks: &'a [Check],
    /// The name of the check to begin with, if one needs attention.
    begin_with: Option<&'static str>,
}

/// Checks everything; [`Exit::Failed`] if a check fails. `socket_is_default` tells whether nobody named another one.
pub(crate) fn run(
    args: &DoctorArgs,
    chosen: Option<&Path>,
    socket: &Path,
    socket_is_default: bool,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let manner = gather::manner(socket, socket_is_default);
    let mut settings = Settings::read(chosen.or(manner.config.as_deref()), socket);
    if let Some(interface) = manner.interface {
        settings.client.interface = interface;
    }
    if let Some(file) = manner.agent.filter(|_| chosen.is_none()) {
        settings.agent_reads(&file, socket);
    }
    let seen = gather::gather(settings, socket, socket_is_default);
    let checks = judge(&seen);
    if args.json {
        output.json(&Answer {
            schema: "teredo.doctor/1",
            checks: &checks,
            begin_with: report::first(&checks).map(|index| checks[index].id),
        })?;
    } else {
        output.line(Report::new(&checks))?;
    }
    let failed = checks.iter().any(|check| check.result == Verdict::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

/// All checks, in the order of [`id::ALL`].
fn judge(seen: &Seen) -> Vec<Check> {
    let mut checks = [
        host::judge(seen),
        service::judge(seen),
        server::judge(seen),
        nat::judge(seen),
        firewall::judge(seen),
        routes::judge(seen),
        vec![relays::answers(seen), data_path::judge(seen)],
        fleet::judge(seen),
    ]
    .concat();
    let place = |check: &Check| id::ALL.iter().position(|id| id.name == check.id);
    checks.sort_by_key(place);
    firewall::panic::refer(seen, &mut checks);
    follow_units(&mut checks);
    refer(&mut checks);
    checks
}

/// A daemon whose unit does not start is mended by the mend of the unit: to start it once more would change nothing.
fn follow_units(checks: &mut [Check]) {
    let is_cause =
        |check: &Check| check.id == id::SERVICE_UNIT.name && check.result == Verdict::Fail;
    let Some(index) = checks.iter().position(is_cause) else {
        return;
    };
    let (what, fix) = (checks[index].what.clone(), checks[index].fix.clone());
    let following = [id::SERVICE_SOCKET, id::FIREWALL_AGENT];
    for check in checks {
        let start = check.fix.strip_prefix("systemctl enable --now ");
        let is_its = start.is_some_and(|unit| what.contains(&format!("the unit {unit} ")));
        let follows = following.iter().any(|id| id.name == check.id);
        if follows && is_its && check.result == Verdict::Fail {
            check.why = format!("the cause is in {}, {}", index + 1, id::SERVICE_UNIT.name);
            check.fix.clone_from(&fix);
        }
    }
}

/// A client that is not qualified is mended by the mend of the cause.
fn refer(checks: &mut [Check]) {
    let state = id::SERVICE_STATE.name;
    let cause = checks
        .iter()
        .position(|check| check.result == Verdict::Fail && check.id != state)
        .or_else(|| {
            checks
                .iter()
                .position(|check| check.result == Verdict::Warn && check.id != state)
        });
    let cause = cause.map(|index| (index + 1, checks[index].id, checks[index].fix.clone()));
    let found = checks.iter_mut().find(|check| check.id == state);
    if let (Some(check), Some((number, name, fix))) = (found, cause)
        && check.result == Verdict::Fail
        && check.fix.is_empty()
    {
        check.why = format!("the cause is in {number}, {name}");
        check.fix = fix;
    }
}

/// The names of all checks and their questions, for the manual page.
pub(crate) fn checks_help() -> String {
    let width = id::ALL.iter().map(|id| id.name.len()).max().unwrap_or(0);
    let rows = id::ALL.iter().map(|id| {
        let indent = " ".repeat(width + 4);
        let options = textwrap::Options::new(100)
            .initial_indent("  ")
            .subsequent_indent(&indent);
        textwrap::fill(&format!("{:width$}  {}", id.name, id.about), options)
    });
    let rows: Vec<_> = rows.collect();
    format!(
        "It changes nothing, and needs neither the service nor root; as root it sees the rules of the firewalls, too.\n\n\
         Results:\n  \
         ok    right, or of no concern here; a note may follow\n  \
         warn  works, with a limit or a risk\n  \
         fail  does not work, or is dangerous\n  \
         skip  cannot be told, and why\n\n\
         Exit status:\n  \
         0     no check failed\n  \
         1     a check failed\n\n\
         Checks ('teredo explain NAME' tells more; names never change their meaning):\n{}",
        rows.join("\n")
    )
}

#[cfg(test)]
mod tests;
