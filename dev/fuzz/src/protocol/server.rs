//! A server under attack: it sends nothing harmful.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::sync::Arc;

use arbitrary::Arbitrary;
use teredo::server::{Answer, Security};
use teredo::wire::{
    Authentication, Datagram, Flags, Icmpv6, Ipv6Packet, Origin, PORT, Secret, TeredoAddress,
    emit_bubble, emit_echo_reply, emit_echo_request, emit_router_solicitation, server_link_local,
};
use teredo::{Identifier, Instant, KnownClient, KnownClients, Server, ServerAddress, ServerConfig};

const PRIMARY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);
const SECONDARY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 121);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 130);

/// Which clients the server answers.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Mode {
    Open,
    Optional,
    Required,
}

/// The authentication element in front of a solicitation.
#[derive(Arbitrary, Debug)]
enum Element {
    Nonce([u8; 8]),
    /// Signed by a client, or by an impostor with its name, and then changed.
    Signed {
        nonce: [u8; 8],
        name: Name,
        secret: Name,
        confirmation: u8,
        flip: Option<u8>,
    },
    Any {
        identifier: Vec<u8>,
        value: Vec<u8>,
        nonce: [u8; 8],
        confirmation: u8,
    },
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Alice,
    Retired,
    Longest,
    Unknown,
}

impl Name {
    fn identifier(self) -> &'static [u8] {
        match self {
            Self::Alice => b"alice",
            Self::Retired => b"bob",
            Self::Longest => &[7; 255],
            Self::Unknown => b"mallory",
        }
    }

    fn secret(self) -> Secret {
        Secret::new(match self {
            Self::Alice => b"alice's secret key",
            Self::Retired => b"bob's old secret key",
            Self::Longest => b"a key",
            Self::Unknown => b"a guess",
        })
    }
}

fn clients() -> Arc<KnownClients> {
    let mut clients = KnownClients::default();
    for name in [Name::Alice, Name::Retired, Name::Longest] {
        let identifier = Identifier::new(name.identifier()).expect("1 to 255 bytes");
        let client = KnownClient {
            secret: name.secret(),
            retired: name == Name::Retired,
        };
        clients.insert(identifier, client);
    }
    Arc::new(clients)
}

impl Element {
    /// Appends the element and the bytes that it signs.
    fn emit(&self, signed: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Self::Nonce(nonce) => Authentication::nonce_only(*nonce).emit(out),
            Self::Signed {
                nonce,
                name,
                secret,
                confirmation,
                ..
            } => Authentication {
                identifier: name.identifier(),
                value: &secret.secret().sign(*nonce, *confirmation, signed),
                nonce: *nonce,
                confirmation: *confirmation,
            }
            .emit(out),
            Self::Any {
                identifier,
                value,
                nonce,
                confirmation,
            } => Authentication {
                identifier,
                value,
                nonce: *nonce,
                confirmation: *confirmation,
            }
            .emit(out),
        }
        out.extend_from_slice(signed);
        if let Self::Signed { flip: Some(at), .. } = self {
            let len = out.len() - start;
            out[start + usize::from(*at) % len] ^= 1;
        }
    }
}

/// The server's mode, and its input.
pub type Case = (Mode, Vec<Input>);

#[derive(Arbitrary, Debug)]
pub struct Input {
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
    Neighbour,
    Any(u32, u16),
}

