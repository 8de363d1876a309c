//! Packets as the host's stack hands them over.

use teredo_tunnel::offload::{Gso, Header};

/// The length of the packets that super-packets are cut into.
pub(crate) const LEN: usize = 1280;
/// The most of these that are in a super-packet of 64 KiB.
pub(crate) const MOST: usize = 54;
/// IPv6, and TCP with its timestamps.
const HEADERS: usize = 72;

/// A super-packet that stands for so many packets.
pub(crate) fn tcp(packets: usize) -> (Header, Vec<u8>) {
    let header = Header {
        needs_checksum: true,
        gso: Gso::Tcp6,
        header_len: HEADERS as u16,
        segment: (LEN - HEADERS) as u16,
        checksum_start: 40,
        checksum_offset: 16,
    };
    (header, bytes(HEADERS + packets * (LEN - HEADERS)))
}

/// One packet, of which the checksum is missing.
pub(crate) fn unfinished() -> (Header, Vec<u8>) {
    let header = Header {
        gso: Gso::None,
        segment: 0,
        ..tcp(1).0
    };
    (header, bytes(LEN))
}

fn bytes(len: usize) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 6, 64];
    packet.extend((8..len).map(|at| at as u8));
    // 32 bytes of TCP's header, and nothing but ACK.
    packet[52..54].copy_from_slice(&[0x80, 0x10]);
    packet
}
