//! Logs on standard error, for `RUST_LOG` or `--verbose`.

use std::env;
use std::error::Error;
use std::io;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::failure::{Exit, Failure};

/// Starts logging: by `RUST_LOG` if it is set, else debug with `--verbose`, else `usual`.
pub(crate) fn start(verbose: bool, usual: LevelFilter) -> Result<(), Failure> {
    let level = if verbose { LevelFilter::DEBUG } else { usual };
    let filter = match env::var("RUST_LOG") {
        Ok(chosen) if !chosen.trim().is_empty() => targets(chosen.parse())?,
        Err(error @ env::VarError::NotUnicode(_)) => targets(Err(error))?,
        _ => Targets::new().with_default(level),
    };
    let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colour)
        .with_target(verbose)
        // A closed standard error must not become a panic of `eprintln!`.
        .log_internal_errors(false);
    // The journal stamps every line itself.
    let lines = if env::var_os("JOURNAL_STREAM").is_some() {
        lines.without_time().boxed()
    } else {
        lines.boxed()
    };
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .try_init()
        .map_err(|error| Failure::new(Exit::Failed, "cannot start logging").because(error))
}

/// Targets and levels are all that can be chosen: there are no spans here, and `EnvFilter`, which chooses by them, compiles
/// an engine for regular expressions.
fn targets<E: Error + Send + Sync + 'static>(
    chosen: Result<Targets, E>,
) -> Result<Targets, Failure> {
    chosen.map_err(|error| {
        Failure::new(Exit::Usage, "cannot use RUST_LOG")
            .because(error)
            .hint("for example RUST_LOG=teredo=debug,info")
    })
}
