//! An address of a server: the value of the map `addresses`, and `struct serving` in `programs/server.h`.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;

use crate::bytes::put;

/// The bytes of an entry in the map.
pub(crate) const LEN: usize = 64;

/// An entry as the map has it.
pub(crate) type Bytes = [u8; LEN];

// Where the fields begin.
const OTHER: usize = 0;
const INTERFACE: usize = 4;
const PAIR: usize = 8;
const HARDWARE: usize = 12;
const TTL: usize = 18;
const FLAGS: usize = 19;
pub(crate) const LET_IN: usize = 32;
pub(crate) const LET_OUT: usize = 40;

const NATIVE: u8 = 1;

/// An address of the server whose solicitations are answered in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serving {
    /// The pair's other address, if it has two. A client with the cone bit is answered from it, if it is on the same interface.
    pub other: Option<Ipv4Addr>,
    /// The place of the pair among the advertisements.
    pub pair: u32,
    /// The interface that the address is on.
    pub interface: AttachedTo,
    /// The time to live of the answers.
    pub ttl: u8,
}

impl Serving {
    pub(crate) fn to_bytes(self) -> Bytes {
        let mut bytes = [0; LEN];
        let other = self.other.unwrap_or(Ipv4Addr::UNSPECIFIED);
        put(&mut bytes, OTHER, other.octets());
        put(
            &mut bytes,
            INTERFACE,
            self.interface.index.get().to_ne_bytes(),
        );
        put(&mut bytes, PAIR, self.pair.to_ne_bytes());
        put(&mut bytes, HARDWARE, self.interface.hardware);
        bytes[TTL] = self.ttl;
        if self.interface.mode == Mode::Native {
            bytes[FLAGS] |= NATIVE;
        }
        bytes
    }
}

/// An interface that the program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachedTo {
    /// Its index.
    pub index: NonZeroU32,
    /// Its hardware address.
    pub hardware: [u8; 6],
    /// How the program runs.
    pub mode: Mode,
}

/// How a program runs at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In front of the stack, for interfaces whose drivers run no programs, or cannot send what they answer.
    Generic,
}

impl Mode {
    /// Its name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// The answers in the kernel for one pair of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Of solicitations without an authentication element.
    pub plain: u64,
    /// Of solicitations with one.
    pub authenticated: u64,
}

impl Answered {
    /// The bytes of an advertisement with its origin, as a UDP payload.
    const ANSWER: u64 = 104;
    /// The bytes of a solicitation, as a UDP payload.
    const QUESTION: u64 = 48;
    /// The bytes of an authentication element with a nonce alone.
    const AUTHENTICATION: u64 = 13;

    /// The datagrams each way.
    pub const fn datagrams(self) -> u64 {
        self.plain + self.authenticated
    }

    /// The bytes of the solicitations' UDP payloads.
    pub const fn received_bytes(self) -> u64 {
        self.datagrams() * Self::QUESTION + self.authenticated * Self::AUTHENTICATION
    }

    /// The bytes of the answers' UDP payloads.
    pub const fn sent_bytes(self) -> u64 {
        self.datagrams() * Self::ANSWER + self.authenticated * Self::AUTHENTICATION
    }
}
