use nix::unistd::{Gid, Uid, User, getgrouplist};
use tokio::net::unix::UCred;

/// Whether a peer may steer the client: root, or a member of the service's group (N-18).
///
/// The peer's user and primary group come from the kernel. The kernel hands out the supplementary groups
/// only through a socket option that the libraries here do not offer, so these come from the group database.
pub(super) async fn may_steer(peer: UCred, group: Option<u32>) -> bool {
    if peer.uid() == 0 {
        return true;
    }
    let Some(group) = group else { return false };
    if peer.gid() == group {
        return true;
    }
    // The database may be on the network.
    let look_up = move || is_member(Uid::from_raw(peer.uid()), Gid::from_raw(group));
    tokio::task::spawn_blocking(look_up).await.unwrap_or(false)
}

fn is_member(user: Uid, group: Gid) -> bool {
    let Ok(Some(user)) = User::from_uid(user) else {
        return false;
    };
    let Ok(name) = std::ffi::CString::new(user.name) else {
        return false;
    };
    getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&group))
}

#[cfg(test)]
mod tests;
