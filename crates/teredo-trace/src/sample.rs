//! Hand-made datagrams for the tests: a client behind a NAT, its server, a peer, a relay.

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::wire::{
    Authentication, Flags, Origin, PrefixInformation, RouterAdvertisement, TeredoAddress, Trailer,
    emit_bubble, emit_echo_reply, emit_echo_request, emit_router_solicitation, link_local,
    server_link_local, server_prefix,
};

use crate::observation::{Fate, Observation};
use crate::trace::{Limits, Packet, Trace, Tracer};

pub(crate) const LOCAL: &str = "192.168.1.2:50000";
pub(crate) const MAPPED: &str = "203.0.113.5:61000";
pub(crate) const PRIMARY: &str = "192.0.2.1:3544";
pub(crate) const SECONDARY: &str = "192.0.2.2:3544";
pub(crate) const PEER: &str = "198.51.100.7:4096";
pub(crate) const RELAY: &str = "192.0.2.99:40000";
pub(crate) const HOST: &str = "2001:db8::1";
pub(crate) const NONCE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

pub(crate) fn end(text: &str) -> SocketAddrV4 {
    text.parse().expect("an endpoint")
}

/// The Teredo address of a mapping, with the usual server.
pub(crate) fn teredo(mapped: &str) -> Ipv6Addr {
    with_flags(mapped, 0)
}

pub(crate) fn with_flags(mapped: &str, flags: u16) -> Ipv6Addr {
    TeredoAddress {
        server: *end(PRIMARY).ip(),
        flags: Flags::from_bits(flags),
        mapped: end(mapped),
    }
    .to_ipv6()
}

/// The source of the client's solicitations.
pub(crate) fn own(cone: bool) -> Ipv6Addr {
    let flags = if cone { Flags::CONE } else { Flags::default() };
    link_local(flags, end(LOCAL))
}

pub(crate) fn solicitation(nonce: Option<[u8; 8]>, cone: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(nonce) = nonce {
        Authentication::nonce_only(nonce).emit(&mut out);
    }
    emit_router_solicitation(own(cone), &mut out);
    out
}

/// An advertisement to fill in and to spoil.
pub(crate) struct Advert {
    pub(crate) nonce: Option<[u8; 8]>,
    pub(crate) confirmation: u8,
    pub(crate) origin: Option<SocketAddrV4>,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) prefixes: Vec<PrefixInformation>,
    pub(crate) mtu: u32,
}

impl Advert {
    /// A right one, for a client that is seen at `origin`.
    pub(crate) fn new(origin: &str) -> Self {
        let server = *end(PRIMARY).ip();
        Self {
            nonce: Some(NONCE),
            confirmation: 0,
            origin: Some(end(origin)),
            source: server_link_local(server),
            destination: own(false),
            prefixes: vec![prefix(server_prefix(server), 64)],
            mtu: 1280,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(nonce) = self.nonce {
            Authentication {
                confirmation: self.confirmation,
                ..Authentication::nonce_only(nonce)
            }
            .emit(&mut out);
        }
        if let Some(origin) = self.origin {
            Origin(origin).emit(&mut out);
        }
        RouterAdvertisement {
            hop_limit: 0,
            flags: 0,
            router_lifetime: 0,
            reachable_time: 0,
            retrans_timer: 2000,
            prefixes: self.prefixes.clone(),
            mtu: Some(self.mtu),
        }
        .emit(self.source, self.destination, &mut out);
        out
    }
}

pub(crate) fn prefix(prefix: Ipv6Addr, length: u8) -> PrefixInformation {
    PrefixInformation {
        prefix,
        length,
        on_link: false,
        autonomous: true,
        valid_lifetime: PrefixInformation::INFINITE,
        preferred_lifetime: PrefixInformation::INFINITE,
    }
}

pub(crate) fn bubble(source: Ipv6Addr, destination: Ipv6Addr, trailers: &[Trailer<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    emit_bubble(source, destination, 255, &mut out);
    for trailer in trailers {
        trailer.emit(&mut out);
    }
    out
}

/// The same behind an origin indication, as a server passes it on.
pub(crate) fn passed_on(origin: &str, packet: &[u8]) -> Vec<u8> {
    let mut out = Origin(end(origin)).to_bytes().to_vec();
    out.extend_from_slice(packet);
    out
}

pub(crate) fn ping(source: Ipv6Addr, destination: Ipv6Addr, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    emit_echo_request(source, destination, 64, 1, 1, data, &mut out);
    out
}

pub(crate) fn pong(source: Ipv6Addr, destination: Ipv6Addr, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    emit_echo_reply(source, destination, 64, 1, 1, data, &mut out);
    out
}

/// A packet of an experimental protocol (RFC 3692), which has no checksum.
pub(crate) fn data(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut out = Vec::new();
    teredo::wire::Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: 4,
        next_header: 253,
        hop_limit: 64,
        source,
        destination,
    }
    .emit(&mut out);
    out.extend_from_slice(b"data");
    out
}

pub(crate) struct Sent {
    /// In milliseconds.
    pub(crate) at: u64,
    from: SocketAddrV4,
    to: SocketAddrV4,
    payload: Vec<u8>,
    fate: Option<Fate>,
}

/// Datagrams in the order of their times.
#[derive(Default)]
pub(crate) struct Exchange {
    pub(crate) sent: Vec<Sent>,
    ttl: u8,
    end: u64,
}

impl Exchange {
    pub(crate) fn new() -> Self {
        Self {
            ttl: 64,
            ..Self::default()
        }
    }

