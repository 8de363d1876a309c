//! Peers and their rights.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use tokio::net::UnixStream;

/// The process at the other end of a connection, as the kernel recorded it when it connected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) pid: Option<u32>,
    /// Whether it may control the client: root, or a member of the service's group (N-18).
    pub(super) may_control: bool,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream, group: Option<u32>) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let (uid, gid) = (credentials.uid(), credentials.gid());
        let may_control = uid == 0
            || match group {
                None => false,
                Some(group) => gid == group || supplementary_groups(stream)?.contains(&group),
            };
        Ok(Self {
            uid,
            pid: credentials.pid().and_then(|pid| pid.try_into().ok()),
            may_control,
        })
    }
}

/// `SO_PEERGROUPS`: the peer's own groups. The group database may differ, and may be on the network.
#[expect(unsafe_code, reason = "no crate offers this option")]
fn supplementary_groups(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0u32; 32];
    loop {
        let mut size = libc::socklen_t::try_from(size_of_val(&*groups)).unwrap_or(0);
        // SAFETY: the kernel writes at most `size` bytes to the buffer, and the length that it has or needs to `size`.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut size,
            )
        };
        let error = io::Error::last_os_error();
        let length = size as usize / size_of::<u32>();
        if result == 0 {
            groups.truncate(length);
            return Ok(groups);
        }
        if error.raw_os_error() != Some(libc::ERANGE) || length <= groups.len() {
            return Err(error);
        }
        groups.resize(length, 0);
    }
}
