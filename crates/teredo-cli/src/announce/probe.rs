//! The common part of the probes of a server and of a relay.

/// A datagram to the other end of one of the probe's sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    /// The socket.
    pub(super) from: usize,
    pub(super) payload: Vec<u8>,
}

/// The meaning of a datagram for the probe under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// These come next; the answer is yet to come.
    Send(Vec<Datagram>),
    /// The node has answered.
    Answered,
}

/// Why a datagram is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("what comes back is no answer of Teredo")]
    Malformed,
    #[error("an answer to an earlier probe, or a forged one")]
    Nonce,
    #[error("the server proves another secret than that of the file")]
    Secret,
    #[error("the server tells another origin than the probe's: a NAT is between them")]
    Origin,
    #[error(
        "the server advertises another pair of addresses; all servers of a pair need the same primary address"
    )]
    OtherPair,
}

/// A probe without its sockets, which are connected to the node.
pub(super) trait Prober {
    /// The first datagrams of the next probe. Nobody else can guess the token.
    fn ask(&mut self, token: [u8; 16]) -> Vec<Datagram>;

    /// Takes a datagram from the other end of a socket.
    fn received(&mut self, at: usize, bytes: &[u8]) -> Result<Progress, Wrong>;

    /// The missing part, for a person.
    fn silence(&self) -> String;
}
