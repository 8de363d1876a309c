use proptest::prelude::*;
use teredo_segmentation::{CWR, ECE, FIN, PSH, Packet, RST, SYN, Tcp, URG, in_order};

use super::super::Cut;
use super::*;

const TCP_ONLY: Offloads = Offloads {
    tcp: true,
    udp: false,
};

/// A batch: the arena, and the ranges of the packets in it.
fn batch(packets: &[Vec<u8>]) -> (Vec<u8>, Vec<Range<usize>>) {
    // As in a receive buffer, packets do not touch.
    let mut arena = vec![0xee; 3];
    let ranges = packets
        .iter()
        .map(|packet| {
            let start = arena.len();
            arena.extend_from_slice(packet);
            let range = start..arena.len();
            arena.extend_from_slice(&[0xee; 5]);
            range
        })
        .collect();
    (arena, ranges)
}

fn whole(packet: &SuperPacket<'_>) -> Vec<u8> {
    packet
        .pieces()
        .fold(packet.headers().to_vec(), |mut whole, piece| {
            whole.extend_from_slice(piece);
            whole
        })
}

/// The writes that a batch becomes: header, bytes, and the number of packets in each.
fn coalesce(packets: &[Vec<u8>], offloads: Offloads) -> Vec<(Header, Vec<u8>, usize)> {
    let (arena, ranges) = batch(packets);
    let mut coalescer = Coalescer::new(4, offloads);
    for range in ranges {
        coalescer.push(&arena, range);
    }
    coalescer
        .iter(&arena)
        .map(|packet| (packet.header(), whole(&packet), packet.count()))
        .collect()
}

fn counts(packets: &[Vec<u8>]) -> Vec<usize> {
    coalesce(packets, Offloads::ALL)
        .into_iter()
        .map(|(_, _, count)| count)
        .collect()
}

fn cut(header: &Header, packet: &[u8]) -> Vec<Vec<u8>> {
    let mut cut = Cut::new(header, packet).unwrap();
    let mut out = vec![0; 70_000];
    let packets = std::iter::from_fn(|| cut.emit(packet, &mut out).map(|len| out[..len].to_vec()));
    packets.collect()
}

/// `count` TCP segments in order, of `len` bytes.
fn stream(count: u32, len: usize) -> Vec<Packet> {
    (0..count)
        .map(|index| Packet::tcp(1000 + index * len as u32, vec![index as u8; len]))
        .collect()
}

fn bytes(packets: &[Packet]) -> Vec<Vec<u8>> {
    packets.iter().map(Packet::write).collect()
}

#[test]
fn a_stream_becomes_one_super_packet() {
    let mut segments = stream(20, 1208);
    if let Some(tcp) = &mut segments[19].tcp {
        tcp.flags |= PSH;
    }
    segments[19].payload.truncate(100);
    let [(header, packet, count)] = &coalesce(&bytes(&segments), TCP_ONLY)[..] else {
        panic!("one write")
    };
    assert_eq!(*count, 20);
    let payload: Vec<u8> = segments
        .iter()
        .flat_map(|segment| segment.payload.clone())
        .collect();
    let mut one = Packet::tcp(1000, payload);
    if let Some(tcp) = &mut one.tcp {
        tcp.flags |= PSH;
    }
    assert_eq!(
        (header.to_bytes(), packet.clone()),
        one.super_packet(Some(1208))
    );
}

#[test]
fn datagrams_of_a_flow_become_one_super_packet() {
    let sizes = [500, 500, 500, 20];
    let segments: Vec<_> = sizes
        .iter()
        .map(|&len| Packet::udp(vec![len as u8; len]))
        .collect();
    let payload: Vec<u8> = segments
        .iter()
        .flat_map(|segment| segment.payload.clone())
        .collect();
    let (header, packet) = Packet::udp(payload).super_packet(Some(500));
    assert_eq!(
        coalesce(&bytes(&segments), Offloads::ALL),
        [(Header::parse(&header), packet, 4)]
    );
    // A kernel without USO gets them one by one.
    let alone: Vec<_> = bytes(&segments)
        .into_iter()
        .map(|packet| (Header::WHOLE, packet, 1))
        .collect();
    assert_eq!(coalesce(&bytes(&segments), TCP_ONLY), alone);
    assert!(
        coalesce(&bytes(&stream(3, 100)), Offloads::NONE)
            .iter()
            .all(|&(header, _, count)| (header, count) == (Header::WHOLE, 1))
    );
}

