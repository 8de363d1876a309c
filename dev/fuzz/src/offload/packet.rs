//! A packet of TCP or UDP over IPv6, field by field. It shares nothing with the crate that it is there to check.

/// TCP's flags that segmentation treats in a way of their own.
pub(super) const FIN: u8 = 0x01;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;
pub(super) const ECE: u8 = 0x40;
pub(super) const CWR: u8 = 0x80;

/// The most that an IPv6 packet without jumbograms can be, as the TUN interface carries it.
pub(super) const LONGEST: usize = 65_535;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// Version, traffic class and flow label.
    pub(super) class_and_label: [u8; 4],
    /// The first next-header field.
    pub(super) next: u8,
    pub(super) hop_limit: u8,
    /// Source and destination.
    pub(super) addresses: [u8; 32],
    /// Hop-by-hop and destination options, as they lie there.
    pub(super) extensions: Vec<u8>,
    pub(super) ports: [u8; 4],
    /// None of a datagram.
    pub(super) tcp: Option<Tcp>,
    pub(super) payload: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tcp {
    pub(super) sequence: u32,
    pub(super) acknowledgement: [u8; 4],
    /// The low half of the byte with the data offset.
    pub(super) reserved: u8,
    pub(super) flags: u8,
    pub(super) window: [u8; 2],
    pub(super) urgent: [u8; 2],
    pub(super) options: Vec<u8>,
}

impl Packet {
    /// Takes `bytes` apart, of which the lengths of IPv6 and UDP, and the checksum, may be anything. None of what is
    /// not of `protocol`, or ends too early.
    pub(super) fn parse(mut bytes: &[u8], protocol: u8) -> Option<Self> {
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

    pub(super) fn protocol(&self) -> u8 {
        if self.tcp.is_some() { 6 } else { 17 }
    }

    /// The length of all headers.
    pub(super) fn headers(&self) -> usize {
        let transport = self.tcp.as_ref().map_or(8, |tcp| 20 + tcp.options.len());
        40 + self.extensions.len() + transport
    }

    /// The length of the whole.
    pub(super) fn len(&self) -> usize {
        self.headers() + self.payload.len()
    }

    /// What the checksum is taken over in front of the packet's own bytes (RFC 8200 §8.1).
    pub(super) fn pseudo_header(&self) -> Vec<u8> {
        let covered = self.len() - 40 - self.extensions.len();
        let mut bytes = self.addresses.to_vec();
        bytes.extend_from_slice(&(covered as u32).to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, self.protocol()]);
        bytes
    }

    /// As it travels, with the lengths and the checksum that are right.
    pub(super) fn write(&self) -> Vec<u8> {
        let zero = self.write_with([0, 0]);
        let mut covered = self.pseudo_header();
        covered.extend_from_slice(&zero[40 + self.extensions.len()..]);
        let checksum = match !sum(&covered) {
            // RFC 8200 §8.1: zero would say that there is none.
            0 if self.tcp.is_none() => 0xffff,
            checksum => checksum,
        };
        self.write_with(checksum.to_be_bytes())
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

    /// What a host without offloads sends instead: each its part of the payload, and what goes with that.
    pub(super) fn segments(&self, size: usize) -> Vec<Self> {
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
    /// What follows the ports.
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

/// The sum of ones' complement, word by word (RFC 1071 §1).
pub(super) fn sum(bytes: &[u8]) -> u16 {
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
