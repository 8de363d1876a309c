//! The daemon's clock and its one timer, both on `CLOCK_BOOTTIME`.
//!
//! A NAT forgets a mapping while a laptop sleeps. `CLOCK_BOOTTIME` goes on counting during suspend, so the
//! first look at it after waking shows that the refresh is overdue, and a timer on it has fired by then.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};
use teredo::Instant;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The time since boot, suspend included.
///
/// ```
/// let before = teredo_tunnel::clock::now();
/// assert!(teredo_tunnel::clock::now() >= before);
/// ```
pub fn now() -> Instant {
    let time = rustix::time::clock_gettime(ClockId::Boottime);
    // The time since boot is never negative, and 2^64 ns are 584 years.
    Instant::from_nanos(time.tv_sec as u64 * NANOS_PER_SECOND + time.tv_nsec as u64)
}

/// A timer that makes a file descriptor readable at an [`Instant`].
#[derive(Debug)]
pub(crate) struct Timer {
    fd: OwnedFd,
    armed: Option<Instant>,
}

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = rustix::time::timerfd_create(TimerfdClockId::Boottime, flags)?;
        Ok(Self { fd, armed: None })
    }

    /// Makes sure that the timer fires at `deadline` or before.
    ///
    /// An earlier alarm is left standing: it costs one needless wake-up, whereas moving it would cost a system
    /// call for every batch that puts a deadline off.
    pub(crate) fn arm(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(deadline) = deadline else {
            return Ok(());
        };
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return Ok(());
        }
        // Zero would disarm the timer.
        let nanos = deadline.as_nanos().max(1);
        let it_value = Timespec {
            tv_sec: (nanos / NANOS_PER_SECOND) as i64,
            tv_nsec: (nanos % NANOS_PER_SECOND) as _,
        };
        let it_interval = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let alarm = Itimerspec {
            it_interval,
            it_value,
        };
        rustix::time::timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &alarm)?;
        self.armed = Some(deadline);
        Ok(())
    }

    /// Takes note that the descriptor was readable.
    pub(crate) fn acknowledge(&mut self) {
        let mut expirations = [0; 8];
        // Nothing to read only means that the alarm was moved meanwhile.
        let _ = rustix::io::read(&self.fd, &mut expirations);
        self.armed = None;
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn fires(timer: &Timer) -> bool {
        let patience = Timespec {
            tv_sec: 5,
            tv_nsec: 0,
        };
        poll(&mut [PollFd::new(timer, PollFlags::IN)], Some(&patience)).unwrap() == 1
    }

    #[test]
    fn fires_at_the_earliest_deadline() {
        let start = now();
        let mut timer = Timer::new().unwrap();
        timer.arm(Some(start + Duration::from_secs(3600))).unwrap();
        timer.arm(Some(start + Duration::from_millis(20))).unwrap();
        timer.arm(Some(start + Duration::from_secs(1800))).unwrap();
        assert!(fires(&timer));
        assert!(now() - start >= Duration::from_millis(20));
    }

    #[test]
    fn a_deadline_in_the_past_fires_at_once_and_acknowledging_silences_it() {
        let mut timer = Timer::new().unwrap();
        timer.arm(Some(Instant::from_nanos(0))).unwrap();
        assert!(fires(&timer));
        timer.acknowledge();
        let no_patience = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        assert_eq!(
            poll(
                &mut [PollFd::new(&timer, PollFlags::IN)],
                Some(&no_patience)
            )
            .unwrap(),
            0
        );
    }

    #[test]
    fn can_be_armed_again_after_it_fired() {
        let mut timer = Timer::new().unwrap();
        timer.arm(Some(Instant::from_nanos(0))).unwrap();
        assert!(fires(&timer));
        timer.acknowledge();
        timer.arm(Some(now())).unwrap();
        assert!(fires(&timer));
    }
}
