//! Judges the units, the service and the processes of this host.

mod tunnel;
mod unit;

use teredo::wire::PORT;
use teredo_notify::types::{Phase, Role};

use super::check::{Check, id};
use super::seen::{Full, Seen, SocketFile, Unanswered, is_asking};
use super::server::without_errno;
use super::shell::{quote, write};
use tunnel::{interface, port, rival};
use unit::unit;

pub(super) fn judge(seen: &Seen) -> Vec<Check> {
    vec![
        unit(seen),
        socket(seen),
        group(seen),
        version(seen),
        state(seen),
        interface(seen),
        port(seen),
        rival(seen),
        forwarding(seen),
    ]
}

fn socket(seen: &Seen) -> Check {
    let id = id::SERVICE_SOCKET;
    let service = &seen.service;
    let path = service.socket.display();
    let typed = quote(&service.socket.display().to_string());
    let roles = seen.roles();
    let daemon = if roles.client { "client" } else { "relay" };
    let unit = seen.unit_of(daemon);
    let start = if seen.settings.has.client || daemon == "relay" || seen.has_unit(&unit) {
        seen.start(daemon, daemon)
    } else {
        seen.teredo("client --server HOST")
    };
    let Err(unanswered) = &service.status else {
        return match service.file {
            // A socket elsewhere may be private on purpose.
            SocketFile::Socket { mode, folder }
                if service.socket.starts_with("/run")
                    && (mode & 0o006 != 0o006 || folder & 0o001 == 0) =>
            {
                let folder = service.socket.parent().unwrap_or(&service.socket);
                let folder = quote(&folder.display().to_string());
                Check::warn(id, format!("not every user can connect to {path}"))
                    .why("programs of other users cannot read the port or the state (rule N-18)")
                    .fix(format!("chmod 755 {folder}\nchmod 666 {typed}"))
            }
            _ => Check::ok(id, format!("the service answers on {path}")),
        };
    };
    if !roles.client && !roles.relay {
        if seen.settings.has.server && seen.running("server").next().is_none() {
            let start = seen.start("server", "server &");
            if !seen.host.absent.is_empty() {
                return Check::fail(
                    id,
                    "no server runs: this host lacks an address that it is to have",
                )
                .why("server.address names it");
            }
            let holder = seen.host.udp.iter().find(|(port, _)| *port == PORT);
            if let Some((_, holder)) = holder {
                let (who, end) = match holder {
                    Some(program) => (
                        program.to_string(),
                        format!("{}\n{start}", program.end("teredo-server")),
                    ),
                    None => (
                        "another program (run it as root to see which)".to_owned(),
                        format!("sudo ss -lunp 'sport = :{PORT}'"),
                    ),
                };
                return Check::fail(id, format!("no server runs: {who} has UDP port {PORT}"))
                    .why(
                        "a server cannot have the port of its clients while another program has it",
                    )
                    .fix(end);
            }
            return Check::fail(id, "no server runs, although the settings are for one")
                .why("if it was started and has ended, its last words say why: start it by hand to see them")
                .fix(start);
        }
        let what = if roles.server {
            "a server"
        } else {
            "a perimeter"
        };
        return Check::ok(
            id,
            format!("no client or relay is to run here: this host is {what}"),
        );
    }
    // A unit that is to have the socket is started.
    let is_planned = seen.instance().is_some() && seen.has_unit(&unit)
        || seen.unit(&unit).is_some_and(|unit| unit.file == "enabled");
    let others = seen.running(daemon).filter(|_| !is_planned);
    let elsewhere = others.into_iter().find_map(|process| {
        let socket = process.option("--socket")?;
        (std::path::Path::new(socket) != service.socket).then_some((process, socket))
    });
    if let (Some((process, socket)), true) = (
        elsewhere,
        matches!(unanswered, Unanswered::Missing | Unanswered::Refused),
    ) {
        return Check::fail(
            id,
            format!(
                "nobody listens on {path}: {} has another socket, {socket}",
                process.program()
            ),
        )
        .why("the doctor asks the socket of --socket or $TEREDO_SOCKET, or else the default one")
        .fix(format!("teredo --socket {} doctor", quote(socket)));
    }
    let stopped = seen.running(daemon).find(|process| process.stopped);
    match (unanswered, &service.file) {
        (_, SocketFile::NotASocket) => Check::fail(id, format!("{path} is a file, and not a socket"))
            .why("the service does not replace a file that is not its own, so it does not start")
            .fix(format!("rm {typed}\n{start}")),
        (Unanswered::Missing, _) if service.full.is_some() => {
            let (what, commands) = unit::room(&service.socket, service.full.unwrap_or(Full::Space));
            Check::fail(id, format!("no {daemon} runs: {what}"))
                .why(format!(
                    "the {daemon} cannot make its socket there; delete what fills it, or give the file system more"
                ))
                .fix(format!("{commands}\n{start}"))
        }
        (Unanswered::Missing, _) => Check::fail(id, format!("no {daemon} runs: there is no socket {path}"))
            .why(format!("the {daemon} makes its socket when it starts"))
            .fix(start),
        (Unanswered::Refused, _) => Check::fail(id, format!("no {daemon} runs: {path} is left over, and nobody listens on it"))
            .why(format!("a {daemon} that was killed leaves its socket; the next one replaces it"))
            .fix(start),
        (Unanswered::NotPermitted, _) => Check::fail(id, format!("this user may not connect to {path}"))
            .why("its folder or the socket itself is closed to others; every user may read the state (rule N-18)")
            .fix(format!(
                "sudo chmod 755 {}\nsudo chmod 666 {typed}",
                quote(&service.socket.parent().unwrap_or(&service.socket).display().to_string())
            )),
        (Unanswered::Silent, _) => {
            let check = Check::fail(id, format!("the service on {path} takes connections, and does not answer"));
            match stopped {
                Some(process) => check
                    .why(format!("{} is stopped by a signal (SIGSTOP)", process.program()))
                    .fix(seen.resume(process)),
                None => check.why("it hangs").fix(seen.restart(daemon)),
            }
        }
        (Unanswered::Other(reason), _) => Check::fail(id, format!("the service on {path} does not answer as it should"))
            .why(reason)
            .fix(seen.restart(daemon)),
    }
}

