//! `decapsulate` against the parser in Rust, verdict for verdict and byte for byte.

use std::net::Ipv6Addr;

use aya::programs::{SchedClassifier, TestRun, TestRunOptions};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use teredo::wire::{Datagram, Ecn, Ipv6Header, protocol};

use super::super::now;
use crate::entry::{Entry, Interfaces, LET_IN, nanos};
use crate::hooks::DECAPSULATE;
use crate::{Path, Settings, Side};

const OWN: Ipv6Addr = Ipv6Addr::new(0x2001, 0, 0xc000, 0x22d, 0, 0x63bf, 0x3fff, 0xfdd2);
const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0, 0xc000, 0x22d, 0, 0x63bf, 0x39cc, 0x9bf8);
/// From the peer to us: addresses, and ports.
const OUTER: [u8; 12] = [198, 51, 100, 7, 192, 0, 2, 45, 0x9c, 0x40, 0x9c, 0x41];

/// `TC_ACT_REDIRECT`: to the TUN interface.
const REDIRECT: i32 = 7;
/// `TC_ACT_UNSPEC`: to what comes next.
const LEFT: i32 = -1;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;

/// An open path.
fn open_path() -> Path {
    let settings = Settings {
        most_peers: 1,
        interval: std::time::Duration::from_secs(3600),
        ..Settings::default()
    };
    let mut path = Path::load(settings).unwrap();
    path.open().unwrap();
    path
}

/// Makes the peer known, with a proof and nothing in user space: a packet that was left before would keep later ones there.
fn know_peer(path: &mut Path) {
    let [a, b, c, d, e, f, g, h, p0, p1, q0, q1] = OUTER;
    let remote = std::net::SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([p0, p1]));
    let local = std::net::SocketAddrV4::new([e, f, g, h].into(), u16::from_be_bytes([q0, q1]));
    let interfaces = Interfaces {
        overlay: 1,
        underlay: 1,
    };
    let entry = Entry::new(Side::Client(OWN), local, remote, interfaces, now());
    let mut bytes = entry.to_bytes();
    bytes[LET_IN..LET_IN + 8].copy_from_slice(&nanos(now()).to_ne_bytes());
    path.peers.insert(PEER.octets(), bytes, 0).unwrap();
}

/// The verdict on a frame, and the frame as it is then.
fn run(path: &mut Path, frame: &[u8]) -> (i32, Vec<u8>) {
    let mut attached = path.hooks.attached();
    let program: &mut SchedClassifier = attached.classifier(DECAPSULATE).unwrap();
    let mut out = vec![0; 4096];
    let result = program
        .test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::new()
        })
        .unwrap();
    out.truncate(result.data_size_out as usize);
    (result.return_value as i32, out)
}

