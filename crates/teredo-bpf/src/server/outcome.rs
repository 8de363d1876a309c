//! The outcome of the datagrams to a server's port.

use std::fmt;

/// The fate of a datagram to port 3544 of an address of the server. Each except [`Answered`](Self::Answered) is left to
/// user space.
///
/// The numbers are those of `enum outcome` in `programs/server.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ServerOutcome {
    /// Answered in the kernel.
    Answered = 0,
    /// The path was closed.
    Closed = 1,
    /// The stack was not seen to let solicitations in, and answers out, lately.
    Unproven = 2,
    /// The solicitation asked the stack again.
    Sample = 3,
    /// Solicitations to the address, by this interface, are user space's.
    NotHere = 4,
    /// It is no solicitation of the plainest form.
    NotSolicitation = 5,
    /// A checksum is wrong, or only half there.
    Checksum = 6,
    /// The source is refused, or the way to it leaves by another interface.
    Source = 7,
    /// The answer must come from the other address, which is not on this interface.
    NoSecondary = 8,
    /// The limit for the destination is reached.
    Limited = 9,
    /// The frame has no room for the answer.
    NoRoom = 10,
}

impl ServerOutcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Answered,
        Self::Closed,
        Self::Unproven,
        Self::Sample,
        Self::NotHere,
        Self::NotSolicitation,
        Self::Checksum,
        Self::Source,
        Self::NoSecondary,
        Self::Limited,
        Self::NoRoom,
    ];

    /// Its name: lower case, with underscores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Closed => "closed",
            Self::Unproven => "unproven",
            Self::Sample => "sample",
            Self::NotHere => "not_here",
            Self::NotSolicitation => "not_solicitation",
            Self::Checksum => "checksum",
            Self::Source => "source",
            Self::NoSecondary => "no_secondary",
            Self::Limited => "limited",
            Self::NoRoom => "no_room",
        }
    }
}

impl fmt::Display for ServerOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
