//! `teredo top` on a real terminal.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::program::DEADLINE;
use crate::service::{Place, Running};

/// The escape sequences of the alternate screen (xterm's private mode 1049).
const ENTER: &[u8] = b"\x1b[?1049h";
const LEAVE: &[u8] = b"\x1b[?1049l";
const SHOW_CURSOR: &[u8] = b"\x1b[?25h";

/// A terminal of 80 by 24, and the output on it.
struct Terminal {
    master: File,
    /// Open until the end, so that a read does not fail when the program has ended.
    slave: OwnedFd,
    written: Vec<u8>,
}

impl Terminal {
    fn new() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = open(name, flags, Mode::empty())?;
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        let master = File::from(master);
        Ok(Self {
            master,
            slave,
            written: Vec::new(),
        })
    }

    fn other_end(&self) -> Stdio {
        self.slave.try_clone().expect("another descriptor").into()
    }

    fn has(&mut self, text: &[u8]) -> bool {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = self.master.read(&mut chunk) {
            self.written.extend_from_slice(&chunk[..length]);
        }
        self.written.windows(text.len()).any(|part| part == text)
    }

    fn echoes(&self) -> bool {
        let modes = tcgetattr(self.slave.as_fd()).expect("it is a terminal");
        modes.local_modes.contains(LocalModes::ECHO)
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// If a signal ends it, the shell gets its terminal back: with echo, cursor and its own screen.
#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let place = Place::new();
    let _running = Running::start(&place.socket, true);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let mut terminal = Terminal::new().expect("a terminal");
        let child = place
            .command(&["top"])
            .stdin(terminal.other_end())
            .stdout(terminal.other_end())
            .stderr(terminal.other_end())
            .spawn();
        let mut child = Killed(child.expect("the program starts"));
        teredo_lab::until(DEADLINE, "the first picture", || {
            (terminal.has(ENTER) && terminal.has(b"teredo")).then_some(())
        })
        .expect("it draws");
        assert!(!terminal.echoes(), "keys are not echoed");

        kill_process(Pid::from_child(&child.0), signal).expect("it runs");
        let status = teredo_lab::until(DEADLINE, "the end", || {
            child.0.try_wait().expect("it can be waited for")
        });
        assert_eq!(status.expect("it ends").code(), Some(0), "{signal:?}");
        assert!(terminal.echoes(), "{signal:?}: no echo");
        for end in [LEAVE, SHOW_CURSOR] {
            assert!(terminal.has(end), "{signal:?}: {end:?} is missing");
        }
    }
}
