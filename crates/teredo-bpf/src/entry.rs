//! The entry of a peer: the value of the map `peers`, and `struct peer` in `programs/path.h`.

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use crate::bytes::put;
use crate::path::LANES;

/// The bytes of an entry in the map.
pub(crate) const LEN: usize = 192;

/// An entry as the map has it. The kernel copies whole entries.
pub(crate) type Bytes = [u8; LEN];

// Where the fields begin.
const LOCAL: usize = 16;
const REMOTE: usize = 20;
const LOCAL_PORT: usize = 24;
const REMOTE_PORT: usize = 26;
const LONGEST: usize = 28;
const TTL: usize = 30;
const FLAGS: usize = 31;
const UNDERLAY: usize = 32;
const OVERLAY: usize = 36;
const HEARD: usize = 40;
const SENT: usize = 48;
pub(crate) const LET_IN: usize = 56;
const LET_OUT: usize = 64;
const PACKETS_IN: usize = 88;
const BYTES_IN: usize = 96;
const PACKETS_OUT: usize = 104;
const BYTES_OUT: usize = 112;
const BARE: usize = 120;
const ADDED: usize = 176;
const LANE: usize = 184;

const IS_RELAY: u8 = 1;
const NEEDS_CHECKSUMS: u8 = 2;

/// The longest packet of a tunnel (RFC 4380 §5.1.2).
const MTU: u16 = 1280;

/// The time to live of a datagram, as of the system's sockets.
const DEFAULT_TTL: u8 = 64;

/// This side of a path: the inner addresses that packets of it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A client, with this address and no other.
    Client(Ipv6Addr),
    /// A relay, with the native networks of [`Path::serve`](crate::Path::serve).
    Relay,
}

/// A peer whose path is proven: everything that its packets are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// This side.
    pub side: Side,
    /// The source of our datagrams: an address of the host, and the service port.
    pub local: SocketAddrV4,
    /// Where the peer's datagrams come from, and ours go to.
    pub remote: SocketAddrV4,
    /// The index of the TUN interface.
    pub overlay: u32,
    /// The index of the interface that the datagrams leave and come in by.
    pub underlay: u32,
    /// The longest packet that travels to the peer in one datagram; more than 1280 counts as 1280.
    pub longest: u16,
    /// The time to live of our datagrams.
    pub ttl: u8,
    /// The interface hands on packets without the checksums that hardware would fill in, as those between virtual machines
    /// and between network namespaces do, and the peer may not know what they lack. Packets without a checksum then go by
    /// our user space, except for 30 s after the peer has shown that it has such a path itself, by a datagram without a UDP
    /// checksum.
    pub needs_checksums: bool,
    /// When the peer was last known to show that, if an entry before this one has noted it ([`Traffic::bare`]).
    pub bare: Option<Duration>,
    /// The lane that handles the peer's packets in user space.
    pub lane: u32,
    /// When it is added, if packets of the peer may be in the queues of its lane, and must not be overtaken. It carries no packet
    /// until they were [empty](crate::Path::queues_empty) later.
    pub added: Option<Duration>,
    /// When the peer was last heard, as the time since boot (`CLOCK_BOOTTIME`). It is sent to for 30 s after that.
    pub heard: Duration,
}

impl Entry {
    /// An entry for packets of any length, with a usual time to live.
    pub const fn new(
        side: Side,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        interfaces: Interfaces,
        heard: Duration,
    ) -> Self {
        Self {
            side,
            local,
            remote,
            overlay: interfaces.overlay,
            underlay: interfaces.underlay,
            longest: MTU,
            ttl: DEFAULT_TTL,
            needs_checksums: false,
            bare: None,
            lane: 0,
            added: None,
            heard,
        }
    }

    pub(crate) fn to_bytes(self) -> Bytes {
        let mut bytes = [0; LEN];
        match self.side {
            Side::Client(own) => put(&mut bytes, 0, own.octets()),
            Side::Relay => bytes[FLAGS] |= IS_RELAY,
        }
        if self.needs_checksums {
            bytes[FLAGS] |= NEEDS_CHECKSUMS;
        }
        put(&mut bytes, LOCAL, self.local.ip().octets());
        put(&mut bytes, REMOTE, self.remote.ip().octets());
        put(&mut bytes, LOCAL_PORT, self.local.port().to_be_bytes());
        put(&mut bytes, REMOTE_PORT, self.remote.port().to_be_bytes());
        put(&mut bytes, LONGEST, self.longest.min(MTU).to_ne_bytes());
        bytes[TTL] = self.ttl;
        put(&mut bytes, UNDERLAY, self.underlay.to_ne_bytes());
        put(&mut bytes, OVERLAY, self.overlay.to_ne_bytes());
        put(&mut bytes, HEARD, nanos(self.heard).to_ne_bytes());
        let bare = self.bare.map_or(0, nanos);
        put(&mut bytes, BARE, bare.to_ne_bytes());
        let added = self.added.map_or(0, nanos);
        put(&mut bytes, ADDED, added.to_ne_bytes());
        bytes[LANE] = (self.lane % LANES) as u8;
        bytes
    }
}

/// The two interfaces of a path, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interfaces {
    /// The TUN interface.
    pub overlay: u32,
    /// The interface to the IPv4 Internet.
    pub underlay: u32,
}

/// The programs' notes about a peer. Times are since boot (`CLOCK_BOOTTIME`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The last packet from the peer that was decapsulated, or the time in the [`Entry`].
    pub heard: Duration,
    /// The last packet to the peer that was encapsulated.
    pub sent: Option<Duration>,
    /// When the stack last let a datagram of the peer in.
    pub let_in: Option<Duration>,
    /// When the stack last let a datagram to the peer out.
    pub let_out: Option<Duration>,
    /// Packets from the peer.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Packets to the peer.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// When the peer last sent a datagram without a UDP checksum, and so showed that it takes packets that lack one; noted
    /// only in an entry that [needs checksums](Entry::needs_checksums).
    pub bare: Option<Duration>,
}

impl Traffic {
    pub(crate) fn from_bytes(bytes: &Bytes) -> Self {
        let number = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(field)
        };
        let time = |at| {
            Some(number(at))
                .filter(|&at| at != 0)
                .map(Duration::from_nanos)
        };
        Self {
            heard: Duration::from_nanos(number(HEARD)),
            sent: time(SENT),
            let_in: time(LET_IN),
            let_out: time(LET_OUT),
            packets_in: number(PACKETS_IN),
            bytes_in: number(BYTES_IN),
            packets_out: number(PACKETS_OUT),
            bytes_out: number(BYTES_OUT),
            bare: time(BARE),
        }
    }
}

/// 2^64 ns are 584 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
