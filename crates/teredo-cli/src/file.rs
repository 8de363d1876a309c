//! Opens and reads files that others name, without waiting and without end.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens a file to read it. A FIFO without a writer does not block; the caller checks the kind of the file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    Ok(file.into())
}

/// The bytes of a file; fails if it is a FIFO, or if there are more than `limit`. `/dev/null` is an empty file.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        let fault = "it is a FIFO, which a daemon would wait for";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, fault));
    }
    read_open(file, limit)
}

/// The rest of an open file; fails if there are more than `limit` bytes.
pub(crate) fn read_open(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

/// There are more than `limit` bytes.
pub(crate) fn too_large(limit: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("the file has more than {limit} bytes"),
    )
}
