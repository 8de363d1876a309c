//! Noticing that the service is back.
//!
//! A firewall agent should gate the first port of a client that has just started, not its second, so it must
//! connect as soon as the socket is there. The service puts its socket in place, already listening, with a
//! rename; inotify tells of it within microseconds. Where the folder itself is missing, only trying helps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;

/// Watches the folder of a socket.
#[derive(Debug)]
pub(super) struct Arrival(OwnedFd);

impl Arrival {
    /// From now on; `None` where the folder cannot be watched.
    pub(super) fn watch(socket: &Path) -> Option<Self> {
        let folder = socket
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let events = WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::ONLYDIR;
        inotify::add_watch(&inotify, folder.unwrap_or_else(|| Path::new(".")), events).ok()?;
        Some(Self(inotify))
    }

    /// Blocks until something has appeared in the folder, or for `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        let timeout = Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        // Interrupted or not, the caller tries again to connect.
        let _ = poll(&mut fds, Some(&timeout));
        self.drain();
    }

    /// Waits until something has appeared in the folder; for ever, if the runtime cannot wait for it.
    pub(super) async fn arrived(&self) {
        // An inotify descriptor is read like a pipe, and tokio's own type for any descriptor is unsafe to make.
        let Ok(ready) = self
            .0
            .try_clone()
            .and_then(Receiver::from_owned_fd_unchecked)
        else {
            return std::future::pending().await;
        };
        // An error is as good a reason to try to connect.
        let _ = ready.readable().await;
        self.drain();
    }

    /// Takes what has been told: it is not told again, and what comes after is not missed.
    fn drain(&self) {
        let mut buffer = [0; 4096];
        while read(self.0.as_fd(), &mut buffer).is_ok_and(|length| length > 0) {}
    }
}

fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, buffer)?)
}
