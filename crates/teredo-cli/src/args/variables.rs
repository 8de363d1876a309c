//! Variables of the environment that stand for options. An empty one counts as one that is not set.

use std::env;
use std::ffi::OsString;
use std::fmt;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, CommandFactory as _};

use super::Cli;
use crate::text::plain;

/// The command line, with the variables that are set.
pub(crate) fn command() -> Command {
    forget_empty(Cli::command())
}

fn forget_empty(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        let is_empty = value_of(&argument).is_some_and(|value| value.is_empty());
        if is_empty {
            argument.env(Resettable::Reset)
        } else {
            argument
        }
    });
    command.mut_subcommands(forget_empty)
}

/// A variable whose value its option does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrongVariable {
    name: String,
    value: String,
    possible: Vec<String>,
    /// As on the command line: `--data-path`.
    option: String,
}

impl fmt::Display for WrongVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            value,
            possible,
            ..
        } = self;
        let value = plain(value);
        let possible = possible.join(", ");
        write!(
            f,
            "the variable {name} of the environment is '{value}', and its values are: {possible}"
        )
    }
}

impl WrongVariable {
    /// The next step.
    pub(crate) fn remedy(&self) -> String {
        format!("set {} to one of these, or unset it", self.name)
    }

    fn of(argument: &Arg) -> Option<Self> {
        let value = value_of(argument).filter(|value| !value.is_empty())?;
        let possible: Vec<_> = argument
            .get_possible_values()
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect();
        let value = value.to_string_lossy().into_owned();
        if possible.is_empty() || possible.contains(&value) {
            return None;
        }
        Some(Self {
            name: argument.get_env()?.to_string_lossy().into_owned(),
            value,
            possible,
            option: format!("--{}", argument.get_long()?),
        })
    }
}

fn value_of(argument: &Arg) -> Option<OsString> {
    env::var_os(argument.get_env()?)
}

/// Every wrong one, of whatever command.
pub(crate) fn wrong() -> Vec<WrongVariable> {
    let mut found = Vec::new();
    collect(&Cli::command(), &mut found);
    found
}

fn collect(command: &Command, found: &mut Vec<WrongVariable>) {
    for wrong in command.get_arguments().filter_map(WrongVariable::of) {
        // Several commands may have the option.
        if !found.contains(&wrong) {
            found.push(wrong);
        }
    }
    for command in command.get_subcommands() {
        collect(command, found);
    }
}

/// The wrong variable behind an error about a command line with these arguments, which names the option alone.
pub(crate) fn behind(error: &clap::Error, arguments: &[OsString]) -> Option<WrongVariable> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    wrong().into_iter().find(|wrong| {
        let is_given = arguments.iter().any(|argument| {
            let argument = argument.to_string_lossy();
            argument.split('=').next() == Some(&*wrong.option)
        });
        argument.split(' ').next() == Some(&*wrong.option) && !is_given
    })
}
