//! What a peer is found by.

use std::hash::{BuildHasher, Hash};
use std::net::{Ipv4Addr, SocketAddrV4};

use siphasher::sip::SipHasher13;

use crate::wire::{Flags, TeredoAddress};

/// A Teredo address without the prefix that all have in common: 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::relay) struct Key {
    server: u32,
    flags_and_port: u32,
    address: u32,
}

impl Key {
    /// Of no peer in particular; fills empty places.
    pub(super) const NOBODY: Self = Self {
        server: 0,
        flags_and_port: 0,
        address: 0,
    };
}

impl From<TeredoAddress> for Key {
    fn from(address: TeredoAddress) -> Self {
        Self {
            server: address.server.to_bits(),
            flags_and_port: u32::from(address.flags.bits()) << 16
                | u32::from(address.mapped.port()),
            address: address.mapped.ip().to_bits(),
        }
    }
}

impl From<Key> for TeredoAddress {
    fn from(key: Key) -> Self {
        Self {
            server: Ipv4Addr::from_bits(key.server),
            flags: Flags::from_bits((key.flags_and_port >> 16) as u16),
            mapped: SocketAddrV4::new(Ipv4Addr::from_bits(key.address), key.flags_and_port as u16),
        }
    }
}

/// Hashes with a key from the relay's seed: nobody outside can aim at a place in a table, and a replay is exact.
#[derive(Clone, Copy, Debug)]
pub(in crate::relay) struct SipKeys(pub(in crate::relay) u64, pub(in crate::relay) u64);

impl SipKeys {
    /// The hash of anything.
    pub(in crate::relay) fn hash(self, what: impl Hash) -> u64 {
        self.hash_one(what)
    }
}

impl BuildHasher for SipKeys {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}