#[derive(Arbitrary, Debug)]
enum Payload {
    Raw(Vec<u8>),
    /// Behind an origin indication.
    Indicated(Vec<u8>),
    Made {
        element: Option<Element>,
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
            Self::Neighbour => SocketAddrV4::new(NEIGHBOUR, PORT),
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

/// Runs the target with one input.
pub fn run((mode, inputs): Case) {
    let clients = clients();
    let security = match mode {
        Mode::Open => Security::Open,
        Mode::Optional => Security::Optional(Arc::clone(&clients)),
        Mode::Required => Security::Required(Arc::clone(&clients)),
    };
    let config = ServerConfig {
        security,
        neighbours: vec![NEIGHBOUR],
        ..ServerConfig::new(ServerAddress {
            primary: PRIMARY,
            secondary: SECONDARY,
        })
    };
    let mut server = Server::new(config, [0; 32]);
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
            Payload::Indicated(packet) => {
                Origin(from).emit(&mut bytes);
                bytes.extend_from_slice(packet);
            }
            Payload::Made {
                element,
                origin,
                packet,
                tail,
            } => {
                let mut signed = Vec::new();
                if let Some(origin) = origin {
                    Origin(origin.address()).emit(&mut signed);
                }
                packet.emit(&mut signed);
                match element {
                    Some(element) => element.emit(&signed, &mut bytes),
                    None => bytes = signed,
                }
                bytes.extend_from_slice(tail);
            }
        }
        check(&mut server, &clients, mode, from, local, &bytes);
    }
}

fn check(
    server: &mut Server,
    clients: &KnownClients,
    mode: Mode,
    from: SocketAddrV4,
    local: Ipv4Addr,
    bytes: &[u8],
) {
    let now = Instant::from_nanos(0);
    // A shorter buffer has the same answer or none, and causes no panic. The clone shares the server's limits, so they
    // are used up twice as fast.
    let mut tight = bytes.to_vec();
    let in_tight = (server.clone()).answer_in_place(now, from, local, &mut tight, bytes.len());
    let mut out = bytes.to_vec();
    out.resize(bytes.len().max(server.buffer_len()), 0);
    let Ok(answer) = server.answer_in_place(now, from, local, &mut out, bytes.len()) else {
        return;
    };
    let (Answer::Udp { len, .. } | Answer::Native { len }) = answer;
    out.truncate(len);
    if in_tight.is_ok() {
        assert_eq!((in_tight, &tight[..len]), (Ok(answer), &out[..]));
    }

    let Answer::Udp { to, .. } = answer else {
        let source = Ipv6Packet::parse(&out)
            .expect("only a packet is passed on")
            .source();
        assert_eq!(
            TeredoAddress::from_ipv6(source).map(|source| source.mapped),
            Some(from)
        );
        assert!(out.len() <= bytes.len());
        return;
    };
    assert!(server.config().destinations.permits(to));
    assert!(![PRIMARY, SECONDARY, NEIGHBOUR].contains(to.ip()));
    assert!(![PRIMARY, SECONDARY, NEIGHBOUR].contains(from.ip()));
    let sent = Datagram::parse(&out).expect("what is sent is a datagram");
    assert!(
        sent.origin.is_none_or(|origin| origin == Origin(from)),
        "nobody else's origin"
    );
    let received = Datagram::parse(bytes).expect("only datagrams are answered");
    if !matches!(
        Icmpv6::parse(&sent.packet),
        Ok(Icmpv6::RouterAdvertisement(_))
    ) {
        assert_eq!(sent.authentication, None);
        assert!(out.len() <= bytes.len() + Origin::LEN);
        return;
    }
    assert_eq!(to, from);
    let nonce = received.authentication.map(|element| element.nonce);
    assert_eq!(
        sent.authentication.map(|element| element.nonce),
        nonce,
        "nobody else's nonce"
    );
    let claimed = received
        .authentication
        .filter(|element| !matches!(mode, Mode::Open) && !element.identifier.is_empty());
    match claimed {
        Some(element) => {
            let client = clients.get(element.identifier).expect("only known clients");
            assert!(received.verify(&client.secret), "only who has the secret");
            assert!(sent.verify(&client.secret));
            let answer = sent.authentication.expect("the element comes back");
            assert_eq!(answer.identifier, element.identifier);
            assert_eq!(answer.confirmation != 0, client.retired);
        }
        None => {
            assert!(!matches!(mode, Mode::Required), "only who has a secret");
            assert!(
                sent.authentication
                    .is_none_or(|element| element.value.is_empty())
            );
        }
    }
}
