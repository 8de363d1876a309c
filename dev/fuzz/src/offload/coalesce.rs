//! Batches of packets, some of which belong together. The coalescer must join just those that the reference joins, and
//! cutting the result must give back each packet, to the bit.

use std::ops::Range;

use arbitrary::Arbitrary;
use teredo_segmentation::{
    self as reference, ACK, CWR, ECE, KernelHeader, LONGEST, PSH, Packet, Tcp, in_order, sum,
};
use teredo_tunnel::offload::{Coalescer, Offloads, SuperPacket};

#[derive(Arbitrary, Debug)]
pub struct Input {
    tcp: bool,
    udp: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// A packet that may be any bytes.
    Any(Vec<u8>),
    /// Packets that continue a flow, and one of them differs from the others.
    Run {
        flow: u8,
        count: u8,
        len: u16,
        flags: Flags,
        changed: u8,
        change: Change,
    },
    /// Of two flows, for each field: three packets, of which the second has a bit of it the other way round.
    Fields { flow: u8, bit: u8 },
    /// A packet of each of these flows, in this order.
    Mixed { flows: Vec<u8>, len: u8 },
}

/// Of TCP.
#[derive(Arbitrary, Debug)]
enum Flags {
    Plain,
    Push,
    Echo,
    Reduced,
    Any(u8),
}

