//! Segmentation and its inverse by the book: slow, and nothing of it is the crate's.

use std::collections::VecDeque;

use super::packet::{ACK, ECE, LONGEST, PSH, Packet, sum};

/// The most packets in one, and the most flows at a time.
const MAX_PARTS: usize = 64;
const MAX_OPEN: usize = 8;

/// The fields of the kernel's `virtio_net_hdr`.
pub(super) struct Kernel {
    needs_checksum: bool,
    pub(super) kind: u8,
    pub(super) header_len: u16,
    segment: u16,
    pub(super) checksum_start: u16,
    pub(super) checksum_offset: u16,
}

/// `VIRTIO_NET_HDR_GSO_TCPV6` and `VIRTIO_NET_HDR_GSO_UDP_L4`.
pub(super) const TCP6: u8 = 4;
pub(super) const UDP: u8 = 5;

impl Kernel {
    pub(super) fn parse(bytes: [u8; 10]) -> Self {
        let [flags, kind, a, b, c, d, e, f, g, h] = bytes;
        Self {
            needs_checksum: flags % 2 == 1,
            // VIRTIO_NET_HDR_GSO_ECN says only that CWR may be set.
            kind: kind % 128,
            header_len: u16::from_ne_bytes([a, b]),
            segment: u16::from_ne_bytes([c, d]),
            checksum_start: u16::from_ne_bytes([e, f]),
            checksum_offset: u16::from_ne_bytes([g, h]),
        }
    }
}

/// What `packet` stands for, in order; None where it does not carry what the kernel says.
pub(super) fn cut(kernel: &Kernel, packet: &[u8]) -> Option<Vec<Vec<u8>>> {
    if packet.len() > LONGEST {
        return None;
    }
    let protocol = match kernel.kind {
        0 if kernel.needs_checksum => return complete(kernel, packet).map(|packet| vec![packet]),
        0 => return Some(vec![packet.to_vec()]),
        TCP6 => 6,
        UDP => 17,
        _ => return None,
    };
    let size = usize::from(kernel.segment);
    let packet = Packet::parse(packet, protocol).filter(|_| size > 0)?;
    Some(packet.segments(size).iter().map(Packet::write).collect())
}

/// The checksum over everything from its start on, where the field holds the sum of the pseudo-header. The kernel writes
/// ones' complement's other zero, for whatever protocol (`CSUM_MANGLED_0`).
fn complete(kernel: &Kernel, packet: &[u8]) -> Option<Vec<u8>> {
    let start = usize::from(kernel.checksum_start);
    let at = start + usize::from(kernel.checksum_offset);
    let mut done = packet.to_vec();
    let field = done.get_mut(at..at + 2)?;
    let checksum = match !sum(&packet[start..]) {
        0 => 0xffff,
        checksum => checksum,
    };
    field.copy_from_slice(&checksum.to_be_bytes());
    Some(done)
}

/// Protocol, addresses and ports of what is TCP or UDP at once, and as long as it says. Of anything else it is not known
/// what it belongs to.
pub(super) fn flow(packet: &[u8]) -> Option<Vec<u8>> {
    let says = |at: usize| usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
    let parsed = Packet::parse(
        packet,
        *packet.get(6).filter(|next| [6, 17].contains(next))?,
    )?;
    if says(4) + 40 != packet.len() || parsed.tcp.is_none() && says(44) + 40 != packet.len() {
        return None;
    }
    Some([&[parsed.protocol()], &parsed.addresses[..], &parsed.ports].concat())
}

/// A packet that may be a part of a bigger one: data, and of TCP nothing that changes the connection.
fn mergeable(packet: &[u8], tcp: bool, udp: bool) -> Option<Packet> {
    flow(packet)?;
    let packet = Packet::parse(packet, packet[6])?;
    let plain = match &packet.tcp {
        Some(header) => tcp && header.flags & !(PSH | ECE) == ACK,
        None => udp,
    };
    (plain && !packet.payload.is_empty()).then_some(packet)
}

/// Which packets become one, each with what is in it: of a flow's packets those that follow each other, as long as cutting
/// what they become gives them back.
pub(super) fn coalesce(packets: &[Vec<u8>], tcp: bool, udp: bool) -> Vec<Vec<Vec<u8>>> {
    let mut groups: Vec<Vec<Vec<u8>>> = Vec::new();
    // The groups that may grow, the one that grew last in front.
    let mut open: VecDeque<usize> = VecDeque::new();
    for packet in packets {
        let Some(own) = flow(packet) else {
            open.clear();
            groups.push(vec![packet.clone()]);
            continue;
        };
        let place = open
            .iter()
            .position(|&group| flow(&groups[group][0]).as_ref() == Some(&own));
        let group = place.and_then(|place| open.remove(place));
        let plain = mergeable(packet, tcp, udp);
        let pushed = |packet: &Packet| {
            let flags = packet.tcp.as_ref().map_or(0, |tcp| tcp.flags);
            flags & PSH != 0
        };
        let joined = group
            .filter(|_| plain.is_some())
            .filter(|&group| joins(&groups[group], packet));
        let ends = match (joined, &plain) {
            (Some(group), Some(plain)) => {
                groups[group].push(packet.clone());
                let shorter = groups[group][0].len() > packet.len();
                groups[group].len() == MAX_PARTS || shorter || pushed(plain)
            }
            (_, plain) => {
                groups.push(vec![packet.clone()]);
                plain.as_ref().is_none_or(pushed)
            }
        };
        if !ends {
            open.push_front(joined.unwrap_or(groups.len() - 1));
            open.truncate(MAX_OPEN);
        }
    }
    groups
}

/// Whether the last that the super-packet of `group` with `packet` behind it stands for is `packet`. That it stands for the
/// others is not looked at again.
fn joins(group: &[Vec<u8>], packet: &[u8]) -> bool {
    let parts = group.iter().map(Vec::as_slice).chain([packet]);
    let parsed: Option<Vec<_>> = parts.map(|part| Packet::parse(part, part[6])).collect();
    let Some(parsed) = parsed else {
        return false;
    };
    let mut whole = parsed[0].clone();
    let payloads: Vec<_> = parsed.iter().map(|part| &part.payload[..]).collect();
    whole.payload = payloads.concat();
    if let (Some(whole), Some(last)) = (&mut whole.tcp, &parsed[group.len()].tcp) {
        whole.flags |= last.flags & PSH;
    }
    let segments = whole.segments(parsed[0].payload.len());
    let is_last = segments.last().is_some_and(|last| last.write() == packet);
    // The second one is where it is known for the first time whether the first one is as segmentation would write it.
    let is_first = group.len() > 1 || segments[0].write() == group[0];
    whole.len() <= LONGEST && segments.len() == parsed.len() && is_first && is_last
}
