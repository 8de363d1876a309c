//! Whom to believe: a socket is a file, and where others may make files, anybody can have put it there.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Refuses a service that is run by none of these: root, the user of this process, and the owner of the folder
/// that the socket is in, who decides what is there.
///
/// So a service may have a user of its own, with a folder of its own; and in a folder for everybody, such as
/// `/tmp`, nobody can pose as the service.
pub(crate) fn check_server(path: &Path, server: u32) -> io::Result<()> {
    const ROOT: u32 = 0;
    if server == ROOT || server == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let owner = std::fs::metadata(folder.unwrap_or_else(|| Path::new(".")))?.uid();
    if server == owner {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "it is served by the user {server}, who is neither root, nor the user of this process, nor the owner of the \
         socket's folder"
    )))
}
