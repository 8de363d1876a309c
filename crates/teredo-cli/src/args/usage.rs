//! What is said about a wrong command line: one clear line, and where to look.

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Cli;
use crate::failure::{Exit, Failure};

/// Turns `error` about `arguments` into a failure in this program's form.
///
/// clap renders a paragraph, and its parts are no more than text; its first paragraph is what went wrong.
pub(crate) fn usage_failure(
    error: &clap::Error,
    arguments: impl IntoIterator<Item = OsString>,
) -> Failure {
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
    failure.hint(suggestion(error).unwrap_or_else(|| format!("{} --help", command(arguments))))
}

fn suggestion(error: &clap::Error) -> Option<String> {
    let kinds = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ];
    let typed = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(typed)) => Some(typed.as_str()),
        _ => None,
    };
    kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(name) => Some(format!("did you mean '{name}'?")),
        // clap puts the likeliest last, but a word that was cut short is likelier still.
        ContextValue::Strings(names) => {
            let begins = |name: &&String| typed.is_some_and(|typed| name.starts_with(typed));
            let name = names.iter().find(begins).or_else(|| names.last());
            name.map(|name| format!("did you mean '{name}'?"))
        }
        _ => None,
    })
}

/// The command that was meant: `teredo address decode`.
///
/// A value that is also the name of a command leads astray, and then only to another page of help.
fn command(arguments: impl IntoIterator<Item = OsString>) -> String {
    let root = Cli::command();
    let mut command = &root;
    let mut names = vec![root.get_name()];
    for argument in arguments {
        if let Some(subcommand) = command.find_subcommand(argument) {
            names.push(subcommand.get_name());
            command = subcommand;
        }
    }
    names.join(" ")
}
