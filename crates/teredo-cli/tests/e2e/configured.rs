//! A daemon that is configured by a file, and reloaded.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use teredo_lab::{Host, Process};

use crate::world::*;

/// A daemon with a configuration file of its own.
pub(crate) struct Configured {
    pub(crate) process: Process,
    pub(crate) file: PathBuf,
}

impl Configured {
    pub(crate) fn start(
        world: &World,
        host: &Host,
        role: &str,
        settings: &str,
        more: &[&str],
    ) -> Self {
        let file = world.path(&format!("{role}.toml"));
        fs::write(&file, settings).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_teredo"));
        command.arg("--config").arg(&file).args(more).arg(role);
        command.env_remove("TEREDO_SOCKET").env_remove("RUST_LOG");
        let process = Process::spawn(host.namespace(), role, &mut command).unwrap();
        Self { process, file }
    }

    /// Reloads with these settings, and waits for the words.
    #[track_caller]
    pub(crate) fn reload(&self, settings: &str, words: &str) {
        let mark = self.process.mark();
        fs::write(&self.file, settings).unwrap();
        self.process.signal(Signal::HUP).unwrap();
        let line = self.process.wait_for_line_after(mark, words, SECOND * 5);
        line.unwrap();
    }
}
