//! A hash of the log, which is fed as the run goes on.

use std::net::SocketAddrV4;

use super::Fate;
use crate::datagram::Datagram;
use crate::host::HostId;
use crate::icmp::{IcmpError, IcmpKind};
use crate::nat::Refusal;

/// A running hash of 64 bits: each word is mixed in by a multiplication whose halves are folded, which takes about a
/// nanosecond. It finds runs that differ by accident; nobody tries to forge one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest(u64);

/// The fractions of the golden ratio and of the square root of 2, made odd.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const INCREMENT: u64 = 0x6a09_e667_f3bc_c909;

impl Default for Digest {
    fn default() -> Self {
        Self(INCREMENT)
    }
}

impl Digest {
    pub(super) fn value(self) -> u64 {
        self.0
    }

    pub(super) fn word(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word) * u128::from(MULTIPLIER);
        // The increment keeps a state of zero from lasting.
        self.0 = (wide as u64 ^ (wide >> 64) as u64).wrapping_add(INCREMENT);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        // Otherwise trailing zeros would not count.
        self.word(bytes.len() as u64);
    }

    pub(super) fn socket(&mut self, socket: SocketAddrV4) {
        self.word(pack(socket));
    }

    pub(super) fn host(&mut self, host: HostId) {
        let (kind, number) = match host {
            HostId::Client(id) => (0, id.0),
            HostId::Server(id) => (1, id.0),
            HostId::Relay(id) => (2, id.0),
            HostId::Raw(id) => (3, id.0),
        };
        self.word(kind << 32 | number as u64);
    }

    pub(super) fn datagram(&mut self, datagram: &Datagram) {
        self.word(pack(datagram.source) | u64::from(datagram.ttl) << 48);
        self.word(pack(datagram.destination) | u64::from(datagram.dont_fragment) << 48);
        self.bytes(&datagram.payload);
    }

    pub(super) fn error(&mut self, error: &IcmpError) {
        let (kind, code) = error.kind.numbers();
        let mtu = match error.kind {
            IcmpKind::FragmentationNeeded { mtu } => mtu,
            _ => 0,
        };
        self.word(u64::from(kind) << 24 | u64::from(code) << 16 | u64::from(mtu));
        self.word(u64::from(u32::from(error.reporter)) << 16 | u64::from(error.length));
        self.socket(error.source);
        self.socket(error.destination);
    }

    pub(super) fn fate(&mut self, fate: Fate) {
        let number = match fate {
            Fate::InFlight => 0,
            Fate::Delivered { at, host } => {
                self.word(at.as_nanos());
                self.host(host);
                1
            }
            Fate::Lost => 2,
            Fate::LinkDown => 3,
            Fate::Eaten => 4,
            Fate::Silenced => 5,
            Fate::Refused(Refusal::NoMapping) => 6,
            Fate::Refused(Refusal::Filtered) => 7,
            Fate::Refused(Refusal::Exhausted) => 8,
            Fate::Refused(Refusal::NoHairpin) => 9,
            Fate::Overflow => 10,
            Fate::TooLong => 11,
            Fate::Expired => 12,
            Fate::NoRoute => 13,
            Fate::NoListener => 14,
        };
        self.word(number);
    }
}

/// A socket in the lower 48 bits.
fn pack(socket: SocketAddrV4) -> u64 {
    u64::from(u32::from(*socket.ip())) << 16 | u64::from(socket.port())
}
