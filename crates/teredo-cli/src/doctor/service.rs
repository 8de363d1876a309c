//! Judges the units, the service and the processes of this host.

use teredo::wire::PORT;
use teredo_notify::types::{Phase, Role};

use super::check::{Check, id};
use super::seen::{Seen, SocketFile, Unanswered, Unit, Units};
use super::shell::quote;
use crate::text::plain;

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

fn unit(seen: &Seen) -> Check {
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

fn socket(seen: &Seen) -> Check {
    let id = id::SERVICE_SOCKET;
    let service = &seen.service;
    let path = plain(&service.socket.display().to_string());
    let typed = quote(&service.socket.display().to_string());
    let roles = seen.roles();
    let daemon = if roles.client { "client" } else { "relay" };
    let start = if seen.settings.has.client || daemon == "relay" || seen.has_unit("teredo-client") {
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
                        format!("kill {}\n{start}", program.pid),
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
        return Check::ok(
            id,
            "no client or relay is to run here: this host is a server",
        );
    }
    let elsewhere = seen.running(daemon).find_map(|process| {
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
                "nobody listens on {path}: {} has another socket, {}",
                process.program(),
                plain(socket)
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
                    .fix(format!("kill -CONT {}", process.pid)),
                None => check.why("it hangs").fix(seen.restart(daemon)),
            }
        }
        (Unanswered::Other(reason), _) => Check::fail(id, format!("the service on {path} does not answer as it should"))
            .why(plain(reason))
            .fix(seen.restart(daemon)),
    }
}

