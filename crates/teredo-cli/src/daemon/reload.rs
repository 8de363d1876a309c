//! SIGHUP: the settings are read again, and a daemon with the new ones takes the place of the one before, in the same
//! process. Whatever is wrong with the new settings, the old ones stay in force and the process goes on.

use crate::failure::{Exit, Failure};
use crate::output::narrate;

/// The successor of a daemon that has started.
pub(crate) enum Next<S> {
    /// Another one with these settings.
    Reload(S),
    /// The end of the process.
    End(Result<Exit, Failure>),
}

/// Runs `serve` with the settings, and again after each reload. It fails if it cannot start.
pub(crate) async fn run<S>(
    first: S,
    mut serve: impl AsyncFnMut(&S) -> Result<Next<S>, Failure>,
) -> Result<Exit, Failure> {
    let mut settings = first;
    // The settings to go back to.
    let mut proven = None;
    loop {
        match (serve(&settings).await, proven.take()) {
            (Ok(Next::End(outcome)), _) => return outcome,
            (Ok(Next::Reload(new)), _) => proven = Some(std::mem::replace(&mut settings, new)),
            (Err(failure), Some(old)) => {
                refuse(&failure);
                settings = old;
            }
            (Err(failure), None) => return Err(failure),
        }
    }
}

/// Reads the settings again with `load`; `None` if they are faulty. The caller compares them.
pub(crate) fn read<S>(load: impl Fn() -> Result<S, Failure>) -> Option<S> {
    load().inspect_err(refuse).ok()
}

/// Says that a reload changed nothing.
pub(crate) fn tell_unchanged() {
    narrate("reloaded: no setting has changed");
}

/// Says that a reload changes the daemon.
pub(crate) fn tell_changed() {
    narrate("settings reloaded");
}

/// Says why a reload failed.
pub(crate) fn refuse(failure: &Failure) {
    narrate(format_args!(
        "not reloaded, the old settings stay in force: {failure}"
    ));
}

#[cfg(test)]
mod tests;
