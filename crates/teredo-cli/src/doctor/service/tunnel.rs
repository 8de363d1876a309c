//! The interface and the port of the client, and others that may want them.

use teredo_tunnel::net::Decision;

use crate::doctor::check::{Check, id};
use crate::doctor::seen::{Program, Seen};
use crate::doctor::shell::quote;

pub(super) fn interface(seen: &Seen) -> Check {
    let id = id::CLIENT_INTERFACE;
    let roles = seen.roles();
    if !roles.client && !roles.relay {
        return Check::ok(id, "no tunnel is to be here");
    }
    if let Some(check) = elsewhere(seen) {
        return check;
    }
    if let Some(status) = seen.status() {
        let reason = status.reason.as_deref().unwrap_or_default();
        let is_rival = reason.contains("another Teredo") && !is_refused_by_a_rule(seen);
        if reason.contains("keeps changing interface") || is_rival {
            return Check::warn(id, reason)
                .why("NetworkManager or systemd-networkd takes the interface for its own")
                .fix(format!(
                    "nmcli device set {name} managed no",
                    name = quote(seen.interface())
                ));
        }
        return match &status.interface {
            Some(name) => Check::ok(id, format!("the tunnel is the interface {name}")),
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
        return Check::ok(id, format!("the name {name} is free for the tunnel"));
    }
    let unit = seen.unit_of("client");
    let start = seen.start("client", "client");
    let mut holders = seen.host.tun_holders.iter();
    let holder = holders.find(|(held, _)| held == name);
    let holder = holder.map(|(_, program)| program);
    if holder.is_some_and(Program::is_manager) && seen.has_unit(&unit) {
        return Check::ok(
            id,
            format!("systemd keeps the interface {name} for its unit"),
        )
        .why(format!("the next start of {unit} takes it over"));
    }
    // A client with another socket is not the one that was asked about, and does its work.
    let other = holder.and_then(|program| {
        let mut clients = seen.running("client").chain(seen.running("relay"));
        clients.find(|process| process.pid == program.pid && !seen.is_asked(process))
    });
    if let Some(process) = other {
        return Check::fail(
            id,
            format!(
                "the interface {} is that of another client, {}",
                name,
                process.program()
            ),
        )
        .why("each client needs an interface of its own")
        .fix(format!(
            "{}\n{}",
            seen.set("client", "interface", &format!("\"{}\"", free_name(seen))),
            seen.restart("client")
        ));
    }
    let who = match holder {
        Some(program) => format!("{program} has it"),
        None if seen.root => "no program has it: it was made by hand, or kept".to_owned(),
        None => "run it as root to see who has it".to_owned(),
    };
    let fix = match holder {
        Some(program) if program.name.starts_with("miredo") => {
            format!(
                "systemctl disable --now miredo || kill {}\n{start}",
                program.pid,
            )
        }
        Some(program) => format!("{}\n{start}", program.end(&unit)),
        None => format!("ip link delete {}\n{start}", quote(name)),
    };
    Check::fail(id, format!("the interface {name} exists already: {who}"))
        .why("a client does not start while another interface has its name; or set another 'interface' under [client]")
        .fix(fix)
}

/// Whether a rule keeps packets from the tunnel. The kernel gives one error for a route that is there already and for one
/// that a rule refuses.
pub(super) fn is_refused_by_a_rule(seen: &Seen) -> bool {
    let refuses = |way: &Option<Decision>| {
        let way = way.as_ref();
        way.is_some_and(|way| way.link.is_none() && (way.is_detour() || way.is_refused_by_rule()))
    };
    [&seen.ways.native, &seen.ways.native_own]
        .into_iter()
        .any(refuses)
}

/// A name that no interface has.
fn free_name(seen: &Seen) -> String {
    let is_free = |name: &String| !seen.host.links.iter().any(|link| link.name == *name);
    let mut names = (2_u32..).map(|number| format!("teredo{number}"));
    names.find(is_free).unwrap_or_else(|| "teredo2".to_owned())
}

/// A client whose tunnel this program cannot see.
fn elsewhere(seen: &Seen) -> Option<Check> {
    seen.is_elsewhere().then_some(())?;
    let who = seen.asked().map_or_else(
        || "the client".to_owned(),
        |process| process.program().to_string(),
    );
    let namespace = seen
        .asked()
        .and_then(|process| process.namespace.as_deref());
    let named = namespace.map_or_else(String::new, |name| format!(", {name}"));
    let check = Check::fail(
        id::CLIENT_INTERFACE,
        format!("{who} runs in another network namespace than this program{named}"),
    );
    let unit = seen.unit_of("client");
    Some(match (seen.unit(&unit), seen.asked()) {
        (Some(found), _) if found.private_network => check
            .why(format!(
                "its unit {unit} has PrivateNetwork=yes (service.unit): the programs of this host do not see its tunnel"
            ))
            .fix(super::unit::open_network(found)),
        (_, Some(process)) => check
            .why(
                "the programs here do not see its tunnel, an agent here opens nothing for it, and most of what follows is \
                 about this namespace; if that is meant, ask in the other one",
            )
            .fix(format!(
                "nsenter -t {} -n {}",
                process.pid,
                seen.teredo("doctor")
            )),
        _ => check.why("the programs here do not see its tunnel"),
    })
}

pub(super) fn port(seen: &Seen) -> Check {
    let id = id::CLIENT_PORT;
    let configured = seen.settings.client.port.map(std::num::NonZeroU16::get);
    let start = || seen.start("client", "client");
    if let Some(status) = seen.status() {
        if let Some(wanted) = status
            .configured_port
            .filter(|&wanted| wanted != status.port)
            && let Some((_, Some(holder))) = seen.host.udp.iter().find(|(used, _)| *used == wanted)
            && status
                .reason
                .as_deref()
                .is_some_and(|reason| reason.contains("could not be had"))
        {
            let next = free_port(seen, wanted);
            return Check::warn(
                id,
                format!("the configured port {wanted} is in use by {holder}"),
            )
            .why(format!(
                "the client has port {} instead; each client of a host needs a port of its own",
                status.port
            ))
            .fix(format!(
                "{}\n{}",
                seen.set("client", "port", &next.to_string()),
                seen.restart("client")
            ));
        }
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
        // Another client does its work.
        Some(program) if program.name == "teredo" || program.is_manager() => format!(
            "{}\n{}",
            seen.set("client", "port", &free_port(seen, port).to_string()),
            seen.restart("client")
        ),
        Some(program) => format!("{}\n{}", program.end(&seen.unit_of("client")), start()),
        None => format!("sudo ss -lunp 'sport = :{port}'"),
    };
    Check::fail(id, format!("the configured port {port} is in use by {who}"))
        .why(
            "the client cannot bind it, so it does not start; or set another 'port' under [client]",
        )
        .fix(fix)
}

/// The next port that nobody has.
fn free_port(seen: &Seen, after: u16) -> u16 {
    let is_free = |port: &u16| !seen.host.udp.iter().any(|(used, _)| used == port);
    let mut later = (after..u16::MAX).skip(1);
    later.find(is_free).unwrap_or(45_444)
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
    let own = seen.interface();
    let foreign = seen.host.teredo_links.iter().find(|(link, _)| {
        let mut holders = seen.host.tun_holders.iter();
        let alien = |program: &Program| program.name != "teredo" && !program.is_manager();
        link != own && holders.any(|(held, program)| held == link && alien(program))
    });
    if let Some((link, address)) = foreign {
        return Check::warn(
            id,
            format!("another program has a Teredo address: {address} on {link}"),
        )
        .why("what chooses no source address leaves by the tunnel that came first");
    }
    // Further clients are meant: each has an interface, a socket and a table of routes of its own.
    let mut others = seen
        .running("client")
        .filter(|process| !seen.is_asked(process));
    match others.next() {
        Some(process) if seen.status().is_some() => {
            Check::ok(id, format!("a further client runs: {}", process.program()))
                .why("what chooses no source address leaves by the client that came first")
        }
        _ => Check::ok(id, "no other Teredo client runs here"),
    }
}
