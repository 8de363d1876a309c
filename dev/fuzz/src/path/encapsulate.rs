//! Any packet of the host to the program `encapsulate`: it sends those that the parser in Rust would let it send, in the
//! datagram that user space would send, and leaves all others untouched.
//!
//! The kernel runs the program as if the packet had an Ethernet header of 14 bytes, which a TUN interface does not have. So
//! the room for the datagram's headers opens behind the first 14 bytes, which the headers then cover. Those bytes of the
//! inner header alone are not compared here; `tests/kernel` of the crate compares whole datagrams on a real interface.

use arbitrary::Arbitrary;
use teredo::wire::{Ipv6Packet, checksum, protocol};

use super::packet::{Made, Spoil, is_simple, lacks_checksum};
use super::programs::{self, CARRIED, LEFT, LOCAL, PEER, REMOTE, State, TTL, sum};

#[derive(Arbitrary, Debug)]
pub struct Input {
    state: State,
    /// That of a super-packet, of at most 64 segments.
    gso_size: Option<u16>,
    packet: Packet,
}

#[derive(Arbitrary, Debug)]
enum Packet {
    Any(Vec<u8>),
    Made(Made, Option<Spoil>),
}

const ETHERNET: usize = 14;
const OUTER: usize = 20 + 8;
/// Of the inner packet, covered by the headers.
const COVERED: usize = 14;
/// Of a packet whose checksum is completed, cut off and written again.
const CUT: usize = 40 + 4;
/// The shortest one: behind what is cut off, and the header that is none, an IPv4 header must remain.
const SHORTEST: usize = ETHERNET + CUT + 20;
/// As much as fits into the kernel's buffer.
const LONGEST: usize = 2048;

pub fn run(input: Input) {
    let state = &input.state;
    let gso_size = input.gso_size.unwrap_or(0);
    let packet = match input.packet {
        Packet::Any(mut bytes) => {
            bytes.truncate(LONGEST);
            bytes
        }
        Packet::Made(made, spoil) => {
            let mut packet = made.packet(state.own(), PEER);
            if let Some(spoil) = spoil {
                spoil.apply(&mut packet);
            }
            packet
        }
    };
    let Some((verdict, after)) = programs::run("encapsulate", state, gso_size, &packet) else {
        return;
    };
    // The kernel makes no super-packet of TCP in such a run, and refuses to make room in one of no protocol.
    if !is_carried(&packet, gso_size, state) || gso_size > 0 {
        assert_eq!(verdict, LEFT);
        assert_eq!(after, packet);
        return;
    }
    assert_eq!(verdict, CARRIED);
    assert_eq!(after[..ETHERNET], [0; ETHERNET]);
    let (headers, inner) = after[ETHERNET..].split_at(OUTER);
    assert_headers(headers, packet.len());
    if lacks_checksum_for(&packet, state) {
        // The first bytes are written again, and those behind them are covered instead.
        let (start, rest) = (COVERED + CUT, &mut inner.to_vec());
        let checksum = complete(&packet);
        assert_eq!(rest[checksum.0..][..2], checksum.1);
        rest[checksum.0..][..2].fill(0);
        assert_eq!(rest[..CUT], packet[..CUT]);
        assert_eq!(rest[CUT..start], [0; COVERED]);
        assert_eq!(rest[start..], packet[start..]);
        return;
    }
    assert_eq!(inner[..COVERED], [0; COVERED]);
    assert_eq!(inner[COVERED..], packet[COVERED..]);
}

fn lacks_checksum_for(bytes: &[u8], state: &State) -> bool {
    let lacks = |packet| lacks_checksum(&packet, 0);
    state.needs_checksums() && Ipv6Packet::parse(bytes).is_ok_and(lacks)
}

/// The offset and the value of the checksum of a packet that lacks it.
fn complete(bytes: &[u8]) -> (usize, [u8; 2]) {
    let packet = Ipv6Packet::parse(bytes).unwrap();
    let protocol = packet.next_header();
    let offset = 40 + if protocol == protocol::TCP { 16 } else { 6 };
    let mut layer = packet.payload().to_vec();
    layer[offset - 40..][..2].fill(0);
    let sum = match checksum(packet.source(), packet.destination(), protocol, &layer) {
        0 => 0xffff,
        sum => sum,
    };
    (offset, sum.to_be_bytes())
}

fn is_carried(bytes: &[u8], gso_size: u16, state: &State) -> bool {
    let Ok(packet) = Ipv6Packet::parse(bytes) else {
        return false;
    };
    // What the kernel takes for the type of the frame.
    bytes[12..14] == [0x86, 0xdd]
        && packet.destination() == PEER
        && state.is_own(packet.source())
        && state.is_open(true)
        && is_simple(&packet, gso_size, state)
        && (!lacks_checksum_for(bytes, state) || bytes.len() >= SHORTEST)
}

/// The headers of IPv4 and UDP around so many bytes, field by field; the identification is any.
fn assert_headers(headers: &[u8], inner: usize) {
    let len = |len: usize| (len as u16).to_be_bytes();
    assert_eq!(headers[..2], [0x45, 0]);
    assert_eq!(headers[2..4], len(OUTER + inner));
    assert_eq!(headers[6..10], [0, 0, TTL, 17]);
    assert_eq!(sum(&headers[..20]), 0xffff);
    assert_eq!(headers[12..20], [LOCAL.0, REMOTE.0].concat());
    assert_eq!(headers[20..22], LOCAL.1.to_be_bytes());
    assert_eq!(headers[22..24], REMOTE.1.to_be_bytes());
    assert_eq!(headers[24..26], len(8 + inner));
    assert_eq!(headers[26..], [0, 0]);
}
