//! `teredo explain`: the meaning of a code or a name, and the next step.

use std::fmt::Write as _;

use teredo::DropReason;
use teredo_lab::{HomeNat, NatKind};
use teredo_notify::code::Code;
use teredo_trace::{Grade, Rule};

use crate::args::ExplainArgs;
use crate::doctor::check::id;
use crate::failure::{Exit, Failure};
use crate::metrics;
use crate::nearest::nearest;
use crate::output::Output;
use crate::probe::finding;

mod drops;
mod nats;
mod words;

use words::SOURCES;

/// Explains status codes of the notification functions, exit codes of this program, drop reasons, the words of `teredo
/// status`, `probe`, `trace` and `lab`, findings of `probe` and `trace`, checks of `teredo doctor`, metrics, and the NATs of
/// `lab`.
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
        found(code),
        traced(code),
        checked(code),
        measured(code),
    ];
    let mut texts: Vec<String> = meanings.into_iter().flatten().collect();
    texts.extend(words(code));
    texts.extend(nat(code));
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

/// A word as it stands there, or with `_` for a space or hyphen. It may stand in several places.
fn words(code: &str) -> Vec<String> {
    let fold = |text: &str| text.replace([' ', '-'], "_").to_ascii_lowercase();
    let code = fold(code);
    let all = SOURCES
        .iter()
        .flat_map(|(source, words)| words.iter().map(move |word| (source, word)));
    all.filter(|(_, word)| fold(word.name) == code)
        .map(|(source, word)| {
            format!(
                "{} (a word of {source}: {})\n  means: {}\n   next: {}",
                word.name, word.place, word.meaning, word.next_step
            )
        })
        .collect()
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

/// A metric, by the name of its samples.
fn measured(code: &str) -> Option<String> {
    let (name, help) = metrics::names().find(|(name, _)| is_name(code, name))?;
    Some(format!(
        "{name} (a metric)\n  means: {help}\n   next: 'teredo metrics' prints it; docs/metrics.md has its labels"
    ))
}

/// A rule of `teredo trace`, by the name of its findings.
fn traced(code: &str) -> Option<String> {
    let rule = Rule::ALL.iter().find(|rule| is_name(code, rule.id))?;
    let next = match (rule.id, rule.grade) {
        ("stall.solicitation", _) => {
            "'teredo probe SERVER' tests the server; a firewall on the way may drop UDP port 3544"
        }
        ("stall.bubble", _) => {
            "if the peer's bubbles came through its server, a NAT stops the direct way; else the peer is gone"
        }
        ("stall.ping", _) => {
            "check that the native host is up, and that a relay serves its network"
        }
        ("packet.checksum", _) => {
            "nothing on the sender's own host, whose network card fills it in; else a router changes packets"
        }
        (_, Grade::Fail) => {
            "the node that sent the packet is faulty, or the packet is forged; the trace names both"
        }
        (_, Grade::Warn) => {
            "look at the packets that the trace names: what they lack may be the reason of a fault"
        }
        (_, Grade::Note) => "nothing: it is permitted",
    };
    let meaning = match rule.grade {
        _ if rule.id.starts_with("stall.") => "the exchange does not go on; the rule is",
        Grade::Fail => "a packet breaks the rule",
        Grade::Warn => "a packet ignores the rule, or is a sign of trouble",
        Grade::Note => "permitted, and worth knowing; the rule is",
    };
    Some(format!(
        "{} (a finding of 'teredo trace': {})\n  means: {meaning}: {}\n   next: {next}",
        rule.id,
        rule.grade.name(),
        rule.text,
    ))
}

/// A NAT of `teredo lab`: a kind, a property, or both.
fn nat(code: &str) -> Vec<String> {
    let code = code.to_ascii_lowercase();
    let kind = code.parse::<NatKind>().ok();
    let kind = kind.map(|kind| ("kind of NAT", nats::kind(kind)));
    let property = nats::property(&code).map(|meaning| ("property of a NAT", meaning));
    let both = [kind, property].into_iter().flatten();
    both.map(|(what, meaning)| {
        format!(
            "{code} (a {what} of 'teredo lab')\n  means: {meaning}\n   next: try it: 'teredo lab --nat {code}'"
        )
    })
    .collect()
}

fn is_name(text: &str, name: &str) -> bool {
    text.eq_ignore_ascii_case(name)
}

fn unknown(code: &str) -> Failure {
    let metrics: Vec<_> = metrics::names().map(|(name, _)| name).collect();
    let names = Code::ALL
        .into_iter()
        .flat_map(|code| [code.win32_name(), code.ntstatus_name()]);
    let names = names
        .chain(Exit::ALL.map(Exit::name))
        .chain(DropReason::ALL.iter().map(|reason| reason.name()))
        .chain(
            SOURCES
                .iter()
                .flat_map(|(_, words)| *words)
                .map(|word| word.name),
        )
        .chain(finding::ALL.iter().map(|kind| kind.id))
        .chain(Rule::ALL.iter().map(|rule| rule.id))
        .chain(id::ALL.iter().map(|id| id.name))
        .chain(NatKind::ALL.map(NatKind::name))
        .chain(HomeNat::properties());
    let failure = Failure::new(
        Exit::Failed,
        format!(
            "'{}' is not a code that teredo knows",
            code.escape_default()
        ),
    );
    let metrics = metrics.iter().map(String::as_str);
    failure.hint(match nearest(code, names).or_else(|| nearest(code, metrics)) {
        Some(name) => format!("did you mean '{name}'?"),
        None => String::from(
            "try a status code (21, 0xC00000A3), an exit status (3), a drop reason (malformed), a word of the status \
             (dormant) or of a trace (bubble), a setting of 'nat_traversal' (eager), a finding (server.silent) or a kind of NAT (cone)",
        ),
    })
}

#[cfg(test)]
mod tests;