    pub(crate) fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    pub(crate) fn send(self, at: u64, from: &str, to: &str, payload: impl Into<Vec<u8>>) -> Self {
        self.fated(at, from, to, payload, None)
    }

    pub(crate) fn fated(
        mut self,
        at: u64,
        from: &str,
        to: &str,
        payload: impl Into<Vec<u8>>,
        fate: Option<Fate>,
    ) -> Self {
        self.sent.push(Sent {
            at,
            from: end(from),
            to: end(to),
            payload: payload.into(),
            fate,
        });
        self
    }

    /// The client asks both addresses, and both answer.
    pub(crate) fn qualified(self) -> Self {
        let mut second = NONCE;
        second[7] += 1;
        let mut answer = Advert::new(MAPPED);
        answer.nonce = Some(second);
        self.send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), false))
            .send(20, PRIMARY, LOCAL, Advert::new(MAPPED).bytes())
            .send(21, LOCAL, SECONDARY, solicitation(Some(second), false))
            .send(41, SECONDARY, LOCAL, answer.bytes())
    }

    /// The capture goes on until this time, in milliseconds.
    pub(crate) fn until(mut self, end: u64) -> Self {
        self.end = end;
        self
    }

    pub(crate) fn trace(&self) -> Trace {
        self.trace_with(Limits::default())
    }

    pub(crate) fn trace_with(&self, limits: Limits) -> Trace {
        let mut tracer = Tracer::new(limits);
        for (frame, sent) in (1..).zip(&self.sent) {
            tracer.observe(&Observation {
                frame,
                time: Duration::from_millis(sent.at),
                source: sent.from,
                destination: sent.to,
                public_source: None,
                inner_destination: None,
                ttl: self.ttl,
                payload: &sent.payload,
                cut: false,
                fate: sent.fate.clone(),
            });
        }
        if self.end > 0 {
            tracer.observe(&Observation {
                frame: 0,
                time: Duration::from_millis(self.end),
                source: end("192.168.1.1:53"),
                destination: end("192.168.1.2:40000"),
                public_source: None,
                inner_destination: None,
                ttl: 64,
                payload: b"something else",
                cut: false,
                fate: None,
            });
        }
        tracer.finish()
    }
}

/// The IDs of a packet's findings.
pub(crate) fn ids(packet: &Packet) -> Vec<&'static str> {
    packet.findings.iter().map(|finding| finding.id).collect()
}

/// The IDs of all findings, with the numbers of their packets.
pub(crate) fn all_ids(trace: &Trace) -> Vec<(u64, &'static str)> {
    let packets = trace.packets.iter();
    packets
        .flat_map(|packet| ids(packet).into_iter().map(|id| (packet.n, id)))
        .collect()
}

/// An IPv4 packet with a UDP datagram.
pub(crate) fn ipv4(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (end(from), end(to));
    let mut out = Vec::new();
    etherparse::PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), 64)
        .udp(from.port(), to.port())
        .write(&mut out, payload)
        .expect("a vector has room");
    out
}

/// A file in the classic format, with one frame a second.
pub(crate) fn pcap(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&65_535_u32.to_le_bytes());
    out.extend_from_slice(&link.to_le_bytes());
    for (second, frame) in (1_000_000_000_u32..).zip(frames) {
        let length = u32::try_from(frame.len()).expect("a short frame");
        for word in [second, 250_000, length, length] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(frame);
    }
    out
}

/// A file in the next-generation format, with one frame a second at this resolution.
pub(crate) fn pcapng(link: u16, resolution: u8, frames: &[Vec<u8>]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let length = u32::try_from(12 + body.len()).expect("a short block");
        let mut out = kind.to_le_bytes().to_vec();
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(&length.to_le_bytes());
        out
    };
    let mut section = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    section.extend_from_slice(&[1, 0, 0, 0]);
    section.extend_from_slice(&[0xff; 8]);
    let mut out = block(0x0a0d_0d0a, &section);
    let mut interface = link.to_le_bytes().to_vec();
    interface.extend_from_slice(&[0, 0, 0, 0, 4, 0]);
    // if_tsresol, padded, and the end of the options.
    interface.extend_from_slice(&[9, 0, 1, 0, resolution, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&block(1, &interface));
    let ticks_per_second: u64 = match resolution {
        binary @ 0x80.. => 1 << (binary & 0x7f),
        decimal => 10_u64.pow(decimal.into()),
    };
    for (second, frame) in (1_000_000_000_u64..).zip(frames) {
        let ticks = second * ticks_per_second + ticks_per_second / 4;
        let length = u32::try_from(frame.len()).expect("a short frame");
        let mut packet = Vec::new();
        for word in [0, (ticks >> 32) as u32, ticks as u32, length, length] {
            packet.extend_from_slice(&word.to_le_bytes());
        }
        packet.extend_from_slice(frame);
        packet.resize(packet.len().next_multiple_of(4), 0);
        out.extend_from_slice(&block(6, &packet));
    }
    out
}
