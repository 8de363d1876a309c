//! The processes of this program and of miredo, and the owners of sockets and interfaces.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::unistd::{User, getuid};

use crate::doctor::seen::Process;

/// The most processes and descriptors that are looked at.
const MOST: usize = 100_000;

/// Programs that make Teredo tunnels.
const NAMES: [&str; 4] = ["teredo", "miredo", "miredo-server", "miredo-minimal"];

/// The users whose processes are the daemons: those of the units, and that of miredo.
const USERS: [&str; 4] = ["teredo", "teredo-firewall", "miredo", "root"];

/// The control group of the unit whose user systemd makes up if no file of users has it. Only the manager of this host
/// puts a process there; a container has such names below its own group.
const AGENT: &str = "/system.slice/teredo-firewall.service";

/// Only processes that this host's daemons can be. Each user can give a process any name and any arguments, and mends
/// repeat them.
pub(super) fn all() -> Vec<Process> {
    let own = fs::read_link("/proc/thread-self/ns/net").ok();
    let users = USERS.iter().filter_map(|name| User::from_name(name).ok()?);
    let mut users: Vec<u32> = users.map(|user| user.uid.as_raw()).collect();
    users.extend([0, getuid().as_raw()]);
    let mine = std::process::id();
    let mut found = Vec::new();
    for pid in numbers("/proc").take(MOST).filter(|&pid| pid != mine) {
        let name = name(pid);
        if !NAMES.contains(&name.as_str()) {
            continue;
        }
        let file = |what: &str| format!("/proc/{pid}/{what}");
        let status = fs::read_to_string(file("status")).unwrap_or_default();
        let field = |label: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| Some(line.strip_prefix(label)?.trim().to_owned()))
        };
        let state = field("State:").unwrap_or_default();
        if state.starts_with('Z') {
            continue;
        }
        let groups = fs::read_to_string(file("cgroup")).unwrap_or_default();
        let is_agent = is_in(&groups, AGENT);
        if !is_agent && !field("Uid:").is_some_and(|uids| is_of(&uids, &users)) {
            continue;
        }
        let arguments = fs::read(file("cmdline")).unwrap_or_default();
        let arguments = arguments
            .split(|&byte| byte == 0)
            .filter(|argument| !argument.is_empty())
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        let program = fs::read_link(file("exe")).unwrap_or_default();
        let namespace = fs::read_link(file("ns/net")).ok();
        found.push(Process {
            pid,
            arguments,
            replaced: program.to_string_lossy().ends_with(" (deleted)"),
            stopped: state.starts_with('T'),
            namespace: namespace
                .as_ref()
                .map(|theirs| theirs.to_string_lossy().into_owned()),
            here: namespace.map(|theirs| Some(theirs) == own),
            unit: unit(&groups),
            capabilities: field("CapEff:").and_then(|hex| u64::from_str_radix(&hex, 16).ok()),
            name,
        });
    }
    found
}

/// Whether a process is of one of these users in every respect. With a link to a program that is setuid, anybody starts
/// a process of root under any name; its real user stays.
fn is_of(uids: &str, users: &[u32]) -> bool {
    let uids: Option<Vec<u32>> = uids
        .split_whitespace()
        .map(|uid| uid.parse().ok())
        .collect();
    uids.is_some_and(|uids| uids.len() == 4 && uids.iter().all(|uid| users.contains(uid)))
}

fn is_in(groups: &str, path: &str) -> bool {
    paths(groups).any(|own| own == path)
}

/// The paths of control groups, which may have colons of their own (cgroups(7)).
fn paths(groups: &str) -> impl Iterator<Item = &str> {
    groups.lines().filter_map(|line| line.splitn(3, ':').nth(2))
}

pub(super) fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// The last part of the control group that is a unit of this program.
fn unit(groups: &str) -> Option<String> {
    last_unit(groups).filter(|unit| unit.starts_with("teredo"))
}

/// The last part of the control group that is a unit of the system.
fn last_unit(groups: &str) -> Option<String> {
    let mut paths = paths(groups).filter(|path| !path.contains("/user@"));
    paths.find_map(|path| {
        let mut parts = path.rsplit('/');
        let unit = parts.find(|part| part.ends_with(".service"))?;
        Some(unit.to_owned())
    })
}

/// The unit of a process that the service manager has started. Its children, such as a job of cron, have none.
pub(super) fn unit_of(pid: u32) -> Option<String> {
    let file = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let unit = last_unit(&file("cgroup"))?;
    let status = file("status");
    let mut lines = status.lines();
    let parent = lines.find_map(|line| line.strip_prefix("PPid:"));
    let of_manager = parent.is_some_and(|parent| parent.trim() == "1");
    (unit.starts_with("teredo") || unit.starts_with("miredo") || of_manager).then_some(unit)
}

/// Who holds what, as far as this user may see.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// The processes of sockets, by inode.
    pub(super) sockets: BTreeMap<u64, u32>,
    /// The interfaces of TUN devices, and their processes.
    pub(super) interfaces: Vec<(String, u32)>,
}

/// Only processes in this network namespace count: others have interfaces of the same name.
pub(super) fn holders() -> Holders {
    let own = fs::read_link("/proc/thread-self/ns/net").ok();
    let mut holders = Holders::default();
    let mut seen = 0;
    for pid in numbers("/proc") {
        let folder = format!("/proc/{pid}/fd");
        if fs::read_link(format!("/proc/{pid}/ns/net")).ok() != own {
            continue;
        }
        for descriptor in numbers(&folder) {
            seen += 1;
            if seen > MOST {
                return holders;
            }
            let Ok(target) = fs::read_link(Path::new(&folder).join(descriptor.to_string())) else {
                continue;
            };
            let target = target.to_string_lossy();
            if let Some(inode) = target.strip_prefix("socket:[") {
                let inode = inode.trim_end_matches(']').parse();
                holders.sockets.extend(inode.map(|inode| (inode, pid)));
            } else if target.ends_with("/net/tun") {
                let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}"));
                let info = info.unwrap_or_default();
                let name = info.lines().find_map(|line| line.strip_prefix("iff:"));
                if let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) {
                    holders.interfaces.push((name.to_owned(), pid));
                }
            }
        }
    }
    holders
}

fn numbers(folder: &str) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy or a link under a trusted name is not enough.
    #[test]
    fn a_name_alone_makes_no_daemon() {
        let users = [0, 990];
        for (uids, is_daemon) in [
            ("0\t0\t0\t0", true),
            ("990\t990\t990\t990", true),
            ("1000\t1000\t1000\t1000", false),
            // A link of this name to a program that is setuid.
            ("1000\t0\t0\t0", false),
            ("0\t0", false),
            ("", false),
        ] {
            assert_eq!(is_of(uids, &users), is_daemon, "{uids}");
        }
    }

    #[test]
    fn a_container_has_no_agent_of_this_host() {
        for (groups, is_agent) in [
            ("0::/system.slice/teredo-firewall.service\n", true),
            (
                "4:pids:/\n1:name=systemd:/system.slice/teredo-firewall.service\n",
                true,
            ),
            (
                "0::/lxc.payload.a/system.slice/teredo-firewall.service\n",
                false,
            ),
            (
                "0::/user.slice/user@7.service/x:/system.slice/teredo-firewall.service\n",
                false,
            ),
        ] {
            assert_eq!(is_in(groups, AGENT), is_agent, "{groups}");
        }
    }
}
