//! The socket of a connection.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::SendFlags;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};

/// A connected socket that the runtime watches for reading alone.
///
/// tokio's own type also watches for room to write, always. A subscriber that reads a notification would then wake
/// the service before its own call returns, and compete with it for a processor. tokio's halves of a pipe each watch
/// one direction, and wait for a socket as for a pipe; `AsyncFd`, which could do so too, is unsafe to make.
pub(super) struct Socket(Receiver);

impl Socket {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        let stream = OwnedFd::from(stream.into_std()?);
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
