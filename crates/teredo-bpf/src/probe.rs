//! Whether this kernel can have the path, found out by a packet.
//!
//! ```text
//!   socket at `own` ──> overlay: encapsulate ──> lo ──> the peer's socket
//!          ^                                                  │ answers through the stack
//!          └──────────── overlay <── decapsulate: lo <────────┘
//! ```

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use crate::entry::{Entry, Interfaces, Side};
use crate::error::PathError;
use crate::outcome::{Outcome, Outcomes};
use crate::path::{Path, Settings, now};

/// The first interface of every network namespace.
const LOOPBACK: &str = "lo";

/// It takes a millisecond.
const TIMEOUT: Duration = Duration::from_secs(1);

/// No proof expires during a probe.
const INTERVAL: Duration = Duration::from_secs(60);

const IPV6_LEN: usize = 40;
const UDP_LEN: usize = 8;

/// A path in the kernel cannot be had; in words, the reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The programs cannot be loaded or attached.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A socket of the probe cannot be had or used.
    #[error("cannot {action}: {error}")]
    Socket {
        /// The action.
        action: &'static str,
        /// The kernel's error.
        error: io::Error,
    },
    /// A datagram on the loopback did not arrive, or no program saw it pass.
    #[error("no datagram passes the stack on the loopback {0}")]
    NotProven(Direction),
    /// A packet did not arrive, or arrived damaged.
    #[error("a packet was lost on its way {direction} ({outcomes})")]
    Lost {
        /// The direction.
        direction: Direction,
        /// The outcomes of the packets of the probe.
        outcomes: Box<Outcomes>,
    },
    /// A packet arrived, but not by the programs.
    #[error("a packet took the way of user space {direction} ({outcomes})")]
    NotCarried {
        /// The direction.
        direction: Direction,
        /// The outcomes of the packets of the probe.
        outcomes: Box<Outcomes>,
    },
}

/// The programs of a probe that was passed. They carry nothing more, and are still attached.
#[derive(Debug)]
pub struct Probed {
    _path: Path,
}

/// The direction of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From this host to the peer.
    Out,
    /// From the peer to this host.
    In,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Out => "out",
            Self::In => "in",
        })
    }
}

/// Loads the programs, attaches them to a TUN interface and the loopback, and sends a packet through them and back.
///
/// The interface is up, has the address `own`, and packets to `peer` are routed to it. It should be one for the probe alone.
/// All is detached with the value that it returns, which takes the kernel some 50 ms.
///
/// # Errors
///
/// [`ProbeError`]: the reason why this kernel, or this host, has no such path.
pub fn probe(overlay: &str, own: Ipv6Addr, peer: Ipv6Addr) -> Result<Probed, ProbeError> {
    let settings = Settings {
        most_peers: 1,
        interval: INTERVAL,
        ..Settings::default()
    };
    let mut path = Path::load(settings)?;
    let service = bind(Ipv4Addr::LOCALHOST.into())?;
    let far = bind(Ipv4Addr::LOCALHOST.into())?;
    let host = bind(own.into())?;
    let hooks = path.hooks();
    hooks.watch(&service)?;
    let interfaces = Interfaces {
        underlay: hooks.attach_underlay(LOOPBACK)?,
        // The other program has no part in this.
        overlay: hooks.attach_encapsulate(overlay)?,
    };
    let (local, remote) = (ipv4(&service)?, ipv4(&far)?);
    let entry = Entry::new(Side::Client(own), local, remote, interfaces, now());
    path.insert(peer, &entry)?;
    path.open()?;

    prove(&path, &service, &far, (own, peer))?;
    let packet = send_out(&path, &host, &far, peer)?;
    send_back(&path, &host, &far, local, &packet)?;
    Ok(Probed { _path: path })
}

/// Sends a bubble each way through the stack, as user space does.
fn prove(
    path: &Path,
    service: &UdpSocket,
    far: &UdpSocket,
    (own, peer): (Ipv6Addr, Ipv6Addr),
) -> Result<(), ProbeError> {
    for (direction, from, to, bubble) in [
        (Direction::Out, service, far, bubble(own, peer)),
        (Direction::In, far, service, bubble(peer, own)),
    ] {
        let target = ipv4(to)?;
        from.send_to(&bubble, target)
            .map_err(socket("send a datagram on the loopback"))?;
        let arrived = await_datagram(to, |datagram| datagram == bubble)?;
        let traffic = path.traffic(peer)?.unwrap_or_default();
        let seen = match direction {
            Direction::Out => traffic.let_out,
            Direction::In => traffic.let_in,
        };
        if arrived.is_none() || seen.is_none() {
            return Err(ProbeError::NotProven(direction));
        }
    }
    Ok(())
}

