//! The socket of a connection.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::SendFlags;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};

/// Connections have numbers from here on.
const FIRST: RawFd = 512;

/// Gives a descriptor a high number.
///
/// When a process dies, the kernel closes its descriptors from the highest number down, and a program that is attached to an
/// interface takes it 10 ms and more. Subscribers are to hear of the death before that.
fn raise(low: OwnedFd) -> OwnedFd {
    // Without room there, it stays where it is.
    fcntl_dupfd_cloexec(&low, FIRST).unwrap_or(low)
}

/// A connected socket that the runtime watches for reading alone.
///
/// tokio's own type also watches for room to write, always. A subscriber that reads a notification would then wake
/// the service before its own call returns, and compete with it for a processor. tokio's halves of a pipe each watch
/// one direction, and wait for a socket as for a pipe; `AsyncFd`, which could do so too, is unsafe to make.
pub(super) struct Socket(Receiver);

impl Socket {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        let stream = raise(OwnedFd::from(stream.into_std()?));
        Receiver::from_owned_fd_unchecked(stream).map(Self)
    }

    /// Waits until there may be something to read.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// Reads without waiting.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }

    /// Waits until there is room to write.
    pub(super) async fn writable(&self) -> io::Result<()> {
        // epoll registers descriptors: a second one for the same socket is a second registration.
        let second = self.0.as_fd().try_clone_to_owned()?;
        Sender::from_owned_fd_unchecked(second)?.writable().await
    }

    /// Writes as much as there is room for.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        // Not a write: the program that publishes need not ignore SIGPIPE.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(rustix::net::send(&self.0, bytes, flags)?)
    }
}

#[cfg(test)]
mod tests;
