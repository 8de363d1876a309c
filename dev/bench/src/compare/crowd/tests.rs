use teredo::wire::checksum;

use super::*;

const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);

#[test]
fn numbers_and_clients_are_one_to_one() {
    for number in [0, 1, ADDRESSES - 1, ADDRESSES, 1_000_000, 3_000_000] {
        let client = client(number);
        assert_eq!(number_of(client.mapped), Some(number));
        assert_eq!(TeredoAddress::from_ipv6(client.to_ipv6()), Some(client));
        assert_ne!(client.server, *client.mapped.ip());
    }
    assert_eq!(number_of("198.18.0.255:4096".parse().unwrap()), None);
    assert_eq!(number_of("198.19.0.1:4096".parse().unwrap()), None);
    assert_eq!(number_of("198.18.1.0:4095".parse().unwrap()), None);
}

#[test]
fn frames_are_read_as_written() {
    let (from, to) = (client(70_000).mapped, client(3).mapped);
    let written = frame(from, to, b"teredo");
    assert_eq!(datagram(&written), Some((from, to, &b"teredo"[..])));
    for end in 0..written.len() {
        assert_eq!(datagram(&written[..end]), None, "{end} bytes");
    }
    let mut tcp = written;
    tcp[9] = 6;
    assert_eq!(datagram(&tcp), None);
}

/// The native host's kernel takes it, and the size is that of the packet with its headers.
#[test]
fn inner_packets_are_whole() {
    let from = client(5).to_ipv6();
    for size in [64, 1280] {
        let bytes = inner(from, NATIVE, size);
        assert_eq!(bytes.len(), size);
        let packet = Datagram::parse(&bytes).unwrap().packet;
        assert_eq!((packet.source(), packet.destination()), (from, NATIVE));
        assert_eq!(checksum(from, NATIVE, protocol::UDP, packet.payload()), 0);
        assert!(is_pattern(packet.payload().get(UDP..)));
    }
    assert!(!is_pattern(Some(&[PATTERN, 0])) && !is_pattern(None));
}
