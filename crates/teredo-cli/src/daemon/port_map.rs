//! The pinned map with the port: its place, and the words if it cannot be had.

use std::path::{Path, PathBuf};

use teredo_node::retry_briefly;
use teredo_node::teredo_bpf::{PORT_LEASE, PORT_MAP, PortMap, PortMapError};
use teredo_notify::DEFAULT_SOCKET;

use crate::output::narrate;

/// The variable with another place of the folder for the maps, which the units set.
const FOLDER: &str = "TEREDO_BPF_FOLDER";

/// The map of a node whose service has this socket, if it has a map and can have it. The socket is the node's own by now, so
/// no other one that lives has the map.
pub(super) async fn open(socket: &Path) -> Option<PortMap> {
    let folder = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty());
    let pin = pin_of(socket, folder.as_deref().map(Path::new))?;
    // A predecessor that was killed may still have the lock.
    let map = retry_briefly(
        || PortMap::open(&pin, PORT_LEASE),
        |error| matches!(error, PortMapError::InUse(_)),
    )
    .await;
    match map {
        Ok(map) => Some(map),
        // A node without the right does without it.
        Err(error @ PortMapError::NotPermitted(_)) => {
            tracing::debug!(%error, "no pinned map shows the port");
            None
        }
        Err(error) => {
            narrate(format_args!(
                "eBPF firewalls cannot follow the port: {error}"
            ));
            None
        }
    }
}

/// The pin: `/sys/fs/bpf/teredo/port` for the default socket, `/sys/fs/bpf/teredo/NAME/port` for `/run/teredo/NAME.sock`.
/// A node with a socket elsewhere has none, unless `folder` takes the place of `/sys/fs/bpf/teredo`.
fn pin_of(socket: &Path, folder: Option<&Path>) -> Option<PathBuf> {
    let (usual, pin) = (Path::new(DEFAULT_SOCKET), Path::new(PORT_MAP));
    if folder.is_none() && socket.parent() != usual.parent() {
        return None;
    }
    let mut place = folder.or_else(|| pin.parent())?.to_owned();
    if socket.file_name() != usual.file_name() {
        place.push(socket.file_stem()?);
    }
    place.push(pin.file_name()?);
    Some(place)
}

#[cfg(test)]
mod tests;
