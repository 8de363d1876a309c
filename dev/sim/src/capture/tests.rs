use std::time::Duration;

use super::*;
use crate::host::{HostId, RawId};
use crate::icmp::IcmpKind;

fn record(millis: u64, payload: &[u8]) -> Record {
    let datagram = Datagram {
        source: "10.0.0.2:5000".parse().unwrap(),
        destination: "192.0.2.1:3544".parse().unwrap(),
        ttl: Datagram::TTL,
        dont_fragment: false,
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

    capture.set_fate(Instant::default(), 6, Fate::NoRoute);
    capture.set_fate(Instant::default(), 7, Fate::NoRoute);
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

fn error(kind: IcmpKind) -> IcmpError {
    let datagram = record(0, &[7; 100]).datagram;
    IcmpError::about(kind, [100, 64, 0, 1].into(), &datagram)
}

#[test]
fn an_icmp_error_is_a_line_among_the_datagrams() {
    let mut capture = capture([record(0, b""), record(2_000, b"")]);
    let host = HostId::Raw(RawId(0));
    let at = Instant::from_nanos(1_000_000_000);
    capture.note_error(at, host, error(IcmpKind::TimeExceeded));
    let log = capture.to_string();
    assert_eq!(
        log.lines().nth(1),
        Some(
            "1.000000 raw0: ICMP 100.64.0.1 > 10.0.0.2: time exceeded: 10.0.0.2:5000 > 192.0.2.1:3544"
        )
    );
    assert_eq!(capture.notices().count(), 1);
    capture.clear();
    assert_eq!(capture.to_string(), "");
}

#[test]
fn an_icmp_error_is_a_packet_of_its_file() {
    let mut capture = Capture::default();
    let host = HostId::Raw(RawId(0));
    let kind = IcmpKind::FragmentationNeeded { mtu: 1280 };
    capture.note_error(Instant::default(), host, error(kind));
    let file = capture.to_pcap(Vantage::Sender);
    let packet = &file[40..];
    assert_eq!(packet.len(), 56);
    assert_eq!(packet[9], 1);
    assert_eq!(packet[12..20], [100, 64, 0, 1, 10, 0, 0, 2]);
    assert_eq!(packet[20..22], [3, 4]);
    assert_eq!(packet[24..28], [0, 0, 5, 0]);
    // The datagram: its headers say that it has 100 bytes.
    assert_eq!(packet[28..32], [0x45, 0, 0, 128]);
    assert_eq!(packet[40..48], [10, 0, 0, 2, 192, 0, 2, 1]);
    assert_eq!(packet[48..52], [0x13, 0x88, 0x0d, 0xd8]);
}

/// A run of a few datagrams; `fate` is that of the last.
fn run(mode: CaptureMode, payload: &[u8], fate: Fate) -> Capture {
    let mut capture = Capture::default();
    capture.set_mode(mode);
    let host = HostId::Raw(RawId(0));
    for millis in 0..5 {
        let Record { at, datagram, .. } = record(millis, payload);
        let number = capture.sent(at, host, &datagram);
        capture.set_source(number, "203.0.113.1:6000".parse().unwrap());
        capture.set_fate(at, number, fate);
        capture.push_duplicate(number);
    }
    capture.note_error(Instant::default(), host, error(IcmpKind::PortUnreachable));
    capture
}

#[test]
fn the_hash_does_not_depend_on_what_is_kept() {
    let run = |mode| run(mode, b"abc", Fate::Lost);
    let all = run(CaptureMode::All);
    assert_eq!((all.len(), all.total()), (10, 10));
    assert_eq!(all.notices().count(), 1);
    for mode in [
        CaptureMode::HashOnly,
        CaptureMode::Last(0),
        CaptureMode::Last(3),
    ] {
        let other = run(mode);
        assert_eq!(other.hash(), all.hash(), "{mode:?}");
        assert_eq!(other.total(), 10, "{mode:?}");
        assert_eq!(other.len(), mode.limit(), "{mode:?}");
    }
    let off = run(CaptureMode::Off);
    assert_eq!((off.hash(), off.total()), (Capture::default().hash(), 10));
}

#[test]
fn the_hash_depends_on_bytes_and_fates() {
    let hash = |payload: &[u8], fate| run(CaptureMode::HashOnly, payload, fate).hash();
    let one = hash(b"abc", Fate::Lost);
    assert_eq!(one, hash(b"abc", Fate::Lost));
    assert_ne!(one, hash(b"abd", Fate::Lost));
    assert_ne!(one, hash(b"abc\0", Fate::Lost));
    assert_ne!(one, hash(b"abc", Fate::Refused(Refusal::Filtered)));
    assert_ne!(
        hash(b"abc", Fate::Refused(Refusal::NoMapping)),
        hash(b"abc", Fate::Refused(Refusal::Filtered))
    );
}
