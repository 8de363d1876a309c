//! A server under fire: nothing leaves it that hurts anybody.

#![no_main]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use teredo::wire::{
    Authentication, Datagram, Flags, Icmpv6, Ipv6Packet, Origin, PORT, TeredoAddress, emit_bubble,
    emit_echo_reply, emit_echo_request, emit_router_solicitation, server_link_local,
};
use teredo::{Destination, Instant, Reception, Server, ServerAddress, ServerConfig};

const PRIMARY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);
const SECONDARY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 121);

#[derive(Arbitrary, Debug)]
struct Input {
    from: Outer,
    to_secondary: bool,
    payload: Payload,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Outer {
    Client,
    Peer,
    Primary,
    Secondary,
    Any(u32, u16),
}

#[derive(Arbitrary, Debug)]
enum Payload {
    Raw(Vec<u8>),
    Tun(Vec<u8>),
    Made {
        nonce: Option<[u8; 8]>,
        origin: Option<Outer>,
        packet: Packet,
        tail: Vec<u8>,
    },
}

#[derive(Arbitrary, Debug)]
enum Packet {
    Bubble {
        source: Inner,
        destination: Inner,
        hop_limit: u8,
    },
    EchoRequest {
        source: Inner,
        destination: Inner,
        hop_limit: u8,
        data: Vec<u8>,
    },
    EchoReply {
        source: Inner,
        destination: Inner,
        hop_limit: u8,
        data: Vec<u8>,
    },
    Solicitation {
        source: Inner,
    },
}

#[derive(Arbitrary, Debug)]
enum Inner {
    Teredo {
        own: bool,
        flags: u16,
        mapped: Outer,
    },
    LinkLocal(u64),
    Server,
    AllRouters,
    Any(u128),
}

impl Outer {
    fn address(self) -> SocketAddrV4 {
        match self {
            Self::Client => SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4096),
            Self::Peer => SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10), 8192),
            Self::Primary => SocketAddrV4::new(PRIMARY, PORT),
            Self::Secondary => SocketAddrV4::new(SECONDARY, PORT),
            Self::Any(ip, port) => SocketAddrV4::new(ip.into(), port),
        }
    }
}

impl Inner {
    fn address(&self) -> Ipv6Addr {
        match *self {
            Self::Teredo { own, flags, mapped } => {
                let server = if own {
                    PRIMARY
                } else {
                    Ipv4Addr::new(198, 51, 100, 118)
                };
                TeredoAddress {
                    server,
                    flags: Flags::from_bits(flags),
                    mapped: mapped.address(),
                }
                .to_ipv6()
            }
            Self::LinkLocal(identifier) => Ipv6Addr::from(0xfe80 << 112 | u128::from(identifier)),
            Self::Server => server_link_local(PRIMARY),
            Self::AllRouters => teredo::wire::ALL_ROUTERS,
            Self::Any(bits) => bits.into(),
        }
    }
}

impl Packet {
    fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bubble {
                source,
                destination,
                hop_limit,
            } => {
                emit_bubble(source.address(), destination.address(), *hop_limit, out);
            }
            Self::EchoRequest {
                source,
                destination,
                hop_limit,
                data,
            } => {
                emit_echo_request(
                    source.address(),
                    destination.address(),
                    *hop_limit,
                    1,
                    2,
                    data,
                    out,
                );
            }
            Self::EchoReply {
                source,
                destination,
                hop_limit,
                data,
            } => {
                emit_echo_reply(
                    source.address(),
                    destination.address(),
                    *hop_limit,
                    1,
                    2,
                    data,
                    out,
                );
            }
            Self::Solicitation { source } => emit_router_solicitation(source.address(), out),
        }
    }
}

fuzz_target!(|inputs: Vec<Input>| {
    let now = Instant::from_nanos(0);
    let config = ServerConfig::new(ServerAddress {
        primary: PRIMARY,
        secondary: SECONDARY,
    });
    let mut server = Server::new(config, [0; 32], now);
    for input in &inputs {
        let from = input.from.address();
        let local = if input.to_secondary {
            SECONDARY
        } else {
            PRIMARY
        };
        let mut bytes = Vec::new();
        match &input.payload {
            Payload::Raw(raw) => bytes.extend_from_slice(raw),
            Payload::Tun(packet) => {
                let _ = server.handle_tun(now, packet);
                continue;
            }
            Payload::Made {
                nonce,
                origin,
                packet,
                tail,
            } => {
                if let Some(nonce) = nonce {
                    Authentication::nonce_only(*nonce).emit(&mut bytes);
                }
                if let Some(origin) = origin {
                    Origin(origin.address()).emit(&mut bytes);
                }
                packet.emit(&mut bytes);
                bytes.extend_from_slice(tail);
            }
        }
        check(&mut server, now, from, local, &bytes);
    }
});

fn check(server: &mut Server, now: Instant, from: SocketAddrV4, local: Ipv4Addr, bytes: &[u8]) {
    let reception = server.handle_udp(now, from, local, bytes);
    if let Reception::Deliver(packet) = reception {
        let source = Ipv6Packet::parse(packet)
            .expect("only a packet is delivered")
            .source();
        assert_eq!(
            TeredoAddress::from_ipv6(source).map(|source| source.mapped),
            Some(from)
        );
    }
    let mut out = Vec::new();
    let transmit = server.poll_transmit(&mut out);
    assert_eq!(transmit.is_some(), reception == Reception::Consumed);
    let Some(transmit) = transmit else { return };
    assert_eq!(server.poll_transmit(&mut out), None, "one in, one out");

    let Destination::Udp(to) = transmit.destination else {
        panic!("a server has no host")
    };
    assert!(server.config().destinations.permits(to));
    assert!(to.ip() != &PRIMARY && to.ip() != &SECONDARY);
    let sent = Datagram::parse(&out).expect("what is sent is a datagram");
    assert!(
        sent.origin.is_none_or(|origin| origin == Origin(from)),
        "nobody else's origin"
    );
    let received = Datagram::parse(bytes).expect("only datagrams are answered");
    if matches!(
        Icmpv6::parse(&sent.packet),
        Ok(Icmpv6::RouterAdvertisement(_))
    ) {
        assert_eq!(to, from);
        let nonce = received.authentication.map(|element| element.nonce);
        assert_eq!(
            sent.authentication.map(|element| element.nonce),
            nonce,
            "nobody else's nonce"
        );
    } else {
        assert_eq!(sent.authentication, None);
        assert!(out.len() <= bytes.len() + Origin::LEN);
    }
}
