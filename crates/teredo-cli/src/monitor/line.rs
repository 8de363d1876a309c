//! An event as a line for people: time, one verb, then `key=value`.

use std::fmt;

use anstyle::{AnsiColor, Style};
use teredo_notify::types::{Detail, Event};

use crate::text::plain;

/// `2026-11-22T13:05:07.123456Z [PORT] change port=40002 sequence=17`.
pub(super) struct Line<'a>(pub(super) &'a Event);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event {
            time,
            sequence,
            detail,
            ..
        } = self.0;
        let (verb, colour) = match detail {
            Detail::Port { .. } => ("PORT", AnsiColor::Green),
            Detail::State { .. } => ("STATE", AnsiColor::Cyan),
            Detail::Lost { .. } => ("LOST", AnsiColor::Red),
            _ => ("OTHER", AnsiColor::Yellow),
        };
        let style = Style::new().fg_color(Some(colour.into()));
        write!(f, "{} {style}[{verb}]{style:#}", plain(time))?;
        match detail {
            Detail::Port { kind, port } => write!(f, " {} port={port}", kind.name())?,
            Detail::State {
                state,
                reason,
                address,
                mapped,
                nat,
                server,
            } => {
                write!(f, " {}", state.name())?;
                pair(f, "address", address.as_ref())?;
                pair(f, "mapped", mapped.as_ref())?;
                pair(f, "nat", nat.as_deref().map(plain).as_ref())?;
                pair(f, "server", server.as_deref().map(plain).as_ref())?;
                // Debug's quotes: the only value with spaces.
                pair(
                    f,
                    "reason",
                    reason
                        .as_deref()
                        .map(|reason| format!("{reason:?}"))
                        .as_ref(),
                )?;
            }
            Detail::Lost { count } => write!(f, " count={count}")?,
            _ => {}
        }
        write!(f, " sequence={sequence}")
    }
}

fn pair(f: &mut fmt::Formatter<'_>, key: &str, value: Option<&impl fmt::Display>) -> fmt::Result {
    match value {
        Some(value) => write!(f, " {key}={value}"),
        None => Ok(()),
    }
}
