//! A packet of TCP or UDP over IPv6, field by field.
//!
//! `etherparse` would not do: it drops TCP's reserved bits and sorts extension headers, and segmentation must change
//! neither.

use crate::{GSO_TCP6, GSO_UDP, KernelHeader};

/// A flag of TCP: no more data.
pub const FIN: u8 = 0x01;
/// A flag of TCP: a new connection.
pub const SYN: u8 = 0x02;
/// A flag of TCP: the end of the connection.
pub const RST: u8 = 0x04;
/// A flag of TCP: the receiver should get the data now.
pub const PSH: u8 = 0x08;
/// A flag of TCP: the acknowledgement number is valid.
pub const ACK: u8 = 0x10;
/// A flag of TCP: the urgent pointer is valid.
pub const URG: u8 = 0x20;
/// A flag of TCP: congestion was seen (RFC 3168).
pub const ECE: u8 = 0x40;
/// A flag of TCP: the congestion window was reduced (RFC 3168).
pub const CWR: u8 = 0x80;

/// The longest IPv6 packet without jumbograms that a TUN interface carries.
pub const LONGEST: usize = 65_535;

/// A packet of TCP or UDP over IPv6. Lengths and checksums are not kept: [`Self::write`] computes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Version, traffic class and flow label.
    pub class_and_label: [u8; 4],
    /// The first next-header field.
    pub next: u8,
    /// The hop limit.
    pub hop_limit: u8,
    /// Source and destination.
    pub addresses: [u8; 32],
    /// Hop-by-hop and destination options, byte by byte.
    pub extensions: Vec<u8>,
    /// Source and destination.
    pub ports: [u8; 4],
    /// `None` for UDP.
    pub tcp: Option<Tcp>,
    /// The bytes behind the header of TCP or UDP.
    pub payload: Vec<u8>,
}

/// The header of TCP behind the ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// The sequence number.
    pub sequence: u32,
    /// The acknowledgement number.
    pub acknowledgement: [u8; 4],
    /// The low half of the byte with the data offset.
    pub reserved: u8,
    /// [`FIN`] and the others.
    pub flags: u8,
    /// The window.
    pub window: [u8; 2],
    /// The urgent pointer.
    pub urgent: [u8; 2],
    /// The options; their length is a multiple of four bytes.
    pub options: Vec<u8>,
}

impl Packet {
    /// A datagram from one host to another, with hop limit 64.
    pub fn udp(payload: Vec<u8>) -> Self {
        let mut addresses = [0; 32];
        addresses[..2].copy_from_slice(&[0x20, 1]);
        addresses[15] = 1;
        addresses[16..20].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        addresses[31] = 2;
        Self {
            class_and_label: [0x60, 0, 0, 7],
            next: 17,
            hop_limit: 64,
            addresses,
            extensions: Vec::new(),
            ports: [0x13, 0x89, 0x13, 0x8a],
            tcp: None,
            payload,
        }
    }

    /// A segment between the same hosts, with the timestamps that every Linux host sends.
    pub fn tcp(sequence: u32, payload: Vec<u8>) -> Self {
        Self {
            next: 6,
            tcp: Some(Tcp {
                sequence,
                acknowledgement: [0, 0, 0, 77],
                reserved: 0,
                flags: ACK,
                window: [1, 0xf5],
                urgent: [0, 0],
                options: vec![1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6],
            }),
            ..Self::udp(payload)
        }
    }

    /// Puts destination options in front of TCP or UDP, `units` times 8 bytes; none for 0.
    pub fn with_destination_options(mut self, units: usize) -> Self {
        let len = 8 * units;
        self.next = if units > 0 { 60 } else { self.protocol() };
        self.extensions = vec![0; len];
        if let [next, length, kind, padding, ..] = &mut self.extensions[..] {
            *length = units as u8 - 1;
            (*kind, *padding) = (1, len as u8 - 4);
            *next = if self.tcp.is_some() { 6 } else { 17 };
        }
        self
    }

    /// Parses `bytes`, in which the lengths of IPv6 and UDP, and the checksum, may be anything. `None` if they are not a
    /// packet of `protocol` or end too early.
    pub fn parse(mut bytes: &[u8], protocol: u8) -> Option<Self> {
        let class_and_label: [u8; 4] = take(&mut bytes)?;
        if class_and_label[0] >> 4 != 6 {
            return None;
        }
        let [_, _, next, hop_limit] = take(&mut bytes)?;
        let addresses = take(&mut bytes)?;
        let (mut extensions, mut following) = (Vec::new(), next);
        while following != protocol {
            if following != 0 && following != 60 {
                return None;
            }
            let first: [u8; 8] = take(&mut bytes)?;
            extensions.extend_from_slice(&first);
            for _ in 0..first[1] {
                extensions.extend_from_slice(&take::<8>(&mut bytes)?);
            }
            following = first[0];
        }
        let ports = take(&mut bytes)?;
        let tcp = match protocol {
            6 => Some(Tcp::parse(&mut bytes)?),
            _ => {
                let [_, _, _, _] = take(&mut bytes)?;
                None
            }
        };
        Some(Self {
            class_and_label,
            next,
            hop_limit,
            addresses,
            extensions,
            ports,
            tcp,
            payload: bytes.to_vec(),
        })
    }

    /// 6 for TCP, 17 for UDP.
    pub fn protocol(&self) -> u8 {
        if self.tcp.is_some() { 6 } else { 17 }
    }

