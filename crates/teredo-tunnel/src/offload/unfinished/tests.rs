use proptest::prelude::*;
use teredo_segmentation::{ACK, CWR, FIN, PSH, Packet};

use super::super::Cut;
use super::*;

fn cut(header: &Header, packet: &[u8]) -> Vec<Vec<u8>> {
    let mut cut = Cut::new(header, packet).unwrap();
    let mut out = vec![0; MTU];
    let packets = std::iter::from_fn(|| cut.emit(packet, &mut out).map(|len| out[..len].to_vec()));
    packets.collect()
}

fn any_packet(longest: usize) -> impl Strategy<Value = Packet> {
    let payload = prop::collection::vec(any::<u8>(), 0..longest);
    let flags = prop::sample::select(vec![ACK, ACK | PSH, ACK | FIN, ACK | CWR, ACK | PSH | FIN]);
    let tcp = (any::<u32>(), payload.clone(), flags, 0..=10_usize).prop_map(
        |(sequence, payload, flags, words)| {
            let mut packet = Packet::tcp(sequence, payload);
            if let Some(tcp) = &mut packet.tcp {
                tcp.flags = flags;
                tcp.options = vec![1; 4 * words];
            }
            packet
        },
    );
    prop_oneof![tcp, payload.prop_map(Packet::udp)]
}

/// The payload that gives the packet the checksum that hardware would be left.
fn ambiguous(mut packet: Packet) -> Packet {
    packet.payload = vec![0, 0];
    // Of ones' complement: the checksum falls by as much as a word of the payload grows.
    let bytes = packet.write();
    let at = packet.checksum_at();
    let checksum = u32::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let (_, half) = packet.super_packet(None);
    let pseudo = u32::from(u16::from_be_bytes([half[at], half[at + 1]]));
    let word = (checksum + 0xffff - pseudo) % 0xffff;
    packet.payload = (word as u16).to_be_bytes().to_vec();
    packet
}

#[test]
fn a_right_checksum_that_looks_unfinished_stays() {
    for packet in [Packet::udp(Vec::new()), Packet::tcp(7, Vec::new())] {
        let packet = ambiguous(packet);
        let whole = packet.write();
        assert_eq!(whole, packet.super_packet(None).1, "it is such a packet");
        let mut finished = whole.clone();
        assert_eq!(finish(&mut finished), None);
        assert_eq!(finished, whole);
    }
}

#[test]
fn packets_with_extension_headers_stay() {
    let packet = Packet::udp(vec![1; 20]).with_destination_options(1);
    let (_, half) = packet.super_packet(None);
    let mut finished = half.clone();
    assert_eq!(finish(&mut finished), None);
    assert_eq!(finished, half);
}

proptest! {
    #[test]
    fn an_unfinished_packet_becomes_the_one_that_was_meant(packet in any_packet(MTU - 100)) {
        let (_, mut half) = packet.super_packet(None);
        prop_assert_eq!(finish(&mut half), None);
        prop_assert_eq!(half, packet.write());
    }

    #[test]
    fn a_finished_packet_stays(packet in any_packet(3 * MTU)) {
        let whole = packet.write();
        let mut finished = whole.clone();
        finish(&mut finished);
        prop_assert_eq!(finished, whole);
    }

    /// The reference cuts it into the same segments, none longer than the tunnel takes.
    #[test]
    fn a_super_packet_is_described_as_its_segments(
        packet in any_packet(60_000).prop_filter("of TCP and too long", |packet| {
            packet.tcp.is_some() && packet.len() > MTU
        }),
        segment in 500..1200_u16,
    ) {
        let (_, unfinished) = packet.super_packet(Some(segment));
        let mut left = unfinished.clone();
        let header = finish(&mut left).unwrap();
        prop_assert_eq!(&left, &unfinished);
        let size = MTU - packet.headers();
        prop_assert_eq!(header.to_bytes(), packet.super_packet(Some(size as u16)).0);
        let expected: Vec<_> = packet.segments(size).iter().map(Packet::write).collect();
        prop_assert_eq!(cut(&header, &left), expected);
    }

    #[test]
    fn of_any_bytes_at_most_the_checksum_changes(mut bytes in prop::collection::vec(any::<u8>(), 0..200), version in 0..16_u8) {
        if let [first, _, _, _, high, low, next, ..] = &mut bytes[..] {
            *first = version << 4;
            *next = if *next % 2 == 0 { 6 } else { 17 };
            [*high, *low] = [0, 0];
        }
        if bytes.len() >= 40 {
            let len = (bytes.len() as u16 - 40).to_be_bytes();
            bytes[4..6].copy_from_slice(&len);
        }
        let before = bytes.clone();
        finish(&mut bytes);
        let changed = before.iter().zip(&bytes).filter(|(a, b)| a != b).count();
        prop_assert!(changed <= 2);
    }
}
