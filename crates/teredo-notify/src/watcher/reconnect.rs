//! When to connect again.
//!
//! A firewall must gate even the first port of a client that has just started, so it must connect as soon as the
//! socket appears. The service renames its socket into place when it already listens, and inotify reports that within
//! microseconds. The folder itself may be missing, or be made anew when the service restarts, as systemd does with a
//! `RuntimeDirectory`; so its parent is watched, too, and the folder again whenever it appears.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
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

/// Watches the folder of a socket, and the nearest folder above it that exists. Files that have nothing to do with the
/// socket are no news: the folder above may be /tmp.
#[derive(Debug)]
pub(super) struct FolderWatch {
    inotify: OwnedFd,
    /// The names in the path of the socket.
    names: Vec<Vec<u8>>,
}

impl FolderWatch {
    /// Begins with nothing to watch; `None` if the kernel has no inotify instance left.
    pub(super) fn new(socket: &Path) -> Option<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let names = socket.iter().map(|name| name.as_bytes().to_vec());
        Some(Self {
            inotify,
            names: names.collect(),
        })
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
            if inotify::add_watch(&self.inotify, parent, events).is_ok() {
                break;
            }
        }
        let _ = inotify::add_watch(&self.inotify, folder, events);
    }

    /// Waits until the socket or a folder above it has appeared; for ever, if the runtime cannot wait for that.
    pub(super) async fn changed(&self) {
        // An inotify descriptor is read like a pipe.
        let Ok(ready) = self
            .inotify
            .try_clone()
            .and_then(Receiver::from_owned_fd_unchecked)
        else {
            return std::future::pending().await;
        };
        // An error is as good a reason to try to connect.
        while ready.readable().await.is_ok() && !self.drain() {
            // That nothing is left makes the runtime wait for the next event. What came meanwhile may be the socket.
            if ready.try_read(&mut [0; 4096]).is_ok() {
                return;
            }
        }
    }

    /// Takes the events so far, so that only later ones end a wait. Whether one of them is about the socket, or unknown
    /// because the kernel has lost some.
    fn drain(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut found = false;
        while let Ok(event) = events.next() {
            let name = event.file_name().map(std::ffi::CStr::to_bytes);
            found |= name.is_none_or(|name| self.names.iter().any(|known| known == name));
        }
        found
    }
}

/// Blocks until the socket or a folder above it has appeared, `stop` is readable, or `timeout` has passed.
pub(super) fn wait(folder: Option<&FolderWatch>, stop: &OwnedFd, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    let stop = stop.as_fd();
    let folder_or_stop = folder.map_or(stop, |folder| folder.inotify.as_fd());
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        // A time beyond the kernel's range is for ever.
        let rest = Timespec::try_from(rest).ok();
        let mut fds = [stop, folder_or_stop].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // Interrupted or not, the caller tries to connect.
        let ready = poll(&mut fds, rest.as_ref()).unwrap_or(0);
        let stopped = !fds[0].revents().is_empty();
        let about_others = folder.is_some_and(|folder| !folder.drain());
        if ready == 0 || stopped || !about_others {
            return;
        }
    }
}
