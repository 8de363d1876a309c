//! `teredo doctor`: what is wrong with Teredo on this host, and the commands that mend it.
//!
//! ```text
//!  gather.rs    looks at the host, the service, the server and the rules ──> seen.rs
//!  host.rs, service.rs, server.rs, nat.rs, routes.rs, firewall.rs   judge what was seen, without a look of their own
//!  way.rs       the way of the port's datagrams through the rules, and the lines that open it
//!  rules.rs     follows a packet through nftables and iptables
//!  check.rs     the names of the checks; report.rs shows them
//! ```
//!
//! It changes nothing, needs no service, and says what it could not see.

pub(crate) mod check;
mod firewall;
mod gather;
mod host;
mod nat;
mod report;
mod routes;
mod rules;
mod seen;
mod server;
mod service;
mod shell;
mod way;

use std::path::Path;

use serde::Serialize;
use teredo::ServerAddress;

use crate::args::{DEFAULT_CONFIG, DoctorArgs};
use crate::config::{self, Config};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::settings::{ClientSettings, FirewallSettings};
use check::{Check, Verdict, id};
use gather::Manner;
use report::Report;
use seen::{Roles, Seen, Settings};

/// The object of schema `teredo.doctor/1`.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    schema: &'static str,
    checks: &'a [Check],
}

/// Checks everything; [`Exit::Failed`] if a check fails. `socket_is_default` tells whether nobody named another one.
pub(crate) fn run(
    args: &DoctorArgs,
    chosen: Option<&Path>,
    socket: &Path,
    socket_is_default: bool,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let manner = if socket_is_default {
        Manner::default()
    } else {
        gather::manner(socket)
    };
    let mut settings = settings(chosen.or(manner.config.as_deref()), socket);
    if let Some(interface) = manner.interface {
        settings.client.interface = interface;
    }
    if let Some(file) = manner.agent.filter(|_| chosen.is_none()) {
        settings.firewall = agent_settings(&file, socket);
    }
    let seen = gather::gather(settings, socket, socket_is_default);
    let checks = judge(&seen);
    if args.json {
        output.json(&Answer {
            schema: "teredo.doctor/1",
            checks: &checks,
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
    ]
    .concat();
    let place = |check: &Check| id::ALL.iter().position(|id| id.name == check.id);
    checks.sort_by_key(place);
    firewall::panic::refer(seen, &mut checks);
    refer(&mut checks);
    checks
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

fn settings(chosen: Option<&Path>, socket: &Path) -> Settings {
    let examined = config::examine(chosen);
    let Config {
        client,
        server,
        relay,
        firewall,
    } = examined.config;
    let has = Roles {
        client: client.places.first().is_some(),
        server: server.places.first().is_some(),
        relay: relay.places.first().is_some(),
        firewall: firewall.places.first().is_some(),
    };
    let is_drop_in = |place: &&config::Place| {
        let folder = place.file.parent().and_then(Path::extension);
        folder.is_some_and(|extension| extension == "d")
    };
    let servers_place = client.places.get("servers").filter(is_drop_in);
    let servers_place = servers_place.map(ToString::to_string);
    let pairs = server.pairs.iter().flatten();
    let pairs = pairs.map(|pair| (Some(pair.address), pair.secondary));
    let pairs = std::iter::once((server.address, server.secondary)).chain(pairs);
    let serves = pairs.flat_map(|(primary, secondary)| {
        let usual = primary.map(|primary| ServerAddress::adjacent(primary).secondary);
        [primary, secondary.or(usual)]
    });
    Settings {
        chosen: chosen.map(Path::to_owned),
        mistakes: examined.mistakes,
        doubts: examined.doubts,
        has,
        servers_place,
        serves: serves.flatten().collect(),
        server_secrets: server.secret_file,
        relay_serve: relay.serve.unwrap_or_default(),
        server_serve: server.serve.unwrap_or_default(),
        host_relay: relay.host == Some(true),
        client: ClientSettings::of(Default::default(), client, socket.to_owned()),
        firewall: FirewallSettings::new(Default::default(), firewall, socket.to_owned()),
    }
}

/// The settings of an agent that has another file than the client.
fn agent_settings(file: &Path, socket: &Path) -> FirewallSettings {
    // The default file may be absent, and one that is named may not.
    let chosen = (file != Path::new(DEFAULT_CONFIG)).then_some(file);
    let section = config::examine(chosen).config.firewall;
    FirewallSettings::new(Default::default(), section, socket.to_owned())
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