fn group(seen: &Seen) -> Check {
    let id = id::SERVICE_GROUP;
    let wanted = seen.settings.client.group.as_deref();
    if wanted.is_none_or(|name| name == "teredo") {
        // Without the group, only root controls a client that was started by hand.
        return match (seen.host.group_exists, seen.has_unit("teredo-client")) {
            (true, _) => match &seen.host.stale_group {
                Some(group) => Check::warn(id, format!("this session is older than this user's membership of the group '{group}'"))
                    .why("the client does not take its orders yet: log in again; until then, this gives a shell with the group")
                    .fix(format!("newgrp {group}")),
                None => Check::ok(id, "members of the group 'teredo' control the client"),
            },
            (false, true) => {
                Check::fail(id, "this host has no group 'teredo', which the units name")
                    .why("the units run as that user and group, and do not start without")
                    .fix("systemd-sysusers\nsystemctl restart teredo-client")
            }
            (false, false) => Check::ok(
                id,
                "only root controls the client: there is no group 'teredo'",
            ),
        };
    }
    let name = wanted.unwrap_or_default();
    match nix::unistd::Group::from_name(name) {
        Ok(None) => Check::fail(
            id,
            format!("this host has no group '{name}', which the settings name"),
        )
        .why("the client does not start with it")
        .fix(format!(
            "groupadd --system {}\n{}",
            quote(name),
            seen.restart("client")
        )),
        _ => Check::ok(
            id,
            format!("members of the group '{name}' control the client"),
        ),
    }
}

