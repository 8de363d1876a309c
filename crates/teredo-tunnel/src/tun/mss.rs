//! The maximum segment size in TCP's SYNs (RFC 9293 §3.7.1), for a path that drops the tunnel's longest packets.
//!
//! IPv6 knows no link below 1280 bytes (RFC 8200 §5), so the interface cannot have a smaller MTU, and no ICMPv6 error
//! makes a host send less. The segment size can: both ends keep to it.

/// IPv6 and TCP without options.
const HEADERS: usize = 40 + 20;
const TCP: u8 = 6;
const SYN: u8 = 0x02;
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;

/// Whether a packet begins a TCP flow, or answers to it.
pub(crate) fn is_syn(packet: &[u8]) -> bool {
    packet.len() >= HEADERS && packet[6] == TCP && packet[53] & SYN != 0
}

/// Lowers the segment size of a SYN so that its flow has no packet longer than `limit`. Returns whether it did.
pub(crate) fn clamp(packet: &mut [u8], limit: u16) -> bool {
    if !is_syn(packet) {
        return false;
    }
    let end = (40 + usize::from(packet[52] >> 4) * 4).min(packet.len());
    let mss = limit.saturating_sub(HEADERS as u16);
    let mut at = HEADERS;
    while at < end && packet[at] != END {
        if packet[at] == NO_OPERATION {
            at += 1;
            continue;
        }
        let Some(&len) = packet.get(at + 1) else {
            return false;
        };
        if packet[at] == MAXIMUM_SEGMENT_SIZE && len == 4 && at + 4 <= end {
            let offered = u16::from_be_bytes([packet[at + 2], packet[at + 3]]);
            if offered <= mss {
                return false;
            }
            packet[at + 2..at + 4].copy_from_slice(&mss.to_be_bytes());
            let swapped = at % 2 == 1;
            update_checksum(packet, offered, mss, swapped);
            return true;
        }
        if len < 2 {
            return false;
        }
        at += usize::from(len);
    }
    false
}

/// RFC 1624 §3: HC' = ~(~HC + ~m + m'). At an odd offset, the bytes of the field count the other way round.
fn update_checksum(packet: &mut [u8], before: u16, after: u16, swapped: bool) {
    let order = |value: u16| if swapped { value.swap_bytes() } else { value };
    let sum = u16::from_be_bytes([packet[56], packet[57]]);
    let mut sum = u32::from(!sum) + u32::from(!order(before)) + u32::from(order(after));
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[56..58].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[cfg(test)]
mod tests;
