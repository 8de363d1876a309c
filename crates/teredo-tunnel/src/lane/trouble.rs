//! What the kernel refuses at present, so that it is told once and not for every packet.

use std::io;

use rustix::io::Errno;

use super::Operation;

/// The last error of each [`Operation`].
#[derive(Debug, Default)]
pub(crate) struct Troubles([Option<Errno>; 6]);

impl Troubles {
    /// Takes note of an error; returns what to tell if it is news.
    pub(crate) fn note(&mut self, operation: Operation, error: &io::Error) -> Option<String> {
        let errno = Errno::from_io_error(error);
        let known = &mut self.0[operation as usize];
        if std::mem::replace(known, errno) == errno {
            return None;
        }
        tracing::warn!(operation = operation.name(), %error, "the kernel refuses");
        Some(error.to_string())
    }

    /// The operation works; its next error is news.
    pub(crate) fn clear(&mut self, operation: Operation) {
        self.0[operation as usize] = None;
    }

    /// Things may be otherwise now; every error is news.
    pub(crate) fn clear_all(&mut self) {
        *self = Self::default();
    }
}
