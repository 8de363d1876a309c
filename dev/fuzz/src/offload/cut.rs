//! Any header of the kernel in front of any packet. The cut packets must be those of the reference, to the bit, and both
//! must refuse the same packets.

use arbitrary::Arbitrary;
use teredo_segmentation::{self as reference, ACK, KernelHeader, LONGEST, Packet, Tcp, sum};
use teredo_tunnel::offload::{Cut, Header};

#[derive(Arbitrary, Debug)]
pub struct Input {
    /// The kernel's header, but for the kind.
    header: [u8; 10],
    kind: Kind,
    packet: Bytes,
    /// How much room there is, in turn, before there is enough.
    rooms: Vec<u16>,
}

#[derive(Arbitrary, Debug)]
enum Kind {
    /// The kind of the packet, with segments of at most so many bytes.
    Right { segment: u16 },
    /// A packet that only lacks its checksum.
    Checksum,
    /// As the header has it.
    Any,
}

#[derive(Arbitrary, Debug)]
enum Bytes {
    Any(Vec<u8>),
    Made(Made),
}

/// As many segments as are tried.
const SEGMENTS: usize = 300;

/// A packet that a host could hand over.
#[derive(Arbitrary, Debug)]
struct Made {
    udp: bool,
    class_and_label: [u8; 4],
    hop_limit: u8,
    addresses: [u8; 4],
    ports: [u8; 4],
    sequence: u32,
    flags: u8,
    rest: [u8; 7],
    options: u8,
    /// Each a destination option, or one for every hop, and by how many units of 8 bytes it is longer than one.
    extensions: Vec<(bool, u8)>,
    payload: Payload,
    /// Gives the first segment a checksum of zero.
    balanced: bool,
    /// A bit that is not as it was, somewhere.
    spoil: Option<(u8, u8)>,
}

#[derive(Arbitrary, Debug)]
struct Payload {
    len: u16,
    first: u8,
    step: u8,
}

impl Made {
    fn packet(&self, segment: usize) -> Packet {
        let protocol = if self.udp { 17 } else { 6 };
        let types: Vec<_> = self.extensions.iter().take(4).collect();
        let kinds = types.iter().map(|(hop, _)| if *hop { 0 } else { 60 });
        let mut following = kinds.chain([protocol]);
        let next = following.next().unwrap_or(protocol);
        let mut extensions = Vec::new();
        for ((_, units), next) in types.iter().zip(following) {
            let len = extensions.len() + 8 * (1 + usize::from(*units));
            extensions.extend_from_slice(&[next, *units]);
            extensions.resize(len, *units);
        }
        let [a, b, c, d, e, f, g] = self.rest;
        let tcp = Tcp {
            sequence: self.sequence,
            acknowledgement: [a, b, c, d],
            reserved: e % 16,
            flags: self.flags ^ ACK,
            window: [f, g],
            urgent: [g, f],
            options: vec![1; 4 * usize::from(self.options % 11)],
        };
        let mut packet = Packet {
            class_and_label: self.class_and_label,
            next,
            hop_limit: self.hop_limit,
            addresses: *[self.addresses; 8]
                .as_flattened()
                .first_chunk()
                .expect("8 times 4"),
            extensions,
            ports: self.ports,
            tcp: (!self.udp).then_some(tcp),
            payload: Vec::new(),
        };
        packet.class_and_label[0] = 0x60 | (packet.class_and_label[0] % 16);
        let Payload { len, first, step } = self.payload;
        let bytes = std::iter::successors(Some(first), |byte| {
            Some(byte.wrapping_mul(5).wrapping_add(step))
        });
        let room = LONGEST.saturating_sub(packet.headers());
        let most = room.min(segment.saturating_mul(SEGMENTS));
        packet.payload = bytes.take(most.min(len.into())).collect();
        packet
    }

    fn bytes(&self, segment: usize, unfinished: bool) -> Vec<u8> {
        let mut packet = self.packet(segment);
        if self.balanced && segment > 2 && packet.payload.len() >= 2 {
            packet.payload[..2].fill(0);
            let at = packet.checksum_at();
            let first = packet.segments(segment)[0].write();
            packet.payload[..2].copy_from_slice(&first[at..at + 2]);
        }
        let mut bytes = packet.write();
        if unfinished {
            let at = packet.checksum_at();
            bytes[at..at + 2].copy_from_slice(&sum(&packet.pseudo_header()).to_be_bytes());
        }
        if let Some((at, value)) = self.spoil
            && let Some(byte) = bytes.get_mut(usize::from(at))
        {
            *byte ^= value;
        }
        bytes
    }
}

/// The kernel's bytes, and the packet behind them.
fn handed_over(input: &Input) -> ([u8; 10], Vec<u8>) {
    let mut header = input.header;
    let segment = match input.kind {
        Kind::Right { segment } => {
            header[4..6].copy_from_slice(&segment.to_ne_bytes());
            usize::from(segment)
        }
        Kind::Checksum => LONGEST,
        Kind::Any => usize::from(u16::from_ne_bytes([header[4], header[5]])),
    };
    let packet = match &input.packet {
        Bytes::Any(bytes) => bytes.clone(),
        Bytes::Made(made) => made.bytes(segment, matches!(input.kind, Kind::Checksum)),
    };
    let is_udp = match &input.packet {
        Bytes::Any(bytes) => bytes.get(6) == Some(&17),
        Bytes::Made(made) => made.udp,
    };
    match input.kind {
        Kind::Right { .. } => {
            header[1] = (if is_udp {
                reference::GSO_UDP
            } else {
                reference::GSO_TCP6
            }) | header[1] & 0x80
        }
        Kind::Checksum => {
            (header[0], header[1]) = (1, 0);
            let extensions = match &input.packet {
                Bytes::Any(_) => 0,
                Bytes::Made(made) => made.packet(segment).extensions.len() as u16,
            };
            header[6..8].copy_from_slice(&(40 + extensions).to_ne_bytes());
            header[8..].copy_from_slice(&(if is_udp { 6u16 } else { 16 }).to_ne_bytes());
        }
        Kind::Any => {}
    }
    (header, packet)
}

/// Runs the target with one input.
pub fn run(input: Input) {
    let (header, packet) = handed_over(&input);
    let expected = reference::cut(&KernelHeader::parse(header), &packet);
    let (mut cut, expected) = match (Cut::new(&Header::parse(&header), &packet), expected) {
        (Ok(cut), Some(expected)) => (cut, expected),
        (Err(_), None) => return,
        (cut, expected) => {
            let verdict = if expected.is_some() {
                "cuts"
            } else {
                "refuses"
            };
            panic!("the reference {verdict} it: {cut:?}")
        }
    };
    let mut rooms = input.rooms.iter();
    let mut out = vec![0; LONGEST + 8];
    for expected in &expected {
        assert!(!cut.is_finished());
        while let Some(&room) = rooms.next()
            && usize::from(room) < expected.len()
        {
            let before = cut;
            assert_eq!(cut.emit(&packet, &mut out[..room.into()]), None);
            assert_eq!(cut, before);
        }
        out[expected.len()..]
            .iter_mut()
            .take(8)
            .for_each(|byte| *byte = 0xee);
        assert_eq!(cut.emit(&packet, &mut out), Some(expected.len()));
        assert!(out[..expected.len()] == expected[..], "other bytes");
        let behind = out[expected.len()..].iter().take(8);
        assert!(
            behind.clone().all(|&byte| byte == 0xee),
            "it writes behind the packet"
        );
    }
    assert!(cut.is_finished());
    assert_eq!(cut.emit(&packet, &mut out), None);
}
