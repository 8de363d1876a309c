//! A lane: one thread that moves packets between a queue of the TUN and a socket.

mod counters;
pub(crate) mod path;
pub(crate) mod trouble;

use std::io;
use std::str::FromStr;

pub use counters::Counters;

/// Whether the kernel is to hand over and take many packets as one (TSO, USO, UDP_SEGMENT, UDP_GRO).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// As far as it can; what it refuses is done packet by packet.
    #[default]
    Auto,
    /// Never: for finding out whether a fault lies there.
    Off,
}

/// What is no [`Offload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 'auto' or 'off'")]
pub struct ParseOffloadError;

impl FromStr for Offload {
    type Err = ParseOffloadError;

    fn from_str(text: &str) -> Result<Self, ParseOffloadError> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => Err(ParseOffloadError),
        }
    }
}

/// What the data path does with the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sending datagrams.
    Send,
    /// Receiving datagrams.
    Receive,
    /// Handing packets to the host.
    Deliver,
    /// Taking packets from the host.
    Submit,
    /// Looking for other clients on the link (RFC 4380 §5.2.8).
    Discover,
    /// Looking for a longer refresh interval (RFC 4380 §5.2.7).
    Determine,
}

impl Operation {
    /// The operation's name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Deliver => "deliver",
            Self::Submit => "submit",
            Self::Discover => "discover",
            Self::Determine => "determine",
        }
    }
}

/// For a wait that is a look.
pub(crate) const AT_ONCE: rustix::event::Timespec = rustix::event::Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Randomness that nobody can foresee: nonces and the random bits of the address come from it (RFC 5991 §4).
pub(crate) fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let mut filled = 0;
    while filled < seed.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut seed[filled..], flags)?;
    }
    Ok(seed)
}