    /// The length of all headers.
    pub fn headers(&self) -> usize {
        let transport = self.tcp.as_ref().map_or(8, |tcp| 20 + tcp.options.len());
        40 + self.extensions.len() + transport
    }

    /// The length of the whole packet.
    #[allow(clippy::len_without_is_empty, reason = "a packet has headers")]
    pub fn len(&self) -> usize {
        self.headers() + self.payload.len()
    }

    /// Where the header of TCP or UDP begins.
    pub fn transport(&self) -> usize {
        40 + self.extensions.len()
    }

    /// Where the checksum is.
    pub fn checksum_at(&self) -> usize {
        self.transport() + if self.tcp.is_some() { 16 } else { 6 }
    }

    /// The bytes that the checksum covers besides the packet's own (RFC 8200 §8.1).
    pub fn pseudo_header(&self) -> Vec<u8> {
        let covered = self.len() - self.transport();
        let mut bytes = self.addresses.to_vec();
        bytes.extend_from_slice(&(covered as u32).to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, self.protocol()]);
        bytes
    }

    /// The bytes of the packet, with correct lengths and checksum.
    pub fn write(&self) -> Vec<u8> {
        let zero = self.write_with([0, 0]);
        let mut covered = self.pseudo_header();
        covered.extend_from_slice(&zero[self.transport()..]);
        let checksum = match !sum(&covered) {
            // RFC 8200 §8.1: zero would say that there is none.
            0 if self.tcp.is_none() => 0xffff,
            checksum => checksum,
        };
        self.write_with(checksum.to_be_bytes())
    }

    /// The packet as a host's stack hands it to its TUN interface, behind the kernel's header: to be cut into segments of
    /// this many bytes of payload, or only to be given its checksum.
    pub fn super_packet(&self, segment: Option<u16>) -> ([u8; 10], Vec<u8>) {
        let gso = if self.tcp.is_some() {
            GSO_TCP6
        } else {
            GSO_UDP
        };
        let header = KernelHeader {
            needs_checksum: true,
            kind: segment.map_or(0, |_| gso),
            header_len: self.headers() as u16,
            segment: segment.unwrap_or(0),
            checksum_start: self.transport() as u16,
            checksum_offset: (self.checksum_at() - self.transport()) as u16,
        };
        let pseudo_header = sum(&self.pseudo_header());
        let packet = self.write_with(pseudo_header.to_be_bytes());
        (header.to_bytes(), packet)
    }

    fn write_with(&self, checksum: [u8; 2]) -> Vec<u8> {
        let mut bytes = self.class_and_label.to_vec();
        bytes.extend_from_slice(&((self.len() - 40) as u16).to_be_bytes());
        bytes.extend_from_slice(&[self.next, self.hop_limit]);
        bytes.extend_from_slice(&self.addresses);
        bytes.extend_from_slice(&self.extensions);
        bytes.extend_from_slice(&self.ports);
        if let Some(tcp) = &self.tcp {
            bytes.extend_from_slice(&tcp.sequence.to_be_bytes());
            bytes.extend_from_slice(&tcp.acknowledgement);
            let words = (20 + tcp.options.len()) / 4;
            bytes.extend_from_slice(&[(words as u8) << 4 | tcp.reserved, tcp.flags]);
            bytes.extend_from_slice(&tcp.window);
            bytes.extend_from_slice(&checksum);
            bytes.extend_from_slice(&tcp.urgent);
            bytes.extend_from_slice(&tcp.options);
        } else {
            bytes.extend_from_slice(&((8 + self.payload.len()) as u16).to_be_bytes());
            bytes.extend_from_slice(&checksum);
        }
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// The packets that a host without offloads would send instead, each with `size` bytes of the payload.
    pub fn segments(&self, size: usize) -> Vec<Self> {
        let mut parts: Vec<&[u8]> = self.payload.chunks(size).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let last = parts.len() - 1;
        let mut sent = 0;
        let headers = Self {
            payload: Vec::new(),
            ..self.clone()
        };
        let segment = |(number, part): (usize, &[u8])| {
            let mut segment = headers.clone();
            segment.payload = part.to_vec();
            if let Some(tcp) = &mut segment.tcp {
                tcp.sequence = tcp.sequence.wrapping_add(sent);
                if number > 0 {
                    // RFC 3168 §6.1.2: the window was reduced once.
                    tcp.flags &= !CWR;
                }
                if number < last {
                    tcp.flags &= !(FIN | PSH);
                }
            }
            sent += part.len() as u32;
            segment
        };
        parts.into_iter().enumerate().map(segment).collect()
    }
}

impl Tcp {
    /// Parses the header behind the ports.
    fn parse(bytes: &mut &[u8]) -> Option<Self> {
        let sequence = u32::from_be_bytes(take(bytes)?);
        let acknowledgement = take(bytes)?;
        let [offset, flags] = take(bytes)?;
        let window = take(bytes)?;
        let [_, _] = take(bytes)?;
        let urgent = take(bytes)?;
        let mut options = Vec::new();
        for _ in 0..(offset >> 4).checked_sub(5)? {
            options.extend_from_slice(&take::<4>(bytes)?);
        }
        Some(Self {
            sequence,
            acknowledgement,
            reserved: offset & 0xf,
            flags,
            window,
            urgent,
            options,
        })
    }
}

/// The ones' complement sum, word by word (RFC 1071 §1).
pub fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) * 256 + pair.get(1).map_or(0, |&low| u32::from(low));
        if sum > 0xffff {
            sum -= 0xffff;
        }
    }
    sum as u16
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}
