//! Segmentation in user space: super-packets of the host into packets, and received packets into super-packets.
//!
//! The host's stack hands over up to 64 KiB of a flow at once (TSO, USO) and takes as much (GRO), so that its own
//! work, and the system calls, come once per 50 packets. What travels is packets all the same: each goes into a
//! datagram of its own, with headers and a checksum as if it had been sent alone.
//!
//! ```text
//!  out:  [virtio_net_hdr][IPv6|TCP|pppppppppppp] ──Cut──> [IPv6|TCP|pppp][IPv6|TCP|pppp][IPv6|TCP|pppp]
//!                                                         end to end and of one length: one UDP_SEGMENT send
//!
//!  in:   [IPv6|TCP|pppp] [IPv6|TCP|pppp] [IPv6|TCP|pppp]  where UDP_GRO left them
//!             ──Coalescer──> [virtio_net_hdr] [IPv6|TCP] [pppp] [pppp] [pppp]   one writev, nothing copied
//! ```
//!
//! The two are inverse: cutting what was coalesced gives the same packets, to the bit and in the order of each flow.
//! Packets for which that would not hold are left alone.
//!
//! Some received packets are not finished: [`finish`] gives them their checksum, or finds that they are super-packets already.
//!
//! Functions on slices: no I/O, nothing is allocated per packet, and no bytes can make them panic.

mod checksum;
mod coalesce;
mod cut;
mod flow;
mod header;
mod pause;
mod unfinished;

use std::str::FromStr;

pub(crate) use coalesce::MAX_PARTS as MAX_PIECES;
pub use coalesce::{Coalescer, SuperPacket};
pub use cut::{Cut, CutError};
pub use header::{Gso, Header};
pub(crate) use pause::Pause;
pub use unfinished::finish;

/// Whether to use kernel offloads (TSO, USO, UDP_SEGMENT, UDP_GRO).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// As far as the kernel supports them; the rest goes packet by packet.
    #[default]
    Auto,
    /// Never: to find out whether a fault lies there.
    Off,
}

/// A text that names no [`Offload`].
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

/// Which super-packets the kernel and this process hand each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Those of TCP.
    pub tcp: bool,
    /// Those of UDP, which the kernel knows since Linux 6.2.
    pub udp: bool,
}

impl Offloads {
    /// All of them.
    pub const ALL: Self = Self {
        tcp: true,
        udp: true,
    };
    /// None: every packet comes and goes alone.
    pub const NONE: Self = Self {
        tcp: false,
        udp: false,
    };
}

/// The length of the IPv6 header.
const IPV6: usize = 40;

/// The longest packet, of whichever kind, that the TUN interface carries.
const LONGEST: usize = 65_535;

/// Next-header values.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Offsets in the TCP header, and bits in its flags.
mod tcp {
    pub(super) const LEN: usize = 20;
    pub(super) const SEQUENCE: usize = 4;
    pub(super) const DATA_OFFSET: usize = 12;
    pub(super) const FLAGS: usize = 13;
    pub(super) const CHECKSUM: usize = 16;

    pub(super) const FIN: u8 = 0x01;
    pub(super) const PSH: u8 = 0x08;
    pub(super) const ACK: u8 = 0x10;
    pub(super) const ECE: u8 = 0x40;
    pub(super) const CWR: u8 = 0x80;
}

/// Offsets in the UDP header.
mod udp {
    pub(super) const LEN: usize = 8;
    pub(super) const LENGTH: usize = 4;
    pub(super) const CHECKSUM: usize = 6;
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
