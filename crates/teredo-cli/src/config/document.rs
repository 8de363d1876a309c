//! One file: what it sets, and every mistake in it.
//!
//! The parser goes on after a fault, and each value is then read for itself, as a configuration that holds nothing else.
//! So the types of the sections stay the one list of keys and rules, and no mistake hides another.

use std::borrow::Cow;
use std::iter;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue, Error, ValueDeserializer};

use super::{Config, Mistake, Place};
use crate::text::plain;

/// The contents of a file.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// The valid keys.
    pub(super) entries: Vec<Entry>,
    pub(super) mistakes: Vec<Mistake>,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: toml::Value,
    pub(super) place: Place,
}

impl Document {
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Self {
        let mut document = Self::default();
        match str::from_utf8(bytes) {
            Ok(text) => document.read(path, text),
            Err(error) => document.mistakes.push(Mistake::Syntax {
                place: Place::at(path, bytes, error.valid_up_to()),
                message: String::from("the line is not UTF-8 text"),
            }),
        }
        document
    }

    fn read(&mut self, path: &Path, text: &str) {
        let (text, mut faults) = without_bare_words(text);
        let (root, further) = DeTable::parse_recoverable(&text);
        faults.extend(further.iter().map(|error| Fault::new(&text, error)));
        faults.sort_by_key(|fault| fault.offset);

        let lines = Lines::of(&text);
        let place = |offset| lines.place(path, offset);
        for (name, value) in root.into_inner() {
            let section = name.get_ref();
            match value.get_ref() {
                _ if !is_section(section) => {
                    let faults = faults_within(&mut vec![Step::Key(name.clone())], &value);
                    let mistake = |error| mistake(None, section, &error, place(name.span().start));
                    self.mistakes.extend(faults.into_iter().map(mistake));
                }
                DeValue::Table(keys) => {
                    for (key, value) in keys {
                        if spoilt(&lines, key.span().start..value.span().end, &mut faults) {
                            continue;
                        }
                        self.read_key(&name, key, value, place);
                    }
                }
                _ => self.mistakes.push(Mistake::NotSection {
                    place: place(name.span().start),
                    key: section.to_string(),
                }),
            }
        }
        faults.dedup_by_key(|fault| place(fault.offset).line);
        self.mistakes
            .extend(faults.into_iter().map(|fault| Mistake::Syntax {
                place: place(fault.offset),
                message: fault.message,
            }));
    }

    fn read_key<'i>(
        &mut self,
        section: &Spanned<DeString<'i>>,
        key: &Spanned<DeString<'i>>,
        value: &Spanned<DeValue<'i>>,
        place: impl Fn(usize) -> Place,
    ) {
        let mut steps = vec![Step::Key(section.clone()), Step::Key(key.clone())];
        let mut faults = faults_within(&mut steps, value);
        match toml::Value::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(value) if faults.is_empty() => self.entries.push(Entry {
                section: section.get_ref().to_string(),
                key: key.get_ref().to_string(),
                value,
                place: place(key.span().start),
            }),
            Ok(_) => {}
            Err(error) => faults.push(error),
        }
        let (section, key, start) = (section.get_ref(), key.get_ref(), key.span().start);
        self.mistakes.extend(faults.into_iter().map(|error| {
            let start = error.span().map_or(start, |span| span.start);
            mistake(Some(section), key, &error, place(start))
        }));
    }
}

/// The names of all sections.
pub(crate) fn sections() -> Vec<String> {
    known(&[])
}

/// The keys of a section.
#[cfg(test)]
pub(crate) fn keys(section: &str) -> Vec<String> {
    known(&[Step::Key(unplaced(section))])
}

/// A place that is not TOML.
#[derive(Debug)]
struct Fault {
    offset: usize,
    message: String,
}

impl Fault {
    fn new(text: &str, error: &Error) -> Self {
        let span = error.span().unwrap_or_default();
        let message = match error.message() {
            "duplicate key" => format!(
                "duplicate key '{}'",
                text.get(span.clone()).unwrap_or_default()
            ),
            // The parser guesses from the first letter what an address or a name was meant to be.
            message if is_about_a_bare_value(message) => format!("{message}; text needs quotes"),
            message => message.to_owned(),
        };
        Self {
            offset: span.start,
            message: plain(&message),
        }
    }
}

fn is_about_a_bare_value(message: &str) -> bool {
    ["boolean", "date-time", "float", "integer"]
        .iter()
        .any(|kind| message.starts_with(&format!("invalid {kind}")))
}

