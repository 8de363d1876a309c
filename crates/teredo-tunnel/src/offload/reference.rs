//! The same things in the simplest way, to hold the fast ones against; and packets to try them on.

use super::{Gso, Header};

/// RFC 1071, word by word.
pub(super) fn checksum(words: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in words.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        if sum > 0xffff {
            sum -= 0xffff;
        }
    }
    !(sum as u16)
}

/// The checksum of a packet whose transport header begins at `transport`, and whose checksum field is zero.
fn transport_checksum(packet: &[u8], transport: usize, protocol: u8) -> u16 {
    let mut words = packet[8..40].to_vec();
    words.extend_from_slice(&((packet.len() - transport) as u32).to_be_bytes());
    words.extend_from_slice(&[0, 0, 0, protocol]);
    words.extend_from_slice(&packet[transport..]);
    checksum(&words)
}

/// A packet of TCP or UDP that somebody could have sent.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    pub(super) traffic_class: u8,
    pub(super) flow_label: u8,
    pub(super) hop_limit: u8,
    pub(super) source: u8,
    pub(super) ports: [u16; 2],
    /// `None` for UDP.
    pub(super) tcp: Option<Tcp>,
    /// Destination options in front, in units of 8 bytes.
    pub(super) extension: usize,
    pub(super) payload: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Tcp {
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    /// A multiple of four bytes.
    pub(super) options: Vec<u8>,
}

impl Sketch {
    pub(super) fn udp(payload: Vec<u8>) -> Self {
        Self {
            traffic_class: 0,
            flow_label: 7,
            hop_limit: 64,
            source: 1,
            ports: [5001, 5002],
            tcp: None,
            extension: 0,
            payload,
        }
    }

    /// With the timestamps that every Linux sends.
    pub(super) fn tcp(sequence: u32, payload: Vec<u8>) -> Self {
        Self {
            tcp: Some(Tcp {
                sequence,
                acknowledgement: 77,
                flags: 0x10,
                window: 501,
                options: vec![1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6],
            }),
            ..Self::udp(payload)
        }
    }

    pub(super) fn transport(&self) -> usize {
        40 + 8 * self.extension
    }

    pub(super) fn headers(&self) -> usize {
        self.transport() + self.tcp.as_ref().map_or(8, |tcp| 20 + tcp.options.len())
    }

    fn protocol(&self) -> u8 {
        if self.tcp.is_some() { 6 } else { 17 }
    }

    fn without_checksum(&self) -> Vec<u8> {
        let len = self.headers() - 40 + self.payload.len();
        let mut packet = vec![
            0x60 | self.traffic_class >> 4,
            self.traffic_class << 4,
            0,
            self.flow_label,
        ];
        packet.extend_from_slice(&(len as u16).to_be_bytes());
        let first = if self.extension > 0 {
            60
        } else {
            self.protocol()
        };
        packet.extend_from_slice(&[first, self.hop_limit, 0x20, 1]);
        packet.resize(23, 0);
        packet.push(self.source);
        packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        if self.extension > 0 {
            let options = 8 * self.extension - 4;
            packet.extend_from_slice(&[
                self.protocol(),
                self.extension as u8 - 1,
                1,
                options as u8,
            ]);
            packet.resize(self.transport(), 0);
        }
        for port in self.ports {
            packet.extend_from_slice(&port.to_be_bytes());
        }
        match &self.tcp {
            Some(tcp) => {
                packet.extend_from_slice(&tcp.sequence.to_be_bytes());
                packet.extend_from_slice(&tcp.acknowledgement.to_be_bytes());
                packet.extend_from_slice(&[((20 + tcp.options.len()) as u8 / 4) << 4, tcp.flags]);
                packet.extend_from_slice(&tcp.window.to_be_bytes());
                packet.extend_from_slice(&[0; 4]);
                packet.extend_from_slice(&tcp.options);
            }
            None => {
                packet.extend_from_slice(&((8 + self.payload.len()) as u16).to_be_bytes());
                packet.extend_from_slice(&[0; 2]);
            }
        }
        packet.extend_from_slice(&self.payload);
        packet
    }

    fn checksum_at(&self) -> usize {
        self.transport() + if self.tcp.is_some() { 16 } else { 6 }
    }

    /// The packet, complete.
    pub(super) fn packet(&self) -> Vec<u8> {
        let mut packet = self.without_checksum();
        let checksum = match transport_checksum(&packet, self.transport(), self.protocol()) {
            0 if self.tcp.is_none() => 0xffff,
            checksum => checksum,
        };
        let at = self.checksum_at();
        packet[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
        packet
    }

    /// The packet as the host's stack hands it over: to be segmented, or only to be given its checksum.
    pub(super) fn super_packet(&self, segment: Option<u16>) -> (Header, Vec<u8>) {
        let mut packet = self.without_checksum();
        let mut words = packet[8..40].to_vec();
        words.extend_from_slice(&((packet.len() - self.transport()) as u32).to_be_bytes());
        words.push(0);
        words.push(self.protocol());
        let at = self.checksum_at();
        packet[at..at + 2].copy_from_slice(&(!checksum(&words)).to_be_bytes());
        let gso = if self.tcp.is_some() {
            Gso::Tcp6
        } else {
            Gso::Udp
        };
        let header = Header {
            needs_checksum: true,
            gso: segment.map_or(Gso::None, |_| gso),
            header_len: self.headers() as u16,
            segment: segment.unwrap_or(0),
            checksum_start: self.transport() as u16,
            checksum_offset: (at - self.transport()) as u16,
        };
        (header, packet)
    }

    /// What a host without any offload would have sent instead.
    pub(super) fn cut(&self, segment: usize) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let count = self.payload.len().div_ceil(segment).max(1);
        for index in 0..count {
            let start = index * segment;
            let end = self.payload.len().min(start + segment);
            let mut part = Self {
                payload: self.payload[start..end].to_vec(),
                ..self.clone()
            };
            if let Some(tcp) = &mut part.tcp {
                tcp.sequence = tcp.sequence.wrapping_add(start as u32);
                if index > 0 {
                    tcp.flags &= 0x7f;
                }
                if index + 1 < count {
                    tcp.flags &= !0x09;
                }
            }
            packets.push(part.packet());
        }
        packets
    }
}