fn group(seen: &Seen) -> Check {
    let id = id::SERVICE_GROUP;
    let wanted = seen.settings.client.group.as_deref();
    if wanted.is_none_or(|name| name == "teredo") {
        // Without the group, only root controls a client that was started by hand.
        return match (seen.host.group_exists, seen.has_unit("teredo-client")) {
            (true, _) => Check::ok(id, "members of the group 'teredo' control the client"),
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
            format!(
                "this host has no group '{}', which the settings name",
                plain(name)
            ),
        )
        .why("the client does not start with it")
        .fix(format!(
            "groupadd --system {}\n{}",
            quote(name),
            seen.restart("client")
        )),
        _ => Check::ok(
            id,
            format!("members of the group '{}' control the client", plain(name)),
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
                plain(&status.version)
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
    let reason = status.reason.as_deref().map(plain).unwrap_or_default();
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
        Phase::Probe if reason.is_empty() => Check::warn(
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

fn interface(seen: &Seen) -> Check {
    let id = id::CLIENT_INTERFACE;
    let roles = seen.roles();
    if !roles.client && !roles.relay {
        return Check::ok(id, "no tunnel is to be here");
    }
    if let Some(status) = seen.status() {
        let reason = status.reason.as_deref().unwrap_or_default();
        if reason.contains("keeps changing interface") || reason.contains("another Teredo") {
            return Check::warn(id, plain(reason))
                .why("NetworkManager or systemd-networkd takes the interface for its own")
                .fix(format!(
                    "nmcli device set {name} managed no",
                    name = quote(seen.interface())
                ));
        }
        return match &status.interface {
            Some(name) => Check::ok(id, format!("the tunnel is the interface {}", plain(name))),
            None => Check::skip(id, "the service names no interface"),
        };
    }
    if seen.is_hidden() {
        return Check::skip(id, "this user may not ask the service, which may have it")
            .why("run it as root to see it");
    }
    let name = seen.interface();
    let exists = seen.host.links.iter().any(|link| link.name == name);
    if !exists {
        return Check::ok(
            id,
            format!("the name {} is free for the tunnel", plain(name)),
        );
    }
    let holder = seen.host.tun_holders.iter().find(|(held, _)| held == name);
    let who = match holder {
        Some((_, program)) => format!("{program} has it"),
        None if seen.root => "no program has it: it was made by hand, or kept".to_owned(),
        None => "run it as root to see who has it".to_owned(),
    };
    let fix = match holder {
        Some((_, program)) if program.name.starts_with("miredo") => {
            format!(
                "systemctl disable --now miredo || kill {}\n{}",
                program.pid,
                seen.start("client", "client")
            )
        }
        Some((_, program)) => format!("kill {}\n{}", program.pid, seen.start("client", "client")),
        None => format!(
            "ip link delete {}\n{}",
            quote(name),
            seen.start("client", "client")
        ),
    };
    Check::fail(id, format!("the interface {} exists already: {who}", plain(name)))
        .why("a client does not start while another interface has its name; or set another 'interface' under [client]")
        .fix(fix)
}

fn port(seen: &Seen) -> Check {
    let id = id::CLIENT_PORT;
    let configured = seen.settings.client.port.map(std::num::NonZeroU16::get);
    if let Some(status) = seen.status() {
        return match status.port {
            0 => Check::skip(id, "the service has no port now"),
            port => Check::ok(id, format!("the service port is {port}")),
        };
    }
    let Some(port) = configured else {
        return Check::ok(id, "the system chooses the port");
    };
    let Some((_, holder)) = seen.host.udp.iter().find(|(used, _)| *used == port) else {
        return Check::ok(id, format!("the configured port {port} is free"));
    };
    let who = match holder {
        Some(program) => program.to_string(),
        None => "another program (run it as root to see which)".to_owned(),
    };
    let fix = match holder {
        Some(program) => format!("kill {}\n{}", program.pid, seen.start("client", "client")),
        None => format!("sudo ss -lunp 'sport = :{port}'"),
    };
    Check::fail(id, format!("the configured port {port} is in use by {who}"))
        .why(
            "the client cannot bind it, so it does not start; or set another 'port' under [client]",
        )
        .fix(fix)
}

fn rival(seen: &Seen) -> Check {
    let id = id::CLIENT_RIVAL;
    // Only root sees in which network namespace it is; a Teredo address here gives it away.
    let alien = seen
        .host
        .teredo_links
        .iter()
        .any(|(link, _)| link != seen.interface());
    let miredo = seen
        .processes
        .iter()
        .find(|process| process.name == "miredo" && process.here.unwrap_or(alien));
    if let Some(process) = miredo {
        return Check::warn(id, format!("miredo runs on this host, too: {}", process.program()))
            .why(
                "two Teredo clients share one way out: what chooses no source address leaves by the one that came \
                 first, and both want the interface 'teredo'",
            )
            .fix("systemctl disable --now miredo || kill ".to_owned() + &process.pid.to_string());
    }
    let clients: Vec<_> = seen.running("client").collect();
    let own = seen.interface();
    let same = clients.iter().find(|process| {
        Some(process.pid) != seen.service.pid
            && seen.status().is_some()
            // An instance of the unit is meant.
            && !process.unit.as_deref().is_some_and(|unit| unit.starts_with("teredo-client@"))
            && process.option("--interface").unwrap_or("teredo") != own
    });
    let foreign = seen.host.teredo_links.iter().find(|(link, _)| {
        link != own
            && seen
                .host
                .tun_holders
                .iter()
                .any(|(held, program)| held == link && program.name != "teredo")
    });
    if let Some((link, address)) = foreign {
        return Check::warn(
            id,
            format!(
                "another program has a Teredo address: {address} on {}",
                plain(link)
            ),
        )
        .why("what chooses no source address leaves by the tunnel that came first");
    }
    match same {
        Some(process) => Check::warn(id, format!("a second client runs: {}", process.program()))
            .why(
                "it has an interface of its own. What chooses no source address leaves by the client that came first; \
                 if that is meant, all is well",
            )
            .fix(match &process.unit {
                Some(unit) => format!("systemctl disable --now {}", quote(unit)),
                None => format!("kill {}", process.pid),
            }),
        None => Check::ok(id, "no other Teredo client runs here"),
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
    Check::fail(id, "this host does not forward IPv6, so its relay carries nothing")
        .why("net.ipv6.conf.all.forwarding is 0; a line in /etc/sysctl.d keeps it on")
        .fix("sysctl -w net.ipv6.conf.all.forwarding=1\necho net.ipv6.conf.all.forwarding=1 > /etc/sysctl.d/60-teredo-relay.conf")
}

#[cfg(test)]
mod tests;
