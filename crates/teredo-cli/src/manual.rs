//! Manual pages and completions, from the same definition as the command line.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Prints the completion script for `shell`.
pub(crate) fn completions(shell: Shell, output: &mut Output) -> Result<Exit, Failure> {
    // Into memory first: the generator panics if a write fails.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "teredo", &mut script);
    output.bytes(&script)?;
    Ok(Exit::Done)
}

/// Writes `teredo.1` and a page for each command into `directory`, which it makes if there is none.
pub(crate) fn pages(directory: &Path) -> Result<Exit, Failure> {
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("cannot write manual pages to {}", directory.display()),
            )
            .because(error)
            .hint("name a directory in which this user may write, such as 'teredo man /tmp/teredo-man'")
        })?;
    Ok(Exit::Done)
}
