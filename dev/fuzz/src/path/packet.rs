//! Inner packets: those that the fuzzer makes, and which of them the path carries by the parser in Rust.

use arbitrary::Arbitrary;
use teredo::wire::{Ipv6Header, Ipv6Packet, protocol};

use super::programs::State;

/// A packet of the peer or for it, before anything is spoilt.
#[derive(Arbitrary, Debug)]
pub struct Made {
    class: u8,
    label: u16,
    hop_limit: u8,
    upper: Upper,
    /// Zeros behind the upper layer's header, so that lengths around the limits are cheap.
    filling: u16,
    /// The TCP or UDP checksum is that of the pseudo header alone.
    partial: bool,
}

#[derive(Arbitrary, Debug)]
enum Upper {
    Tcp { offset: u8, flags: u8 },
    Udp,
    Icmpv6(u8),
    Other(u8, Vec<u8>),
}

/// A bit that is not as it was, somewhere.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Spoil {
    at: u16,
    mask: u8,
}

impl Spoil {
    pub fn apply(self, bytes: &mut [u8]) {
        let len = bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(usize::from(self.at) % len) {
            *byte ^= self.mask;
        }
    }
}

impl Made {
    pub fn packet(&self, source: std::net::Ipv6Addr, destination: std::net::Ipv6Addr) -> Vec<u8> {
        let (next_header, mut content, field) = match &self.upper {
            Upper::Tcp { offset, flags } => {
                let mut header = vec![0; 20];
                (header[12], header[13]) = (*offset, *flags);
                (protocol::TCP, header, Some(16))
            }
            Upper::Udp => (protocol::UDP, vec![0; 8], Some(6)),
            Upper::Icmpv6(kind) => (protocol::ICMPV6, vec![*kind, 0, 0, 0], None),
            Upper::Other(next_header, content) => (
                *next_header,
                content[..content.len().min(64)].to_vec(),
                None,
            ),
        };
        content.resize(content.len() + usize::from(self.filling % 1400), 0);
        let mut packet = Vec::new();
        Ipv6Header {
            traffic_class: self.class,
            flow_label: self.label.into(),
            payload_length: content.len() as u16,
            next_header,
            hop_limit: self.hop_limit,
            source,
            destination,
        }
        .emit(&mut packet);
        if let (true, Some(at)) = (self.partial, field) {
            content[at..at + 2].copy_from_slice(&pseudo_sum(&packet).to_be_bytes());
        }
        packet.extend_from_slice(&content);
        packet
    }
}

/// The sum of the pseudo header (RFC 8200 §8.1) of a packet that has its 40 bytes of header.
fn pseudo_sum(packet: &[u8]) -> u16 {
    let mut pseudo = packet[8..40].to_vec();
    pseudo.extend_from_slice(&[packet[4], packet[5], 0, packet[6]]);
    super::programs::sum(&pseudo)
}

/// Whether the path carries a packet with this upper layer and of this length, if a super-packet then with segments of at
/// most so many bytes.
pub fn is_simple(packet: &Ipv6Packet<'_>, gso_size: u16, state: &State) -> bool {
    let layer = packet.payload();
    let mut longest = packet.as_bytes().len();
    let simple = match packet.next_header() {
        protocol::TCP => match (layer.get(12), layer.get(13)) {
            (Some(offset), Some(flags)) if flags & 2 == 0 => {
                let headers = Ipv6Packet::HEADER_LEN + usize::from(offset >> 4) * 4;
                let whole = longest;
                if gso_size > 0 {
                    longest = headers + usize::from(gso_size);
                }
                gso_size == 0 || whole > headers
            }
            _ => false,
        },
        protocol::UDP => gso_size == 0,
        protocol::ICMPV6 => matches!(layer.first(), Some(1..=4 | 128 | 129)),
        _ => false,
    };
    simple && longest <= state.longest()
}

/// Whether the kernel has left the checksum of this packet to the hardware, or a part of the super-packet's.
pub fn lacks_checksum(packet: &Ipv6Packet<'_>, gso_size: u16) -> bool {
    let at = match packet.next_header() {
        protocol::TCP => 16,
        protocol::UDP => 6,
        _ => return gso_size > 0,
    };
    let sum = pseudo_sum(packet.as_bytes()).to_be_bytes();
    gso_size > 0 || packet.payload().get(at..at + 2) == Some(&sum[..])
}
