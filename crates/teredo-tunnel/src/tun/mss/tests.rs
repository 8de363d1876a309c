use proptest::prelude::*;

use super::*;

/// A SYN with these options, padded, and its checksum.
fn syn(flags: u8, options: &[u8]) -> Vec<u8> {
    let padded = options.len().next_multiple_of(4);
    let mut packet = vec![0; HEADERS];
    packet[0] = 0x60;
    packet[4..6].copy_from_slice(&(20 + padded as u16).to_be_bytes());
    packet[6] = TCP;
    packet[8..40].copy_from_slice(&[0x20; 32]);
    packet[52] = (((20 + padded) / 4) << 4) as u8;
    packet[53] = flags;
    packet.extend_from_slice(options);
    packet.resize(HEADERS + padded, 0);
    let sum = checksum(&packet);
    packet[56..58].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// TCP's checksum of the packet; 0 if it is right.
fn checksum(packet: &[u8]) -> u16 {
    let mut sum = u32::from(TCP) + (packet.len() - 40) as u32;
    for pair in packet[8..].chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[test]
fn the_segment_size_of_a_syn_is_lowered() {
    for (flags, options, expected) in [
        (0x02, &[2, 4, 0x04, 0xc4][..], Some(2)),
        (0x12, &[2, 4, 0xff, 0xff][..], Some(2)),
        // At an odd offset.
        (0x02, &[1, 2, 4, 0x04, 0xc4][..], Some(3)),
        (0x02, &[3, 3, 7, 2, 4, 0x04, 0xc4][..], Some(5)),
        // Small enough, none, no SYN, behind the end, cut off.
        (0x02, &[2, 4, 0x04, 0xa8][..], None),
        (0x02, &[1, 1, 1, 1][..], None),
        (0x10, &[2, 4, 0x04, 0xc4][..], None),
        (0x02, &[0, 2, 4, 0xff, 0xff][..], None),
        (0x02, &[4, 0, 2, 4][..], None),
        (0x02, &[1, 1, 2, 4][..], None),
    ] {
        let before = syn(flags, options);
        let mut after = before.clone();
        assert_eq!(clamp(&mut after, 1252), expected.is_some(), "{options:?}");
        match expected {
            Some(at) => assert_eq!(after[HEADERS + at..][..2], 1192u16.to_be_bytes()),
            None => assert_eq!(after, before),
        }
        assert_eq!(checksum(&after), 0, "{options:?}");
    }
}

proptest! {
    /// No bytes make it panic, and nothing but a segment size and a checksum changes.
    #[test]
    fn nothing_else_changes(bytes in prop::collection::vec(any::<u8>(), 0..120), syn in any::<bool>()) {
        let mut before = bytes;
        if syn && before.len() > 53 {
            before[6] = TCP;
            before[53] |= SYN;
        }
        let mut after = before.clone();
        clamp(&mut after, 1252);
        let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        prop_assert!(changed <= 4);
    }
}