fn sum(words: &[u8]) -> u16 {
    let sum: u32 = words
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// The packet that a client delivers for this frame, if it may be delivered without its state machine.
fn expected(frame: &[u8]) -> Option<Vec<u8>> {
    let (ethernet, ipv4) = frame.split_at_checked(ETHERNET)?;
    let (header, rest) = ipv4.split_at_checked(IPV4)?;
    let (udp, payload) = rest.split_at_checked(UDP)?;
    let whole = ethernet[12..] == [8, 0]
        && header[0] == 0x45
        && usize::from(u16::from_be_bytes([header[2], header[3]])) == ipv4.len()
        && header[6] & 0x3f == 0
        && header[7] == 0
        && header[9] == protocol::UDP
        && sum(header) == 0xffff
        && [&header[12..], &udp[..4]].concat() == OUTER
        && usize::from(u16::from_be_bytes([udp[4], udp[5]])) == rest.len();
    // The first group bit, or another host's address.
    if !whole || ethernet[..6] != [0; 6] {
        return None;
    }
    let datagram = Datagram::parse(payload).ok()?;
    let packet = datagram.packet;
    let bare = datagram.authentication.is_none()
        && datagram.origin.is_none()
        && datagram.trailers.as_bytes().is_empty();
    let addressed = (packet.source(), packet.destination()) == (PEER, OWN);
    if !bare || !addressed || packet.hop_limit() == 0 || packet.as_bytes().len() > 1280 {
        return None;
    }
    let layer = packet.payload();
    let simple = match packet.next_header() {
        protocol::TCP => layer.get(13).is_some_and(|flags| flags & 2 == 0),
        protocol::UDP => true,
        protocol::ICMPV6 => matches!(layer.first(), Some(1..=4 | 128 | 129)),
        _ => false,
    };
    let mut packet = packet.as_bytes().to_vec();
    let delivered = simple && Ecn::decapsulate(Ecn::from_bits(header[1]), &mut packet);
    delivered.then_some(packet)
}

/// A frame of the peer with this content.
fn frame(
    (tos, class, hop_limit): (u8, u8, u8),
    next_header: u8,
    content: &[u8],
    behind: &[u8],
) -> Vec<u8> {
    let mut payload = Vec::new();
    Ipv6Header {
        traffic_class: class,
        flow_label: 0,
        payload_length: content.len() as u16,
        next_header,
        hop_limit,
        source: PEER,
        destination: OWN,
    }
    .emit(&mut payload);
    payload.extend_from_slice(content);
    payload.extend_from_slice(behind);
    let mut frame = vec![0; 12];
    frame.extend_from_slice(&[8, 0, 0x45, tos]);
    frame.extend_from_slice(&((IPV4 + UDP + payload.len()) as u16).to_be_bytes());
    frame.extend_from_slice(&[0x12, 0x34, 0, 0, 64, protocol::UDP, 0, 0]);
    frame.extend_from_slice(&OUTER);
    frame.extend_from_slice(&((UDP + payload.len()) as u16).to_be_bytes());
    frame.extend_from_slice(&[0, 0]);
    frame.extend_from_slice(&payload);
    let header = ETHERNET..ETHERNET + IPV4;
    let checksum = !sum(&frame[header]);
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// Frames of the peer, many of them damaged in a few bytes, cut or lengthened.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let protocols = prop_oneof![
        Just(protocol::TCP),
        Just(protocol::UDP),
        Just(protocol::ICMPV6),
        any::<u8>(),
    ];
    let content = prop_oneof![vec(any::<u8>(), 0..64), vec(any::<u8>(), 1200..1260)];
    let behind = prop_oneof![4 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..12)];
    let damage = prop_oneof![
        3 => Just(Vec::new()),
        2 => vec((0_usize..96, any::<u8>()), 1..3),
    ];
    // The kernel refuses a test with less than the header that the type of the frame promises.
    let cut = prop_oneof![6 => Just(usize::MAX), 1 => 34_usize..100];
    let hop_limit = prop_oneof![4 => Just(64_u8), 1 => 0_u8..2];
    let fields = (any::<u8>(), any::<u8>(), hop_limit);
    let whole = (fields, protocols, content, behind);
    (whole, damage, cut, any::<bool>()).prop_map(|(whole, damage, cut, mend)| {
        let (fields, next_header, content, behind) = whole;
        let mut frame = frame(fields, next_header, &content, &behind);
        for (at, byte) in damage {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        // Otherwise the checksum would hide what the other checks do.
        if mend && frame.len() >= ETHERNET + IPV4 {
            frame[24..26].fill(0);
            let checksum = !sum(&frame[ETHERNET..ETHERNET + IPV4]);
            frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        }
        frame.truncate(cut);
        frame
    })
}

/// R4380-5.2.3-02, R6040-4.1-01: the kernel delivers what the parser in Rust would deliver, and leaves the rest as it came.
#[test]
fn the_program_agrees_with_the_parser() {
    let mut path = open_path();
    let (mut delivered, mut left) = (0, 0);
    let mut runner = TestRunner::new(Config {
        cases: Config::default().cases.max(2000),
        failure_persistence: None,
        ..Config::default()
    });
    let path = std::cell::RefCell::new(&mut path);
    let counts = std::cell::RefCell::new((&mut delivered, &mut left));
    runner
        .run(&frames(), |frame| {
            know_peer(&mut path.borrow_mut());
            let (verdict, after) = run(&mut path.borrow_mut(), &frame);
            let mut counts = counts.borrow_mut();
            match expected(&frame) {
                Some(packet) => {
                    prop_assert_eq!(verdict, REDIRECT);
                    prop_assert_eq!(&after[12..14], &[0x86, 0xdd]);
                    prop_assert_eq!(&after[ETHERNET..], &packet);
                    *counts.0 += 1;
                }
                None => {
                    prop_assert_eq!(verdict, LEFT);
                    prop_assert_eq!(&after, &frame);
                    *counts.1 += 1;
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(delivered > 100 && left > 100, "{delivered}, {left}");
}
