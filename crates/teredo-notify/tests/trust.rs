//! Whom a socket's users believe. Needs root, to be another user as well.

#[path = "support/service.rs"]
mod support;

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use support::{Running, as_user};
use teredo_notify::call::{CallError, Caller};
use teredo_notify::code::GetPortError;
use teredo_notify::watcher::{GatingSubscriber, Watcher};

const NOBODY: u32 = 65_534;
const SOMEBODY: u32 = 65_533;

/// A folder of this user's, with this mode, and in it a service that `NOBODY` runs.
fn served_by_nobody(owner: u32, mode: u32, then: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(owner), None).expect("these tests need root");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    let path = folder.path().join("s");
    let service = as_user(NOBODY, NOBODY, || Running::start(&path));
    service.hub.publish(40_000);
    then(&path);
}

fn port_of(path: &Path) -> Result<u16, CallError> {
    Caller::open(path)?.get_port()
}

fn gated(path: &Path) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { GatingSubscriber::new(path).next().await.unwrap().port })
}

/// In a folder for everybody anybody can put a socket; who asks there is not told a port by just anybody, and no
/// firewall opens one.
#[test]
fn a_stranger_is_not_believed() {
    served_by_nobody(0, 0o1777, |path| {
        let refused = port_of(path).unwrap_err().to_string();
        assert!(refused.contains("the user 65534 runs it"), "{refused}");
        assert_eq!(Watcher::new(path).get_port(), Err(GetPortError::NotReady));
        assert_eq!(gated(path), 0);
        let other = as_user(SOMEBODY, SOMEBODY, || port_of(path));
        assert!(other.is_err());
    });
}

/// A service that is not run by root is believed by its own user, and in its own folder by all.
#[test]
fn a_service_may_have_a_user_of_its_own() {
    served_by_nobody(0, 0o1777, |path| {
        let own = as_user(NOBODY, NOBODY, || port_of(path));
        assert_eq!(own.unwrap(), 40_000);
    });
    served_by_nobody(NOBODY, 0o755, |path| {
        assert_eq!(port_of(path).unwrap(), 40_000);
        assert_eq!(Watcher::new(path).get_port(), Ok(40_000));
        let other = as_user(SOMEBODY, SOMEBODY, || port_of(path));
        assert_eq!(other.unwrap(), 40_000);
    });
}
