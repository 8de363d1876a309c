//! The headers around a UDP payload: link layer, IPv4, UDP.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{
    EtherType, Ipv4HeaderSlice, LaxNetSlice, LaxSlicedPacket, TransportSlice, UdpSlice, ether_type,
};
use serde::Serialize;

use crate::capture::{Frame, LinkType};

/// The contents of a frame, as far as a trace needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outer<'a> {
    /// A whole UDP datagram over IPv4.
    Udp(Udp<'a>),
    /// A part of an IPv4 packet. Teredo packets fit the usual MTU, so parts are not put together.
    Fragment,
    /// There may be anything behind this layer.
    Unreadable(Layer),
    /// Anything else.
    Other,
}

/// A layer that is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Layer {
    /// The link type of a capture file (<https://www.tcpdump.org/linktypes.html>).
    LinkType(u16),
    /// An EtherType.
    EtherType(u16),
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkType(number) => write!(f, "link type {number}"),
            Self::EtherType(number) => write!(f, "EtherType {number:#06x}"),
        }
    }
}

/// A UDP datagram over IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Udp<'a> {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) ttl: u8,
    /// With zeros in place of bytes that the capture did not keep, up to [`PADDED`].
    pub(crate) payload: Cow<'a, [u8]>,
    /// The length of the whole payload.
    pub(crate) length: usize,
    /// Whether the capture does not have all of it.
    pub(crate) cut: bool,
}

/// How far a payload that was cut is filled up. A Teredo packet is no longer.
const PADDED: usize = 1500;
/// The header of PPPoE, with the protocol of PPP (RFC 2516 §4).
const PPPOE: usize = 8;
/// MPLS, for one label and for several, and the service tag of some switches: IPv4 may be behind them.
const TUNNELS: [EtherType; 3] = [EtherType(0x8847), EtherType(0x8848), EtherType(0x9200)];
/// PPPoE in its session stage.
const PPPOE_SESSION: EtherType = EtherType(0x8864);
/// IPv4 in PPP.
const PPP_IPV4: [u8; 2] = [0, 0x21];

impl<'a> Outer<'a> {
    /// Looks into a frame.
    pub(crate) fn of(frame: &Frame<'a>) -> Self {
        let bytes = frame.bytes;
        let packet = match frame.link {
            LinkType::Ethernet => LaxSlicedPacket::from_ethernet(bytes).ok(),
            LinkType::RawIp => LaxSlicedPacket::from_ip(bytes).ok(),
            LinkType::LinuxCooked => cooked::<16>(bytes, 14),
            LinkType::LinuxCooked2 => cooked::<20>(bytes, 0),
            LinkType::Loopback => bytes
                .get(4..)
                .and_then(|packet| LaxSlicedPacket::from_ip(packet).ok()),
            LinkType::Other(number) => return Self::Unreadable(Layer::LinkType(number)),
        };
        let Some(packet) = packet else {
            return Self::Other;
        };
        match behind(packet) {
            Ok(Some(packet)) => Self::ip(packet, frame),
            Ok(None) => Self::Other,
            Err(layer) => Self::Unreadable(layer),
        }
    }

    fn ip(packet: LaxSlicedPacket<'a>, frame: &Frame<'a>) -> Self {
        let Some(LaxNetSlice::Ipv4(ip)) = packet.net else {
            return Self::Other;
        };
        if ip.payload().fragmented {
            return Self::Fragment;
        }
        match packet.transport {
            Some(TransportSlice::Udp(udp)) => {
                Self::udp(&ip.header(), &udp, frame.bytes.len() < frame.length)
            }
            _ => Self::Other,
        }
    }

    fn udp(ip: &Ipv4HeaderSlice<'_>, udp: &UdpSlice<'a>, was_cut: bool) -> Self {
        let kept = udp.payload();
        let length = usize::from(udp.length()).saturating_sub(UDP_HEADER);
        let cut = length > kept.len();
        if cut && !was_cut {
            // The datagram itself is malformed: its receiver drops it.
            return Self::Other;
        }
        let payload = if cut && kept.len() < PADDED {
            let mut padded = kept.to_vec();
            padded.resize(length.min(PADDED), 0);
            Cow::Owned(padded)
        } else {
            Cow::Borrowed(kept)
        };
        Self::Udp(Udp {
            source: end(ip.source_addr(), udp.source_port()),
            destination: end(ip.destination_addr(), udp.destination_port()),
            ttl: ip.ttl(),
            payload,
            length,
            cut,
        })
    }
}

/// Looks behind a layer that [`LaxSlicedPacket`] does not know.
fn behind(packet: LaxSlicedPacket<'_>) -> Result<Option<LaxSlicedPacket<'_>>, Layer> {
    if packet.net.is_some() {
        return Ok(Some(packet));
    }
    let Some(payload) = packet.ether_payload() else {
        return Ok(None);
    };
    match payload.ether_type {
        PPPOE_SESSION => {
            Ok(payload
                .payload
                .split_first_chunk::<PPPOE>()
                .and_then(|(header, packet)| {
                    let is_ip = header.ends_with(&PPP_IPV4);
                    LaxSlicedPacket::from_ip(packet).ok().filter(|_| is_ip)
                }))
        }
        // More VLAN tags than the parser takes are left over, too.
        other if TUNNELS.contains(&other) || VLAN.contains(&other) => {
            Err(Layer::EtherType(other.0))
        }
        _ => Ok(None),
    }
}

const VLAN: [EtherType; 3] = [
    ether_type::VLAN_TAGGED_FRAME,
    ether_type::PROVIDER_BRIDGING,
    ether_type::VLAN_DOUBLE_TAGGED_FRAME,
];

const UDP_HEADER: usize = 8;

fn end(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

/// A "cooked" header of `N` bytes with an EtherType at `offset`. VLAN tags may follow.
fn cooked<const N: usize>(bytes: &[u8], offset: usize) -> Option<LaxSlicedPacket<'_>> {
    let (header, packet) = bytes.split_first_chunk::<N>()?;
    let protocol = header.get(offset..)?.first_chunk::<2>()?;
    match EtherType(u16::from_be_bytes(*protocol)) {
        // Linux writes it for interfaces without a link layer.
        EtherType(0) => LaxSlicedPacket::from_ip(packet).ok(),
        ether_type::ARP => None,
        protocol => Some(LaxSlicedPacket::from_ether_type(protocol, packet)),
    }
}

#[cfg(test)]
mod tests;
