//! When to connect again.
//!
//! A firewall must gate even the first port of a client that has just started, so it must connect as soon as the
//! socket appears. The service renames its socket into place when it already listens, and inotify reports that within
//! microseconds. The folder itself may be missing, or be made anew when the service restarts, as systemd does with a
//! `RuntimeDirectory`; so its parent is watched, too, and the folder again whenever it appears.

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

/// Watches the folder of a socket, and the nearest folder above it that exists.
#[derive(Debug)]
pub(super) struct FolderWatch(OwnedFd);

impl FolderWatch {
    /// Begins with nothing to watch; `None` if the kernel has no inotify instance left.
    pub(super) fn new() -> Option<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        Some(Self(inotify))
    }

    /// Watches what exists now. Call it before each attempt to connect: a folder that was made anew is another one. To
    /// watch a folder again changes nothing, and the kernel ends the watch of one that is gone.
    pub(super) fn arm(&self, socket: &Path) {
        let folder = socket
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."));
        let events = WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::ONLYDIR;
        // From above, so that a folder that appears meanwhile is either found or reported.
        let parents = folder.ancestors().skip(1);
        for parent in parents.filter(|parent| !parent.as_os_str().is_empty()) {
            if inotify::add_watch(&self.0, parent, events).is_ok() {
                break;
            }
        }
        let _ = inotify::add_watch(&self.0, folder, events);
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
