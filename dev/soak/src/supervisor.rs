//! Starts the programs, and starts them again as systemd would: 300 ms after their end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use teredo_lab::Process;

use crate::fault::Role;
use crate::journal::{Invariant, Journal};

/// `RestartSec=` of the units.
const RESTART: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_millis(10);
/// How many lines of earlier lives are kept.
const KEPT_LINES: usize = 400;

type Start = Box<dyn Fn() -> Result<Process> + Send + Sync>;

/// A program that is started again whenever it ends.
pub(crate) struct Unit {
    pub(crate) role: Role,
    start: Start,
    journal: Arc<Journal>,
    state: Mutex<State>,
    over: AtomicBool,
}

#[derive(Default)]
struct State {
    process: Option<Process>,
    /// How many lives it has had.
    lives: u32,
    /// When to start it again.
    due: Option<Instant>,
    /// Not started until this is lifted.
    held: bool,
    /// A fault of the plan has ended it, or may.
    excused: bool,
    /// The last lines of earlier lives.
    lines: VecDeque<String>,
}

impl Unit {
    /// Starts it.
    pub(crate) fn new(role: Role, journal: Arc<Journal>, start: Start) -> Result<Arc<Self>> {
        let unit = Arc::new(Self {
            role,
            start,
            journal,
            state: Mutex::default(),
            over: AtomicBool::new(false),
        });
        unit.begin(&mut unit.state())?;
        let own = Arc::clone(&unit);
        thread::Builder::new()
            .name("soak-unit".into())
            .spawn(move || {
                while !own.over.load(Ordering::Acquire) {
                    own.look();
                    thread::sleep(LOOK);
                }
            })
            .context("cannot start a thread")?;
        Ok(unit)
    }

    /// Its process ID and the number of its life; none while it is away.
    pub(crate) fn process(&self) -> Option<(u32, u32)> {
        let state = self.state();
        state
            .process
            .as_ref()
            .map(|process| (process.id(), state.lives))
    }

    /// How many lives it has had.
    pub(crate) fn lives(&self) -> u32 {
        self.state().lives
    }

    /// Sends a signal that does not end it.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        match &self.state().process {
            Some(process) => Ok(process.signal(signal)?),
            None => Ok(()),
        }
    }

    /// Kills it. `prepare` runs when it is dead, and before it is started again.
    pub(crate) fn kill(&self, prepare: impl FnOnce()) -> Result<()> {
        let mut state = self.state();
        state.excused = true;
        if let Some(process) = &state.process {
            process.kill()?;
        }
        prepare();
        Ok(())
    }

    /// Says whether it may stay away.
    pub(crate) fn hold(&self, held: bool) {
        self.state().held = held;
    }

    /// Says whether it may end by itself: there is no memory.
    pub(crate) fn excuse(&self, excused: bool) {
        self.state().excused = excused;
    }

    /// The last lines of this life and those before it.
    pub(crate) fn last_lines(&self, count: usize) -> Vec<String> {
        let state = self.state();
        let now = state.process.as_ref().map(Process::lines);
        let all: Vec<String> = state
            .lines
            .iter()
            .cloned()
            .chain(now.into_iter().flatten())
            .collect();
        all[all.len().saturating_sub(count)..].to_vec()
    }

    /// Ends it for good.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.state().process = None;
    }

    fn begin(&self, state: &mut State) -> Result<()> {
        state.process = Some((self.start)()?);
        state.lives += 1;
        state.due = None;
        state.excused = false;
        Ok(())
    }

    fn look(&self) {
        let mut state = self.state();
        let status = match &state.process {
            Some(process) => process.try_wait().ok().flatten(),
            None => None,
        };
        if let Some(status) = status
            && let Some(process) = state.process.take()
        {
            let lines = process.lines();
            for line in &lines[lines.len().saturating_sub(KEPT_LINES)..] {
                if state.lines.len() == KEPT_LINES {
                    state.lines.pop_front();
                }
                state.lines.push_back(line.clone());
            }
            state.lines.push_back(format!("--- ended: {status}"));
            state.due = Some(Instant::now() + RESTART);
            if !state.excused {
                let (name, lives) = (self.role.name(), state.lives);
                drop(state);
                let text = format!("the {name} (life {lives}) has ended by itself: {status}");
                self.journal.broken(Invariant::Life, &text);
                return;
            }
        }
        let is_due = state.due.is_some_and(|due| Instant::now() >= due);
        if state.process.is_none()
            && is_due
            && !state.held
            && !self.over.load(Ordering::Acquire)
            && let Err(error) = self.begin(&mut state)
        {
            state.due = Some(Instant::now() + RESTART);
            drop(state);
            let text = format!("the {} could not be started: {error:#}", self.role.name());
            self.journal.broken(Invariant::Life, &text);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
