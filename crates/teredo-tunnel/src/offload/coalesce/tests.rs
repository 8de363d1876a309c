use proptest::prelude::*;

use super::super::Cut;
use super::super::reference::Sketch;
use super::*;

const TCP_ONLY: Offloads = Offloads {
    tcp: true,
    udp: false,
};

/// A batch: the arena and where the packets lie in it.
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

/// What a batch becomes: the header and the bytes of each write, and how many packets are in it.
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
fn stream(count: u32, len: usize) -> Vec<Sketch> {
    (0..count)
        .map(|index| Sketch::tcp(1000 + index * len as u32, vec![index as u8; len]))
        .collect()
}

fn packets(sketches: &[Sketch]) -> Vec<Vec<u8>> {
    sketches.iter().map(Sketch::packet).collect()
}

#[test]
fn a_stream_becomes_one_super_packet() {
    let mut sketches = stream(20, 1208);
    if let Some(tcp) = &mut sketches[19].tcp {
        tcp.flags |= 0x08;
    }
    sketches[19].payload.truncate(100);
    let [(header, packet, count)] = &coalesce(&packets(&sketches), TCP_ONLY)[..] else {
        panic!("one write")
    };
    assert_eq!(*count, 20);
    let payload: Vec<u8> = sketches
        .iter()
        .flat_map(|sketch| sketch.payload.clone())
        .collect();
    let mut one = Sketch::tcp(1000, payload);
    if let Some(tcp) = &mut one.tcp {
        tcp.flags |= 0x08;
    }
    assert_eq!((*header, packet.clone()), one.super_packet(Some(1208)));
}

#[test]
fn datagrams_of_a_flow_become_one_super_packet() {
    let sizes = [500, 500, 500, 20];
    let sketches: Vec<_> = sizes
        .iter()
        .map(|&len| Sketch::udp(vec![len as u8; len]))
        .collect();
    let payload: Vec<u8> = sketches
        .iter()
        .flat_map(|sketch| sketch.payload.clone())
        .collect();
    let (header, packet) = Sketch::udp(payload).super_packet(Some(500));
    assert_eq!(
        coalesce(&packets(&sketches), Offloads::ALL),
        [(header, packet, 4)]
    );
    // A kernel that does not know it gets them one by one.
    let alone: Vec<_> = packets(&sketches)
        .into_iter()
        .map(|packet| (Header::WHOLE, packet, 1))
        .collect();
    assert_eq!(coalesce(&packets(&sketches), TCP_ONLY), alone);
    assert!(
        coalesce(&packets(&stream(3, 100)), Offloads::NONE)
            .iter()
            .all(|&(header, _, count)| (header, count) == (Header::WHOLE, 1))
    );
}

#[test]
fn flows_that_alternate_are_put_together_each_for_itself() {
    let one = stream(5, 100);
    let mut other = stream(5, 100);
    other.iter_mut().for_each(|sketch| sketch.ports = [1, 2]);
    let mixed: Vec<_> = one
        .into_iter()
        .zip(other)
        .flat_map(|(a, b)| [a.packet(), b.packet()])
        .collect();
    assert_eq!(counts(&mixed), [5, 5]);
}

/// More flows than are kept open cost super-packets, not packets.
#[test]
fn more_flows_than_are_kept_open() {
    let mut mixed = Vec::new();
    for round in 0..3 {
        for port in 0..=MAX_OPEN as u16 {
            let mut sketch = stream(3, 100)[round].clone();
            sketch.ports = [port, port];
            mixed.push(sketch.packet());
        }
    }
    let counts = counts(&mixed);
    assert_eq!(counts.iter().sum::<usize>(), mixed.len());
    assert_eq!(counts.len(), mixed.len());
}

#[test]
fn a_super_packet_has_at_most_64_packets_and_65535_bytes() {
    assert_eq!(counts(&packets(&stream(150, 10))), [64, 64, 22]);
    assert_eq!(counts(&packets(&stream(60, 1208))), [54, 6]);
}

type Change = fn(&mut Sketch);

fn tcp(sketch: &mut Sketch) -> &mut super::super::reference::Tcp {
    sketch.tcp.as_mut().unwrap()
}

