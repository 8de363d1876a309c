//! Settings by variables of the environment, which stand for options of a daemon.

use std::collections::BTreeMap;

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};

use crate::args::variables;
use crate::failure::{Exit, Failure};

/// The options that the environment of this process gives to a daemon.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// The command line without an option; none where nothing is to be taken from the environment.
    options: Option<ArgMatches>,
    /// The variables that are set, by the key of the setting.
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// For the daemon of this name, as it would read its command line.
    pub(super) fn of(daemon: &str) -> Result<Self, Failure> {
        let mut command = variables::command();
        let wrong = |error: clap::Error| {
            if let Some(wrong) = variables::behind(&error, &[]) {
                return Failure::new(Exit::Usage, wrong.to_string()).hint(wrong.remedy());
            }
            let what = error.render().to_string();
            let what = what.lines().next().unwrap_or_default();
            let what = what.strip_prefix("error: ").unwrap_or(what);
            Failure::new(Exit::Usage, what.to_owned()).hint(format!("see 'teredo {daemon} --help'"))
        };
        let matches = command.try_get_matches_from_mut(["teredo", daemon]);
        let options = matches.map_err(wrong)?.remove_subcommand();
        let options = options.map(|(_, options)| options);
        let arguments = command.find_subcommand(daemon).into_iter();
        let variables = arguments
            .flat_map(clap::Command::get_arguments)
            .filter_map(|argument| {
                let (key, variable) = (argument.get_id().as_str(), argument.get_env()?);
                let source = options.as_ref()?.value_source(key);
                (source == Some(ValueSource::EnvVariable))
                    .then(|| (key.to_owned(), variable.to_string_lossy().into_owned()))
            });
        let variables = variables.collect();
        Ok(Self { options, variables })
    }

    /// The options of the daemon.
    pub(super) fn args<A: FromArgMatches + Default>(&self) -> A {
        let options = self.options.as_ref();
        let args = options.and_then(|options| A::from_arg_matches(options).ok());
        args.unwrap_or_default()
    }

    /// The variable that this setting comes from.
    pub(super) fn source(&self, key: &str) -> Option<&str> {
        self.variables.get(key).map(String::as_str)
    }
}
