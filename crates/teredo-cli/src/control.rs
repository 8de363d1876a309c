//! `teredo rebind`, `stop` and `start`.

use std::num::NonZeroU16;
use std::path::Path;

use teredo_notify::service::Outcome;

use crate::args::RebindArgs;
use crate::failure::{Exit, Failure};
use crate::output::{Output, narrate};
use crate::service;

/// Moves the client to another port and prints it.
pub(crate) fn rebind(
    args: &RebindArgs,
    socket: &Path,
    output: &mut Output,
) -> Result<Exit, Failure> {
    finish(
        service::rebind(socket, args.port.map(NonZeroU16::get))?,
        output,
    )
}

/// Stops the client.
pub(crate) fn stop(socket: &Path, output: &mut Output) -> Result<Exit, Failure> {
    finish(service::stop(socket)?, output)
}

/// Starts the client and prints its port.
pub(crate) fn start(socket: &Path, output: &mut Output) -> Result<Exit, Failure> {
    finish(service::start(socket)?, output)
}

fn finish(outcome: Outcome, output: &mut Output) -> Result<Exit, Failure> {
    if !outcome.settled {
        narrate("a firewall did not confirm the change in time; 'teredo status' names it");
    }
    if outcome.port != 0 {
        output.line(outcome.port)?;
    }
    Ok(Exit::Done)
}
