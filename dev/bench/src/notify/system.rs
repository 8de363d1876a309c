//! The ways of announcing that are measured.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// A way to announce a new port to processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum System {
    /// The hub, the local service and a watcher in each process.
    Teredo,
    /// The same without a watcher: each process reads the service's stream itself. The difference is the watcher's
    /// part.
    Stream,
    /// A write to a Unix socket for each process and a read there: the floor.
    Socket,
}

impl System {
    pub(crate) const ALL: [Self; 3] = [Self::Teredo, Self::Stream, Self::Socket];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Teredo => "teredo",
            Self::Stream => "its stream",
            Self::Socket => "bare socket",
        }
    }
}

/// The sockets of one run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Venue {
    /// The folder of the sockets.
    #[arg(long)]
    pub(crate) folder: PathBuf,
}

impl Venue {
    pub(crate) fn teredo(&self) -> PathBuf {
        teredo(&self.folder)
    }

    /// The folder of another service of the same kind, for [`System::Stream`].
    pub(crate) fn stream(&self) -> PathBuf {
        self.folder.join("stream")
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("bare.sock")
    }
}

pub(crate) fn teredo(folder: &Path) -> PathBuf {
    folder.join("teredo.sock")
}

/// A message as long as the local service's notification of the same.
pub(crate) fn message(sequence: u64) -> String {
    format!(
        r#"{{"parameters":{{"subscription":{sequence},"sequence":{sequence},"kind":"change","port":{}}},"continues":true}}"#,
        port(sequence)
    )
}

/// The port of an announcement; it always differs from the one before.
pub(crate) fn port(sequence: u64) -> u16 {
    40_000 + (sequence % 1_000) as u16
}
