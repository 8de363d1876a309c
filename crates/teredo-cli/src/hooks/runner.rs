//! The thread that tells the changes, one after the other, while others come.

use std::io::{self, PipeReader, PipeWriter};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::change::{Change, Changes, State};
use super::run;
use crate::failure::{Exit, Failure};

/// Tells changes on a thread of its own.
#[derive(Debug)]
pub(crate) struct Runner {
    shared: Arc<Shared>,
    /// A run ends when this is closed.
    running: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue {
    changes: Changes,
    ending: bool,
}

impl Runner {
    /// Starts; `tell` runs programs for one change, and ends them when the pipe is closed.
    pub(crate) fn start(
        changes: Changes,
        mut tell: impl FnMut(&Change, &PipeReader) + Send + 'static,
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::new(Exit::Failed, "cannot start to run programs").because(error)
        };
        run::adopt().map_err(failed)?;
        let (stop, running) = io::pipe().map_err(failed)?;
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                changes,
                ending: false,
            }),
            changed: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name(String::from("runner"))
            .spawn(move || {
                while let Some(change) = theirs.next() {
                    tell(&change, &stop);
                }
            })
            .map_err(failed)?;
        Ok(Self {
            shared,
            running: Some(running),
            thread: Some(thread),
        })
    }

    /// The newest state. Never waits for a program.
    pub(crate) fn observe(&self, state: State) {
        self.shared.lock().changes.observe(state);
        self.shared.changed.notify_one();
    }

    /// Waits until all changes are told.
    pub(crate) fn finish(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.shared.lock().ending = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that runs programs panicked");
        }
    }
}

impl Drop for Runner {
    /// Ends the program that runs, and tells nothing more.
    fn drop(&mut self) {
        if self.running.take().is_some() && self.thread.is_some() {
            self.shared.lock().changes.forget();
            self.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next change; `None` at the end.
    fn next(&self) -> Option<Change> {
        let mut queue = self.lock();
        loop {
            if let Some(change) = queue.changes.next() {
                return Some(change);
            }
            if queue.ending {
                return None;
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
