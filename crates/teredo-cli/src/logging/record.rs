//! A line of the log, before it is written anywhere.

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::redact::Redaction;
use crate::text::{plain, span};

/// The longest text of a message or a field, in bytes: far below the size of a datagram to the journal.
const LONGEST: usize = 4 * 1024;

/// Fields that name a thing of this host. Lines about two of them are two lines; other fields of a warning, such as an
/// error, a process or an address, are what a stranger or a broken network varies.
const IDENTIFYING: &[&str] = &["file", "hook", "interface", "name", "server", "socket"];

/// One event of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) level: Level,
    /// The module that it comes from.
    pub(super) target: &'static str,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, String)>,
    /// How many lines like this one were left out since it was last written.
    pub(super) left_out: u64,
    /// How long it was left out itself; zero for a line that is written at once.
    pub(super) age: Duration,
}

impl Record {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut record = Self {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: String::new(),
            fields: Vec::new(),
            left_out: 0,
            age: Duration::ZERO,
        };
        event.record(&mut record);
        record
    }

    /// The same number for lines that say the same. Of a warning or an error, only some fields count; of a message about
    /// the ordinary course of things, all do, because it is the new state.
    pub(super) fn likeness(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.message.hash(&mut hasher);
        for (name, value) in &self.fields {
            if self.level > Level::WARN || IDENTIFYING.contains(name) {
                (name, value).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// Hides the addresses.
    pub(super) fn redact(&mut self, redaction: &Redaction) {
        self.message = redaction.apply(&self.message);
        for (_, value) in &mut self.fields {
            *value = redaction.apply(value);
        }
    }

    /// ` (52m 0s ago; left out: 3 more like this)`, if it is late and if there were any.
    pub(super) fn write_left_out(&self, f: &mut impl fmt::Write) -> fmt::Result {
        let is_late = self.age >= Duration::from_secs(1);
        let late = is_late.then(|| format!("{} ago", span(self.age)));
        let more = self.left_out;
        let more = (more > 0).then(|| format!("left out: {more} more like this"));
        let parts: Vec<_> = late.into_iter().chain(more).collect();
        if parts.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", parts.join("; "))
    }

    fn field(&mut self, field: &Field, value: &str) {
        let mut value = plain(value);
        shorten(&mut value);
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.push((field.name(), value));
        }
    }
}

/// Cuts a text that is too long, and says so.
fn shorten(text: &mut String) {
    if text.len() > LONGEST {
        let mut end = LONGEST;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.field(field, value);
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // A `Debug` that fails leaves what it wrote.
        let _ = write!(text, "{value:?}");
        self.field(field, &text);
    }
}

/// The message, its fields and what was left out, as people read it.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (name, value) in &self.fields {
            write!(f, " {name}={value}")?;
        }
        self.write_left_out(f)
    }
}