#[test]
fn flows_that_alternate_are_put_together_each_for_itself() {
    let one = stream(5, 100);
    let mut other = stream(5, 100);
    other
        .iter_mut()
        .for_each(|segment| segment.ports = [0, 1, 0, 2]);
    let mixed: Vec<_> = one
        .into_iter()
        .zip(other)
        .flat_map(|(a, b)| [a.write(), b.write()])
        .collect();
    assert_eq!(counts(&mixed), [5, 5]);
}

/// More flows than are kept open cost super-packets, not packets.
#[test]
fn more_flows_than_are_kept_open() {
    let mut mixed = Vec::new();
    for round in 0..3 {
        for port in 0..=MAX_OPEN as u8 {
            let mut segment = stream(3, 100)[round].clone();
            segment.ports = [0, port, 0, port];
            mixed.push(segment.write());
        }
    }
    let counts = counts(&mixed);
    assert_eq!(counts.iter().sum::<usize>(), mixed.len());
    assert_eq!(counts.len(), mixed.len());
}

#[test]
fn a_super_packet_has_at_most_64_packets_and_65535_bytes() {
    assert_eq!(counts(&bytes(&stream(150, 10))), [64, 64, 22]);
    assert_eq!(counts(&bytes(&stream(60, 1208))), [54, 6]);
}

type Change = fn(&mut Packet);

fn tcp(packet: &mut Packet) -> &mut Tcp {
    packet.tcp.as_mut().unwrap()
}

/// A packet stays alone if it differs from the one before it in a field that segmentation would copy, or if it must never be
/// joined.
#[test]
fn what_must_not_be_merged_is_not() {
    let changes: [(&str, Change); 22] = [
        ("ECN", |packet| packet.class_and_label[1] |= 0x30),
        ("traffic class", |packet| packet.class_and_label[0] |= 4),
        ("flow label", |packet| packet.class_and_label[3] += 1),
        ("hop limit", |packet| packet.hop_limit = 63),
        ("source", |packet| packet.addresses[15] = 9),
        ("ports", |packet| packet.ports[3] += 1),
        ("protocol", |packet| (packet.next, packet.tcp) = (17, None)),
        ("extension header", |packet| {
            *packet = packet.clone().with_destination_options(1);
        }),
        ("gap", |packet| tcp(packet).sequence += 1),
        ("retransmission", |packet| tcp(packet).sequence -= 1),
        ("acknowledgement", |packet| {
            tcp(packet).acknowledgement[3] += 1
        }),
        ("reserved bits", |packet| tcp(packet).reserved = 1),
        ("window", |packet| tcp(packet).window[1] += 1),
        ("urgent pointer", |packet| tcp(packet).urgent[1] = 1),
        ("timestamp", |packet| tcp(packet).options[7] += 1),
        ("length of options", |packet| {
            tcp(packet).options.truncate(8);
        }),
        ("FIN", |packet| tcp(packet).flags |= FIN),
        ("SYN", |packet| tcp(packet).flags |= SYN),
        ("RST", |packet| tcp(packet).flags |= RST),
        ("URG", |packet| tcp(packet).flags |= URG),
        ("ECE", |packet| tcp(packet).flags |= ECE),
        ("CWR", |packet| tcp(packet).flags |= CWR),
    ];
    assert_eq!(counts(&bytes(&stream(2, 100))), [2]);
    for (what, change) in changes {
        let mut segments = stream(2, 100);
        change(&mut segments[1]);
        assert_eq!(counts(&bytes(&segments)), [1, 1], "{what}");
    }
    let mut unacknowledged = stream(2, 100);
    unacknowledged
        .iter_mut()
        .for_each(|segment| tcp(segment).flags = 0);
    assert_eq!(counts(&bytes(&unacknowledged)), [1, 1], "no ACK");
    let mut shorter = bytes(&[Packet::udp(vec![1; 10]), Packet::udp(vec![1; 10])]);
    assert_eq!(counts(&shorter), [2]);
    for packet in &mut shorter {
        packet[45] -= 1;
        // The checksum as well, or that would be the reason.
        let checksum = u16::from_be_bytes([packet[46], packet[47]]);
        packet[46..48].copy_from_slice(&(checksum + 1).to_be_bytes());
    }
    assert_eq!(
        counts(&shorter),
        [1, 1],
        "a datagram shorter than its packet"
    );
    let mut longer = stream(2, 100);
    longer[1].payload.push(0);
    assert_eq!(counts(&bytes(&longer)), [1, 1], "longer than the first");
    let mut empty = stream(2, 100);
    empty[1].payload.clear();
    assert_eq!(counts(&bytes(&empty)), [1, 1], "no data");
}

