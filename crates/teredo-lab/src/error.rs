//! Errors of building and changing an internet.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// Why an internet could not be built or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The process may not make or configure network namespaces.
    #[error(
        "may not {attempt}: {source}; run as root, or call teredo_lab::privilege::enter first (for \
         tests: `unshare --user --map-root-user --net --mount COMMAND`)"
    )]
    NotPermitted {
        /// The failed action.
        attempt: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused for another reason than rights.
    #[error("could not {attempt}: {source}")]
    Kernel {
        /// The failed action.
        attempt: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A name that cannot be part of an interface's name.
    #[error("{0:?} is no name for a host or home: 1 to 12 of a-z, 0-9 and - are")]
    Name(String),
    /// A name that another host or home of this internet has.
    #[error("the name {0:?} is taken")]
    NameTaken(String),
    /// An address outside the networks that the lab routes.
    #[error(
        "{0} is not routed in the lab: use 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, \
         2001:db8::/32 or, for Internet Gateway Devices, 44.128.0.0/24"
    )]
    NotRouted(IpAddr),
    /// An address that another host, a home or the core has.
    #[error("the address {0} is taken")]
    AddressTaken(IpAddr),
    /// An address that does not lie in the home network, or that its router has.
    #[error("{0} is no address for a host of this home")]
    NotInHome(IpAddr),
    /// A program of another package does not run on a router.
    #[error("could not start {program}, of Debian's package {package}: {reason}")]
    Daemon {
        /// Its name.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
        /// Why not.
        reason: String,
    },
    /// An Internet Gateway Device with an address that its daemon takes for a private one.
    #[error("{0} is no address for an Internet Gateway Device: 44.128.0.1 to 44.128.0.254 are")]
    NotExternal(Ipv4Addr),
    /// More hosts or homes than addresses.
    #[error("no address is left in {0}")]
    Full(&'static str),
}

impl LabError {
    /// Wraps the kernel's answer to `attempt`. A lack of rights has a variant of its own.
    pub(crate) fn from_io(attempt: impl Into<String>, source: io::Error) -> Self {
        let attempt = attempt.into();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted { attempt, source },
            _ => Self::Kernel { attempt, source },
        }
    }
}

/// `.attempt("set the address")` on an [`io::Result`].
pub(crate) trait Attempt<T> {
    fn attempt(self, what: impl Into<String>) -> Result<T, LabError>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempt(self, what: impl Into<String>) -> Result<T, LabError> {
        self.map_err(|source| LabError::from_io(what, source))
    }
}
