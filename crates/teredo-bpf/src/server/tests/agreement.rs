//! `answer` against the state machine in Rust, verdict for verdict and byte for byte.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use teredo::server::{Answer, RelayLimits};
use teredo::wire::{ALL_ROUTERS, Datagram, PORT, checksum, protocol};
use teredo::{Instant, ServerAddress, ServerConfig};

use super::super::probe::sum;
use super::super::{serving::LET_IN, serving::LET_OUT, *};
use crate::bytes::put;

const PRIMARY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 45);
const SECONDARY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 46);
const BROADCAST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 255);
const DENIED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

const PASSED: u32 = 2;
const SENT: u32 = 3;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;
const HEADERS: usize = ETHERNET + IPV4 + UDP;
/// Of the loopback, where a test run is.
const HARDWARE: [u8; 6] = [0; 6];
const NEIGHBOUR: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn reference() -> teredo::Server {
    let mut config = ServerConfig::new(ServerAddress::adjacent(PRIMARY));
    config.limits = RelayLimits {
        advertisements: None,
        ..RelayLimits::default()
    };
    config.destinations.set_broadcasts(vec![BROADCAST]);
    config.destinations.deny(DENIED, 24);
    teredo::Server::new(config, [7; 32])
}

/// An open path that serves like the reference, on an interface whose way leads everywhere.
fn open_path(reference: &teredo::Server, mode: Mode) -> Server {
    let mut path = Server::load().unwrap();
    let advertisement = reference.advertisement().try_into().unwrap();
    path.advertise(3, &advertisement).unwrap();
    let everywhere = Source {
        network: Ipv4Addr::UNSPECIFIED,
        len: 0,
        interface: Some(NonZeroU32::MIN),
    };
    let refused = reference.config().destinations.refused();
    let refused = refused.map(|(network, len)| Source {
        network,
        len,
        interface: None,
    });
    path.set_sources(std::iter::once(everywhere).chain(refused).collect())
        .unwrap();
    path.open().unwrap();
    for (own, other) in [(PRIMARY, SECONDARY), (SECONDARY, PRIMARY)] {
        let serving = Serving {
            other: Some(other),
            pair: 3,
            interface: AttachedTo {
                index: NonZeroU32::MIN,
                hardware: HARDWARE,
                mode,
            },
            ttl: 61,
        };
        let mut bytes = serving.to_bytes();
        let proof = nanos(now()).to_ne_bytes();
        put(&mut bytes, LET_IN, proof);
        put(&mut bytes, LET_OUT, proof);
        path.addresses.insert(own.octets(), bytes, 0).unwrap();
    }
    path.set_interval(Duration::from_secs(3600)).unwrap();
    path
}

/// The sum of a datagram, pseudo header included (RFC 768).
fn udp_sum(ipv4: &[u8], datagram: &[u8]) -> u16 {
    let pseudo = u32::from(sum(&ipv4[12..20], 17 + datagram.len() as u32));
    sum(datagram, pseudo)
}

/// A solicitation and the headers around it, and what is wrong with it.
#[derive(Clone, Debug)]
struct Question {
    from: Ipv4Addr,
    port: u16,
    to: Ipv4Addr,
    element: Vec<u8>,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    reserved: u32,
    behind: Vec<u8>,
    udp_checksum: UdpChecksum,
}

#[derive(Clone, Copy, Debug)]
enum UdpChecksum {
    None,
    Right,
    Half,
    Wrong,
}

impl Question {
    fn frame(&self) -> Vec<u8> {
        let mut message = vec![133, 0, 0, 0];
        message.extend_from_slice(&self.reserved.to_be_bytes());
        let check = checksum(self.source, self.destination, protocol::ICMPV6, &message);
        put(&mut message, 2, check.to_be_bytes());
        let mut payload = self.element.clone();
        payload.extend_from_slice(&[0x6a, 1, 2, 3, 0, 8, protocol::ICMPV6, 255]);
        payload.extend_from_slice(&self.source.octets());
        payload.extend_from_slice(&self.destination.octets());
        payload.extend_from_slice(&message);
        payload.extend_from_slice(&self.behind);

        let mut frame = Vec::new();
        frame.extend_from_slice(&HARDWARE);
        frame.extend_from_slice(&NEIGHBOUR);
        frame.extend_from_slice(&[8, 0, 0x45, 0x12]);
        frame.extend_from_slice(&((IPV4 + UDP + payload.len()) as u16).to_be_bytes());
        frame.extend_from_slice(&[0x12, 0x34, 0x40, 0, 9, protocol::UDP, 0, 0]);
        frame.extend_from_slice(&self.from.octets());
        frame.extend_from_slice(&self.to.octets());
        frame.extend_from_slice(&self.port.to_be_bytes());
        frame.extend_from_slice(&PORT.to_be_bytes());
        let len = ((UDP + payload.len()) as u16).to_be_bytes();
        frame.extend_from_slice(&len);
        frame.extend_from_slice(&[0, 0]);
        frame.extend_from_slice(&payload);
        mend(&mut frame);
        let (headers, datagram) = frame.split_at(ETHERNET + IPV4);
        let right = !udp_sum(&headers[ETHERNET..], datagram);
        let pseudo = sum(&headers[ETHERNET + 12..], 17 + (UDP + payload.len()) as u32);
        let check = match self.udp_checksum {
            UdpChecksum::None => 0,
            UdpChecksum::Right if right == 0 => 0xffff,
            UdpChecksum::Right => right,
            UdpChecksum::Half => pseudo,
            UdpChecksum::Wrong => right ^ 0x100,
        };
        put(&mut frame, HEADERS - 2, check.to_be_bytes());
        frame
    }
}

