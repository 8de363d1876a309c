//! The socket of a connection.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::SendFlags;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};

/// A connected socket, whose runtime is told of what is waited for and of nothing else.
///
/// tokio's own type is told, as long as it lives, whenever there is more room to write. So a subscriber that reads
/// what it was sent would wake the service, before its own call returns, and compete with it for a processor. tokio
/// has pipes in halves, each told of its own direction; a socket is read and waited for like one.
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

    /// Reads what is there.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }

    /// Waits until there is room to write.
    pub(super) async fn writable(&self) -> io::Result<()> {
        // epoll knows descriptors: another one for the same socket is another registration.
        let other = self.0.as_fd().try_clone_to_owned()?;
        Sender::from_owned_fd_unchecked(other)?.writable().await
    }

    /// Writes as much as there is room for.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        // Not a write: the program that announces need not be one that ignores SIGPIPE.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(rustix::net::send(&self.0, bytes, flags)?)
    }
}
