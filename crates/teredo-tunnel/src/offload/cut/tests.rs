use proptest::prelude::*;
use teredo_segmentation::{ACK, CWR, ECE, FIN, PSH, Packet, Tcp};

use super::*;

const ROOM: usize = 70_000;

/// The packet as the host's stack hands it over.
fn handed(packet: &Packet, segment: Option<u16>) -> (Header, Vec<u8>) {
    let (header, bytes) = packet.super_packet(segment);
    (Header::parse(&header), bytes)
}

fn cut(header: &Header, packet: &[u8]) -> Result<Vec<Vec<u8>>, CutError> {
    let mut cut = Cut::new(header, packet)?;
    let mut out = vec![0; ROOM];
    let mut packets = Vec::new();
    while let Some(len) = cut.emit(packet, &mut out) {
        packets.push(out[..len].to_vec());
    }
    assert!(cut.is_finished());
    Ok(packets)
}

fn tcp() -> impl Strategy<Value = Tcp> {
    let numbers = (any::<u32>(), any::<[u8; 4]>(), any::<[[u8; 2]; 2]>());
    (numbers, 0..16u8, any::<u8>(), 0..=10usize).prop_map(
        |((sequence, acknowledgement, [window, urgent]), reserved, flags, options)| Tcp {
            sequence,
            acknowledgement,
            reserved,
            flags,
            window,
            urgent,
            options: vec![1; 4 * options],
        },
    )
}

fn packet() -> impl Strategy<Value = Packet> {
    let payload = prop::collection::vec(any::<u8>(), 0..5000);
    let head = (any::<[u8; 3]>(), 0..16u8, any::<u8>(), any::<[u8; 4]>());
    (head, prop::option::of(tcp()), 0..3usize, payload).prop_map(
        |(([a, b, c], class, hop_limit, ports), tcp, options, payload)| {
            Packet {
                class_and_label: [0x60 | class, a, b, c],
                hop_limit,
                ports,
                tcp,
                ..Packet::udp(payload)
            }
            .with_destination_options(options)
        },
    )
}

/// The packets that a host without offloads would have sent instead.
fn segments(packet: &Packet, size: u16) -> Vec<Vec<u8>> {
    let segments = packet.segments(size.into());
    segments.iter().map(Packet::write).collect()
}

proptest! {
    /// A super-packet becomes the packets that the host would have sent without offloads, to the bit.
    #[test]
    fn a_super_packet_becomes_what_the_host_would_have_sent(whole in packet(), segment in 1u16..1500) {
        let (header, packet) = handed(&whole, Some(segment));
        prop_assert_eq!(cut(&header, &packet).unwrap(), segments(&whole, segment));
    }

    #[test]
    fn a_checksum_is_completed(whole in packet()) {
        let (header, packet) = handed(&whole, None);
        let expected = whole.write();
        let done = cut(&header, &packet).unwrap();
        prop_assert_eq!(done.len(), 1);
        // The kernel writes the other one of the two zeros, for TCP as well.
        let at = usize::from(header.checksum_start + header.checksum_offset);
        if expected[at..at + 2] == [0, 0] {
            prop_assert_eq!(&done[0][at..at + 2], &[0xff, 0xff]);
        } else {
            prop_assert_eq!(&done[0], &expected);
        }
    }

    /// If the room ends, it goes on later without a difference.
    #[test]
    fn goes_on_where_the_room_ended(whole in packet(), segment in 1u16..1500, room in 0usize..2000) {
        let (header, packet) = handed(&whole, Some(segment));
        let mut cut = Cut::new(&header, &packet).unwrap();
        let mut packets = Vec::new();
        while !cut.is_finished() {
            let before = cut;
            let mut small = vec![0; room];
            match cut.emit(&packet, &mut small) {
                Some(len) => packets.push(small[..len].to_vec()),
                None => {
                    prop_assert_eq!(cut, before);
                    let mut large = vec![0; ROOM];
                    let len = cut.emit(&packet, &mut large).unwrap();
                    prop_assert!(len > room);
                    packets.push(large[..len].to_vec());
                }
            }
        }
        prop_assert_eq!(packets, segments(&whole, segment));
    }

    /// No header and no bytes make it panic, go on for ever, or write a packet whose length is not what it says.
    #[test]
    fn survives_anything(
        header in any::<[u8; Header::LEN]>(),
        kind in prop::sample::select(vec![0u8, 1, 4, 5, 0x84]),
        mut packet in prop::collection::vec(any::<u8>(), 0..3000),
        next in prop::sample::select(vec![0u8, 6, 17, 60]),
    ) {
        let mut header = header;
        header[1] = kind;
        for (at, value) in [(0, 0x60), (6, next)] {
            if let Some(byte) = packet.get_mut(at) {
                *byte = value;
            }
        }
        let header = Header::parse(&header);
        if let Ok(packets) = cut(&header, &packet) {
            prop_assert!(packets.len() <= packet.len().max(1));
            if header.gso != Gso::None {
                for packet in packets {
                    prop_assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])) + 40, packet.len());
                }
            }
        }
    }
}

