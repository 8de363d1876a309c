//! An alarm that one thread sets and another sleeps on.

use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

/// How long a wait takes if the system cannot wait.
const MAKESHIFT: Duration = Duration::from_millis(10);

/// A timer in the kernel: to set it costs a system call and wakes no thread before it goes off.
pub(in crate::hub) struct Alarm(OwnedFd);

impl Alarm {
    pub(in crate::hub) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    /// Goes off once after this time, and no longer at the time that was set before.
    pub(in crate::hub) fn set(&self, after: Duration) {
        // Zero would disarm it.
        self.program(after.max(Duration::from_nanos(1)));
    }

    /// Disarms it, unless a thread has just seen it go off.
    pub(in crate::hub) fn stop(&self) {
        self.program(Duration::ZERO);
    }

    fn program(&self, after: Duration) {
        let value = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            it_value: timespec(after),
        };
        // It fails only for times out of range.
        let _ = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &value);
    }

    /// Sleeps until it goes off, for `limit` at most; whether it has gone off. Of several threads one sees it.
    pub(in crate::hub) fn wait(&self, limit: Option<Duration>) -> bool {
        loop {
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut fds, limit.map(timespec).as_ref()) {
                Ok(0) => return false,
                Ok(_) => match rustix::io::read(&self.0, &mut [0; 8]) {
                    Ok(_) => return true,
                    // Another thread was faster.
                    Err(Errno::AGAIN) => {}
                    // The program has closed a descriptor that is not its own.
                    Err(_) => break,
                },
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        thread::sleep(MAKESHIFT);
        true
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}
