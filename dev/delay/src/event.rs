//! The timed events, and their bounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::place::NATIVE;

/// Something that takes time until programs talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A client starts for the first time, until it has an address.
    Cold,
    /// A client starts again in the same network, until it has an address.
    Warm,
    /// A program behind a port-restricted NAT asks one behind another, until the first answer.
    ClientToClient,
    /// A program asks a native host that it has not asked before.
    ClientToNative,
    /// A native host asks a program that has not asked it.
    NativeToClient,
}

impl Event {
    /// All.
    pub const ALL: [Self; 5] = [
        Self::Cold,
        Self::Warm,
        Self::ClientToClient,
        Self::ClientToNative,
        Self::NativeToClient,
    ];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold start",
            Self::Warm => "warm start",
            Self::ClientToClient => "client to client",
            Self::ClientToNative => "client to native host",
            Self::NativeToClient => "native host to client",
        }
    }

    /// The least time that the way of the datagrams permits, if every two sites are `delay` apart.
    ///
    /// - A cold client must ask its server: there and back.
    /// - A warm client has the address of before.
    /// - A peer opens its NAT when it hears of the program through its server (2 delays). Data that arrives then is
    ///   answered at once (1 delay).
    /// - The relay of a native host must be found, and its bubble answered (there and back); then data goes there and
    ///   back.
    /// - A relay must reach the client through its server (2), the client opens its NAT (1), and data goes there and back.
    pub fn bound(self, delay: Duration) -> Duration {
        match self {
            Self::Cold => delay * 2,
            Self::Warm => Duration::ZERO,
            Self::ClientToClient => delay * 3,
            Self::ClientToNative => delay * 4 + NATIVE * 2,
            Self::NativeToClient => delay * 5 + NATIVE * 2,
        }
    }
}
