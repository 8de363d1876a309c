//! The lines of a configuration of miredo.
//!
//! The rules are those of miredo 1.2.6: a line is a name and one word; names are blind to case; the first of two equal
//! names counts; a line that begins with `#` is a comment. Quotes are no part of these rules, but of what people write.

use super::Remark;
use crate::nearest::nearest;

/// miredo skips a longer line.
const MAX_LINE: usize = 1055;

/// Every name that any version of miredo knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    RelayType,
    ServerAddress,
    ServerAddress2,
    ServerBindAddress,
    ServerBindAddress2,
    BindAddress,
    BindPort,
    InterfaceName,
    InterfaceMtu,
    Prefix,
    DefaultRoute,
    IgnoreConeBit,
    SyslogFacility,
}

impl Key {
    const ALL: [(&str, Self); 13] = [
        ("RelayType", Self::RelayType),
        ("ServerAddress", Self::ServerAddress),
        ("ServerAddress2", Self::ServerAddress2),
        ("ServerBindAddress", Self::ServerBindAddress),
        ("ServerBindAddress2", Self::ServerBindAddress2),
        ("BindAddress", Self::BindAddress),
        ("BindPort", Self::BindPort),
        ("InterfaceName", Self::InterfaceName),
        ("InterfaceMTU", Self::InterfaceMtu),
        ("Prefix", Self::Prefix),
        ("DefaultRoute", Self::DefaultRoute),
        ("IgnoreConeBit", Self::IgnoreConeBit),
        ("SyslogFacility", Self::SyslogFacility),
    ];

    /// As miredo's manual writes it.
    pub(super) fn text(self) -> &'static str {
        let found = Self::ALL.into_iter().find(|&(_, name)| name == self);
        found.map_or("", |(text, _)| text)
    }

    fn parse(word: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|(text, _)| text.eq_ignore_ascii_case(word));
        found.map(|(_, name)| name)
    }

    /// Whether no other program has a setting of this name.
    const fn is_distinctive(self) -> bool {
        matches!(
            self,
            Self::RelayType
                | Self::ServerAddress
                | Self::ServerAddress2
                | Self::ServerBindAddress
                | Self::ServerBindAddress2
                | Self::IgnoreConeBit
        )
    }
}

/// A line with a known name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) line: usize,
    pub(super) name: Key,
    pub(super) value: String,
}

/// The directives of a file, each name once.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) directives: Vec<Directive>,
    pub(super) remarks: Vec<Remark>,
}

/// Why a file is not miredo's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotMiredo {
    #[error("it is not a text file")]
    Binary,
    #[error("it sets nothing")]
    Empty,
    #[error("line {line} does not begin with the name of a directive")]
    Foreign { line: usize, toml: bool },
}

impl NotMiredo {
    /// Whether it looks like a configuration of teredo.
    pub(super) const fn may_be_toml(self) -> bool {
        matches!(self, Self::Foreign { toml: true, .. })
    }
}

impl Source {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, NotMiredo> {
        if bytes.contains(&0) {
            return Err(NotMiredo::Binary);
        }
        let mut source = Self {
            directives: Vec::new(),
            remarks: Vec::new(),
        };
        let mut known = 0;
        let mut unknown = 0;
        let mut distinctive = false;
        let mut foreign = None;
        for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
            // Comments may be in any encoding.
            let text = String::from_utf8_lossy(line);
            let text = text.trim().trim_start_matches('\u{feff}');
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            match Key::parse(word) {
                Some(name) => {
                    known += 1;
                    distinctive |= name.is_distinctive();
                    source.add(number, line.len(), name, rest);
                }
                None => {
                    unknown += 1;
                    let toml = text.starts_with('[');
                    foreign = foreign.or(Some(NotMiredo::Foreign { line: number, toml }));
                    source.refuse(number, word);
                }
            }
        }
        match foreign {
            // Names such as 'Prefix' are those of other programs, too.
            Some(foreign) if !distinctive && unknown > known => Err(foreign),
            None if known == 0 => Err(NotMiredo::Empty),
            _ => Ok(source),
        }
    }

    fn add(&mut self, line: usize, length: usize, name: Key, rest: &str) {
        let text = name.text();
        let mut remark = |said: String| self.remarks.push(Remark::new(line, said));
        if length > MAX_LINE {
            return remark(format!(
                "{text} is not translated: miredo skips a line of more than {MAX_LINE} bytes"
            ));
        }
        let (value, further, quoted) = value(rest);
        if value.is_empty() {
            return remark(format!("{text} is not translated: it has no value"));
        }
        let first = self.directives.iter().find(|other| other.name == name);
        if let Some(first) = first {
            return remark(format!(
                "{text} is not translated: it is set before, in line {}, and miredo takes the first one",
                first.line
            ));
        }
        if quoted {
            remark(format!(
                "{text} is translated without its quotes, which miredo would take for a part of the value"
            ));
        }
        if !further.is_empty() && !further.starts_with('#') {
            remark(format!(
                "'{further}' behind {text} is not translated: miredo takes one word"
            ));
        }
        self.directives.push(Directive {
            line,
            name,
            value: value.to_owned(),
        });
    }

    fn refuse(&mut self, line: usize, word: &str) {
        let names = Key::ALL.iter().map(|&(text, _)| text);
        let hint = match nearest(word, names) {
            Some(name) => format!("; did you mean '{name}'?"),
            None => String::new(),
        };
        self.remarks.push(Remark::new(
            line,
            format!("'{word}' is not translated: miredo has no such directive{hint}"),
        ));
    }
}

/// The value, what follows it, and whether it was in quotes.
fn value(rest: &str) -> (&str, &str, bool) {
    let rest = rest.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = rest.strip_prefix(quote)
            && let Some((value, further)) = inner.split_once(quote)
        {
            return (value.trim(), further.trim(), true);
        }
    }
    let (value, further) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    (value, further.trim(), false)
}
