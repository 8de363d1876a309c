//! Judges the settings, the kernel and the network of this host.

use std::time::{Duration, SystemTime};

use teredo_notify::types::{Phase, Role};
use teredo_tunnel::net::Decision;

use super::check::{Check, advice_line, id};
use super::closed;
use super::routes::{mend, taken};
use super::seen::{FileKind, Ipv6, Seen, Tun};
use crate::args::{DEFAULT_CONFIG, NativePolicy};
use crate::config::EmptySecrets;
use crate::server::is_own;

pub(super) fn judge(seen: &Seen) -> Vec<Check> {
    vec![
        valid(seen),
        complete(seen),
        ipv6(seen),
        tun(seen),
        capabilities(seen),
        route(seen),
        native(seen),
        prefix_policy(seen),
        clock(seen.host.now),
        connections(seen),
    ]
}

fn valid(seen: &Seen) -> Check {
    let settings = &seen.settings;
    let kinds = [FileKind::Settings, FileKind::Secrets];
    if let Some(check) = closed::check(seen, id::SETTINGS_VALID, &kinds) {
        return check;
    }
    let [first, others @ ..] = settings.mistakes.as_slice() else {
        return Check::ok(id::SETTINGS_VALID, "the settings have no mistake");
    };
    let (mistake, mend) = first;
    if !seen.root && mistake.contains("Permission denied") {
        return Check::skip(id::SETTINGS_VALID, "this user may not read all settings")
            .why(format!("{mistake}; run it as root to see them"));
    }
    if let Some(empty) = settings.empty_secrets.first() {
        return without_secrets(seen, empty);
    }
    let count = others.len() + 1;
    let what = if count == 1 {
        format!("the settings have a mistake: {mistake}")
    } else {
        format!("the settings have {count} mistakes; the first: {mistake}")
    };
    let why = "a daemon with faulty settings does not start, and a reload of them changes nothing";
    let check = Check::fail(id::SETTINGS_VALID, what).why(match mend {
        Some(mend) => format!("{mend}; {why}"),
        None => why.to_owned(),
    });
    check.fix(match &settings.chosen {
        None => "teredo config check".to_owned(),
        Some(file) => format!(
            "teredo config check {}",
            super::shell::quote(&file.display().to_string())
        ),
    })
}

/// A file of secrets that lost its contents, such as on a full disk.
fn without_secrets(seen: &Seen, empty: &EmptySecrets) -> Check {
    let daemon = empty.section;
    let file = empty.file.display().to_string();
    let typed = super::shell::quote(&file);
    let runs = seen.running(daemon).next().is_some();
    let start = if runs {
        seen.restart(daemon)
    } else {
        seen.start(daemon, &format!("{daemon} &"))
    };
    let (advice, command) = match daemon {
        "server" => (
            "put the lines 'NAME:SECRET' of the clients back from a copy, or make new ones:",
            "teredo secret new NAME",
        ),
        _ => (
            "put the line 'NAME:SECRET' back that the server has:",
            "echo NAME:SECRET",
        ),
    };
    Check::fail(
        id::SETTINGS_VALID,
        format!("the file of secrets {file} of the {daemon} is empty"),
    )
    .why("a full disk may have cut it off; without a secret the daemon does not start, and a reload changes nothing")
    .fix(format!(
        "{}\n{command} >> {typed}\n{start}",
        advice_line(advice)
    ))
}

fn complete(seen: &Seen) -> Check {
    let id = id::SETTINGS_COMPLETE;
    let settings = &seen.settings;
    // What runs has what it needs, whatever the files say.
    let running = seen.status().is_some() || seen.running("server").next().is_some();
    match settings.doubts.first() {
        Some(doubt) if !running => Check::warn(id, doubt.clone())
            .why("a daemon that is started by its unit has no options of a command line")
            .advise(format!(
                "correct this key in {}",
                settings.chosen.as_ref().map_or_else(
                    || DEFAULT_CONFIG.to_owned(),
                    |path| path.display().to_string()
                )
            )),
        Some(doubt) => Check::ok(id, "the daemon that runs has what it needs").why(doubt.clone()),
        None => Check::ok(id, "the settings are complete"),
    }
}