fn version(seen: &Seen) -> Check {
    let id = id::SERVICE_VERSION;
    let own = env!("CARGO_PKG_VERSION");
    let daemon = match seen.status().map(|status| status.role) {
        Some(Role::Relay) => "relay",
        _ => "client",
    };
    if let Some(status) = seen.status()
        && status.version != own
    {
        return Check::warn(
            id,
            format!(
                "the service is version {}, and this program is {own}",
                status.version
            ),
        )
        .why("it was not restarted after an upgrade, or another program is in the path first")
        .fix(seen.restart(daemon));
    }
    let replaced = ["client", "relay", "server", "firewall"]
        .into_iter()
        .find_map(|command| {
            let process = seen.running(command).find(|process| process.replaced)?;
            Some((command, process))
        });
    if let Some((command, process)) = replaced {
        return Check::warn(
            id,
            format!(
                "{} runs a program that was replaced since",
                process.program()
            ),
        )
        .why(format!("the {command} was not restarted after an upgrade"))
        .fix(seen.restart(command));
    }
    match seen.status() {
        Some(_) => Check::ok(id, format!("program and service are version {own}")),
        None => Check::ok(id, format!("this program is version {own}")),
    }
}

fn state(seen: &Seen) -> Check {
    let id = id::SERVICE_STATE;
    let Some(status) = seen.status() else {
        return Check::skip(id, "no service answers");
    };
    let reason = status.reason.as_deref().unwrap_or_default();
    let reason = if reason.contains("cannot resolve") {
        without_errno(reason)
    } else {
        reason
    };
    match status.state {
        Phase::Qualified => {
            let what = match status.address {
                _ if status.role == Role::Server => "the server serves".to_owned(),
                Some(address) => format!("qualified, with the address {address}"),
                None => "it works".to_owned(),
            };
            // A small path has a check of its own.
            if reason.is_empty() || reason.contains("takes packets of up to") {
                Check::ok(id, what)
            } else if tunnel::is_refused_by_a_rule(seen) && reason.contains("cannot add a route") {
                Check::warn(id, format!("{what}, but limited"))
                    .why("a rule of this host refuses the route of the tunnel (host.route6)")
            } else {
                Check::warn(id, format!("{what}, but limited")).why(reason)
            }
        }
        Phase::Dormant => Check::skip(id, "the client rests while this host has native IPv6"),
        _ if reason == "stopped" => {
            Check::fail(id, "the client is stopped: someone ran 'teredo stop'")
                .why("its service runs, and it has no port")
                .fix(seen.teredo("start"))
        }
        Phase::Probe if is_asking(status) => Check::warn(
            id,
            "the client has asked its server, and waits for the first answer",
        )
        .why("it gives the server up after 12 s; then the reason is known")
        .fix(seen.teredo("doctor")),
        _ if reason.is_empty() => Check::fail(id, "it is not qualified, and gives no reason"),
        _ => Check::fail(id, format!("not qualified: {reason}"))
            .why("without that it has no address; the checks behind this one look for the cause"),
    }
}

fn forwarding(seen: &Seen) -> Check {
    let id = id::RELAY_FORWARDING;
    if !seen.roles().relay {
        return Check::ok(id, "this host is no relay");
    }
    if seen.relays_alone() {
        return Check::ok(
            id,
            "the relay serves this host alone, which needs no forwarding",
        );
    }
    if seen.host.forwards {
        return Check::ok(id, "this host forwards IPv6, as a relay must");
    }
    Check::fail(
        id,
        "this host does not forward IPv6, so its relay carries nothing",
    )
    .why("net.ipv6.conf.all.forwarding is 0; a line in /etc/sysctl.d keeps it on")
    .fix(if seen.host.sysctl_is_fixed {
        seen.sysctl(&[("net.ipv6.conf.all.forwarding", "1")])
    } else {
        format!(
            "sysctl -w net.ipv6.conf.all.forwarding=1\n{}",
            write(
                "/etc/sysctl.d/60-teredo-relay.conf",
                &["net.ipv6.conf.all.forwarding=1"]
            )
        )
    })
}

#[cfg(test)]
mod tests;
