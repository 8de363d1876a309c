//! The descriptors that the service manager keeps for the program while it restarts: systemd's file-descriptor store, and
//! the socket that it listens on for the service (sd_listen_fds(3), sd_pid_notify_with_fds(3)).
//!
//! A kept service port has its mapping and receives; a kept interface has its address and takes the host's packets. So
//! a restart loses neither. Without a service manager there is nobody to keep anything, and the end is a real one.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

use rustix::io::{FdFlags, fcntl_setfd};
use sd_notify::NotifyState;

use super::has_service_manager;

/// The names in the store.
const INTERFACE: &str = "tun";
const PORT: &str = "udp";

/// The descriptors that were kept.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) service: Option<UnixListener>,
    pub(crate) interface: Option<OwnedFd>,
    pub(crate) port: Option<OwnedFd>,
}

impl Kept {
    /// Takes them out of the store: what is not used must not stay open there. Call it once, and before there are other
    /// threads.
    pub(crate) fn take() -> Self {
        let mut kept = Self::default();
        let left = sd_listen_fds::get().unwrap_or_else(|error| {
            tracing::warn!(%error, "the descriptors of the service manager cannot be used");
            Vec::new()
        });
        for (name, descriptor) in left {
            let descriptor = descriptor.into_std();
            // Otherwise children would have it.
            if let Err(error) = fcntl_setfd(&descriptor, FdFlags::CLOEXEC) {
                tracing::warn!(%error, name, "a descriptor of the service manager cannot be used");
                continue;
            }
            match name.as_deref() {
                Some(INTERFACE) => kept.interface = Some(descriptor),
                Some(PORT) => kept.port = Some(descriptor),
                // A socket unit gives its own name.
                _ if is_listener(&descriptor) => kept.service = Some(descriptor.into()),
                _ => tracing::warn!(name, "a descriptor of unknown use was kept"),
            }
        }
        for (name, taken) in [
            (INTERFACE, kept.interface.is_some()),
            (PORT, kept.port.is_some()),
        ] {
            if taken {
                forget(name);
            }
        }
        kept
    }
}

/// The store, as far as this process has filled it.
#[derive(Debug, Default)]
pub(crate) struct Store {
    interface: bool,
    port: bool,
}

impl Store {
    /// Has this interface kept instead of any before.
    pub(crate) fn keep_interface(&mut self, descriptor: &OwnedFd) {
        self.let_interface_go();
        self.interface = keep(INTERFACE, descriptor.as_fd());
    }

    /// Has this service port kept instead of any before; without one, none is.
    pub(crate) fn keep_port(&mut self, descriptor: Option<&OwnedFd>) {
        if std::mem::take(&mut self.port) {
            forget(PORT);
        }
        if let Some(descriptor) = descriptor {
            self.port = keep(PORT, descriptor.as_fd());
        }
    }

    /// Whether there is a service manager that may keep something.
    pub(crate) fn is_offered() -> bool {
        // systemd 254 and later say how many they keep.
        let most = std::env::var("FDSTORE").ok();
        has_service_manager() && most.is_none_or(|most| most != "0")
    }

    /// Whether interface and port outlive this process.
    pub(crate) fn is_complete(&self) -> bool {
        self.interface && self.port
    }

    /// Lets the interface go.
    pub(crate) fn let_interface_go(&mut self) {
        if std::mem::take(&mut self.interface) {
            forget(INTERFACE);
        }
    }

    /// Lets all of it go.
    pub(crate) fn clear(&mut self) {
        self.keep_port(None);
        self.let_interface_go();
    }
}

/// Whether the service manager was asked to keep it. It does not say whether it does: a unit needs
/// `FileDescriptorStoreMax=`.
fn keep(name: &str, descriptor: BorrowedFd<'_>) -> bool {
    if !Store::is_offered() {
        return false;
    }
    let state = [
        NotifyState::FdStore,
        NotifyState::FdName(name),
        // Otherwise an ICMP error for the port would end it there.
        NotifyState::Custom("FDPOLL=0"),
    ];
    tell(&state, &[descriptor])
}

fn forget(name: &str) {
    tell(
        &[NotifyState::FdStoreRemove, NotifyState::FdName(name)],
        &[],
    );
}

fn tell(state: &[NotifyState<'_>], descriptors: &[BorrowedFd<'_>]) -> bool {
    let told = sd_notify::notify_with_fds(state, descriptors);
    if let Err(error) = &told {
        tracing::warn!(%error, "cannot notify the service manager");
    }
    told.is_ok()
}

fn is_listener(descriptor: &OwnedFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(descriptor).unwrap_or(false)
}
