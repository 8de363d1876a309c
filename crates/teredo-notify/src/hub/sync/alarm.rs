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

/// How long a wait takes where the system cannot wait.
const MAKESHIFT: Duration = Duration::from_millis(10);

/// A timer in the kernel: to set it costs a system call, and nobody is woken before it goes off.
pub(in crate::hub) struct Alarm(OwnedFd);

impl Alarm {
    pub(in crate::hub) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    /// Goes off once, so much later, and not when it was to before.
    pub(in crate::hub) fn set(&self, after: Duration) {
        // Zero would be never.
        self.program(after.max(Duration::from_nanos(1)));
    }

    /// Does not go off, unless somebody is about to learn that it has.
    pub(in crate::hub) fn stop(&self) {
        self.program(Duration::ZERO);
    }

    fn program(&self, after: Duration) {
        let value = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            it_value: timespec(after),
        };
        // It fails for times out of range alone.
        let _ = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &value);
    }

    /// Sleeps until it goes off, and no longer than `limit`; whether it has gone off. One thread learns of it.
    pub(in crate::hub) fn wait(&self, limit: Option<Duration>) -> bool {
        loop {
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut fds, limit.map(timespec).as_ref()) {
                Ok(0) => return false,
                Ok(_) => match rustix::io::read(&self.0, &mut [0; 8]) {
                    Ok(_) => return true,
                    // Another thread was quicker.
                    Err(Errno::AGAIN) => {}
                    // The program has closed what is not its own.
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
