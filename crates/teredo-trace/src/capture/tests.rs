use super::*;
use crate::sample::{pcap, pcapng};

fn read(file: &[u8]) -> (Vec<(Duration, usize)>, Option<Damage>) {
    let mut frames = Frames::new(file).expect("a capture");
    let found = (&mut frames)
        .map(|frame| (frame.time, frame.bytes.len()))
        .collect();
    (found, frames.damage())
}

const FIRST: Duration = Duration::from_millis(1_000_000_000_250);

#[test]
fn the_classic_format_in_every_dress() {
    let file = pcap(1, &[vec![7; 60], vec![8; 61]]);
    let second = FIRST + Duration::from_secs(1);
    assert_eq!(read(&file), (vec![(FIRST, 60), (second, 61)], None));

    let mut nanos = file.clone();
    nanos[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
    let in_nanos = Duration::from_secs(1_000_000_000) + Duration::from_nanos(250_000);
    assert_eq!(read(&nanos).0[0], (in_nanos, 60));

    // The other byte order, field by field.
    let mut swapped = file;
    swapped[..4].reverse();
    for field in [4..6, 6..8, 16..20, 20..24, 24..28, 28..32, 32..36, 36..40] {
        swapped[field].reverse();
    }
    assert_eq!(read(&swapped[..24 + 16 + 60]), (vec![(FIRST, 60)], None));
}

#[test]
fn pcapng_with_any_resolution() {
    for resolution in [6, 9, 3, 0x80 | 20] {
        let file = pcapng(101, resolution, &[vec![1; 33], vec![2; 28]]);
        let second = FIRST + Duration::from_secs(1);
        let (frames, damage) = read(&file);
        assert_eq!(frames, [(FIRST, 33), (second, 28)], "{resolution}");
        assert_eq!(damage, None);
    }
    // Two sections one behind the other, as `cat` makes them.
    let file = [pcapng(101, 6, &[vec![1; 8]]), pcapng(1, 6, &[vec![2; 9]])].concat();
    let links: Vec<_> = (Frames::new(&file).unwrap())
        .map(|frame| frame.link)
        .collect();
    assert_eq!(links, [LinkType::RawIp, LinkType::Ethernet]);
}

#[test]
fn an_absurd_resolution_is_no_panic() {
    for resolution in [0, 38, 39, 127, 0x80, 0xff] {
        let mut file = pcapng(101, 6, &[vec![1; 8]]);
        let at = file
            .windows(5)
            .position(|bytes| bytes == [9, 0, 1, 0, 6])
            .unwrap();
        file[at + 4] = resolution;
        assert_eq!(read(&file).0.len(), 1, "{resolution}");
    }
}

#[test]
fn a_simple_packet_has_the_time_of_the_one_before() {
    let mut file = pcapng(101, 6, &[vec![1; 8]]);
    for word in [3_u32, 24, 6] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(&[7; 6]);
    file.extend_from_slice(&[0, 0]);
    file.extend_from_slice(&24_u32.to_le_bytes());
    assert_eq!(read(&file), (vec![(FIRST, 8), (FIRST, 6)], None));
}

/// Old programs wrote packet blocks that pcapng has no more.
#[test]
fn an_obsolete_packet_is_a_packet() {
    let mut file = pcapng(101, 6, &[vec![1; 8]]);
    let ticks = 1_000_000_001_000_000_u64;
    let [high, low] = [(ticks >> 32) as u32, ticks as u32];
    for word in [2_u32, 40, 0, high, low, 6, 60] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(&[7, 7, 7, 7, 7, 7, 0, 0]);
    file.extend_from_slice(&40_u32.to_le_bytes());
    let mut frames = Frames::new(&file).unwrap();
    let frame = frames.by_ref().nth(1).unwrap();
    assert_eq!((frame.bytes, frame.length), (&[7; 6][..], 60));
    assert_eq!(frame.time, Duration::from_secs(1_000_000_001));
    assert_eq!((frame.link, frame.has_time), (LinkType::RawIp, true));
    // The bytes that it says it has are not there.
    let at = file.len() - 20;
    file[at] = 200;
    let (found, damage) = read(&file);
    assert_eq!((found.len(), damage), (1, Some(Damage::Malformed)));
}

#[test]
fn the_damage_is_named_and_the_rest_is_kept() {
    let file = pcap(1, &[vec![7; 60], vec![8; 60]]);
    assert_eq!(read(&file[..file.len() - 1]).1, Some(Damage::Truncated));
    assert_eq!(read(&file[..file.len() - 1]).0.len(), 1);
    let next = pcapng(101, 6, &[vec![1; 40], vec![2; 40]]);
    assert_eq!(read(&next[..next.len() - 1]).1, Some(Damage::Truncated));
    let mut broken = next;
    let last = broken.len() - 4;
    broken[last] ^= 0xff;
    assert_eq!(read(&broken), (vec![(FIRST, 40)], Some(Damage::Malformed)));
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let refused = |bytes: &[u8]| Frames::new(bytes).expect_err("no capture");
    assert_eq!(refused(b""), CaptureError::Empty);
    assert_eq!(refused(b"#!/bin/sh\necho"), CaptureError::NotACapture);
    assert_eq!(
        refused(&[0x1f, 0x8b, 8, 0]),
        CaptureError::Compressed("gzip")
    );
    assert_eq!(refused(&pcap(1, &[])[..20]), CaptureError::Truncated);
    assert_eq!(refused(&pcapng(1, 6, &[])[..16]), CaptureError::Truncated);
}

#[test]
fn link_types_have_several_numbers() {
    for (number, link) in [
        (1, LinkType::Ethernet),
        (101, LinkType::RawIp),
        (12, LinkType::RawIp),
        (228, LinkType::RawIp),
        (113, LinkType::LinuxCooked),
        (276, LinkType::LinuxCooked2),
        (0, LinkType::Loopback),
        // The length of a frame check sequence.
        (0x2400_0001, LinkType::Ethernet),
        (147, LinkType::Other(147)),
    ] {
        let file = pcap(number, &[vec![0; 4]]);
        let frame = Frames::new(&file).unwrap().next().unwrap();
        assert_eq!(frame.link, link, "{number}");
    }
}
