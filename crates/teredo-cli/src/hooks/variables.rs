//! The environment of a hook.

use std::env;
use std::fmt::Display;
use std::path::Path;
use std::process::Command;

use teredo_notify::types::Role;

use super::change::Change;
use crate::text::plain;

/// Variables of the caller that a hook gets, too. Those of systemd name the folders and secrets of the unit.
const KEPT: &[&str] = &[
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "STATE_DIRECTORY",
    "CACHE_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "CREDENTIALS_DIRECTORY",
];

/// The search path of a hook whose caller has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Takes all variables away but a few.
pub(super) fn clean(command: &mut Command) {
    command.env_clear().env("PATH", PATH);
    for name in KEPT {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
}

/// Adds the variables that tell the change.
pub(super) fn tell(command: &mut Command, change: &Change, socket: &Path) {
    let Change { kind, before, now } = change;
    let before = before.as_ref();
    let role = now.role.and_then(|role| match role {
        Role::Client => Some("client"),
        Role::Server => Some("server"),
        Role::Relay => Some("relay"),
        Role::Unknown => None,
    });
    let first = if before.is_none() { "1" } else { "0" };
    for (name, value) in [
        ("EVENT", kind.name().to_owned()),
        ("FIRST", first.to_owned()),
        ("PORT", now.port.to_string()),
        (
            "OLD_PORT",
            before.map_or(0, |before| before.port).to_string(),
        ),
        ("ADDRESS", text(now.address)),
        (
            "OLD_ADDRESS",
            text(before.and_then(|before| before.address)),
        ),
        ("MAPPED", text(now.mapped)),
        ("LOCAL", text(now.local)),
        ("INTERFACE", text(now.interface.as_deref())),
        ("STATE", now.phase.name().to_owned()),
        ("REASON", text(now.reason.as_deref())),
        ("NAT", text(now.nat.as_deref())),
        ("SERVER", text(now.server.as_deref())),
        ("ROLE", text(role)),
        ("SEQUENCE", now.sequence.to_string()),
    ] {
        command.env(format!("TEREDO_{name}"), value);
    }
    command.env("TEREDO_SOCKET", socket);
}

/// Empty for what is not there. No byte of it ends an environment variable or drives a terminal.
fn text(value: Option<impl Display>) -> String {
    value.map_or_else(String::new, |value| plain(&value.to_string()))
}