#[test]
fn nothing_follows_a_short_segment_or_a_push() {
    let mut segments = stream(3, 100);
    segments[1].payload.truncate(50);
    tcp(&mut segments[2]).sequence -= 50;
    segments[2].payload.truncate(50);
    assert_eq!(counts(&bytes(&segments)), [2, 1]);
    let mut segments = stream(3, 100);
    tcp(&mut segments[1]).flags |= PSH;
    assert_eq!(counts(&bytes(&segments)), [2, 1]);
    let mut segments = stream(3, 100);
    tcp(&mut segments[0]).flags |= PSH;
    assert_eq!(counts(&bytes(&segments)), [1, 2]);
}

/// A packet with a wrong checksum goes to the host unchanged, and the host counts it. It spoils no other.
#[test]
fn a_wrong_checksum_stays_alone() {
    for broken in 0..4 {
        let mut packets = bytes(&stream(4, 100));
        packets[broken][150] ^= 1;
        let writes = coalesce(&packets, Offloads::ALL);
        let alone = writes
            .iter()
            .find(|(_, packet, _)| *packet == packets[broken])
            .unwrap();
        assert_eq!((alone.0, alone.2), (Header::WHOLE, 1));
        let counts: Vec<_> = writes.iter().map(|&(_, _, count)| count).collect();
        let expected: &[usize] = match broken {
            0 => &[1, 3],
            1 => &[1, 1, 2],
            2 => &[2, 1, 1],
            _ => &[3, 1],
        };
        assert_eq!(counts, expected, "{broken}");
    }
    let mut none = bytes(&[Packet::udp(vec![1; 10]), Packet::udp(vec![1; 10])]);
    none[1][46..48].copy_from_slice(&[0, 0]);
    assert_eq!(counts(&none), [1, 1]);
}

/// Ones' complement has two zeros. Both are right, but segmentation writes one of them: 0 for TCP, the other for UDP.
#[test]
fn the_other_zero_stays_alone() {
    for (mut segments, field, own, other) in [
        (stream(2, 100), 56, [0, 0], [0xff, 0xff]),
        (vec![Packet::udp(vec![0; 10]); 2], 46, [0xff, 0xff], [0, 0]),
    ] {
        // The checksum itself, as data, makes the checksum zero.
        segments[1].payload[..2].fill(0);
        let checksum = segments[1].write()[field..field + 2].to_vec();
        segments[1].payload[..2].copy_from_slice(&checksum);
        let mut packets = bytes(&segments);
        assert_eq!(packets[1][field..field + 2], own);
        assert_eq!(counts(&packets), [2]);
        packets[1][field..field + 2].copy_from_slice(&other);
        assert_eq!(counts(&packets), [1, 1]);
    }
}

/// No packet overtakes one of unknown flow.
#[test]
fn what_is_not_known_keeps_its_place() {
    let mut packets = bytes(&stream(4, 100));
    let mut fragment = packets[1].clone();
    fragment[6] = 44;
    packets.insert(2, fragment);
    assert_eq!(counts(&packets), [2, 1, 2]);
    for stranger in [
        vec![],
        vec![0x60; 39],
        vec![0x45; 60],
        packets[0][..99].to_vec(),
    ] {
        packets[2] = stranger;
        assert_eq!(counts(&packets), [2, 1, 2]);
    }
}

