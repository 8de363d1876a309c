//! Why there is no path in the kernel.

use std::fmt;

use teredo_bpf::{PathError, ProbeError};

/// The path in the kernel cannot be had.
#[derive(Debug)]
pub struct KernelError {
    reason: String,
    log: Option<String>,
    lacks_privilege: bool,
}

impl KernelError {
    /// The probe could not be made.
    pub(super) fn no_probe(error: impl fmt::Display) -> Self {
        Self {
            reason: format!("the path cannot be probed: {error}"),
            log: None,
            lacks_privilege: false,
        }
    }

    /// Whether a privilege is missing, which the words name.
    #[must_use]
    pub fn lacks_privilege(&self) -> bool {
        self.lacks_privilege
    }

    /// The kernel's whole account of a program that it refuses, in many lines.
    #[must_use]
    pub fn verifier_log(&self) -> Option<&str> {
        self.log.as_deref()
    }
}

/// The reason, in one line.
impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for KernelError {}

impl From<PathError> for KernelError {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Refused {
                program,
                error,
                log,
            } => Self {
                reason: format!("the kernel refuses the program `{program}`: {error}"),
                log: Some(log),
                lacks_privilege: false,
            },
            error => Self {
                reason: error.to_string(),
                log: None,
                lacks_privilege: matches!(error, PathError::NotPermitted),
            },
        }
    }
}

impl From<String> for KernelError {
    fn from(reason: String) -> Self {
        Self {
            reason,
            log: None,
            lacks_privilege: false,
        }
    }
}

impl From<ProbeError> for KernelError {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Path(error) => error.into(),
            error => Self {
                reason: format!("a probe of the path failed: {error}"),
                log: None,
                lacks_privilege: false,
            },
        }
    }
}
