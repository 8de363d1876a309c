//! The interface and the port of the client, and others that may want them.

use crate::doctor::check::{Check, id};
use crate::doctor::seen::Seen;
use crate::doctor::shell::quote;
use crate::text::plain;

pub(super) fn interface(seen: &Seen) -> Check {
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

pub(super) fn port(seen: &Seen) -> Check {
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

pub(super) fn rival(seen: &Seen) -> Check {
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