fn ipv6(seen: &Seen) -> Check {
    let id = id::HOST_IPV6;
    match &seen.host.ipv6 {
        Ipv6::Usable => Check::ok(id, "the kernel has IPv6, and lets interfaces have addresses"),
        Ipv6::Absent => Check::fail(id, "the kernel has no IPv6: it was started with ipv6.disable=1, or without the module")
            .why("a tunnel carries IPv6 packets of this host")
            .fix(
                "sed -i 's/ipv6.disable=1//' /etc/default/grub\nupdate-grub\nreboot",
            ),
        // The tunnel's interface has a setting of its own once it is there.
        Ipv6::Disabled(_) if seen.is_qualified() => {
            Check::ok(id, "IPv6 is on where the tunnel needs it")
        }
        Ipv6::Disabled(names) => Check::fail(id, format!("IPv6 is turned off: {} = 1", names.join(" and ")))
            .why(
                "the tunnel's interface can have no address; a file in /etc/sysctl.d or /etc/sysctl.conf may set it \
                 again at the next start",
            )
            .fix({
                let keys: Vec<_> = names.iter().map(|name| (name.as_str(), "0")).collect();
                seen.sysctl(&keys)
            }),
    }
}

fn tun(seen: &Seen) -> Check {
    let id = id::HOST_TUN;
    let why = "client and relay make their interface with it";
    if let Some(check) = closed::check(seen, id, &[FileKind::Tun]) {
        return check;
    }
    match &seen.host.tun {
        // A daemon that started before the node went has its interface.
        _ if seen
            .status()
            .is_some_and(|status| status.interface.is_some()) =>
        {
            Check::ok(id, "the service has its TUN interface")
        }
        Tun::Usable => Check::ok(id, "the TUN device /dev/net/tun is there"),
        Tun::Missing => Check::fail(id, "the TUN device /dev/net/tun is missing").why(format!(
            "{why}; a container must be given the device (--device /dev/net/tun)"
        ))
        .fix("modprobe tun\ninstall -d -m 755 /dev/net\n[ -c /dev/net/tun ] || mknod -m 666 /dev/net/tun c 10 200"),
        Tun::Unusable(reason) => {
            Check::fail(id, format!("the TUN device /dev/net/tun cannot be used: {reason}"))
                .why(format!(
                    "{why}; the node is there, but it has no driver, is another file, or a container forbids it"
                ))
                .fix("modprobe tun\nrm -f /dev/net/tun\nmknod -m 666 /dev/net/tun c 10 200")
        }
        Tun::Unseen => Check::skip(id, "run it as root to see whether the TUN device can be opened"),
    }
}

fn capabilities(seen: &Seen) -> Check {
    let id = id::HOST_CAPABILITIES;
    const NET_ADMIN: u64 = 1 << 12;
    let roles = seen.roles();
    let needs = roles.client || roles.relay || roles.firewall;
    let daemons = ["client", "relay", "firewall"];
    let without = daemons
        .iter()
        .flat_map(|name| seen.running(name))
        .find(|process| process.capabilities.is_some_and(|own| own & NET_ADMIN == 0));
    if let Some(process) = without {
        return Check::fail(id, format!("{} lacks CAP_NET_ADMIN", process.program()))
            .why("it can change no interface and read no rules; a drop-in of its unit may take the capability away")
            .fix(seen.restart(process.command().unwrap_or("client")));
    }
    if needs && !seen.host.net_admin {
        return Check::fail(id, "no process here can have CAP_NET_ADMIN")
            .why("the tunnel's interface and the rules need it; this is a container or a sandbox without it")
            .advise("start the container with --cap-add NET_ADMIN --device /dev/net/tun");
    }
    Check::ok(id, "CAP_NET_ADMIN is there for those who need it")
}

