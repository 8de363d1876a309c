//! Batches of packets, some of which belong together: cutting what they become gives the same packets, in the order
//! of each flow.

#![no_main]

use std::ops::Range;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use teredo_tunnel::offload::{Coalescer, Cut, Offloads};

#[derive(Arbitrary, Debug)]
enum Step {
    /// A packet that may be any bytes.
    Any(Vec<u8>),
    /// One of TCP that goes on where the flow is, but for a byte.
    Tcp {
        flow: u8,
        flags: u8,
        len: u8,
        spoil: Option<(u8, u8)>,
    },
    /// One of UDP.
    Udp {
        flow: u8,
        len: u8,
        spoil: Option<(u8, u8)>,
    },
}

fn packet(flow: u8, transport: &[u8], protocol: u8, field: usize, len: u8) -> Vec<u8> {
    let covered = transport.len() + usize::from(len);
    let mut packet = vec![
        0x60,
        0,
        0,
        0,
        (covered >> 8) as u8,
        covered as u8,
        protocol,
        64,
    ];
    packet.extend_from_slice(&[1; 31]);
    packet.push(flow);
    packet.extend_from_slice(transport);
    packet.resize(40 + covered, len);
    let mut sum = covered as u32 + u32::from(protocol);
    for pair in packet[8..].chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = match !(sum as u16) {
        0 if protocol == 17 => 0xffff,
        checksum => checksum,
    };
    packet[40 + field..42 + field].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// Of what is TCP or UDP at first sight: the flow. Nothing else may be overtaken at all.
fn flow(packet: &[u8]) -> Option<Vec<u8>> {
    let whole = packet.len() >= 48
        && packet[0] >> 4 == 6
        && usize::from(u16::from_be_bytes([packet[4], packet[5]])) == packet.len() - 40;
    let known = whole && matches!(packet[6], 6 | 17);
    known.then(|| [&packet[6..7], &packet[8..44]].concat())
}

fuzz_target!(|input: (bool, bool, Vec<Step>)| {
    let (tcp, udp, steps) = input;
    let mut sequences = [0u32; 256];
    let mut arena = Vec::new();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for step in steps.into_iter().take(300) {
        let (mut bytes, spoil) = match step {
            Step::Any(bytes) => (bytes, None),
            Step::Tcp {
                flow,
                flags,
                len,
                spoil,
            } => {
                let flow = flow % 12;
                let sequence = &mut sequences[usize::from(flow)];
                let mut header = vec![0, 1, 0, 2];
                header.extend_from_slice(&sequence.to_be_bytes());
                header.extend_from_slice(&[0, 0, 0, 1, 0x50, flags, 1, 1, 0, 0, 0, 0]);
                *sequence = sequence.wrapping_add(len.into());
                (packet(flow, &header, 6, 16, len), spoil)
            }
            Step::Udp { flow, len, spoil } => {
                let header = [0, 1, 0, 2, 0, 8 + len.min(247), 0, 0];
                (packet(flow % 12, &header, 17, 6, len.min(247)), spoil)
            }
        };
        if let Some((at, value)) = spoil
            && let Some(byte) = bytes.get_mut(usize::from(at))
        {
            *byte ^= value;
        }
        ranges.push(arena.len()..arena.len() + bytes.len());
        arena.extend_from_slice(&bytes);
    }
    let mut coalescer = Coalescer::new(8, Offloads { tcp, udp });
    for range in &ranges {
        coalescer.push(&arena, range.clone());
    }
    let before: Vec<Vec<u8>> = ranges
        .iter()
        .map(|range| arena[range.clone()].to_vec())
        .collect();
    let mut after = Vec::new();
    for packet in coalescer.iter(&arena) {
        let mut whole = packet.headers().to_vec();
        packet
            .pieces()
            .for_each(|piece| whole.extend_from_slice(piece));
        assert!(packet.count() == 1 || whole.len() <= 65_535);
        if packet.count() == 1 {
            after.push(whole);
            continue;
        }
        let mut cut = Cut::new(&packet.header(), &whole).expect("what was coalesced can be cut");
        let mut out = vec![0; 70_000];
        let mut count = 0;
        while let Some(len) = cut.emit(&whole, &mut out) {
            after.push(out[..len].to_vec());
            count += 1;
        }
        assert_eq!(count, packet.count());
    }
    assert_eq!(after.len(), before.len());
    let of = |packets: &[Vec<u8>], wanted: &Option<Vec<u8>>| -> Vec<Vec<u8>> {
        packets
            .iter()
            .filter(|packet| flow(packet) == *wanted)
            .cloned()
            .collect()
    };
    for packet in &before {
        let flow = flow(packet);
        assert_eq!(of(&after, &flow), of(&before, &flow));
    }
});
