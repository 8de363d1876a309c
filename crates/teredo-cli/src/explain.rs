//! `teredo explain`: the meaning of a code or a name, and the next step.

use std::fmt::Write as _;

use teredo::DropReason;
use teredo_notify::code::Code;

use crate::args::ExplainArgs;
use crate::doctor::check::id;
use crate::failure::{Exit, Failure};
use crate::nearest::nearest;
use crate::output::Output;
use crate::probe::finding;

mod drops;
mod words;

use words::WORDS;

/// Explains status codes of the notification functions, exit codes of this program, drop reasons, the words of the
/// status, findings of `teredo probe`, and checks of `teredo doctor`.
pub(crate) fn run(args: &ExplainArgs, output: &mut Output) -> Result<Exit, Failure> {
    let text = explain(&args.code).ok_or_else(|| unknown(&args.code))?;
    output.line(text)?;
    Ok(Exit::Done)
}

/// Every meaning of `code`: 0 is both a status code and an exit code.
fn explain(code: &str) -> Option<String> {
    let code = code.trim();
    let meanings = [
        status(code),
        exit(code),
        dropped(code),
        word(code),
        found(code),
        checked(code),
    ];
    let texts: Vec<String> = meanings.into_iter().flatten().collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

fn status(code: &str) -> Option<String> {
    let code = Code::parse(code)?;
    let mut text = format!("{} (Win32 {})", code.win32_name(), code.win32());
    // Writing to a `String` cannot fail.
    let _ = write!(
        text,
        ", {} (NTSTATUS {:#010X})",
        code.ntstatus_name(),
        code.ntstatus()
    );
    let _ = write!(
        text,
        "\n  means: {}\n   next: {}",
        code.message(),
        code.next_step()
    );
    Some(text)
}

fn exit(code: &str) -> Option<String> {
    let exit = Exit::ALL
        .into_iter()
        .find(|exit| is_name(code, exit.name()) || code.parse() == Ok(exit.code()))?;
    Some(format!(
        "{} (exit status {})\n  means: {}\n   next: {}",
        exit.name(),
        exit.code(),
        exit.explanation(),
        exit.next_step()
    ))
}

fn dropped(code: &str) -> Option<String> {
    let reason = DropReason::ALL
        .iter()
        .find(|reason| is_name(code, reason.name()))?;
    Some(format!(
        "{reason} (a packet was dropped)\n  means: {}\n   next: {}",
        drops::meaning(reason.name())?,
        drops::next_step(reason.name())
    ))
}

/// A word of `teredo status`, as it stands there or with `_` for a space.
fn word(code: &str) -> Option<String> {
    let code = code.replace(' ', "_");
    let word = WORDS.iter().find(|word| is_name(&code, word.name))?;
    Some(format!(
        "{} (a word of 'teredo status': {})\n  means: {}\n   next: {}",
        word.name, word.place, word.meaning, word.next_step
    ))
}

/// A finding of `teredo probe`.
fn found(code: &str) -> Option<String> {
    let kind = finding::ALL.iter().find(|kind| is_name(code, kind.id))?;
    Some(format!(
        "{} (a finding of 'teredo probe')\n  means: {}\n   next: {}",
        kind.id, kind.meaning, kind.next_step
    ))
}

/// A check of `teredo doctor`.
fn checked(code: &str) -> Option<String> {
    let id = id::ALL.iter().find(|id| is_name(code, id.name))?;
    Some(format!(
        "{} (a check of 'teredo doctor')\n  means: {}\n   next: {}",
        id.name, id.about, id.next
    ))
}

fn is_name(text: &str, name: &str) -> bool {
    text.eq_ignore_ascii_case(name)
}

fn unknown(code: &str) -> Failure {
    let names = Code::ALL
        .into_iter()
        .flat_map(|code| [code.win32_name(), code.ntstatus_name()]);
    let names = names
        .chain(Exit::ALL.map(Exit::name))
        .chain(DropReason::ALL.iter().map(|reason| reason.name()))
        .chain(WORDS.iter().map(|word| word.name))
        .chain(finding::ALL.iter().map(|kind| kind.id))
        .chain(id::ALL.iter().map(|id| id.name));
    let failure = Failure::new(
        Exit::Failed,
        format!(
            "'{}' is not a code that teredo knows",
            code.escape_default()
        ),
    );
    failure.hint(match nearest(code, names) {
        Some(name) => format!("did you mean '{name}'?"),
        None => String::from(
            "try a status code (21, 0xC00000A3), an exit status (3), a drop reason (malformed), a word of the status \
             (dormant) or a finding (server.silent)",
        ),
    })
}

#[cfg(test)]
mod tests;
