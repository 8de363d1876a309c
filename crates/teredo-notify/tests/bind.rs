//! Getting the socket: a dead instance is replaced, a live one and other files never.

#[path = "support/service.rs"]
mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use support::{Running, as_user, folder};
use teredo_notify::call::Caller;
use teredo_notify::service::{Config, ServiceError};

fn refusal(path: &Path) -> ServiceError {
    match Running::try_start(&Config::new(path)) {
        Ok(_) => panic!("the service has started"),
        Err(error) => error,
    }
}

fn answers(path: &Path) -> bool {
    Caller::open(path).is_ok_and(|mut client| client.get_status().is_ok())
}

/// N-18: any user may connect.
#[test]
fn folder_and_socket_are_made_and_the_socket_removed() {
    let folder = folder();
    let path = folder.path().join("a/b/teredo.sock");
    let service = Running::start(&path);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o666);
    assert_eq!(mode(path.parent().unwrap()), 0o755);
    assert!(answers(&path));
    service.stop();
    assert!(!path.exists());
    Running::start(&path).stop();
}

#[test]
fn a_socket_that_was_left_is_replaced() {
    let folder = folder();
    let path = folder.path().join("s");
    drop(UnixListener::bind(&path).unwrap());
    drop(UnixListener::bind(folder.path().join("s.new")).unwrap());
    let service = Running::start(&path);
    assert!(answers(&path));
    service.stop();
    assert!(!path.exists());
}

#[test]
fn a_live_service_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("s");
    let _service = Running::start(&path);
    let error = refusal(&path);
    assert!(
        matches!(error, ServiceError::AlreadyRunning { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("--socket"), "no next step");
    assert!(answers(&path));
}

/// Also one that does not know of our lock, and one that is busy.
#[test]
fn a_foreign_listener_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let error = refusal(&path);
    assert!(
        matches!(error, ServiceError::AlreadyRunning { .. }),
        "{error}"
    );
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    drop(listener);
}

#[test]
fn other_files_are_never_deleted() {
    let folder = folder();
    let path = folder.path().join("precious");
    fs::write(&path, "data").unwrap();
    let error = refusal(&path);
    assert!(matches!(error, ServiceError::NotASocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "data");

    let target = folder.path().join("target");
    std::os::unix::fs::symlink(&path, &target).unwrap();
    assert!(matches!(refusal(&target), ServiceError::NotASocket { .. }));
}

/// A socket that has taken our place is not ours to remove.
#[test]
fn a_successor_keeps_its_socket() {
    let folder = folder();
    let path = folder.path().join("s");
    let service = Running::start(&path);
    fs::remove_file(&path).unwrap();
    let _successor = UnixListener::bind(&path).unwrap();
    service.stop();
    assert!(path.exists());
}

#[test]
fn of_many_that_start_at_once_one_wins() {
    let folder = folder();
    let path = folder.path().join("s");
    drop(UnixListener::bind(&path).unwrap());
    for _ in 0..10 {
        let started: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| Running::try_start(&Config::new(&path))))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(started.iter().filter(|result| result.is_ok()).count(), 1);
        assert!(answers(&path));
    }
}

/// Folders that were made for a socket that cannot be made are removed again; those that were there stay.
#[test]
fn a_failure_leaves_no_folder() {
    let folder = folder();
    let nested = folder.path().join("a/b");
    // A folder is in the place of the socket.
    let error = refusal(&nested.join(".."));
    assert!(matches!(error, ServiceError::NotASocket { .. }), "{error}");
    assert!(!folder.path().join("a").exists(), "the folder is left");
    fs::create_dir(folder.path().join("a")).unwrap();
    let _ = refusal(&nested.join(".."));
    assert!(
        folder.path().join("a").is_dir(),
        "a folder that was there is gone"
    );
    assert!(!nested.exists());
}

#[test]
fn failures_name_the_path_and_the_next_step() {
    let folder = folder();
    let error = as_user(65_534, 65_534, || refusal(&folder.path().join("s")));
    assert!(matches!(error, ServiceError::Create { .. }), "{error}");
    assert!(error.to_string().contains("run as root"));
    let error = as_user(65_534, 65_534, || refusal(&folder.path().join("a/s")));
    assert!(matches!(error, ServiceError::Folder { .. }), "{error}");
    let error = refusal(&folder.path().join("x".repeat(120)));
    assert!(matches!(error, ServiceError::PathTooLong { .. }), "{error}");
}