/// Gives the IPv4 header a right checksum.
fn mend(frame: &mut [u8]) {
    put(frame, ETHERNET + 10, [0, 0]);
    let check = !sum(&frame[ETHERNET..ETHERNET + IPV4], 0);
    put(frame, ETHERNET + 10, check.to_be_bytes());
}

fn questions() -> impl Strategy<Value = Question> {
    let from = prop_oneof![
        8 => Just(CLIENT),
        2 => any::<u32>().prop_map(Ipv4Addr::from_bits),
        3 => select(vec![
            PRIMARY, SECONDARY, BROADCAST, DENIED, Ipv4Addr::BROADCAST, Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::new(100, 64, 0, 1), Ipv4Addr::new(224, 0, 0, 1),
        ]),
    ];
    let port = prop_oneof![9 => Just(40000_u16), 2 => Just(PORT), 1 => Just(0_u16)];
    let to = prop_oneof![5 => Just(PRIMARY), 4 => Just(SECONDARY), 1 => Just(CLIENT)];
    let nonce = vec(any::<u8>(), 9).prop_map(|nonce| [&[0, 1, 0, 0], &nonce[..]].concat());
    let named = vec(any::<u8>(), 12).prop_map(|rest| [&[0, 1, 3, 0], &rest[..]].concat());
    let origin = vec(any::<u8>(), 6).prop_map(|origin| [&[0, 0], &origin[..]].concat());
    let element = prop_oneof![
        6 => Just(Vec::new()),
        6 => nonce,
        1 => named,
        1 => origin,
        1 => vec(any::<u8>(), 13),
    ];
    let identifier = (any::<bool>(), any::<u64>()).prop_map(|(cone, rest)| {
        let rest = rest >> 1 | u64::from(cone) << 63;
        Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(rest))
    });
    let source = prop_oneof![
        8 => identifier,
        1 => any::<u128>().prop_map(Ipv6Addr::from_bits),
        1 => any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits >> 10 | 0xfe80 << 112)),
        1 => Just(Ipv6Addr::UNSPECIFIED),
        1 => Just("2001:0:c000:22d:0:63bf:39cc:9bf8".parse().unwrap()),
    ];
    let destination = prop_oneof![
        12 => Just(ALL_ROUTERS),
        1 => Just("fe80::8000:f227:3fff:fdd2".parse().unwrap()),
        1 => any::<u128>().prop_map(Ipv6Addr::from_bits),
    ];
    let behind = prop_oneof![9 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..64)];
    let udp_checksum = prop_oneof![
        3 => Just(UdpChecksum::None),
        5 => Just(UdpChecksum::Right),
        2 => Just(UdpChecksum::Half),
        1 => Just(UdpChecksum::Wrong),
    ];
    let outer = (from, port, to, element);
    let inner = (source, destination, any::<u32>(), behind, udp_checksum);
    (outer, inner).prop_map(|(outer, inner)| Question {
        from: outer.0,
        port: outer.1,
        to: outer.2,
        element: outer.3,
        source: inner.0,
        destination: inner.1,
        reserved: inner.2,
        behind: inner.3,
        udp_checksum: inner.4,
    })
}

/// The frames of questions, some of them damaged in a few bytes, cut or padded.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec((0_usize..120, any::<u8>()), 1..3),
    ];
    let cut = prop_oneof![8 => Just(None), 1 => (34_usize..110).prop_map(Some)];
    (questions(), damage, any::<bool>(), cut).prop_map(|(question, damage, mends, cut)| {
        let mut frame = question.frame();
        for (at, byte) in damage {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        if mends {
            mend(&mut frame);
        }
        if let Some(len) = cut {
            frame.resize(len, 0);
        }
        frame
    })
}

