//! The addresses of any number of hosts that are none: datagrams from them, and those that arrive for them.
//!
//! A packet socket sees the traffic to all of them; the host drops it, because it has no such address. The traffic from
//! them leaves by a raw socket with their addresses for the source. So a system call carries as many datagrams as there
//! are, however many ports they come from or go to.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::Result;
use etherparse::{Ipv4Header, Ipv4Slice, UdpHeader, UdpSlice, ip_number};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use teredo_lab::{Host, Internet};

use super::batch::{BATCH, Batch};
use super::stage::ip;

/// RFC 2544's network for benchmarks.
pub(crate) const NETWORK: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const PREFIX: u8 = 15;
/// Linux' ETH_P_IP.
const ETHERTYPE_IPV4: u16 = 0x0800;
/// Linux' IPPROTO_RAW: the sender writes the header of IPv4.
const RAW: i32 = 255;
const UDP: usize = 8;
const RECEIVE_BUFFER: usize = 8 << 20;

/// A host that all of [`NETWORK`] is led to.
pub(crate) struct Frames {
    taken: Socket,
    given: Socket,
}

impl Frames {
    /// Leads the network to this host, which has none of its addresses, and sends to one peer.
    pub(crate) fn open(internet: &Internet, host: &Host, peer: SocketAddrV4) -> Result<Self> {
        let prefix = format!("{NETWORK}/{PREFIX}");
        let via = host.ipv4().to_string();
        let device = format!("to-{}", host.name());
        ip(
            internet.core(),
            &[
                "-4", "route", "add", &prefix, "via", &via, "dev", &device, "onlink",
            ],
        )?;
        let (taken, given) = host.namespace().run(|| -> Result<_> {
            let all = Protocol::from(i32::from(ETHERTYPE_IPV4.to_be()));
            let taken = Socket::new(Domain::PACKET, Type::DGRAM, Some(all))?;
            setsockopt(&taken, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
            let given = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
            given.connect(&SocketAddr::from(peer).into())?;
            Ok((taken, given))
        })??;
        Ok(Self { taken, given })
    }

    /// Takes what has arrived, as IPv4 packets; how many came.
    pub(crate) fn receive(&self, batch: &mut Batch) -> Result<usize> {
        batch.receive(&self.taken, false)
    }

    /// Sends packets of [`frame`], as many as go with one system call; how many left.
    pub(crate) fn send(&self, batch: &mut Batch, frames: &[Vec<u8>]) -> Result<usize> {
        let frames = frames.iter().take(BATCH).map(Vec::as_slice);
        batch.send(&self.given, frames, &[None; BATCH])
    }
}

/// IPv4 and UDP around a payload. The kernel fills in the checksum of IPv4; UDP may have none.
pub(crate) fn frame(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let udp = UdpHeader {
        source_port: from.port(),
        destination_port: to.port(),
        length: (UDP + payload.len()) as u16,
        checksum: 0,
    };
    let ip = Ipv4Header {
        total_len: Ipv4Header::MIN_LEN_U16 + udp.length,
        dont_fragment: false,
        time_to_live: 64,
        protocol: ip_number::UDP,
        source: from.ip().octets(),
        destination: to.ip().octets(),
        ..Ipv4Header::default()
    };
    [&ip.to_bytes()[..], &udp.to_bytes(), payload].concat()
}

/// The two ends of a datagram, and its payload.
pub(crate) fn datagram(frame: &[u8]) -> Option<(SocketAddrV4, SocketAddrV4, &[u8])> {
    let ip = Ipv4Slice::from_slice(frame).ok()?;
    let header = ip.header();
    let udp = UdpSlice::from_slice(ip.payload().payload).ok()?;
    (header.protocol() == ip_number::UDP).then(|| {
        (
            SocketAddrV4::new(header.source_addr(), udp.source_port()),
            SocketAddrV4::new(header.destination_addr(), udp.destination_port()),
            udp.payload(),
        )
    })
}
