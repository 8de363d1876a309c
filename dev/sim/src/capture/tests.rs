use std::time::Duration;

use super::*;
use crate::host::{HostId, RawId};

fn record(millis: u64, payload: &[u8]) -> Record {
    let datagram = Datagram {
        source: "10.0.0.2:5000".parse().unwrap(),
        destination: "192.0.2.1:3544".parse().unwrap(),
        ttl: Datagram::TTL,
        payload: payload.to_vec(),
    };
    Record {
        at: Instant::default() + Duration::from_millis(millis),
        sender: HostId::Raw(RawId(0)),
        public_source: "203.0.113.1:6000".parse().unwrap(),
        inner_destination: datagram.destination,
        datagram,
        duplicate: false,
        fate: Fate::Lost,
    }
}

fn capture(records: impl IntoIterator<Item = Record>) -> Capture {
    let mut capture = Capture::default();
    for record in records {
        capture.push(record);
    }
    capture
}

#[test]
fn a_line_tells_who_when_where_what_and_what_became_of_it() {
    let mut record = record(1_500, &[0; 3]);
    assert_eq!(
        record.to_string(),
        "1.500000 raw0: 10.0.0.2:5000 [203.0.113.1:6000] > 192.0.2.1:3544: not IPv6, length 3, lost"
    );
    record.fate = Fate::Delivered {
        at: Instant::from_nanos(2_000_001_000),
        host: HostId::Raw(RawId(1)),
    };
    record.inner_destination = "10.0.0.9:3544".parse().unwrap();
    record.duplicate = true;
    assert_eq!(
        record.to_string(),
        "1.500000 raw0: 10.0.0.2:5000 [203.0.113.1:6000] > 192.0.2.1:3544 [10.0.0.9:3544]: not IPv6, length 3, \
         duplicate, delivered to raw1 at 2.000001"
    );
}

#[test]
fn the_oldest_records_go_first() {
    let mut capture = capture((0..10).map(|millis| record(millis, &[])));
    capture.set_limit(3);
    assert_eq!(
        capture
            .iter()
            .map(|record| record.at.as_nanos())
            .collect::<Vec<_>>(),
        [7_000_000, 8_000_000, 9_000_000]
    );
    assert_eq!(capture.total(), 10);

    capture.set_fate(6, Fate::NoRoute);
    capture.set_fate(7, Fate::NoRoute);
    assert_eq!(
        capture.iter().map(|record| record.fate).collect::<Vec<_>>(),
        [Fate::NoRoute, Fate::Lost, Fate::Lost]
    );

    capture.clear();
    assert_eq!((capture.iter().count(), capture.total()), (0, 10));
}

#[test]
fn a_pcap_file_has_raw_ipv4_packets_with_virtual_time() {
    let capture = capture([record(1_500, b"abc")]);
    let file = capture.to_pcap(Vantage::Public);
    let (header, packet) = file.split_at(24);
    assert_eq!(header[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
    assert_eq!(header[20..], 101_u32.to_le_bytes());

    let (stamp, packet) = packet.split_at(16);
    assert_eq!(stamp[..4], 1_u32.to_le_bytes());
    assert_eq!(stamp[4..8], 500_000_000_u32.to_le_bytes());
    assert_eq!(stamp[8..12], 31_u32.to_le_bytes());
    assert_eq!(stamp[12..], 31_u32.to_le_bytes());

    assert_eq!(packet.len(), 31);
    assert_eq!(packet[..4], [0x45, 0, 0, 31]);
    assert_eq!((packet[8], packet[9]), (64, 17));
    assert_eq!(packet[12..20], [203, 0, 113, 1, 192, 0, 2, 1]);
    let sum = |bytes: &[u8]| -> u32 {
        let words = bytes.chunks(2);
        words
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
            .sum()
    };
    assert_eq!(sum(&packet[..20]) % 0xffff, 0, "IPv4's checksum is right");
    let pseudo_header = [&packet[12..20], &[0, 17, 0, 11]].concat();
    let covered = sum(&pseudo_header) + sum(&packet[20..]);
    assert_eq!(covered % 0xffff, 0, "UDP's checksum is right");
    assert_eq!(packet[20..26], [0x17, 0x70, 0x0d, 0xd8, 0, 11]);
    assert_eq!(packet[28..], *b"abc");
}

#[test]
fn the_vantage_chooses_the_source() {
    let capture = capture([record(0, b"")]);
    let source = |vantage| capture.to_pcap(vantage)[40 + 12..40 + 16].to_vec();
    assert_eq!(source(Vantage::Sender), [10, 0, 0, 2]);
    assert_eq!(source(Vantage::Public), [203, 0, 113, 1]);
}