fn route(seen: &Seen) -> Check {
    let id = id::HOST_ROUTE;
    let server = &seen.server;
    let address = server.address;
    let bind = seen.settings.client.bind;
    if seen.roles().client && !bind.is_unspecified() {
        let fault = match () {
            () if bind.is_loopback() => {
                Some("is a loopback address, from which nothing leaves this host")
            }
            () if !is_own(bind) => Some("is no address of this host"),
            () => None,
        };
        if let Some(fault) = fault {
            return Check::fail(id, format!("'bind' of the settings, {bind}, {fault}"))
                .why("the client sends from this address; without 'bind', the kernel chooses one")
                .fix(format!(
                    "{}\n{}",
                    seen.set("client", "bind", "\"0.0.0.0\""),
                    seen.restart("client")
                ));
        }
    }
    if let Some(check) = nowhere(seen) {
        return check;
    }
    match (address, &server.local) {
        (Some(address), Some(Err(reason))) => {
            let check = Check::fail(
                id,
                format!("there is no way to {}: {reason}", address.primary),
            );
            match seen.host.down.first() {
                Some(link) => check
                    .why(format!("the interface {link} is down, and no other has a route"))
                    .fix(format!("ip link set {} up", super::shell::quote(link))),
                None => check
                    .why(
                        "this host has no IPv4 route to the server: no address was given to it, or a default route is \
                         missing",
                    )
                    .fix(format!(
                        "ip route get {}\nip -4 address\nip -4 route",
                        address.primary
                    )),
            }
        }
        (Some(address), Some(Ok(local))) => Check::ok(
            id,
            format!(
                "packets to {} leave from {local}{}",
                address.primary,
                server
                    .outside
                    .as_ref()
                    .map_or_else(String::new, |link| format!(" by {}", link.name))
            ),
        ),
        _ => Check::skip(id, "no address of a server is known"),
    }
}

/// A rule or a route that swallows what the client sends to an address of the server.
fn nowhere(seen: &Seen) -> Option<Check> {
    let server = &seen.server;
    let address = server.address?;
    let ways = [
        (address.primary, &server.way),
        (address.secondary, &server.second_way),
    ];
    let is_swallowed = |way: &&Decision| {
        way.link.is_none() && (way.destination.is_some() || way.is_refused_by_rule())
    };
    let (to, way) = ways
        .into_iter()
        .find_map(|(to, way)| Some((to, way.as_ref().filter(is_swallowed)?)))?;
    let what = format!(
        "datagrams to the server {to} go nowhere: {}",
        taken(seen, way)
    );
    let check = if seen.is_qualified() {
        Check::warn(id::HOST_ROUTE, what)
    } else {
        Check::fail(id::HOST_ROUTE, what)
    };
    let fix = mend(seen, way, "ip").unwrap_or_else(|| format!("ip route get {to}\nip rule"));
    Some(
        check
            .why(
                "a program against intruders (fail2ban), a VPN's protection against leaks or a script has left it behind; \
                 if one sets it again, change the settings of that",
            )
            .fix(fix),
    )
}

fn native(seen: &Seen) -> Check {
    let id = id::HOST_NATIVE_IPV6;
    let dormant = seen
        .status()
        .filter(|status| status.state == Phase::Dormant);
    let of_client = seen
        .status()
        .is_none_or(|status| status.role == Role::Client);
    if !seen.roles().client || !of_client {
        return Check::ok(id, "this host needs no Teredo client");
    }
    let ignore = format!(
        "{}\n{}",
        seen.set("client", "native_ipv6", "\"ignore\""),
        seen.restart("client")
    );
    let where_from = match &seen.host.native {
        Some((address, link)) => format!("{address}, by way of {link}"),
        None => dormant
            .and_then(|status| status.reason.clone())
            .unwrap_or_default(),
    };
    match (dormant, &seen.host.native) {
        (Some(_), _) => Check::warn(id, format!("the client rests, because this host has native IPv6: {where_from}"))
            .why(
                "RFC 4380 §5.5: Teredo is for hosts without IPv6, and native IPv6 is faster. The client wakes up when \
                 it is gone. If you want both, or if that address leads nowhere:",
            )
            .fix(ignore),
        (None, Some(_)) if seen.settings.client.native_ipv6 == NativePolicy::Ignore => {
            Check::ok(id, format!("native IPv6 is there, and ignored as set: {where_from}"))
        }
        (None, Some(_)) if seen.is_qualified() => {
            Check::ok(id, format!("native IPv6 is there: {where_from}"))
        }
        (None, Some(_)) => Check::warn(id, format!("this host has native IPv6: {where_from}"))
            .why("a client rests while that is so (RFC 4380 §5.5), and Teredo is not needed. If you want both:")
            .fix(ignore),
        (None, None) => Check::ok(id, "this host has no native IPv6, so Teredo is of use"),
    }
}

