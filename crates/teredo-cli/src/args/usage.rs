//! What is said about a wrong command line: one clear line, and where to look.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::{Exit, Failure};

/// Turns `error` into a failure in this program's form.
///
/// clap renders a paragraph, and its parts are no more than text; its first paragraph is what went wrong.
pub(crate) fn usage_failure(error: &clap::Error) -> Failure {
    let rendered = error.render().to_string();
    let what = rendered
        .lines()
        .take_while(|line| !line.is_empty())
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what).to_owned();
    let failure = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Failure::new(Exit::Usage, "a command is missing")
        }
        _ => Failure::new(Exit::Usage, what),
    };
    failure.hint(suggestion(error).unwrap_or_else(|| format!("{} --help", command(&rendered))))
}

fn suggestion(error: &clap::Error) -> Option<String> {
    let kinds = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ];
    kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(name) => Some(format!("did you mean '{name}'?")),
        // clap puts the likeliest last.
        ContextValue::Strings(names) => names.last().map(|name| format!("did you mean '{name}'?")),
        _ => None,
    })
}

/// The command that was meant, from the line `Usage: teredo address decode [OPTIONS] <ADDR>`.
fn command(rendered: &str) -> String {
    let usage = rendered
        .lines()
        .find_map(|line| line.strip_prefix("Usage: "))
        .unwrap_or("teredo");
    let names = usage
        .split(' ')
        .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
    names.collect::<Vec<_>>().join(" ")
}
