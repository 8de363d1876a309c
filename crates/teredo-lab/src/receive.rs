//! Receiving with a timeout, in a process that may be stopped meanwhile.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// Receiving that a stopped and continued process survives.
///
/// A receive with a timeout (`SO_RCVTIMEO`) is never restarted by the kernel: it ends with `EINTR` as
/// soon as the process is stopped, frozen or traced (signal(7)), though no signal handler ever ran. A
/// test that takes that for an answer fails on a busy machine once in a thousand runs. These methods
/// receive again.
///
/// ```
/// use std::net::UdpSocket;
/// use teredo_lab::Receive;
///
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// socket.send_to(b"bubble", socket.local_addr()?)?;
/// assert_eq!(socket.receive(&mut [0; 16])?, 6);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Receive {
    /// An address of this family.
    type Address;

    /// Receives one datagram, and returns its length and source.
    ///
    /// # Errors
    ///
    /// Those of recvfrom(2) except `EINTR`. After the socket's timeout, if it has one, the error is
    /// [`io::ErrorKind::WouldBlock`]. Interruptions make it at most twice as long.
    fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Self::Address)>;

    /// Receives one datagram, and returns its length.
    ///
    /// # Errors
    ///
    /// Those of [`receive_from`](Self::receive_from).
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_from(buffer).map(|(length, _)| length)
    }
}

impl Receive for UdpSocket {
    type Address = SocketAddr;

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where it is repeated"
    )]
    fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        uninterrupted(self.read_timeout()?, || self.recv_from(buffer))
    }
}

impl Receive for UnixDatagram {
    type Address = std::os::unix::net::SocketAddr;

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where it is repeated"
    )]
    fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Self::Address)> {
        uninterrupted(self.read_timeout()?, || self.recv_from(buffer))
    }
}

/// Repeats a system call until it ends for a reason of its own, or `timeout` has passed.
fn uninterrupted<T>(
    timeout: Option<Duration>,
    mut call: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let start = Instant::now();
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                if timeout.is_some_and(|timeout| start.elapsed() >= timeout) {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
