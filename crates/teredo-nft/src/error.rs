use rustix::io::Errno;

/// Why a request to nftables failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NftError {
    /// The process may not use nftables in this network namespace.
    #[error("not permitted to use nftables: the capability CAP_NET_ADMIN is missing")]
    NotPermitted,

    /// The kernel refused one request, and with it the whole transaction.
    #[error("the kernel refused to {request}: {errno}")]
    Refused {
        /// The request in the words of `nft`: "add chain inet teredo input".
        request: String,
        /// The kernel's reason.
        errno: Errno,
    },

    /// The netlink socket itself failed.
    #[error("cannot {operation} the netlink socket: {errno}")]
    Socket {
        /// The operation: "open", "write to", "read from".
        operation: &'static str,
        /// The reason.
        errno: Errno,
    },

    /// The answers are longer than the socket's [limit](crate::Netlink::with_limit).
    #[error("the ruleset takes more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },

    /// The kernel's answer does not follow the protocol.
    #[error("unexpected answer of the kernel to {request}: {reason}")]
    Unexpected {
        /// The request in the words of `nft`.
        request: String,
        /// The fault of the answer.
        reason: String,
    },
}

impl NftError {
    pub(crate) fn socket(operation: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| {
            match Errno::from_io_error(&error) {
                // The kernel lets only CAP_NET_ADMIN join nftables' multicast group.
                Some(Errno::PERM) => Self::NotPermitted,
                errno => Self::Socket {
                    operation,
                    errno: errno.unwrap_or(Errno::IO),
                },
            }
        }
    }

    /// The kernel's reason if it refused a request; none for every other failure.
    #[must_use]
    pub fn refusal(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}

/// The kind is that of the kernel's reason.
impl From<NftError> for std::io::Error {
    fn from(error: NftError) -> Self {
        let kind = match &error {
            NftError::NotPermitted => Errno::PERM.kind(),
            NftError::Refused { errno, .. } | NftError::Socket { errno, .. } => errno.kind(),
            NftError::TooLarge { .. } => std::io::ErrorKind::FileTooLarge,
            NftError::Unexpected { .. } => std::io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
