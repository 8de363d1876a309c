//! Logs on standard error, for `RUST_LOG` or `--verbose`.

use std::env;
use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::failure::{Exit, Failure};

/// Starts logging, by `RUST_LOG` if it is set, else at debug level with `--verbose`, else at `usual`.
pub(crate) fn start(verbose: bool, usual: LevelFilter) -> Result<(), Failure> {
    let level = if verbose { LevelFilter::DEBUG } else { usual };
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env()
        .map_err(|error| {
            Failure::new(Exit::Usage, "cannot use RUST_LOG")
                .because(error)
                .hint("for example RUST_LOG=teredo=debug,info")
        })?;
    let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour)
        .with_target(verbose)
        // A closed standard error must not become a panic of `eprintln!`.
        .log_internal_errors(false);
    // The journal adds the time itself.
    let started = if env::var_os("JOURNAL_STREAM").is_some() {
        builder.without_time().try_init()
    } else {
        builder.try_init()
    };
    started.map_err(|error| Failure::new(Exit::Failed, "cannot start logging").because(error))
}
