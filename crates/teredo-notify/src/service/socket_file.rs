//! Binding the socket, without ever replacing that of a live instance.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::net::UnixListener;

/// Why the service cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Another instance serves this socket.
    #[error("a service is already running on {}: stop it first, or choose another socket with --socket", path.display())]
    AlreadyRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The path is taken by a file that is no socket, which the service must not delete.
    #[error("{} exists and is not a socket: remove it, or choose another socket with --socket", path.display())]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// The path is longer than the kernel allows.
    #[error("the path {} is too long for a socket: choose one of at most 100 bytes with --socket", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The folder is missing and cannot be created.
    #[error("cannot create the folder {}: run as root, or choose a socket in a folder of yours with --socket", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The folder cannot be written to.
    #[error("cannot create {}: run as root, or choose a socket in a folder of yours with --socket", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The socket's name in the file system, and the lock on it. To drop it removes the one and releases the other, unless
/// the socket is the service manager's.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    identity: (u64, u64),
    _lock: File,
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let Some(own) = &self.own else {
            return;
        };
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == own.identity) {
            // If it cannot be removed, the next instance finds no listener and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), ServiceError> {
    let with_suffix = |suffix: &str| {
        let mut name = OsString::from(path);
        name.push(suffix);
        PathBuf::from(name)
    };
    let (lock_path, new_path) = (with_suffix(".lock"), with_suffix(".new"));
    if SocketAddr::from_pathname(&new_path).is_err() {
        return Err(ServiceError::PathTooLong {
            path: path.to_owned(),
        });
    }
    let mut new_folders = NewFolders::create(path)?;

    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&lock_path)
        .map_err(|source| create_error(&lock_path, source))?;
    give_to_owner(&lock, path);
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(ServiceError::AlreadyRunning {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(create_error(&lock_path, error.into())),
    }

    let (listener, identity) = replace(path, &new_path).inspect_err(|_| {
        if !new_folders.0.is_empty() {
            // It would keep the folder.
            let _ = fs::remove_file(&lock_path);
        }
    })?;
    new_folders.0.clear();
    Ok((
        listener,
        SocketFile {
            path: path.to_owned(),
            own: Some(Own {
                identity,
                _lock: lock,
            }),
        },
    ))
}

/// Takes a socket that the service manager listens on at `path`. It stays when the service ends, so that connections
/// wait for the next one.
pub(super) fn take_over(
    listener: std::os::unix::net::UnixListener,
    path: &Path,
) -> io::Result<(UnixListener, SocketFile)> {
    if listener.local_addr()?.as_pathname() != Some(path) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it is not at {}", path.display()),
        ));
    }
    listener.set_nonblocking(true)?;
    let file = SocketFile {
        path: path.to_owned(),
        own: None,
    };
    Ok((UnixListener::from_std(listener)?, file))
}

/// Gives a lock of root to the owner of the folder. Otherwise a service that root has run once in the folder of another
/// user keeps that user's own from starting.
fn give_to_owner(lock: &File, path: &Path) {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::metadata(folder.unwrap_or_else(|| Path::new(".")));
    if let Ok(folder) = folder
        && rustix::process::geteuid().is_root()
        && folder.uid() != 0
        && let Err(error) = std::os::unix::fs::fchown(lock, Some(folder.uid()), None)
    {
        tracing::debug!(%error, "the lock stays root's");
    }
}

/// Binds the socket, in the place of one without listener.
fn replace(path: &Path, new_path: &Path) -> Result<(UnixListener, (u64, u64)), ServiceError> {
    // With the lock held, a listener here is a foreign one, and a socket without listener is left over.
    replaceable(path)?;
    if replaceable(new_path)? {
        fs::remove_file(new_path).map_err(|source| create_error(new_path, source))?;
    }
    // Under another name first, so that the socket appears with its permissions, and there is one at every moment when
    // it replaces another.
    let listener = UnixListener::bind(new_path).map_err(|source| create_error(new_path, source))?;
    let identity = fs::set_permissions(new_path, Permissions::from_mode(0o666))
        .and_then(|()| fs::symlink_metadata(new_path))
        .and_then(|metadata| fs::rename(new_path, path).map(|()| identity(&metadata)))
        .map_err(|source| create_error(path, source))?;
    Ok((listener, identity))
}

/// The folders that were made for a socket. Removed when this is dropped, unless the socket was made.
#[derive(Default)]
struct NewFolders(Vec<PathBuf>);

impl NewFolders {
    fn create(path: &Path) -> Result<Self, ServiceError> {
        let mut new = Self::default();
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let missing: Vec<_> = folder
            .into_iter()
            .flat_map(Path::ancestors)
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
            .collect();
        for folder in missing.into_iter().rev() {
            match DirBuilder::new().mode(0o755).create(folder) {
                Ok(()) => new.0.push(folder.to_owned()),
                // Another instance was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(folder_error(folder, source)),
            }
            // Despite the umask, because every user may read the port (N-18).
            fs::set_permissions(folder, Permissions::from_mode(0o755))
                .map_err(|source| folder_error(folder, source))?;
        }
        Ok(new)
    }
}

impl Drop for NewFolders {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // It fails if the folder is in use, as it should.
            let _ = fs::remove_dir(folder);
        }
    }
}

fn create_error(path: &Path, source: io::Error) -> ServiceError {
    ServiceError::Create {
        path: path.to_owned(),
        source,
    }
}

fn folder_error(folder: &Path, source: io::Error) -> ServiceError {
    ServiceError::Folder {
        path: folder.to_owned(),
        source,
    }
}

/// Whether there is a socket without listener at `path`; an error if there is anything else.
fn replaceable(path: &Path) -> Result<bool, ServiceError> {
    let error = |source| create_error(path, source);
    match fs::symlink_metadata(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(other) => return Err(error(other)),
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => {
            return Err(ServiceError::NotASocket {
                path: path.to_owned(),
            });
        }
    }
    // Without blocking: a hung instance with a full backlog still counts as alive.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connected = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .and_then(|socket| connect(&socket, &SocketAddrUnix::new(path)?));
    match connected {
        Ok(()) | Err(Errno::AGAIN) => Err(ServiceError::AlreadyRunning {
            path: path.to_owned(),
        }),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(true),
        Err(other) => Err(error(other.into())),
    }
}