/// The flags that close a window of segments are the last one's, and CWR is the first one's.
#[test]
fn flags_stay_with_the_segment_that_they_are_for() {
    let mut whole = Packet::tcp(u32::MAX - 1500, vec![3; 3000]);
    if let Some(tcp) = &mut whole.tcp {
        tcp.flags = ACK | FIN | PSH | ECE | CWR;
    }
    let (header, packet) = handed(&whole, Some(1208));
    let packets = cut(&header, &packet).unwrap();
    let flags: Vec<_> = packets.iter().map(|packet| packet[53]).collect();
    assert_eq!(flags, [0xd0, 0x50, 0x59]);
    let sequences: Vec<_> = packets.iter().map(|packet| be32(packet, 44)).collect();
    assert_eq!(sequences, [u32::MAX - 1500, u32::MAX - 292, 915]);
    let lengths: Vec<_> = packets.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1280, 1280, 72 + 584]);
}

/// The kernel's length of the headers is not trusted.
#[test]
fn the_length_of_the_headers_is_found_out() {
    let whole = Packet::tcp(1, vec![3; 3000]);
    let (header, packet) = handed(&whole, Some(1000));
    for header_len in [0, 1, 54, 65_535] {
        let header = Header {
            header_len,
            ..header
        };
        assert_eq!(cut(&header, &packet).unwrap(), segments(&whole, 1000));
    }
}

#[test]
fn what_cannot_be_cut_is_refused() {
    let whole = Packet::tcp(1, vec![3; 100]);
    let (header, packet) = handed(&whole, Some(10));
    let gso = |gso| Header { gso, ..header };
    assert_eq!(cut(&gso(Gso::Other(1)), &packet), Err(CutError::Kind(1)));
    assert_eq!(cut(&gso(Gso::Udp), &packet), Err(CutError::Protocol));
    assert_eq!(
        cut(
            &Header {
                segment: 0,
                ..header
            },
            &packet
        ),
        Err(CutError::NoSegment)
    );
    assert_eq!(cut(&header, &vec![0; 65_536]), Err(CutError::TooLong));
    for len in [0, 39, 40, 59, 71] {
        assert_eq!(
            cut(&header, &packet[..len]),
            Err(CutError::Truncated),
            "{len}"
        );
    }
    let mut ipv4 = packet.clone();
    ipv4[0] = 0x45;
    assert_eq!(cut(&header, &ipv4), Err(CutError::Protocol));
    let mut no_offset = packet.clone();
    no_offset[52] = 0x40;
    assert_eq!(cut(&header, &no_offset), Err(CutError::Truncated));
    let mut routing = packet.clone();
    routing[6] = 43;
    assert_eq!(cut(&header, &routing), Err(CutError::Protocol));
    // The last byte of the field is the packet's last, or one behind it.
    for (beyond, expected) in [(0, Ok(1)), (1, Err(CutError::Checksum))] {
        let header = Header {
            gso: Gso::None,
            checksum_start: packet.len() as u16 - 18 + beyond,
            ..header
        };
        let packets = cut(&header, &packet).map(|packets| packets.len());
        assert_eq!(packets, expected);
    }
}

/// All the payload in one segment, and as much of it as there can be.
#[test]
fn the_longest_super_packet_can_be_one_segment() {
    let whole = Packet::udp(vec![9; 65_535 - 40 - 24 - 8]).with_destination_options(3);
    let (header, packet) = handed(&whole, Some(65_535));
    assert_eq!(packet.len(), 65_535);
    assert_eq!(cut(&header, &packet).unwrap(), [whole.write()]);
}

/// Only the packet that it was made for is cut.
#[test]
fn a_different_packet_is_not_cut() {
    let (header, packet) = handed(&Packet::tcp(1, vec![3; 100]), Some(10));
    let mut cut = Cut::new(&header, &packet).unwrap();
    assert_eq!(cut.emit(&packet[1..], &mut [0; 2000]), None);
    assert!(!cut.is_finished());
}

#[test]
fn a_header_is_its_bytes() {
    let bytes = [1, 5, 48, 0, 176, 4, 40, 0, 6, 0];
    if cfg!(target_endian = "little") {
        let header = Header::parse(&bytes);
        let expected = Header {
            needs_checksum: true,
            gso: Gso::Udp,
            header_len: 48,
            segment: 1200,
            checksum_start: 40,
            checksum_offset: 6,
        };
        assert_eq!(header, expected);
        assert_eq!(header.to_bytes(), bytes);
    }
    assert_eq!(Header::WHOLE.to_bytes(), [0; 10]);
    assert_eq!(
        Header::parse(&[0, 0x84, 0, 0, 0, 0, 0, 0, 0, 0]).gso,
        Gso::Tcp6
    );
}