impl Flags {
    fn bits(&self) -> u8 {
        match *self {
            Self::Plain => ACK,
            Self::Push => ACK | PSH,
            Self::Echo => ACK | ECE,
            Self::Reduced => ACK | CWR,
            Self::Any(flags) => flags,
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Change {
    None,
    /// A longer or shorter payload.
    Len(u16),
    Flags(Flags),
    /// A bit of a field; the checksum is right.
    Field(Field, u8),
    /// Any bit.
    Bit {
        at: u8,
        bit: u8,
    },
    /// The last bytes are missing.
    Truncated(u8),
    /// The checksum is zero.
    Balanced,
    /// It is ones' complement's other zero.
    OtherZero,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Field {
    TrafficClass,
    FlowLabel,
    Length,
    NextHeader,
    HopLimit,
    Source,
    Destination,
    SourcePort,
    DestinationPort,
    UdpLength,
    Sequence,
    Acknowledgement,
    DataOffset,
    Window,
    Urgent,
    Option,
}

impl Field {
    const ALL: [Self; 16] = [
        Self::TrafficClass,
        Self::FlowLabel,
        Self::Length,
        Self::NextHeader,
        Self::HopLimit,
        Self::Source,
        Self::Destination,
        Self::SourcePort,
        Self::DestinationPort,
        Self::UdpLength,
        Self::Sequence,
        Self::Acknowledgement,
        Self::DataOffset,
        Self::Window,
        Self::Urgent,
        Self::Option,
    ];

    /// Its last byte.
    fn offset(&self) -> usize {
        match self {
            Self::TrafficClass => 1,
            Self::FlowLabel => 3,
            Self::Length => 5,
            Self::NextHeader => 6,
            Self::HopLimit => 7,
            Self::Source => 23,
            Self::Destination => 39,
            Self::SourcePort => 41,
            Self::DestinationPort => 43,
            Self::UdpLength => 45,
            Self::Sequence => 47,
            Self::Acknowledgement => 51,
            Self::DataOffset => 52,
            Self::Window => 55,
            Self::Urgent => 59,
            Self::Option => 67,
        }
    }
}

const FLOWS: u8 = 12;
/// The most bytes of a batch; the reference is slow.
const BATCH: usize = 200_000;

/// Bytes of payload: few, since the reference is slow, or as many as a packet of the tunnel has.
fn payload(len: u16) -> usize {
    usize::from(if len < 0xc000 { len % 128 } else { len % 1500 })
}

/// Every other flow is one of TCP, and every other one of these has timestamps.
fn packet(flow: u8, sequence: u32, flags: u8, len: usize) -> Packet {
    let timestamps = if flow.is_multiple_of(4) { 12 } else { 0 };
    let tcp = Tcp {
        sequence,
        acknowledgement: [0, 0, 0, 1],
        reserved: 0,
        flags,
        window: [1, 1],
        urgent: [0, 0],
        options: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2][..timestamps].to_vec(),
    };
    let is_tcp = flow.is_multiple_of(2);
    let mut addresses = [1; 32];
    addresses[31] = flow / 4;
    Packet {
        class_and_label: [0x60, 0, 0, 0],
        next: if is_tcp { 6 } else { 17 },
        hop_limit: 64,
        addresses,
        extensions: Vec::new(),
        ports: [0, 1, 0, flow],
        tcp: is_tcp.then_some(tcp),
        payload: (0..len)
            .map(|at| (at * at / 3) as u8 ^ sequence as u8)
            .collect(),
    }
}

impl Change {
    fn of(&self, mut packet: Packet) -> Vec<u8> {
        let field = packet.checksum_at();
        match self {
            Self::Len(len) => packet.payload.resize(payload(*len), 7),
            Self::Flags(flags) => packet
                .tcp
                .iter_mut()
                .for_each(|tcp| tcp.flags = flags.bits()),
            Self::Balanced | Self::OtherZero if packet.payload.len() >= 2 => {
                packet.payload[..2].fill(0);
                let unbalanced = packet.write();
                packet.payload[..2].copy_from_slice(&unbalanced[field..field + 2]);
            }
            _ => {}
        }
        let mut bytes = packet.write();
        match self {
            Self::Field(changed, bit) => {
                if let Some(byte) = bytes.get_mut(changed.offset()) {
                    *byte ^= 1 << (bit % 8);
                }
                let (addresses, transport) = (&bytes[8..40], &bytes[40..]);
                let mut covered = [addresses, &(transport.len() as u32).to_be_bytes()].concat();
                covered.extend_from_slice(&[0, 0, 0, packet.protocol()]);
                covered.extend_from_slice(transport);
                covered[field..field + 2].fill(0);
                let checksum = !sum(&covered);
                bytes[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
            }
            Self::Bit { at, bit } => {
                if let Some(byte) = bytes.get_mut(usize::from(*at)) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Truncated(by) => bytes.truncate(bytes.len().saturating_sub(usize::from(*by))),
            Self::OtherZero
                if [[0, 0], [0xff, 0xff]].contains(&[bytes[field], bytes[field + 1]]) =>
            {
                bytes[field..field + 2]
                    .iter_mut()
                    .for_each(|byte| *byte = !*byte);
            }
            _ => {}
        }
        bytes
    }
}

/// The input, and the sequence numbers of its flows.
struct Batch {
    packets: Vec<Vec<u8>>,
    room: usize,
    sequences: [u32; FLOWS as usize],
}

impl Batch {
    fn push(&mut self, flow: u8, flags: u8, len: usize, change: &Change) {
        let sequence = &mut self.sequences[usize::from(flow)];
        let packet = packet(flow, *sequence, flags, len);
        *sequence = sequence.wrapping_add(len as u32);
        self.room = self.room.saturating_sub(packet.len());
        self.packets.push(change.of(packet));
    }

    fn push_step(&mut self, step: &Step) {
        match step {
            Step::Any(bytes) => self.packets.push(bytes.clone()),
            Step::Run {
                flow,
                count,
                len,
                flags,
                changed,
                change,
            } => {
                let count = 1 + count % 70;
                for number in 0..count {
                    let change = if number == changed % count {
                        change
                    } else {
                        &Change::None
                    };
                    self.push(flow % FLOWS, flags.bits(), payload(*len), change);
                }
            }
            Step::Fields { flow, bit } => {
                for (flow, field) in [*flow, flow.wrapping_add(1)]
                    .into_iter()
                    .flat_map(|flow| Field::ALL.map(|field| (flow % FLOWS, field)))
                {
                    for change in [Change::None, Change::Field(field, *bit), Change::None] {
                        self.push(flow, ACK, 32, &change);
                    }
                }
            }
            Step::Mixed { flows, len } => {
                for flow in flows {
                    self.push(flow % FLOWS, ACK, usize::from(*len), &Change::None);
                }
            }
        }
    }
}

fn batch(steps: &[Step]) -> Vec<Vec<u8>> {
    let mut batch = Batch {
        packets: Vec::new(),
        room: BATCH,
        sequences: [0u32.wrapping_sub(20_000); FLOWS as usize],
    };
    for step in steps {
        batch.push_step(step);
        if batch.room == 0 || batch.packets.len() > 300 {
            break;
        }
    }
    batch.packets
}

/// Runs the target with one input.
pub fn run(input: Input) {
    let packets = batch(&input.steps);
    // As in a receive buffer, packets do not touch.
    let mut arena = vec![0xee; 3];
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for packet in &packets {
        ranges.push(arena.len()..arena.len() + packet.len());
        arena.extend_from_slice(packet);
        arena.extend_from_slice(&[0xee; 5]);
    }
    let Input { tcp, udp, .. } = input;
    let mut coalescer = Coalescer::new(8, Offloads { tcp, udp });
    let mut groups: Vec<Vec<Vec<u8>>> = Vec::new();
    // A batch leaves nothing behind for the next.
    for again in [false, true] {
        coalescer.clear();
        assert!(coalescer.is_empty());
        for range in &ranges {
            coalescer.push(&arena, range.clone());
        }
        assert_eq!(coalescer.is_empty(), packets.is_empty());
        let became = coalescer.iter(&arena).map(|packet| parts(&packet));
        if again {
            assert!(
                became.eq(groups.iter().cloned()),
                "another time, other packets"
            );
        } else {
            groups = became.collect();
        }
    }
    for group in &groups {
        let flow = reference::flow(&group[0]);
        assert!(
            group.iter().all(|part| reference::flow(part) == flow),
            "flows are mixed"
        );
    }
    assert!(
        in_order(&groups.concat()) == in_order(&packets),
        "other packets, or another order"
    );
    assert!(
        groups == reference::coalesce(&packets, tcp, udp),
        "other groups than the reference's"
    );
}

/// The packets in `packet`, which must be one that the kernel takes.
fn parts(packet: &SuperPacket<'_>) -> Vec<Vec<u8>> {
    let mut whole = packet.headers().to_vec();
    packet
        .pieces()
        .for_each(|piece| whole.extend_from_slice(piece));
    let header = packet.header().to_bytes();
    if packet.count() == 1 {
        assert_eq!((header, packet.headers().len()), ([0; 10], 0));
        return vec![whole];
    }
    assert!(packet.count() <= 64 && packet.pieces().count() <= 64 && whole.len() <= LONGEST);
    assert_eq!(header[0], 1, "the checksum has to be completed");
    let kernel = KernelHeader::parse(header);
    let is_udp = kernel.kind == reference::GSO_UDP;
    let parsed =
        Packet::parse(&whole, if is_udp { 17 } else { 6 }).expect("it carries what it says");
    let field = if is_udp { 6 } else { 16 };
    assert_eq!((kernel.checksum_start, kernel.checksum_offset), (40, field));
    assert_eq!(usize::from(kernel.header_len), parsed.headers());
    assert_eq!(packet.headers().len(), parsed.headers());
    let word = |at: usize| u16::from_be_bytes([whole[at], whole[at + 1]]);
    assert_eq!(usize::from(word(4)), whole.len() - 40);
    assert!(!is_udp || word(44) == word(4));
    assert_eq!(word(40 + usize::from(field)), sum(&parsed.pseudo_header()));
    let parts = reference::cut(&kernel, &whole).expect("it can be cut");
    assert_eq!(parts.len(), packet.count());
    parts
}