/// RFC 6724 §2.1: the default table prefers IPv4 (precedence 35) to Teredo (5). A line of a kind in the file replaces the
/// whole default table of that kind.
fn prefix_policy(seen: &Seen) -> Check {
    let id = id::HOST_PREFIX_POLICY;
    let text = seen.host.gai.as_deref().unwrap_or_default();
    let rows: Vec<(&str, u32)> = text
        .lines()
        .filter_map(|line| {
            let line = line.split('#').next()?;
            let mut words = line.split_whitespace();
            (words.next()? == "precedence").then_some(())?;
            Some((words.next()?, words.next()?.parse().ok()?))
        })
        .collect();
    let of = |prefix: &str| rows.iter().find(|row| row.0 == prefix).map(|row| row.1);
    let rest = of("::/0").unwrap_or(40);
    let teredo = of("2001::/32").or_else(|| of("2001:0::/32"));
    // glibc's own table has no row for Teredo; the label keeps it behind IPv4.
    let [teredo, ipv4] = if rows.is_empty() {
        [5, 35]
    } else {
        [teredo.unwrap_or(rest), of("::ffff:0:0/96").unwrap_or(rest)]
    };
    if !rows.is_empty() && teredo > ipv4 && seen.host.native.is_none() {
        return Check::ok(id, "/etc/gai.conf prefers Teredo to IPv4").why(
            "names with addresses of both kinds are reached through the tunnel, which is slower",
        );
    }
    Check::ok(id, "programs prefer IPv4 where a name has it, and use Teredo for the rest")
        .why(
            "RFC 6724 puts 2001::/32 behind IPv4, so a browser uses Teredo only for names without an IPv4 address; \
             Chromium asks for no IPv6 address at all over Teredo. That is as it should be. 'ping -6' and 'curl -6' try \
             the tunnel",
        )
}

fn clock(now: SystemTime) -> Check {
    let id = id::HOST_CLOCK;
    /// 2025-01-01: this program is younger.
    const LEAST: Duration = Duration::from_secs(1_735_689_600);
    /// 2100-01-01
    const MOST: Duration = Duration::from_secs(4_102_444_800);
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let time = humantime::format_rfc3339_seconds(now);
    if (LEAST..MOST).contains(&since) {
        return Check::ok(id, format!("the clock shows {time}"));
    }
    Check::warn(id, format!("the clock shows {time}, which cannot be"))
        .why(
            "Teredo does without the time, but names under DNSSEC do not resolve, and logs mislead",
        )
        .fix("timedatectl set-ntp true")
}

fn connections(seen: &Seen) -> Check {
    let id = id::HOST_CONNTRACK;
    let Some([count, most]) = seen.host.connections else {
        return Check::ok(id, "the kernel tracks no connections");
    };
    // With a full table, the kernel drops packets that open a connection.
    let percent = count.saturating_mul(100) / most.max(1);
    if percent < 95 {
        return Check::ok(id, format!("{count} of {most} connections are tracked"));
    }
    // It is full before the last entry: some are on their way out.
    let check = if is_full(seen) {
        Check::fail(
            id,
            format!("the kernel's table of connections is full: {count} of {most}"),
        )
    } else {
        Check::warn(
            id,
            format!("the kernel's table of connections is almost full: {count} of {most}"),
        )
    };
    check
        .why("the kernel drops each packet that would open another one: peers and servers that are new are lost")
        .fix(seen.sysctl(&[("net.netfilter.nf_conntrack_max", &most.saturating_mul(4).to_string())]))
}

/// Whether the kernel finds no room for a connection.
pub(super) fn is_full(seen: &Seen) -> bool {
    let counts = seen.host.connections;
    counts.is_some_and(|[count, most]| count >= most / 100 * 99 + most % 100)
}

#[cfg(test)]
mod tests;
