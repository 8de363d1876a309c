//! The classic capture file format, which tcpdump and Wireshark read (draft-ietf-opsawg-pcap).
//!
//! The simulator includes this file, which therefore asks no clock and opens nothing.

use std::io::{self, Write};
use std::time::Duration;

/// Marks time stamps in nanoseconds; its byte order is that of the whole file.
const MAGIC: u32 = 0xa1b2_3c4d;
const MAJOR: u16 = 2;
const MINOR: u16 = 4;
/// Longer than any frame: segments that the kernel has not cut up yet are up to 64 KiB.
const SNAP_LENGTH: u32 = 262_144;

/// How frames begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// With an Ethernet header.
    Ethernet = 1,
    /// With the IPv4 or IPv6 header at once, as on a TUN interface.
    RawIp = 101,
}

/// Writes the header of a file.
pub(crate) fn write_header(mut out: impl Write, link_type: LinkType) -> io::Result<()> {
    let mut header = [0; 24];
    header[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    header[4..6].copy_from_slice(&MAJOR.to_le_bytes());
    header[6..8].copy_from_slice(&MINOR.to_le_bytes());
    // 8..16: the time zone and its accuracy, which are always zero.
    header[16..20].copy_from_slice(&SNAP_LENGTH.to_le_bytes());
    header[20..24].copy_from_slice(&(link_type as u32).to_le_bytes());
    out.write_all(&header)
}

/// Writes a frame. Seconds that do not fit 32 bits wrap, as in every such file.
pub(crate) fn write_frame(
    mut out: impl Write,
    since_epoch: Duration,
    frame: &[u8],
) -> io::Result<()> {
    let kept = &frame[..frame.len().min(SNAP_LENGTH as usize)];
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut header = [0; 16];
    header[0..4].copy_from_slice(&(since_epoch.as_secs() as u32).to_le_bytes());
    header[4..8].copy_from_slice(&since_epoch.subsec_nanos().to_le_bytes());
    header[8..12].copy_from_slice(&length(kept).to_le_bytes());
    header[12..16].copy_from_slice(&length(frame).to_le_bytes());
    out.write_all(&header)?;
    out.write_all(kept)
}