/// The text without lines that hold a key alone, where the parser would stop, and those faults.
///
/// Offsets stay as they are.
fn without_bare_words(text: &str) -> (Cow<'_, str>, Vec<Fault>) {
    let (_, errors) = DeTable::parse_recoverable(text);
    let faults: Vec<_> = errors
        .iter()
        .filter(|error| error.message().starts_with("key with no value"))
        .map(|error| Fault::new(text, error))
        .collect();
    if faults.is_empty() {
        return (Cow::Borrowed(text), faults);
    }
    let mut bytes = text.as_bytes().to_owned();
    let lines = Lines::of(text);
    for fault in &faults {
        let line = lines.around(fault.offset..fault.offset);
        for byte in &mut bytes[line] {
            if !matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
    // Whole characters were replaced, so this keeps every byte.
    (
        Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        faults,
    )
}

/// Whether one of the lines is not TOML. Then the value is a guess; of the faults there, the first is the cause of the
/// others.
fn spoilt(lines: &Lines, value: Range<usize>, faults: &mut Vec<Fault>) -> bool {
    let Range { start, end } = lines.around(value);
    let first = faults.partition_point(|fault| fault.offset < start);
    let last = faults.partition_point(|fault| fault.offset <= end);
    if first == last {
        return false;
    }
    faults.drain(first + 1..last);
    true
}

/// Where each line begins; a search in the text would take too long for many mistakes in a large file.
#[derive(Debug)]
struct Lines {
    starts: Vec<usize>,
    len: usize,
}

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        Self {
            starts: iter::once(0).chain(ends.map(|(end, _)| end + 1)).collect(),
            len: text.len(),
        }
    }

    /// The number of the line, from 1.
    fn number(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset)
    }

    fn place(&self, file: &Path, offset: usize) -> Place {
        Place {
            file: file.to_owned(),
            line: self.number(offset),
        }
    }

    /// From the beginning of the first line to the end of the last one, without its line feed.
    fn around(&self, Range { start, end }: Range<usize>) -> Range<usize> {
        let start = self.starts[self.number(start) - 1];
        let next = self.starts.get(self.number(end));
        start..next.map_or(self.len, |next| next - 1)
    }
}

/// A step from a configuration down to a value in it.
#[derive(Clone, Debug)]
enum Step<'i> {
    Key(Spanned<DeString<'i>>),
    /// The only element of an array.
    Element,
}

/// Reads a configuration that holds this value at the end of `steps` and nothing else.
fn alone<'i>(steps: &[Step<'i>], value: Spanned<DeValue<'i>>) -> Result<Config, Error> {
    let root = steps.iter().rev().fold(value, |value, step| {
        let span = value.span();
        let around = match step {
            Step::Key(key) => DeValue::Table(DeTable::from_iter([(key.clone(), value)])),
            Step::Element => DeValue::Array(DeArray::from_iter([value])),
        };
        Spanned::new(span, around)
    });
    Config::deserialize(ValueDeserializer::from(root))
}

/// The faults of the value at the end of `steps`: those of its parts, or else of the whole.
fn faults_within<'i>(steps: &mut Vec<Step<'i>>, value: &Spanned<DeValue<'i>>) -> Vec<Error> {
    let Err(whole) = alone(steps, value.clone()) else {
        return Vec::new();
    };
    let (empty, parts): (_, Vec<_>) = match value.get_ref() {
        DeValue::Array(elements) => (
            DeValue::Array(DeArray::new()),
            iter::repeat(Step::Element).zip(elements.iter()).collect(),
        ),
        DeValue::Table(entries) => (
            DeValue::Table(DeTable::new()),
            entries
                .iter()
                .map(|(key, value)| (Step::Key(key.clone()), value))
                .collect(),
        ),
        _ => return vec![whole],
    };
    // If no array or table may stand here, its parts are not to blame.
    if let Err(error) = alone(steps, Spanned::new(value.span(), empty))
        && !is_incomplete(&error)
    {
        return vec![whole];
    }
    let mut faults = Vec::new();
    for (step, part) in parts {
        steps.push(step);
        faults.extend(faults_within(steps, part));
        steps.pop();
    }
    if matches!(value.get_ref(), DeValue::Table(_)) {
        // Each key was alone, so the others were missing.
        faults.retain(|fault| !is_incomplete(fault));
    }
    if faults.is_empty() {
        faults.push(whole);
    }
    faults
}

fn is_incomplete(error: &Error) -> bool {
    error.message().starts_with("missing field")
}

fn is_section(name: &str) -> bool {
    alone(&[Step::Key(unplaced(name))], table([])).is_ok()
}

fn is_key(section: &str, key: &str) -> bool {
    let step = Step::Key(unplaced(section));
    let value = Spanned::new(0..0, DeValue::Boolean(true));
    match alone(&[step], table([(unplaced(key), value)])) {
        Ok(_) => true,
        Err(error) => unknown_key(error.message()).is_none(),
    }
}

/// The known keys at the end of `steps`, which serde names to those who try an unknown one.
fn known(steps: &[Step<'_>]) -> Vec<String> {
    let nothing = Spanned::new(0..0, DeValue::Boolean(true));
    let error = alone(steps, table([(unplaced(""), nothing)])).err();
    let known = error.and_then(|error| unknown_key(error.message()));
    known.map(|(_, known)| known).unwrap_or_default()
}

fn table<'i, const N: usize>(
    entries: [(Spanned<DeString<'i>>, Spanned<DeValue<'i>>); N],
) -> Spanned<DeValue<'i>> {
    Spanned::new(0..0, DeValue::Table(DeTable::from_iter(entries)))
}

fn unplaced(key: &str) -> Spanned<DeString<'_>> {
    Spanned::new(0..0, Cow::Borrowed(key))
}

fn mistake(section: Option<&str>, key: &str, error: &Error, place: Place) -> Mistake {
    if let Some((key, known)) = unknown_key(error.message()) {
        let elsewhere = sections().into_iter().filter(|name| is_key(name, &key));
        return Mistake::UnknownKey {
            place,
            section: section.map(str::to_owned),
            elsewhere: elsewhere.collect(),
            key,
            known,
        };
    }
    Mistake::Value {
        place,
        section: section.unwrap_or_default().to_owned(),
        key: plain(key),
        message: plain(error.message()),
    }
}

/// The unknown key and the known ones, from the text of [`serde::de::Error::unknown_field`], which is all that toml
/// gives.
fn unknown_key(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, expected) = rest.split_once("`, expected ")?;
    let known = expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    Some((key.to_owned(), known))
}

#[cfg(test)]
mod tests;
