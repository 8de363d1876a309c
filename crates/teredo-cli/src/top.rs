//! `teredo top`: a live view of a node.

mod history;
mod screen;

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use teredo_notify::types::Role;

use crate::args::TopArgs;
use crate::failure::{Exit, Failure};
use crate::feed::on_end_signal;
use crate::{service, status};
use history::{History, Look};

/// How long a signal waits at most.
const SIGNAL_DELAY: Duration = Duration::from_millis(100);

/// Shows the node until a key or a signal ends it. Either leaves the terminal as it was. A service that goes away may
/// come back; one that is not there at the start is an error.
pub(crate) fn run(args: &TopArgs, chosen: Option<&Path>) -> Result<Exit, Failure> {
    if !std::io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Failed, "'teredo top' needs a terminal")
            .hint("'teredo status --watch' prints to files and pipes"));
    }
    let socket = &status::first_socket(chosen);
    let mut history = History::default();
    let started = Instant::now();
    history.observe(look(socket, started)?);
    let ended = Arc::new(AtomicBool::new(false));
    let signalled = Arc::clone(&ended);
    on_end_signal(move || signalled.store(true, Ordering::Relaxed))?;
    let mut terminal = ratatui::try_init().map_err(refused)?;
    let outcome = watch(args, &ended, socket, started, &mut history, &mut terminal);
    ratatui::restore();
    outcome.map(|()| Exit::Done)
}

fn watch(
    args: &TopArgs,
    ended: &AtomicBool,
    socket: &Path,
    started: Instant,
    history: &mut History,
    terminal: &mut DefaultTerminal,
) -> Result<(), Failure> {
    loop {
        let drawn = terminal.draw(|frame| screen::draw(frame, history, SystemTime::now()));
        drawn.map_err(refused)?;
        if is_ended(args.every, ended)? {
            return Ok(());
        }
        match look(socket, started) {
            Ok(look) => history.observe(look),
            Err(failure) if failure.exit() == Exit::Unreachable => {
                history.gone(failure.to_string())
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Waits for the next look, or for a key or a signal that ends the view. A change of the window's size shows at once.
fn is_ended(period: Duration, ended: &AtomicBool) -> Result<bool, Failure> {
    let until = Instant::now() + period;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if ended.load(Ordering::Relaxed) {
            return Ok(true);
        }
        if event::poll(left.min(SIGNAL_DELAY)).map_err(refused)? {
            match event::read().map_err(refused)? {
                Event::Key(key) if ends(key) => return Ok(true),
                Event::Resize(..) => return Ok(false),
                _ => {}
            }
        } else if left <= SIGNAL_DELAY {
            return Ok(false);
        }
    }
}

fn ends(key: KeyEvent) -> bool {
    let interrupt = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    key.kind == KeyEventKind::Press
        && (interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}

fn look(socket: &Path, started: Instant) -> Result<Look, Failure> {
    let status = service::status(socket)?;
    let peers = match status.role {
        // Who may not see them sees the rest.
        Role::Client => service::peers(socket).ok(),
        _ => None,
    };
    Ok(Look {
        at: started.elapsed(),
        wall: SystemTime::now(),
        status,
        peers,
    })
}

fn refused(error: std::io::Error) -> Failure {
    Failure::new(Exit::Failed, "the terminal cannot be used").because(error)
}
