//! The pin of the map: its folder, its lock, and the map of a node before this one.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aya::maps::{HashMap, Map, MapData, MapType};
use aya::pin::PinError;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, statfs};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{PortMapError, Value};

/// The map's name, which tools list.
const NAME: &str = "teredo_port";

// linux/bpf.h
const BPF_MAP_TYPE_HASH: u32 = 1;
const BPF_F_NO_PREALLOC: u32 = 1;
/// Programs cannot write.
const BPF_F_RDONLY_PROG: u32 = 1 << 7;

// The declaration in programs/teredo_port.h has the same, or loaders refuse the map.
const FLAGS: u32 = BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG;
const KEY_SIZE: u32 = size_of::<u32>() as u32;
const VALUE_SIZE: u32 = size_of::<Value>() as u32;
const ENTRIES: u32 = 1;

/// linux/magic.h
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// Everybody may read, and enter the folder, as far as the mount point permits. The owner must be able to write, or a node
/// that is not root could not take over its own map.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Makes the folder of `path` if it is missing, and locks it. The kernel releases the lock with the process.
pub(super) fn lock_folder(path: &Path) -> Result<OwnedFd, PortMapError> {
    let folder = path.parent().unwrap_or(path);
    make(folder).map_err(|error| match error {
        PortMapError::NoFileSystem(_) => PortMapError::NoFileSystem(folder.to_owned()),
        error => error,
    })?;
    let failed = |error: Errno| failure("open", folder, error.into());
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let descriptor = open(folder, flags, Mode::empty()).map_err(failed)?;
    let found = fstat(&descriptor).map_err(failed)?;
    let is_ours = found.st_uid == 0 || found.st_uid == geteuid().as_raw();
    if !is_ours || found.st_mode & WRITABLE_BY_OTHERS != 0 {
        return Err(PortMapError::Untrusted(folder.to_owned()));
    }
    match flock(&descriptor, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(descriptor),
        Err(Errno::WOULDBLOCK) => Err(PortMapError::InUse(folder.to_owned())),
        Err(error) => Err(failure("lock", folder, error.into())),
    }
}

/// Makes a folder and those above it that are missing, in a BPF file system that is there.
fn make(folder: &Path) -> Result<(), PortMapError> {
    let there = statfs(folder).map(|system| system.f_type as u64);
    match there {
        Ok(BPF_FS_MAGIC) => return Ok(()),
        Ok(_) => return Err(PortMapError::NoFileSystem(folder.to_owned())),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(failure("look at", folder, error.into())),
    }
    let Some(above) = folder.parent() else {
        return Err(PortMapError::NoFileSystem(folder.to_owned()));
    };
    make(above)?;
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        // The creation mask may have taken something away.
        Ok(()) => permit(folder, FOLDER_MODE),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failure("make", folder, error)),
    }
}

/// The map of a node before this one, with its state, if it is of the kind that firewalls expect and this user may write to
/// it.
pub(super) fn take_over(path: &Path) -> Option<HashMap<MapData, u32, Value>> {
    let map = MapData::from_pin(path).ok()?;
    let info = map.info().ok()?;
    let found = (
        info.map_type().ok()?,
        info.key_size(),
        info.value_size(),
        info.max_entries(),
        info.map_flags(),
    );
    if found != (MapType::Hash, KEY_SIZE, VALUE_SIZE, ENTRIES, FLAGS) {
        return None;
    }
    Map::from_map_data(map).ok()?.try_into().ok()
}

/// Makes a map and pins it, in place of anything else that is there: the caller has found that it is of no use.
pub(super) fn create(path: &Path) -> Result<HashMap<MapData, u32, Value>, PortMapError> {
    let map =
        aya_obj::Map::new_from_params(BPF_MAP_TYPE_HASH, KEY_SIZE, VALUE_SIZE, ENTRIES, FLAGS);
    let map = MapData::create(map, NAME, None).map_err(|error| match error.into() {
        crate::PathError::NotPermitted => PortMapError::NotPermitted(path.to_owned()),
        error => PortMapError::Map(error),
    })?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failure("replace", path, error));
        }
        _ => {}
    }
    map.pin(path).map_err(|error| match error {
        PinError::SyscallError(error) => failure("pin a map at", path, error.io_error),
        error => failure("pin a map at", path, io::Error::other(error)),
    })?;
    permit(path, FILE_MODE)?;
    Ok(Map::from_map_data(map)?.try_into()?)
}

fn permit(path: &Path, mode: u32) -> Result<(), PortMapError> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|error| failure("change the mode of", path, error))
}

fn failure(action: &'static str, path: &Path, error: io::Error) -> PortMapError {
    let path = PathBuf::from(path);
    match error.kind() {
        io::ErrorKind::PermissionDenied => PortMapError::NotPermitted(path),
        _ => PortMapError::System {
            action,
            path,
            error,
        },
    }
}
