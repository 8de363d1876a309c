//! The right to make an internet: as root, or as an ordinary user inside a user namespace.

use std::fs::{self, OpenOptions};
use std::io;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

const NEEDED: CapabilitySet = CapabilitySet::SYS_ADMIN.union(CapabilitySet::NET_ADMIN);

/// The source of a process's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// It had the rights already: nothing was changed.
    Administrator,
    /// It is root in a user namespace of its own, and there alone: outside it is who it was.
    UserNamespace,
}

/// Why the process cannot get the rights, and how the user can help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivilegeError {
    /// A process with more than one thread cannot enter a user namespace.
    #[error("the process has threads already: privilege::enter belongs at the start of main")]
    Threads,
    /// Debian's switch is off.
    #[error(
        "ordinary users may not make user namespaces (kernel.unprivileged_userns_clone is 0): run as \
         root, or allow it with `sysctl kernel.unprivileged_userns_clone=1`"
    )]
    SwitchedOff,
    /// The limit on user namespaces is zero or reached.
    #[error(
        "no more user namespaces are allowed (user.max_user_namespaces is {limit}): run as root, or \
         raise it with `sysctl user.max_user_namespaces=1000`"
    )]
    Limit {
        /// `user.max_user_namespaces`, or `unknown`.
        limit: String,
    },
    /// Ubuntu's restriction is in force.
    #[error(
        "AppArmor denies ordinary users the rights in their user namespaces \
         (kernel.apparmor_restrict_unprivileged_userns is 1): run as root, or allow it with `sysctl \
         kernel.apparmor_restrict_unprivileged_userns=0`"
    )]
    AppArmor,
    /// The kernel was built without network or user namespaces.
    #[error("the kernel has no user or no network namespaces (CONFIG_USER_NS, CONFIG_NET_NS)")]
    NoNamespaces,
    /// Something else: a container's system call filter, or a `chroot`.
    #[error(
        "could not enter a user namespace ({0}): a container or a chroot may forbid it; run as root \
         outside of it"
    )]
    Refused(String),
    /// The user's identity could not be carried over.
    #[error("could not write {path}: {reason}")]
    Map {
        /// The file.
        path: &'static str,
        /// The kernel's answer.
        reason: String,
    },
}

/// Why `/dev/net/tun`, which every Teredo client needs, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TunError {
    /// The device is not there.
    #[error("there is no /dev/net/tun: load the module with `modprobe tun`")]
    Missing,
    /// The user may not open it; a user namespace does not change that.
    #[error("may not open /dev/net/tun: run `chmod 0666 /dev/net/tun` as root, or run as root")]
    NotPermitted,
    /// Something else.
    #[error("could not open /dev/net/tun: {0}")]
    Other(String),
}

/// Gets the right to make namespaces: as root nothing happens, an ordinary user becomes root of a
/// user namespace with network and mount namespaces of its own, from which the machine's own network
/// is out of reach.
///
/// To be called first thing in `main`: it concerns the whole process, and the kernel refuses it to one
/// that has more than one thread.
///
/// # Errors
///
/// [`PrivilegeError`] names the obstacle and the remedy.
///
/// ```no_run
/// use teredo_lab::{Internet, privilege};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     privilege::enter()?;
///     let internet = Internet::new()?;
///     // ...
///     Ok(())
/// }
/// ```
pub fn enter() -> Result<Privilege, PrivilegeError> {
    if capabilities(None).is_ok_and(|sets| sets.effective.contains(NEEDED)) {
        return Ok(Privilege::Administrator);
    }
    // The IDs as seen from outside; inside they have no name until the maps are written.
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    unshare(flags).map_err(|error| diagnose(error, read_sysctl))?;
    let maps = [
        // An ordinary user may map a group only after giving up setgroups(2), user_namespaces(7).
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {user} 1")),
        ("/proc/self/gid_map", format!("0 {group} 1")),
    ];
    for (path, content) in maps {
        fs::write(path, content).map_err(|error| match diagnose(Errno::EPERM, read_sysctl) {
            PrivilegeError::Refused(_) => PrivilegeError::Map {
                path,
                reason: error.to_string(),
            },
            known => known,
        })?;
    }
    Ok(Privilege::UserNamespace)
}

/// Finds out whether this process may make TUN interfaces, given a namespace to make them in.
///
/// # Errors
///
/// [`TunError`] names the obstacle and the remedy.
pub fn check_tun() -> Result<(), TunError> {
    match OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
    {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EACCES | Errno::EPERM) => TunError::NotPermitted,
            // A device node may be there although the module is not.
            Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => TunError::Missing,
            _ => TunError::Other(error.to_string()),
        }),
    }
}

/// Says why the kernel refused a user namespace, from its answer and its parameters.
fn diagnose(error: Errno, parameter: impl Fn(&str) -> Option<String>) -> PrivilegeError {
    let limit = parameter("user/max_user_namespaces");
    match error {
        // A kernel without user namespaces does not know the flag, nor the limit.
        Errno::EINVAL if limit.is_some() => PrivilegeError::Threads,
        Errno::EINVAL | Errno::ENOSYS => PrivilegeError::NoNamespaces,
        Errno::ENOSPC | Errno::EUSERS => PrivilegeError::Limit {
            limit: limit.unwrap_or_else(|| "unknown".to_owned()),
        },
        _ if parameter("kernel/unprivileged_userns_clone").as_deref() == Some("0") => {
            PrivilegeError::SwitchedOff
        }
        _ if limit.as_deref() == Some("0") => PrivilegeError::Limit {
            limit: "0".to_owned(),
        },
        _ if parameter("kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") => {
            PrivilegeError::AppArmor
        }
        other => PrivilegeError::Refused(io::Error::from(other).to_string()),
    }
}

fn read_sysctl(path: &str) -> Option<String> {
    Some(
        fs::read_to_string(format!("/proc/sys/{path}"))
            .ok()?
            .trim()
            .to_owned(),
    )
}

#[cfg(test)]
mod tests;
