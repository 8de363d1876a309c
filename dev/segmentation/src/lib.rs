//! Segmentation of TCP and UDP over IPv6, and its inverse, in the simplest way.
//!
//! This is the reference for `teredo_tunnel::offload`: the unit tests, the fuzz targets and the benchmarks of that module
//! use it. It shares no code with the module. It parses each packet into its fields and writes it anew, checksum included.
//! It is slow.

#![forbid(unsafe_code)]

mod packet;

use std::collections::{BTreeMap, VecDeque};

pub use packet::{ACK, CWR, ECE, FIN, LONGEST, PSH, Packet, RST, SYN, Tcp, URG, sum};

/// The most packets in a super-packet, and the most flows at a time.
const MAX_PARTS: usize = 64;
const MAX_OPEN: usize = 8;

/// `VIRTIO_NET_HDR_GSO_TCPV6`.
pub const GSO_TCP6: u8 = 4;
/// `VIRTIO_NET_HDR_GSO_UDP_L4`.
pub const GSO_UDP: u8 = 5;

/// The fields of the kernel's `virtio_net_hdr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelHeader {
    /// The checksum field holds the sum of the pseudo-header and must be completed.
    pub needs_checksum: bool,
    /// The kind of super-packet: 0, [`GSO_TCP6`], [`GSO_UDP`], or one that nobody asked for.
    pub kind: u8,
    /// The length of all headers in bytes.
    pub header_len: u16,
    /// The bytes of payload in each segment but the last.
    pub segment: u16,
    /// Where the part begins that the checksum covers.
    pub checksum_start: u16,
    /// Where in that part the checksum is.
    pub checksum_offset: u16,
}

impl KernelHeader {
    /// Parses the 10 bytes in front of a packet.
    pub fn parse(bytes: [u8; 10]) -> Self {
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

    /// The 10 bytes in front of a packet.
    pub fn to_bytes(self) -> [u8; 10] {
        let words = [
            self.header_len,
            self.segment,
            self.checksum_start,
            self.checksum_offset,
        ];
        let [[a, b], [c, d], [e, f], [g, h]] = words.map(u16::to_ne_bytes);
        let flags = u8::from(self.needs_checksum);
        [flags, self.kind, a, b, c, d, e, f, g, h]
    }
}

/// The packets that `packet` stands for, in order; `None` if it is not what the kernel's header says.
pub fn cut(kernel: &KernelHeader, packet: &[u8]) -> Option<Vec<Vec<u8>>> {
    if packet.len() > LONGEST {
        return None;
    }
    let protocol = match kernel.kind {
        0 if kernel.needs_checksum => return complete(kernel, packet).map(|packet| vec![packet]),
        0 => return Some(vec![packet.to_vec()]),
        GSO_TCP6 => 6,
        GSO_UDP => 17,
        _ => return None,
    };
    let size = usize::from(kernel.segment);
    let packet = Packet::parse(packet, protocol).filter(|_| size > 0)?;
    Some(packet.segments(size).iter().map(Packet::write).collect())
}

/// Completes the checksum: it covers everything from its start on, and the field holds the sum of the pseudo-header. The
/// kernel writes the other zero of ones' complement, whatever the protocol (`CSUM_MANGLED_0`).
fn complete(kernel: &KernelHeader, packet: &[u8]) -> Option<Vec<u8>> {
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

/// Protocol, addresses and ports of a packet. `None` unless TCP or UDP follows the IPv6 header and all lengths are right:
/// the flow of anything else is unknown.
pub fn flow(packet: &[u8]) -> Option<Vec<u8>> {
    let length_at = |at: usize| usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
    let protocol = *packet.get(6).filter(|next| [6, 17].contains(next))?;
    let parsed = Packet::parse(packet, protocol)?;
    let ends = |length: usize| length + 40 == packet.len();
    if !ends(length_at(4)) || parsed.tcp.is_none() && !ends(length_at(44)) {
        return None;
    }
    Some([&[protocol], &parsed.addresses[..], &parsed.ports].concat())
}

/// Each flow's packets in their order, in runs between the packets of unknown flow, which nothing may overtake.
pub fn in_order(packets: &[Vec<u8>]) -> Vec<BTreeMap<Vec<u8>, Vec<&[u8]>>> {
    let mut runs = vec![BTreeMap::<_, Vec<&[u8]>>::new()];
    for packet in packets {
        match (flow(packet), runs.last_mut()) {
            (Some(flow), Some(run)) => run.entry(flow).or_default().push(packet),
            _ => {
                let alone = BTreeMap::from([(Vec::new(), vec![&packet[..]])]);
                runs.extend([alone, BTreeMap::new()]);
            }
        }
    }
    runs
}

/// A packet that may be part of a super-packet: it has data, and TCP's flags do not change the connection.
fn mergeable(packet: &[u8], tcp: bool, udp: bool) -> Option<Packet> {
    flow(packet)?;
    let packet = Packet::parse(packet, packet[6])?;
    let plain = match &packet.tcp {
        Some(header) => tcp && header.flags & !(PSH | ECE) == ACK,
        None => udp,
    };
    (plain && !packet.payload.is_empty()).then_some(packet)
}

/// The super-packets that a batch becomes, each as the packets in it. Packets of a flow that follow each other are joined
/// as long as cutting the result gives them back.
pub fn coalesce(packets: &[Vec<u8>], tcp: bool, udp: bool) -> Vec<Vec<Vec<u8>>> {
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

/// Whether `packet` is the last segment of the super-packet of `group` with `packet` behind it. The segments before it were
/// checked when they joined.
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
    // The first packet is checked when the second one joins it.
    let is_first = group.len() > 1 || segments[0].write() == group[0];
    whole.len() <= LONGEST && segments.len() == parsed.len() && is_first && is_last
}
