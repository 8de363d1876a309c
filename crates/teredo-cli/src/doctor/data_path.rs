//! Judges who carries the packets of known peers: programs in the kernel, or the daemon (docs/kernel-path.md).

use teredo_notify::types::{Carrier, Role, Status};

use super::check::{Check, advice_line, id};
use super::seen::Seen;
use super::shell::{quote, write};
use crate::status::carrier;

/// The first Linux that has all that the programs use.
const LINUX: (u32, u32) = (6, 6);

/// Words of the daemon's reasons.
const BY_SETTING: &str = "data_path";
const NOT_PERMITTED: &str = "CAP_BPF";
const FAULTS: [&str; 3] = ["the kernel refuses", "the kernel does not", "a probe"];
const RULES: &str = "rule";
const LEGACY: &str = "iptables-legacy";
const ROUTING: &str = "ip rule";
const NO_PORT: &str = "settled port";
const ELSEWHERE: &str = "another network namespace";
const IPSEC: &str = "IPsec";
const OTHER_PROGRAM: &str = "another XDP program is attached to ";
const OTHER_INTERFACE: &str = "by another interface";

const COST: &str = "it costs speed alone";

pub(super) fn judge(seen: &Seen) -> Check {
    let id = id::PATH_KERNEL;
    let old = seen.host.linux.filter(|linux| *linux < LINUX);
    let old = old.map(|(major, minor)| {
        let (wanted_major, wanted_minor) = LINUX;
        Check::ok(id, "the daemon itself carries all packets").why(format!(
            "the path in the kernel takes Linux {wanted_major}.{wanted_minor} or later, and this is {major}.{minor}; {COST}"
        ))
    });
    let Some(status) = seen.status() else {
        return old.unwrap_or_else(|| Check::skip(id, "no service answers"));
    };
    let work = match status.role {
        Role::Server => "answers solicitations",
        _ => "carries the packets of known peers",
    };
    let path = &status.data_path;
    match (path.in_use, &path.reason) {
        (Carrier::Kernel, _) => in_use(seen, status, work),
        (Carrier::User, Some(reason)) => {
            let check = without(seen, status, work, reason);
            // The kernel's own words about a call that it does not know help nobody.
            old.filter(|_| !reason.contains(BY_SETTING))
                .unwrap_or(check)
        }
        _ => Check::skip(id, "the service does not say who carries the packets"),
    }
}

fn in_use(seen: &Seen, status: &Status, work: &str) -> Check {
    let id = id::PATH_KERNEL;
    let path = &status.data_path;
    let lasted = carrier::lasted(path, seen.host.now).unwrap_or_default();
    let packets = path.packets;
    let what = format!(
        "the kernel {work}{lasted}: {} packets, and user space {}",
        packets.kernel, packets.user
    );
    match seen.host.jit {
        Some(false) => Check::warn(id, "the kernel interprets its programs for the packets")
            .why("net.core.bpf_jit_enable is 0, so it does not compile them, which costs speed")
            .fix(seen.sysctl(&[("net.core.bpf_jit_enable", "1")])),
        _ => Check::ok(id, what),
    }
}

/// User space carries them, for this reason.
fn without(seen: &Seen, status: &Status, work: &str, reason: &str) -> Check {
    let id = id::PATH_KERNEL;
    let what = format!("the daemon itself {work}");
    if reason.contains(BY_SETTING) {
        return Check::ok(
            id,
            format!(
                "{what}, as it was started or reloaded with data_path = \"user\"; a restart takes another setting"
            ),
        );
    }
    if reason.contains(NO_PORT) {
        return Check::skip(id, "no packets pass, because there is no settled port");
    }
    if reason.contains(ELSEWHERE) {
        return Check::warn(id, "no packets pass").why(reason);
    }
    let daemon = match status.role {
        Role::Relay => "relay",
        Role::Server => "server",
        Role::Client | Role::Unknown => "client",
    };
    let because = format!("{reason}; {COST}");
    if reason.contains(NOT_PERMITTED) {
        return Check::warn(
            id,
            format!("{what}, because it may load no programs into the kernel"),
        )
        .why(because)
        .fix(permit(seen, daemon));
    }
    if FAULTS.iter().any(|fault| reason.starts_with(fault)) {
        return Check::warn(
            id,
            format!("{what}, because the path in the kernel does not work"),
        )
        .why(because)
        .fix(log(seen, daemon));
    }
    if let Some(interface) = reason.strip_prefix(OTHER_PROGRAM) {
        let interface = quote(interface);
        return Check::ok(id, what).why(because).fix(advice_line(&format!(
            "an interface has one XDP program: detach the other one if it is not needed ('ip link show dev {interface}' has its \
             number, 'bpftool prog show id N' its name), or write data_path = \"user\""
        )));
    }
    let check = Check::ok(id, what).why(because);
    if reason.contains(OTHER_INTERFACE) {
        return check.fix("ip -br address; ip route");
    }
    if reason.contains(IPSEC) {
        return check.fix("ip xfrm policy");
    }
    if reason.contains(LEGACY) {
        return check.fix("iptables-legacy-save");
    }
    if reason.contains(ROUTING) {
        return check.fix("ip rule");
    }
    if reason.contains(RULES) {
        return check.fix("nft -a list ruleset");
    }
    check
}

/// Lets the daemon load programs.
fn permit(seen: &Seen, daemon: &str) -> String {
    let unit = seen.unit_of(daemon);
    if seen.asked().is_none_or(|process| process.unit.is_none()) || !seen.has_unit(&unit) {
        return advice_line(
            "start it as root or by its unit; a container needs --cap-add BPF, and a user namespace cannot have it",
        );
    }
    let folder = format!("/etc/systemd/system/{unit}.service.d");
    let lines = [
        "[Service]",
        "AmbientCapabilities=CAP_BPF CAP_NET_ADMIN",
        "CapabilityBoundingSet=CAP_BPF CAP_NET_ADMIN",
        "SystemCallFilter=bpf membarrier",
    ];
    format!(
        "install -d -m 755 {}\n{}\nsystemctl daemon-reload\n{}",
        quote(&folder),
        write(&format!("{folder}/zz-doctor-bpf.conf"), &lines),
        seen.restart(daemon)
    )
}

/// Where the kernel's whole account is.
fn log(seen: &Seen, daemon: &str) -> String {
    let unit = seen.asked().and_then(|process| process.unit.as_deref());
    match unit {
        Some(unit) => format!(
            "journalctl --unit={} | grep -i -e verifier -e kernel",
            quote(unit)
        ),
        None => advice_line(&format!(
            "the log of the {daemon} has the kernel's account; report it together with 'uname -r'"
        )),
    }
}

#[cfg(test)]
mod tests;
