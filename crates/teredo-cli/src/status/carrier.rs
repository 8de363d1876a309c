//! The line about the data path: who carries the packets of known peers.

use std::time::SystemTime;

use teredo_notify::types::{Carrier, DataPath};

use crate::text::{plain, span};

/// Who carries them, and why not the kernel. None of a daemon that does not say.
pub(super) fn in_words(path: &DataPath, now: SystemTime) -> Option<String> {
    let packets = path.packets;
    match (path.in_use, &path.reason) {
        (Carrier::Kernel, _) => Some(format!(
            "kernel{} ({} packets; user space {})",
            lasted(path, now).unwrap_or_default(),
            packets.kernel,
            packets.user
        )),
        (Carrier::User, Some(reason)) => Some(format!("user space: {}", plain(reason))),
        (Carrier::User, None) | (Carrier::Unknown, _) => None,
    }
}

/// How long the path has been in use: ` for 3m 0s`.
pub(crate) fn lasted(path: &DataPath, now: SystemTime) -> Option<String> {
    let since = humantime::parse_rfc3339_weak(path.since.as_deref()?).ok()?;
    let lasted = now.duration_since(since).ok()?;
    Some(format!(" for {}", span(lasted)))
}

#[cfg(test)]
mod tests;
