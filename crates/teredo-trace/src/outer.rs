//! The headers around a UDP payload: link layer, IPv4, UDP.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{
    EtherType, Ipv4HeaderSlice, LaxNetSlice, LaxSlicedPacket, TransportSlice, UdpSlice, ether_type,
};

use crate::capture::{Frame, LinkType};

/// The contents of a frame, as far as a trace needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outer<'a> {
    /// A whole UDP datagram over IPv4.
    Udp(Udp<'a>),
    /// A part of an IPv4 packet. Teredo packets fit the usual MTU, so parts are not put together.
    Fragment,
    /// Anything else.
    Other,
}

/// A UDP datagram over IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Udp<'a> {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) ttl: u8,
    /// With zeros in place of bytes that the capture did not keep.
    pub(crate) payload: Cow<'a, [u8]>,
    /// Whether there are such bytes.
    pub(crate) cut: bool,
}

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
            LinkType::Other(_) => None,
        };
        let Some(LaxSlicedPacket {
            net: Some(LaxNetSlice::Ipv4(ip)),
            transport,
            ..
        }) = packet
        else {
            return Self::Other;
        };
        if ip.payload().fragmented {
            return Self::Fragment;
        }
        match transport {
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
        let payload = if cut {
            let mut padded = kept.to_vec();
            padded.resize(length, 0);
            Cow::Owned(padded)
        } else {
            Cow::Borrowed(kept)
        };
        Self::Udp(Udp {
            source: end(ip.source_addr(), udp.source_port()),
            destination: end(ip.destination_addr(), udp.destination_port()),
            ttl: ip.ttl(),
            payload,
            cut,
        })
    }
}

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