/// What differs from the packet before it in anything that segmentation would copy, or must not be joined at all.
#[test]
fn what_must_not_be_merged_is_not() {
    let changes: [(&str, Change); 20] = [
        ("ECN", |sketch| sketch.traffic_class = 3),
        ("traffic class", |sketch| sketch.traffic_class = 0x40),
        ("flow label", |sketch| sketch.flow_label = 8),
        ("hop limit", |sketch| sketch.hop_limit = 63),
        ("source", |sketch| sketch.source = 9),
        ("ports", |sketch| sketch.ports = [5001, 5003]),
        ("protocol", |sketch| sketch.tcp = None),
        ("extension header", |sketch| sketch.extension = 1),
        ("gap", |sketch| tcp(sketch).sequence += 1),
        ("retransmission", |sketch| tcp(sketch).sequence -= 1),
        ("acknowledgement", |sketch| tcp(sketch).acknowledgement += 1),
        ("window", |sketch| tcp(sketch).window += 1),
        ("timestamp", |sketch| tcp(sketch).options[7] += 1),
        ("length of options", |sketch| {
            tcp(sketch).options.truncate(8)
        }),
        ("FIN", |sketch| tcp(sketch).flags |= 0x01),
        ("SYN", |sketch| tcp(sketch).flags |= 0x02),
        ("RST", |sketch| tcp(sketch).flags |= 0x04),
        ("URG", |sketch| tcp(sketch).flags |= 0x20),
        ("ECE", |sketch| tcp(sketch).flags |= 0x40),
        ("CWR", |sketch| tcp(sketch).flags |= 0x80),
    ];
    assert_eq!(counts(&packets(&stream(2, 100))), [2]);
    for (what, change) in changes {
        let mut sketches = stream(2, 100);
        change(&mut sketches[1]);
        assert_eq!(counts(&packets(&sketches)), [1, 1], "{what}");
    }
    let mut unacknowledged = stream(2, 100);
    unacknowledged
        .iter_mut()
        .for_each(|sketch| tcp(sketch).flags = 0);
    assert_eq!(counts(&packets(&unacknowledged)), [1, 1], "no ACK");
    let mut shorter = packets(&[Sketch::udp(vec![1; 10]), Sketch::udp(vec![1; 10])]);
    assert_eq!(counts(&shorter), [2]);
    for packet in &mut shorter {
        packet[45] -= 1;
        // The checksum as well, or it would be that.
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
    assert_eq!(counts(&packets(&longer)), [1, 1], "longer than the first");
    let mut empty = stream(2, 100);
    empty[1].payload.clear();
    assert_eq!(counts(&packets(&empty)), [1, 1], "no data");
    let mut urgent = packets(&stream(2, 100));
    urgent[1][58..60].copy_from_slice(&[0, 1]);
    // The checksum as well, or it would be that.
    let sum = be16_sub(&urgent[1][56..58], 1);
    urgent[1][56..58].copy_from_slice(&sum);
    assert_eq!(counts(&urgent), [1, 1], "urgent pointer");
}

/// A checksum from which a word has been taken.
fn be16_sub(field: &[u8], word: u16) -> [u8; 2] {
    let checksum = u16::from_be_bytes([field[0], field[1]]);
    let (less, borrow) = checksum.overflowing_sub(word);
    (less - u16::from(borrow)).to_be_bytes()
}

#[test]
fn nothing_follows_a_short_segment_or_a_push() {
    let mut sketches = stream(3, 100);
    sketches[1].payload.truncate(50);
    tcp(&mut sketches[2]).sequence -= 50;
    sketches[2].payload.truncate(50);
    assert_eq!(counts(&packets(&sketches)), [2, 1]);
    let mut sketches = stream(3, 100);
    tcp(&mut sketches[1]).flags |= 0x08;
    assert_eq!(counts(&packets(&sketches)), [2, 1]);
    let mut sketches = stream(3, 100);
    tcp(&mut sketches[0]).flags |= 0x08;
    assert_eq!(counts(&packets(&sketches)), [1, 2]);
}

/// A packet with a wrong checksum goes to the host as it is, which counts it; it spoils no other.
#[test]
fn a_wrong_checksum_stays_alone() {
    for broken in 0..4 {
        let mut packets = packets(&stream(4, 100));
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
    let mut none = packets(&[Sketch::udp(vec![1; 10]), Sketch::udp(vec![1; 10])]);
    none[1][46..48].copy_from_slice(&[0, 0]);
    assert_eq!(counts(&none), [1, 1]);
}

/// Ones' complement has two zeros. Both are right, but segmentation writes one of them: 0 for TCP, the other for UDP.
#[test]
fn the_other_zero_stays_alone() {
    for (mut sketches, field, own, other) in [
        (stream(2, 100), 56, [0, 0], [0xff, 0xff]),
        (vec![Sketch::udp(vec![0; 10]); 2], 46, [0xff, 0xff], [0, 0]),
    ] {
        // What the checksum would be, in the data, makes it zero.
        sketches[1].payload[..2].fill(0);
        let checksum = sketches[1].packet()[field..field + 2].to_vec();
        sketches[1].payload[..2].copy_from_slice(&checksum);
        let mut packets = packets(&sketches);
        assert_eq!(packets[1][field..field + 2], own);
        assert_eq!(counts(&packets), [2]);
        packets[1][field..field + 2].copy_from_slice(&other);
        assert_eq!(counts(&packets), [1, 1]);
    }
}

/// A packet whose flow is not known is not overtaken.
#[test]
fn what_is_not_known_keeps_its_place() {
    let mut packets = packets(&stream(4, 100));
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
    let packets = packets(&stream(4, 100));
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

/// Whom a packet must not overtake, and by whom it must not be overtaken: next header, addresses and ports of what is TCP
/// or UDP at once, whole, and as long as it says.
fn flow(packet: &[u8]) -> Option<Vec<u8>> {
    let len = u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]);
    let headers = match packet.get(6)? {
        6 => 4 * usize::from(packet.get(52)? >> 4),
        17 if packet.get(44..46)? == len.to_be_bytes() => 8,
        _ => return None,
    };
    let shortest = if packet[6] == 6 { 20 } else { 8 };
    let known = packet[0] >> 4 == 6
        && packet.len() == 40 + usize::from(len)
        && headers >= shortest
        && packet.len() >= 40 + headers;
    known.then(|| [&packet[6..7], &packet[8..44]].concat())
}

/// A batch such as a peer could send: a few flows that go on, with disturbances.
fn traffic() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let step = (0..4u16, 0..40u8, 1..300usize, any::<bool>(), 0..400usize);
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
            let mut sketch = match sequences.get_mut(number) {
                Some(sequence) => {
                    let sketch = Sketch::tcp(*sequence, payload);
                    *sequence = sequence.wrapping_add(sketch.payload.len() as u32);
                    sketch
                }
                None => Sketch::udp(payload),
            };
            sketch.ports = [flow, flow];
            match disturbance {
                2 => sketch.hop_limit = 1,
                3 => sketch.traffic_class = 3,
                4 => sketch.extension = 1,
                5 => sketch.payload.clear(),
                _ => {}
            }
            if let Some(tcp) = &mut sketch.tcp {
                match disturbance {
                    6 => tcp.flags |= 0x08,
                    7 => tcp.flags |= 0x01,
                    8 => tcp.flags |= 0x80,
                    9 => tcp.acknowledgement += 1,
                    10 => tcp.sequence = tcp.sequence.wrapping_sub(100),
                    _ => {}
                }
            }
            let mut packet = sketch.packet();
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
    /// Cutting what was coalesced gives the same packets, each flow's in their order, and nothing passes a packet
    /// whose flow is not known.
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
        let in_order = |packets: &[Vec<u8>]| {
            let mut runs = vec![std::collections::BTreeMap::<_, Vec<Vec<u8>>>::new()];
            for packet in packets {
                match flow(packet) {
                    Some(flow) => runs.last_mut().unwrap().entry(flow).or_default().push(packet.clone()),
                    None => runs.extend([[(Vec::new(), vec![packet.clone()])].into(), Default::default()]),
                }
            }
            runs
        };
        prop_assert_eq!(in_order(&after), in_order(&packets));
    }

    /// Any bytes come out as they went in.
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