/// The datagram in a frame that the stack would deliver to the server, if it has the simplest form.
fn delivered(frame: &[u8], native: bool) -> Option<(SocketAddrV4, Ipv4Addr, &[u8])> {
    let (ethernet, packet) = frame.split_at_checked(ETHERNET)?;
    let (header, datagram) = packet.split_at_checked(IPV4)?;
    let (udp, payload) = datagram.split_at_checked(UDP)?;
    let word = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let check = word(udp, 6);
    let half = sum(&header[12..], 17 + datagram.len() as u32);
    let checked = check == 0 || udp_sum(header, datagram) == 0xffff || native && check == half;
    let whole = ethernet[..6] == HARDWARE
        && ethernet[6] & 1 == 0
        && ethernet[12..] == [8, 0]
        && header[0] == 0x45
        && usize::from(word(header, 2)) == packet.len()
        && word(header, 6) & 0x3fff == 0
        && header[9] == protocol::UDP
        && sum(header, 0) == 0xffff
        && word(udp, 2) == PORT
        && usize::from(word(udp, 4)) == datagram.len()
        && checked;
    let address =
        |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    let from = SocketAddrV4::new(address(12), word(udp, 0));
    whole.then_some((from, address(16), payload))
}

/// Whether a solicitation has the plainest form, which the kernel answers if user space does.
fn is_plain(payload: &[u8]) -> bool {
    let Ok(datagram) = Datagram::parse(payload) else {
        return false;
    };
    let element = datagram.authentication;
    datagram.origin.is_none()
        && datagram.trailers.as_bytes().is_empty()
        && datagram.packet.payload().len() == 8
        && datagram.packet.source().is_unicast_link_local()
        && element.is_none_or(|element| element.identifier.is_empty() && element.value.is_empty())
}

/// The answer of user space to a frame that the kernel should answer: addresses, ports and payload.
fn expected(
    reference: &mut teredo::Server,
    frame: &[u8],
    native: bool,
) -> Option<(Ipv4Addr, SocketAddrV4, Vec<u8>)> {
    let (from, local, payload) = delivered(frame, native)?;
    if !is_plain(payload) {
        return None;
    }
    let mut buffer = payload.to_vec();
    buffer.resize(reference.buffer_len().max(payload.len()), 0);
    let answer = reference.answer_in_place(
        Instant::from_nanos(1),
        from,
        local,
        &mut buffer,
        payload.len(),
    );
    let Ok(Answer::Udp { to, source, len }) = answer else {
        return None;
    };
    buffer.truncate(len);
    Some((source, to, buffer))
}

/// R4380-5.3.2-01, R4380-5.3.2-03, R4380-5.3.2-04, R4380-5.3.2-06, R4380-5.3.2-10: the kernel answers what user space would
/// answer, with the same bytes, and leaves the rest as it came.
#[test]
fn the_program_agrees_with_the_state_machine() {
    for mode in [Mode::Native, Mode::Generic] {
        agree(mode);
    }
}

fn agree(mode: Mode) {
    let path = RefCell::new(open_path(&reference(), mode));
    let reference = RefCell::new(reference());
    let (answered, left) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config {
        cases: Config::default().cases.max(4000),
        failure_persistence: None,
        max_shrink_iters: 1000,
        ..Config::default()
    });
    runner
        .run(&frames(), |frame| {
            let expected = expected(&mut reference.borrow_mut(), &frame, mode == Mode::Native);
            let (verdict, after) = path.borrow_mut().run(&frame).unwrap();
            let Some((source, to, payload)) = expected else {
                prop_assert_eq!((verdict, after), (PASSED, frame));
                left.set(left.get() + 1);
                return Ok(());
            };
            prop_assert_eq!(verdict, SENT);
            prop_assert_eq!(&after[..12], &[&frame[6..12], &HARDWARE].concat()[..]);
            let header = &after[ETHERNET..ETHERNET + IPV4];
            let len = (IPV4 + UDP + payload.len()) as u16;
            prop_assert_eq!(&header[..2], &[0x45, 0]);
            prop_assert_eq!(&header[2..4], &len.to_be_bytes());
            prop_assert_eq!(&header[6..10], &[0, 0, 61, protocol::UDP]);
            prop_assert_eq!(sum(header, 0), 0xffff);
            prop_assert_eq!(&header[12..16], &source.octets());
            prop_assert_eq!(&header[16..], &to.ip().octets());
            let datagram = &after[ETHERNET + IPV4..];
            prop_assert_eq!(&datagram[..2], &PORT.to_be_bytes());
            prop_assert_eq!(&datagram[2..4], &to.port().to_be_bytes());
            prop_assert_eq!(&datagram[4..6], &(len - IPV4 as u16).to_be_bytes());
            prop_assert_ne!(&datagram[6..8], &[0, 0]);
            prop_assert_eq!(udp_sum(header, datagram), 0xffff);
            prop_assert_eq!(&datagram[UDP..], &payload);
            answered.set(answered.get() + 1);
            Ok(())
        })
        .unwrap();
    let counted = path.borrow().answered(3).unwrap();
    let (answered, left) = (answered.get(), left.get());
    assert_eq!(counted.datagrams(), answered);
    assert!(answered > 300 && left > 300, "{answered}, {left}");
    assert!(
        counted.plain > 100 && counted.authenticated > 100,
        "{counted:?}"
    );
}
