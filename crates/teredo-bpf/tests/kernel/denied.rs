//! The words for a kernel without one of the features, or a sandbox that denies it.

use std::collections::BTreeMap;

use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use teredo_bpf::{Path, PathError, Server, Settings};

use crate::node::{FOREVER, strangers};

// Commands of bpf(2).
const MAP_CREATE: u64 = 0;
const PROG_LOAD: u64 = 5;
const PROG_TEST_RUN: u64 = 10;
const LINK_CREATE: u64 = 28;

/// From here on, the kernel answers this thread's calls with an error: those of bpf(2) with this command, or all if there is
/// none.
fn deny(call: i64, command: Option<u64>, errno: Errno) {
    let rules = command.map(|command| {
        let (length, equal) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
        let condition = SeccompCondition::new(0, length, equal, command).unwrap();
        SeccompRule::new(vec![condition]).unwrap()
    });
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, rules.into_iter().collect())]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno.raw_os_error() as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
}

/// Runs `f` on a thread of its own, to which the filter is confined.
fn apart<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(f).join().unwrap())
}

#[test]
fn without_bpf_it_is_not_permitted() {
    for command in [MAP_CREATE, PROG_LOAD] {
        let error = apart(|| {
            deny(libc::SYS_bpf, Some(command), Errno::PERM);
            Path::load(Settings::default()).unwrap_err()
        });
        assert!(matches!(error, PathError::NotPermitted), "{error:?}");
    }
}

/// Before Linux 6.6. There is no clsact filter instead, which would outlive the process.
#[test]
fn without_tcx_nothing_is_attached() {
    let (_internet, near, _far) = strangers(FOREVER);
    let attach = || {
        apart(|| {
            deny(libc::SYS_bpf, Some(LINK_CREATE), Errno::INVAL);
            // The thread is in the namespace of the one that started it.
            let mut path = Path::load(Settings::default()).unwrap();
            path.attach_overlay("teredo0").unwrap_err()
        })
    };
    let error = near.host.namespace().run(attach).unwrap();
    let text = error.to_string();
    assert!(
        text.starts_with("the kernel does not attach `encapsulate` to `teredo0`: Invalid argument"),
        "{text}"
    );
}

/// The path is closed all the same.
#[test]
fn without_membarrier_closing_says_that_it_did_not_wait() {
    apart(|| {
        let mut path = Path::load(Settings::default()).unwrap();
        path.open().unwrap();
        deny(libc::SYS_membarrier, None, Errno::NOSYS);
        let error = path.close().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot wait for the programs: "),
            "{error}"
        );
        assert!(!path.is_open());
    });
}

/// The same for a server, whose program must also have answered a solicitation.
#[test]
fn a_server_without_bpf_says_so() {
    for command in [MAP_CREATE, PROG_LOAD] {
        let error = apart(|| {
            deny(libc::SYS_bpf, Some(command), Errno::PERM);
            Server::load().unwrap_err()
        });
        assert!(matches!(error, PathError::NotPermitted), "{error:?}");
    }
    let error = apart(|| {
        deny(libc::SYS_bpf, Some(PROG_TEST_RUN), Errno::INVAL);
        Server::load().unwrap_err()
    });
    let text = error.to_string();
    assert!(
        text.starts_with("the kernel does not attach `answer` to a frame: "),
        "{text}"
    );
}

/// The library would attach by netlink instead, which outlives a killed process.
#[test]
fn a_server_without_links_attaches_nothing() {
    let (_internet, near, _far) = strangers(FOREVER);
    let attach = || {
        apart(|| {
            deny(libc::SYS_bpf, Some(LINK_CREATE), Errno::INVAL);
            Server::load().unwrap().attach("eth0", true).unwrap_err()
        })
    };
    let error = near.host.namespace().run(attach).unwrap();
    assert!(matches!(error, PathError::Attach { .. }), "{error}");
    // Nothing is in the way of another one.
    let attach = || Server::load().unwrap().attach("eth0", true).unwrap();
    near.host.namespace().run(attach).unwrap();
}