/// A batch leaves nothing behind for the next.
#[test]
fn a_cleared_coalescer_is_as_new() {
    let packets = bytes(&stream(4, 100));
    let (arena, ranges) = batch(&packets);
    let mut coalescer = Coalescer::new(4, Offloads::ALL);
    coalescer.push(&arena, ranges[0].clone());
    assert!(!coalescer.is_empty());
    coalescer.clear();
    assert!(coalescer.is_empty());
    coalescer.push(&arena, ranges[1].clone());
    coalescer.push(&arena, ranges[2].clone());
    let counts: Vec<_> = coalescer
        .iter(&arena)
        .map(|packet| packet.count())
        .collect();
    assert_eq!(counts, [2]);
}

/// A batch that a peer could send: a few flows that go on, with disturbances.
fn traffic() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let step = (0..4u8, 0..40u8, 1..300usize, any::<bool>(), 0..400usize);
    prop::collection::vec(step, 1..120).prop_map(|steps| {
        let mut sequences = [100u32, u32::MAX - 700];
        let mut sizes = [200usize, 300, 250, 120];
        let mut packets = Vec::new();
        for (index, (flow, disturbance, len, flip, at)) in steps.into_iter().enumerate() {
            let number = usize::from(flow);
            if disturbance == 0 {
                sizes[number] = len;
            }
            let payload = vec![index as u8; if disturbance == 1 { len } else { sizes[number] }];
            let mut segment = match sequences.get_mut(number) {
                Some(sequence) => {
                    let segment = Packet::tcp(*sequence, payload);
                    *sequence = sequence.wrapping_add(segment.payload.len() as u32);
                    segment
                }
                None => Packet::udp(payload),
            };
            segment.ports = [0, flow, 0, flow];
            match disturbance {
                2 => segment.hop_limit = 1,
                3 => segment.class_and_label[1] |= 0x30,
                4 => segment = segment.with_destination_options(1),
                5 => segment.payload.clear(),
                _ => {}
            }
            if let Some(tcp) = &mut segment.tcp {
                match disturbance {
                    6 => tcp.flags |= PSH,
                    7 => tcp.flags |= FIN,
                    8 => tcp.flags |= CWR,
                    9 => tcp.acknowledgement[3] += 1,
                    10 => tcp.sequence = tcp.sequence.wrapping_sub(100),
                    _ => {}
                }
            }
            let mut packet = segment.write();
            if disturbance == 11 && flip {
                let at = at % packet.len();
                packet[at] ^= 0x10;
            }
            packets.push(packet);
        }
        packets
    })
}

proptest! {
    /// Cutting the super-packets gives back the same packets, each flow's in order, and none passes a packet of unknown
    /// flow.
    #[test]
    fn cutting_what_was_coalesced_gives_the_same_packets(packets in traffic(), tcp: bool, udp: bool) {
        let writes = coalesce(&packets, Offloads { tcp, udp });
        let mut after = Vec::new();
        for (header, packet, count) in &writes {
            let parts = if *count > 1 { cut(header, packet) } else { vec![packet.clone()] };
            prop_assert_eq!(parts.len(), *count);
            prop_assert!(packet.len() <= LONGEST);
            after.extend(parts);
        }
        prop_assert_eq!(after.len(), packets.len());
        prop_assert_eq!(in_order(&after), in_order(&packets));
    }

    /// Any bytes come out unchanged.
    #[test]
    fn survives_anything(
        mut packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        next in prop::sample::select(vec![0u8, 6, 17]),
    ) {
        for packet in packets.iter_mut().filter(|packet| packet.len() >= 40) {
            let len = (packet.len() - 40) as u16;
            packet[0] = 0x60;
            packet[4..6].copy_from_slice(&len.to_be_bytes());
            packet[6] = next;
            packet[8..40].fill(1);
        }
        let writes = coalesce(&packets, Offloads::ALL);
        let total: usize = writes.iter().map(|&(_, _, count)| count).sum();
        prop_assert_eq!(total, packets.len());
    }
}
