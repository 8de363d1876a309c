//! When to connect again.
//!
//! A firewall must gate even the first port of a client that has just started, so it must connect as soon as the
//! socket appears. The service renames its socket into place when it already listens, and inotify reports that within
//! microseconds. If the folder itself is missing, only retries help.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;

/// A connection that was shorter than this is not made again at once.
pub(super) const SHORTEST: Duration = Duration::from_millis(50);

/// The delay before the next attempt to connect.
///
/// A service that restarts is back within a second or two, so attempts are frequent at first. An attempt costs two
/// system calls.
#[derive(Debug)]
pub(super) struct Backoff {
    since: Instant,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
        }
    }

    pub(super) fn delay(&self) -> Duration {
        (self.since.elapsed() / 10).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }
}

/// Watches the folder of a socket.
#[derive(Debug)]
pub(super) struct FolderWatch(OwnedFd);

impl FolderWatch {
    /// From now on; `None` if the folder cannot be watched.
    pub(super) fn new(socket: &Path) -> Option<Self> {
        let folder = socket
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let events = WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::ONLYDIR;
        inotify::add_watch(&inotify, folder.unwrap_or_else(|| Path::new(".")), events).ok()?;
        Some(Self(inotify))
    }

    /// Waits until a file has appeared in the folder; for ever, if the runtime cannot wait for that.
    pub(super) async fn changed(&self) {
        // An inotify descriptor is read like a pipe.
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

    /// Takes the events so far, so that only later ones end a wait.
    fn drain(&self) {
        let mut buffer = [0; 4096];
        while rustix::io::read(&self.0, &mut buffer).is_ok_and(|length| length > 0) {}
    }
}

/// Blocks until a file has appeared in the folder, `stop` is readable, or `timeout` has passed.
pub(super) fn wait(folder: Option<&FolderWatch>, stop: &OwnedFd, timeout: Duration) {
    let timeout = Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let stop = stop.as_fd();
    let folder_or_stop = folder.map_or(stop, |folder| folder.0.as_fd());
    let mut fds = [stop, folder_or_stop].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    // Interrupted or not, the caller tries to connect.
    let _ = poll(&mut fds, Some(&timeout));
    if let Some(folder) = folder {
        folder.drain();
    }
}
