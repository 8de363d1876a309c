//! The operations that the kernel refuses at present, so that each error is reported once and not for every packet.

use std::io;

use rustix::io::Errno;

use super::Operation;

/// The last error of each [`Operation`].
#[derive(Debug, Default)]
pub(crate) struct Troubles([Option<Errno>; 6]);

impl Troubles {
    /// Notes an error; returns the message to report if the error is new.
    pub(crate) fn note(&mut self, operation: Operation, error: &io::Error) -> Option<String> {
        let errno = Errno::from_io_error(error);
        let known = &mut self.0[operation as usize];
        if std::mem::replace(known, errno) == errno {
            return None;
        }
        tracing::warn!(operation = operation.name(), %error, "the kernel refuses");
        Some(error.to_string())
    }

    /// The operation works again; its next error is new.
    pub(crate) fn clear(&mut self, operation: Operation) {
        self.0[operation as usize] = None;
    }

    /// The circumstances changed; every error is new.
    pub(crate) fn clear_all(&mut self) {
        *self = Self::default();
    }
}
