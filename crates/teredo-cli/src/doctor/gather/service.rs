//! The socket of the service, and the service behind it.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt};
use teredo_notify::call::{CallError, Caller};
use teredo_notify::types::{MAX_PEERS, Peer};

use crate::doctor::seen::{Full, Service, SocketFile, Unanswered};

/// A service that works answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn look(socket: &Path, socket_is_default: bool) -> Service {
    let status = Caller::open_within(socket, PATIENCE)
        .and_then(|mut service| service.get_status())
        .map(Box::new)
        .map_err(|error| unanswered(&error));
    let peer = UnixStream::connect(socket)
        .ok()
        .filter(|_| status.is_ok())
        .and_then(|stream| getsockopt(&stream, sockopt::PeerCredentials).ok());
    Service {
        socket: socket.to_owned(),
        socket_is_default,
        file: file(socket),
        status,
        pid: peer.and_then(|peer| u32::try_from(peer.pid()).ok()),
        uid: peer.map(|peer| peer.uid()),
        peers: None,
        full: full(socket),
    }
}

/// The peers of the client behind the socket.
pub(super) fn peers(socket: &Path) -> Option<Vec<Peer>> {
    let mut service = Caller::open_within(socket, PATIENCE).ok()?;
    service.get_peers(MAX_PEERS).ok()
}

/// Looks at the file system of the socket, or of the folder in which its folder will be.
fn full(socket: &Path) -> Option<Full> {
    let mut folders = socket.ancestors().skip(1);
    let found = folders.find_map(|folder| rustix::fs::statvfs(folder).ok())?;
    // A few come and go with every start of a daemon.
    const FEW: u64 = 8;
    // Some file systems count no inodes.
    if found.f_files > 0 && found.f_favail < FEW {
        Some(Full::Inodes)
    } else if found.f_blocks > 0 && found.f_bavail == 0 {
        Some(Full::Space)
    } else {
        None
    }
}

fn unanswered(error: &CallError) -> Unanswered {
    match error {
        CallError::Unreachable { source, .. } => match source.kind() {
            io::ErrorKind::NotFound => Unanswered::Missing,
            io::ErrorKind::ConnectionRefused => Unanswered::Refused,
            io::ErrorKind::PermissionDenied => Unanswered::NotPermitted,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Unanswered::Silent,
            _ => Unanswered::Other(source.to_string()),
        },
        CallError::TimedOut => Unanswered::Silent,
        other => Unanswered::Other(other.to_string()),
    }
}

fn file(socket: &Path) -> SocketFile {
    let parent = socket.parent();
    let parent = parent.filter(|folder| !folder.as_os_str().is_empty());
    let folder = match fs::metadata(parent.unwrap_or_else(|| Path::new("."))) {
        Ok(folder) => folder.mode() & 0o7777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return SocketFile::NoFolder,
        Err(_) => return SocketFile::Hidden,
    };
    match fs::metadata(socket) {
        Ok(found) if found.file_type().is_socket() => SocketFile::Socket {
            mode: found.mode() & 0o7777,
            folder,
        },
        Ok(_) => SocketFile::NotASocket,
        Err(error) if error.kind() == io::ErrorKind::NotFound => SocketFile::Missing,
        Err(_) => SocketFile::Hidden,
    }
}
