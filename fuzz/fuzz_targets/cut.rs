//! Any header of the kernel's before any packet.

#![no_main]

use libfuzzer_sys::fuzz_target;
use teredo_tunnel::offload::{Cut, Gso, Header};

/// RFC 8200 §8.1, word by word; the sum of what is right is all ones.
fn sum(packet: &[u8], transport: usize, protocol: u8) -> u16 {
    let mut sum = (packet.len() - transport) as u32 + u32::from(protocol);
    for words in [&packet[8..40], &packet[transport..]] {
        for pair in words.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    ((sum & 0xffff) + (sum >> 16)) as u16
}

fuzz_target!(|input: ([u8; Header::LEN], u8, Vec<u8>)| {
    let (mut bytes, kind, packet) = input;
    // Most of the time a kind that exists.
    bytes[1] = match kind % 8 {
        0..=2 => 4,
        3..=5 => 5,
        6 => 0,
        _ => bytes[1],
    };
    let header = Header::parse(&bytes);
    let Ok(mut cut) = Cut::new(&header, &packet) else {
        return;
    };
    let mut out = vec![0; 70_000];
    let (mut packets, mut payload) = (0, Vec::new());
    while let Some(len) = cut.emit(&packet, &mut out) {
        packets += 1;
        let out = &out[..len];
        let protocol = match header.gso {
            Gso::Tcp6 => 6,
            Gso::Udp => 17,
            Gso::None | Gso::Other(_) => {
                assert_eq!(len, packet.len());
                continue;
            }
        };
        assert_eq!(usize::from(u16::from_be_bytes([out[4], out[5]])), len - 40);
        let mut transport = 40;
        let mut next = out[6];
        while next != protocol {
            next = out[transport];
            transport += 8 * (1 + usize::from(out[transport + 1]));
        }
        assert_eq!(sum(out, transport, protocol), 0xffff);
        let headers = match protocol {
            6 => transport + 4 * usize::from(out[transport + 12] >> 4),
            _ => transport + 8,
        };
        assert!(len - headers <= usize::from(header.segment));
        payload.extend_from_slice(&out[headers..]);
    }
    assert!(cut.is_finished());
    assert!(packets <= packet.len().max(1));
    if header.gso != Gso::None {
        assert!(packet.ends_with(&payload));
    }
});