/// The host sends a packet to the peer; returns it as the peer got it.
fn send_out(
    path: &Path,
    host: &UdpSocket,
    far: &UdpSocket,
    peer: Ipv6Addr,
) -> Result<Vec<u8>, ProbeError> {
    const DISCARD: u16 = 9;
    let direction = Direction::Out;
    let nonce = nonce();
    host.send_to(&nonce, SocketAddr::from((peer, DISCARD)))
        .map_err(socket("send a packet to the peer of the probe"))?;
    let packet = await_datagram(far, |datagram| is_packet(datagram, &nonce))?;
    let outcomes = Box::new(path.outcomes()?);
    let Some(packet) = packet else {
        return Err(ProbeError::Lost {
            direction,
            outcomes,
        });
    };
    if outcomes.get(Outcome::Encapsulated) != 1 {
        return Err(ProbeError::NotCarried {
            direction,
            outcomes,
        });
    }
    Ok(packet)
}

/// The peer sends the packet back.
fn send_back(
    path: &Path,
    host: &UdpSocket,
    far: &UdpSocket,
    service: SocketAddrV4,
    packet: &[u8],
) -> Result<(), ProbeError> {
    let direction = Direction::In;
    far.send_to(&answer(packet), service)
        .map_err(socket("send a datagram on the loopback"))?;
    let nonce = &packet[IPV6_LEN + UDP_LEN..];
    let arrived = await_datagram(host, |datagram| datagram == nonce)?;
    let outcomes = Box::new(path.outcomes()?);
    if arrived.is_none() {
        return Err(ProbeError::Lost {
            direction,
            outcomes,
        });
    }
    if outcomes.get(Outcome::Decapsulated) != 1 {
        return Err(ProbeError::NotCarried {
            direction,
            outcomes,
        });
    }
    Ok(())
}

/// Whether a datagram is a whole UDP packet with this content.
fn is_packet(datagram: &[u8], content: &[u8]) -> bool {
    datagram.len() == IPV6_LEN + UDP_LEN + content.len() && datagram.ends_with(content)
}

/// The packet with addresses and ports exchanged, and a checksum if it had none yet.
fn answer(packet: &[u8]) -> Vec<u8> {
    let mut answer = packet.to_vec();
    let (a, b) = (8..24, 24..40);
    answer[a.clone()].copy_from_slice(&packet[b.clone()]);
    answer[b].copy_from_slice(&packet[a]);
    let (a, b) = (40..42, 42..44);
    answer[a.clone()].copy_from_slice(&packet[b.clone()]);
    answer[b].copy_from_slice(&packet[a]);
    answer[46..48].fill(0);
    let sum = checksum(&answer);
    answer[46..48].copy_from_slice(&sum.to_be_bytes());
    answer
}

/// The checksum of a UDP packet whose field is zero (RFC 8200 §8.1).
fn checksum(packet: &[u8]) -> u16 {
    const UDP: u32 = 17;
    let words = |bytes: &[u8]| -> u32 {
        bytes
            .chunks(2)
            .map(|word| u32::from(word[0]) << 8 | word.get(1).copied().map_or(0, u32::from))
            .sum()
    };
    let len = (packet.len() - IPV6_LEN) as u32;
    let mut sum = words(&packet[8..]) + len + UDP;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    }
}

/// A packet without content (RFC 4380 §2.8).
fn bubble(from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
    const NO_NEXT_HEADER: u8 = 59;
    const HOP_LIMIT: u8 = 255;
    let mut bubble = vec![0x60, 0, 0, 0, 0, 0, NO_NEXT_HEADER, HOP_LIMIT];
    bubble.extend_from_slice(&from.octets());
    bubble.extend_from_slice(&to.octets());
    bubble
}

/// Differs from probe to probe, so that a packet of another one is no answer.
fn nonce() -> [u8; 16] {
    now().as_nanos().to_be_bytes()
}

/// Waits for a datagram that `matches`; others, of programs that try all ports, are left out.
#[expect(
    clippy::disallowed_methods,
    reason = "an interruption is repeated, and the deadline is kept"
)]
fn await_datagram(
    at: &UdpSocket,
    matches: impl Fn(&[u8]) -> bool,
) -> Result<Option<Vec<u8>>, ProbeError> {
    let deadline = Instant::now() + TIMEOUT;
    let mut buffer = [0; 2048];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        at.set_read_timeout(Some(left))
            .map_err(socket("set a timeout"))?;
        match at.recv(&mut buffer) {
            Ok(len) if matches(&buffer[..len]) => return Ok(Some(buffer[..len].to_vec())),
            Ok(_) => {}
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => {}
                // Of an ICMP error about a packet before.
                io::ErrorKind::ConnectionRefused => {}
                _ => return Err(socket("receive a datagram")(error)),
            },
        }
    }
}

fn bind(address: IpAddr) -> Result<UdpSocket, ProbeError> {
    UdpSocket::bind((address, 0)).map_err(socket("open a socket"))
}

fn ipv4(of: &UdpSocket) -> Result<SocketAddrV4, ProbeError> {
    match of.local_addr().map_err(socket("read a socket's address"))? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => unreachable!("it is bound to an IPv4 address"),
    }
}

fn socket(action: &'static str) -> impl Fn(io::Error) -> ProbeError {
    move |error| ProbeError::Socket { action, error }
}
