//! Any frame of the network to the program `decapsulate`: it delivers what the parser in Rust would deliver, byte for byte,
//! and leaves all others as they came.

use arbitrary::Arbitrary;
use teredo::wire::{Datagram, Ecn, protocol};

use super::packet::{Made, Spoil, is_simple};
use super::programs::{self, CARRIED, LEFT, LOCAL, PEER, REMOTE, State, sum};

#[derive(Arbitrary, Debug)]
pub struct Input {
    state: State,
    /// That of a super-packet.
    gso_size: Option<u16>,
    frame: Frame,
}

#[derive(Arbitrary, Debug)]
enum Frame {
    Any(Vec<u8>),
    Made {
        packet: Made,
        outer: Outer,
        /// Trailers, or what is none.
        behind: Vec<u8>,
        spoil: Option<Spoil>,
        /// Whether the header's checksum is right in spite of what is spoilt.
        mend: bool,
        cut: Option<u16>,
    },
}

#[derive(Arbitrary, Debug)]
struct Outer {
    tos: u8,
    id: u16,
    ttl: u8,
    checksum: u16,
}

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;
/// As much as fits into the kernel's buffer.
const LONGEST: usize = 2048;

pub fn run(input: Input) {
    let state = &input.state;
    let gso_size = input.gso_size.unwrap_or(0);
    let frame = input.frame.bytes(state);
    let Some((verdict, after)) = programs::run("decapsulate", state, gso_size, &frame) else {
        return;
    };
    match expected(&frame, gso_size, state) {
        None => {
            assert_eq!(verdict, LEFT);
            assert_eq!(after, frame);
        }
        // The kernel makes no super-packet of TCP in such a run, and refuses to take the headers off one of no protocol.
        // ECN was merged before that; to do so again changes nothing.
        Some(packet) if gso_size > 0 => {
            assert_eq!(verdict, LEFT);
            let headers = ETHERNET + IPV4 + UDP;
            assert_eq!(after[..headers], frame[..headers]);
            assert_eq!(after[headers..], packet);
            assert_eq!(expected(&after, gso_size, state), Some(packet));
        }
        Some(packet) => {
            assert_eq!(verdict, CARRIED);
            assert_eq!(after[..12], frame[..12]);
            assert_eq!(after[12..14], [0x86, 0xdd]);
            assert_eq!(after[14..], packet);
        }
    }
}

/// The packet that a client or relay delivers for this frame, if it may be delivered without its state machine.
fn expected(frame: &[u8], gso_size: u16, state: &State) -> Option<Vec<u8>> {
    let (ethernet, ipv4) = frame.split_at_checked(ETHERNET)?;
    let (header, rest) = ipv4.split_at_checked(IPV4)?;
    let (udp, payload) = rest.split_at_checked(UDP)?;
    // Each in a condition of its own, so that the fuzzer sees which one a frame fails.
    let whole = ethernet[12..] == [8, 0]
        && header[0] == 0x45
        && usize::from(u16::from_be_bytes([header[2], header[3]])) == ipv4.len()
        && header[6] & 0x3f == 0
        && header[7] == 0
        && header[9] == protocol::UDP
        && sum(header) == 0xffff
        && header[12..16] == REMOTE.0
        && header[16..] == LOCAL.0
        && udp[..2] == REMOTE.1.to_be_bytes()
        && udp[2..4] == LOCAL.1.to_be_bytes()
        && usize::from(u16::from_be_bytes([udp[4], udp[5]])) == rest.len();
    // The loopback's address is zero; all others are another host's, or a group's.
    if !whole || ethernet[..6] != [0; 6] {
        return None;
    }
    let datagram = Datagram::parse(payload).ok()?;
    let packet = datagram.packet;
    let is_bare = datagram.authentication.is_none()
        && datagram.origin.is_none()
        && datagram.trailers.as_bytes().is_empty();
    let carried = is_bare
        && packet.source() == PEER
        && state.is_own(packet.destination())
        && state.is_open(false)
        && packet.hop_limit() > 0
        && is_simple(&packet, gso_size, state);
    let mut packet = packet.as_bytes().to_vec();
    (carried && Ecn::decapsulate(Ecn::from_bits(header[1]), &mut packet)).then_some(packet)
}

impl Frame {
    fn bytes(self, state: &State) -> Vec<u8> {
        match self {
            Self::Any(mut bytes) => {
                bytes.truncate(LONGEST);
                bytes
            }
            Self::Made {
                packet,
                outer,
                behind,
                spoil,
                mend,
                cut,
            } => {
                let mut payload = packet.packet(PEER, state.own());
                payload.extend_from_slice(&behind[..behind.len().min(64)]);
                let mut frame = outer.before(&payload);
                if let Some(spoil) = spoil {
                    // Mostly in the headers.
                    let headers = frame.len().min(ETHERNET + IPV4 + UDP + 60);
                    spoil.apply(&mut frame[..headers]);
                }
                if mend {
                    mend_checksum(&mut frame);
                }
                frame.truncate(cut.map_or(usize::MAX, usize::from));
                frame
            }
        }
    }
}

impl Outer {
    /// A frame of the peer.
    fn before(&self, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&[8, 0, 0x45, self.tos]);
        frame.extend_from_slice(&((IPV4 + UDP + payload.len()) as u16).to_be_bytes());
        frame.extend_from_slice(&self.id.to_be_bytes());
        frame.extend_from_slice(&[0, 0, self.ttl, protocol::UDP, 0, 0]);
        frame.extend_from_slice(&[REMOTE.0, LOCAL.0].concat());
        for field in [
            REMOTE.1,
            LOCAL.1,
            (UDP + payload.len()) as u16,
            self.checksum,
        ] {
            frame.extend_from_slice(&field.to_be_bytes());
        }
        frame.extend_from_slice(payload);
        mend_checksum(&mut frame);
        frame
    }
}

fn mend_checksum(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let checksum = !sum(&frame[ETHERNET..ETHERNET + IPV4]);
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
}
