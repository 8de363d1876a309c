//! The journal of systemd, in its own protocol: one datagram a line, with priority and fields
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>).
//!
//! No library does it for this program: the common ones send what they are given, while addresses are hidden and
//! repetitions counted here before, and they wait for a journal that does not read, which no data path may.

use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::Level;

use super::record::Record;

/// The journal's socket.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// The most fields of a line.
const FIELDS: usize = 32;

/// A connection to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    /// The command that runs.
    role: &'static str,
    /// Lines that the journal did not take in time.
    lost: AtomicU64,
}

impl Journal {
    /// Connects, if standard error is the journal's: only then has nobody redirected it. `stream` is `JOURNAL_STREAM`.
    pub(super) fn of_standard_error(
        stream: Option<&str>,
        error: impl AsFd,
        socket: &Path,
        role: &'static str,
    ) -> Option<Self> {
        if !is_stream(stream?, error) {
            return None;
        }
        let connection = UnixDatagram::unbound().ok()?;
        connection.connect(socket).ok()?;
        connection.set_nonblocking(true).ok()?;
        Some(Self {
            socket: connection,
            role,
            lost: AtomicU64::new(0),
        })
    }

    /// Sends a line. One that the journal does not take at once is lost, and counted in the next.
    pub(super) fn write(&self, record: &Record) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let datagram = encode(record, self.role, lost);
        if self.socket.send(&datagram).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

/// Whether `stream`, device and inode number, is this descriptor (systemd.exec(5), `$JOURNAL_STREAM`).
pub(super) fn is_stream(stream: &str, descriptor: impl AsFd) -> bool {
    let Some((device, inode)) = stream.split_once(':') else {
        return false;
    };
    let Ok(status) = rustix::fs::fstat(descriptor) else {
        return false;
    };
    device.parse() == Ok(status.st_dev) && inode.parse() == Ok(status.st_ino)
}

/// The priority of syslog(3). Nothing here is an emergency; an event without a warning is information.
pub(super) const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn encode(record: &Record, role: &str, lost: u64) -> Vec<u8> {
    let mut datagram = Vec::new();
    push(&mut datagram, "MESSAGE", &record.to_string());
    push(
        &mut datagram,
        "PRIORITY",
        &priority(record.level).to_string(),
    );
    push(&mut datagram, "SYSLOG_IDENTIFIER", "teredo");
    push(&mut datagram, "TEREDO_ROLE", role);
    push(&mut datagram, "TEREDO_TARGET", record.target);
    for (name, value) in record.fields.iter().take(FIELDS) {
        push(&mut datagram, &field_name(name), unquoted(value));
    }
    for (name, count) in [
        ("TEREDO_LEFT_OUT", record.left_out),
        ("TEREDO_LOST_LINES", lost),
    ] {
        if count > 0 {
            push(&mut datagram, name, &count.to_string());
        }
    }
    datagram
}

/// Values have no line breaks: [`plain`](crate::text::plain) has replaced them.
fn push(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    datagram.push(b'=');
    datagram.extend(
        value
            .bytes()
            .map(|byte| if byte == b'\n' { b' ' } else { byte }),
    );
    datagram.push(b'\n');
}

/// `TEREDO_PORT` for `port`. The journal accepts capital letters, digits and underscores, 64 of them. The field `role` of
/// an event is about another node.
fn field_name(name: &str) -> String {
    let name = if name == "role" { "node_role" } else { name };
    let upper = name.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    "TEREDO_".chars().chain(upper).take(64).collect()
}

/// A text without the quotes that people are shown.
fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests;
