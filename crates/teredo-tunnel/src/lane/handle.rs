//! The owner's end of the data-path threads: commands go in, and dropping the handle ends the thread.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::Waker;

/// The answer of a thread; `None` if the thread has ended.
#[derive(Debug)]
pub(crate) struct Answer<T>(oneshot::Receiver<T>);

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(context).map(Result::ok)
    }
}

/// A thread of the data path. Dropping it asks the thread to end and waits for that, for no longer than a batch takes.
pub(crate) struct ThreadHandle<C> {
    /// The thread ends when this is gone.
    commands: Option<mpsc::Sender<C>>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl<C: Send + 'static> ThreadHandle<C> {
    /// Starts `body`, which must end when `commands` is disconnected and `waker` was woken.
    pub(crate) fn spawn(
        name: String,
        commands: mpsc::Sender<C>,
        waker: Waker,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let thread = thread::Builder::new().name(name).spawn(body)?;
        Ok(Self {
            commands: Some(commands),
            waker,
            thread: Some(thread),
        })
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub(crate) fn send(&self, command: C) {
        if let Some(commands) = &self.commands {
            // A thread that has ended drops the command, and with it the sender of the reply.
            let _ = commands.send(command);
            self.waker.wake();
        }
    }

    /// Sends the command that `command` makes of a place for the answer.
    pub(crate) fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> C) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply));
        Answer(answer)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl<C> ThreadHandle<C> {
    /// Asks the thread to end, and does not wait.
    fn close(&mut self) {
        self.commands = None;
        self.waker.wake();
    }
}

impl<C> fmt::Debug for ThreadHandle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ThreadHandle");
        debug.field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Threads<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl<C> Drop for ThreadHandle<C> {
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a thread of the data path panicked");
        }
    }
}

/// The threads of a relay or server; at least one. The first ends last: it announces that the port is closed, and by
/// then every socket is.
pub(crate) struct Threads<C>(Vec<ThreadHandle<C>>);

impl<C: Send + 'static> Threads<C> {
    /// The first is first.
    pub(crate) fn new(threads: Vec<ThreadHandle<C>>) -> Self {
        Self(threads)
    }

    /// Sends a command of its own to each.
    pub(crate) fn send(&self, mut command: impl FnMut() -> C) {
        for thread in &self.0 {
            thread.send(command());
        }
    }

    /// Asks each.
    pub(crate) fn ask<T>(&self, command: impl Fn(oneshot::Sender<T>) -> C) -> Vec<Answer<T>> {
        let threads = self.0.iter();
        threads.map(|thread| thread.ask(&command)).collect()
    }
}

impl<C> Drop for Threads<C> {
    fn drop(&mut self) {
        // All at once; dropping them waits for each.
        for thread in self.0.iter_mut().skip(1) {
            thread.close();
        }
        while let Some(thread) = self.0.pop() {
            drop(thread);
        }
    }
}
