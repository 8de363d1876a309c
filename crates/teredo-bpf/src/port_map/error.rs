//! Why there is no pinned map.

use std::io;
use std::path::PathBuf;

use aya::maps::MapError;

use crate::PathError;

/// There is no pinned map, or it does not show the port.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortMapError {
    /// The kernel does not permit the process to make or pin a map.
    #[error("it takes CAP_BPF and write access to `{}`", .0.display())]
    NotPermitted(PathBuf),
    /// There is no BPF file system.
    #[error("`{}` is in no BPF file system: 'mount -t bpf bpf /sys/fs/bpf' mounts it", .0.display())]
    NoFileSystem(PathBuf),
    /// Another node has the folder.
    #[error("another node shows its port in `{}`", .0.display())]
    InUse(PathBuf),
    /// Other users may change the folder, and so the map that firewalls find there.
    #[error("other users may write to `{}`", .0.display())]
    Untrusted(PathBuf),
    /// The kernel refuses a change of the map.
    #[error(transparent)]
    Map(PathError),
    /// A system call failed.
    #[error("cannot {action} `{}`: {error}", .path.display())]
    System {
        /// The action.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The kernel's error.
        error: io::Error,
    },
}

impl From<MapError> for PortMapError {
    fn from(error: MapError) -> Self {
        Self::Map(error.into())
    }
}
