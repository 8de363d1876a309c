//! systemd's part in a restart: it listens on `$NOTIFY_SOCKET`, keeps descriptors (`FDSTORE=1`), and hands them to the
//! next process as sd_listen_fds(3) has it.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// The most descriptors that are kept: `FileDescriptorStoreMax=` in the unit.
const MOST: usize = 16;
/// Above the numbers that the next process gets.
const ABOVE: i32 = 100;

/// The descriptors of one client. A clone is the same store.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: PathBuf,
    kept: Arc<Mutex<Vec<(String, OwnedFd)>>>,
}

impl Store {
    /// Listens on this path until the process ends.
    pub(crate) fn listen(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path).context("cannot listen as a service manager")?;
        let store = Self {
            path: path.to_owned(),
            kept: Arc::default(),
        };
        let own = store.clone();
        thread::Builder::new()
            .name("soak-store".into())
            .spawn(move || {
                // It ends with the process only.
                while own.receive(&socket).is_ok() {}
            })
            .context("cannot start a thread")?;
        Ok(store)
    }

    /// Forgets everything, as at the end of a unit.
    pub(crate) fn clear(&self) {
        self.kept().clear();
    }

    /// Turns `program` into one that inherits what is kept, and calls `start` with it.
    pub(crate) fn hand_over<T>(
        &self,
        program: &Command,
        start: impl FnOnce(&mut Command) -> T,
    ) -> Result<T> {
        let kept = self.kept();
        let mut copies = Vec::new();
        let mut script = String::new();
        for (number, (_, descriptor)) in (3..).zip(kept.iter()) {
            let copy =
                fcntl_dupfd_cloexec(descriptor, ABOVE).context("cannot copy a descriptor")?;
            fcntl_setfd(&copy, FdFlags::empty()).context("cannot hand a descriptor over")?;
            let raw = copy.as_raw_fd();
            script += &format!("exec {number}<&{raw} {raw}<&-; ");
            copies.push(copy);
        }
        script += "export LISTEN_PID=$$; exec \"$@\"";
        let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
        // dash knows only descriptors of one digit.
        let mut command = Command::new("bash");
        command
            .args(["-c", &script, "bash"])
            .arg(program.get_program())
            .args(program.get_args());
        for (key, value) in program.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command.env("NOTIFY_SOCKET", &self.path);
        if !names.is_empty() {
            command
                .env("LISTEN_FDS", names.len().to_string())
                .env("LISTEN_FDNAMES", names.join(":"));
        }
        Ok(start(&mut command))
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(String, OwnedFd)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(&self, socket: &UnixDatagram) -> rustix::io::Result<()> {
        let mut text = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut slices = [IoSliceMut::new(&mut text)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match recvmsg(socket.as_fd(), &mut slices, &mut ancillary, flags) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result?,
            }
        };
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        let text = String::from_utf8_lossy(&text[..received.bytes]).into_owned();
        self.apply(&text, descriptors);
        Ok(())
    }

    fn apply(&self, text: &str, descriptors: Vec<OwnedFd>) {
        let says = |line: &str| text.lines().any(|own| own == line);
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("FDNAME="))
            .unwrap_or("stored");
        let mut kept = self.kept();
        if says("FDSTOREREMOVE=1") {
            kept.retain(|(own, _)| own != name);
        }
        if says("FDSTORE=1") {
            for descriptor in descriptors {
                if kept.len() < MOST {
                    kept.push((name.to_owned(), descriptor));
                }
            }
        }
    }
}
