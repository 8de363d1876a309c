//! Reads a file as text, up to a limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// More than any real configuration, and little memory. A wrong path may lead to a disk or to /dev/zero.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// The bytes of a file; fails if there are more than [`MAX_FILE`].
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("the file has more than {MAX_FILE} bytes"),
        ));
    }
    Ok(bytes)
}
