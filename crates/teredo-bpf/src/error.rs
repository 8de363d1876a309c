//! The errors, and the words for them.

use std::io;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use rustix::io::Errno;

/// The kernel or the caller does not allow a path in the kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The processor's byte order is not that of the programs.
    #[error("the programs are for little-endian processors")]
    ByteOrder,
    /// The kernel does not permit the process to load programs.
    #[error("the kernel permits no BPF: it takes CAP_BPF and CAP_NET_ADMIN")]
    NotPermitted,
    /// The kernel refuses a map.
    #[error("the kernel refuses a map: {0}")]
    Map(#[source] io::Error),
    /// The kernel's verifier refuses a program. The log is whole, and has many lines.
    #[error("the kernel refuses the program `{program}`: {error}\n{log}")]
    Refused {
        /// The program's name.
        program: &'static str,
        /// The kernel's error.
        error: io::Error,
        /// The verifier's log.
        log: String,
    },
    /// There is no interface of this name.
    #[error("there is no interface `{0}`")]
    NoInterface(String),
    /// An interface is not of the kind that the programs can read.
    #[error("`{name}` is no {wanted}: its kind is {kind}")]
    Kind {
        /// The interface.
        name: String,
        /// The kind that it must have.
        wanted: &'static str,
        /// The number of its kind (`ARPHRD_*`).
        kind: u16,
    },
    /// The kernel does not attach a program to an interface or a socket.
    #[error("the kernel does not attach `{program}` to {to}: {error}")]
    Attach {
        /// The program's name.
        program: &'static str,
        /// The interface or socket.
        to: String,
        /// The kernel's error.
        error: io::Error,
    },
    /// An interface has one program for arriving frames, and this one has another.
    #[error("another XDP program is attached to {0}")]
    OtherProgram(String),
    /// The program that answers solicitations ran, and did not answer one.
    #[error("the program `answer` does not answer a solicitation: its verdict is {verdict}")]
    Probe {
        /// Its verdict (`XDP_*`).
        verdict: u32,
    },
    /// The map of peers is full.
    #[error("the kernel's map of peers is full")]
    Full,
    /// The object in the program is damaged.
    #[error("the object does not fit this program: {0}")]
    Object(String),
    /// A system call failed.
    #[error("cannot {action}: {error}")]
    System {
        /// The action.
        action: &'static str,
        /// The kernel's error.
        error: io::Error,
    },
}

impl PathError {
    pub(crate) fn system(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::System { action, error }
    }
}

/// Of the object and its maps.
impl From<EbpfError> for PathError {
    fn from(error: EbpfError) -> Self {
        match error {
            EbpfError::MapError(error) => error.into(),
            error => Self::Object(chain(&error)),
        }
    }
}

impl From<MapError> for PathError {
    fn from(error: MapError) -> Self {
        let error = match error {
            MapError::CreateError { io_error, .. } => io_error,
            MapError::SyscallError(error) => error.io_error,
            MapError::IoError(error) => error,
            error => return Self::Object(chain(&error)),
        };
        match Errno::from_io_error(&error) {
            Some(Errno::TOOBIG) => Self::Full,
            Some(Errno::PERM | Errno::ACCESS) => Self::NotPermitted,
            _ => Self::Map(error),
        }
    }
}

/// A program was not loaded.
pub(crate) fn not_loaded(program: &'static str, error: ProgramError) -> PathError {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            if io_error.kind() == io::ErrorKind::PermissionDenied && log.is_empty() {
                return PathError::NotPermitted;
            }
            PathError::Refused {
                program,
                error: io_error,
                log,
            }
        }
        error => PathError::Object(chain(&error)),
    }
}

/// A program was not attached.
pub(crate) fn not_attached(
    program: &'static str,
    to: impl Into<String>,
    error: ProgramError,
) -> PathError {
    let error = match error {
        ProgramError::SyscallError(error) => error.io_error,
        error => io::Error::other(chain(&error)),
    };
    PathError::Attach {
        program,
        to: to.into(),
        error,
    }
}

/// An error of a library with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
