//! The fuzzer's choices, among a few nodes that can interact.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use teredo::client::LocalSubnet;
use teredo::policy::DestinationPolicy;
use teredo::wire::{DISCOVERY, Flags, PORT, Secret, TeredoAddress};
use teredo::{ClientConfig, Credentials, Identifier, Keyring, ServerAddress};

#[derive(Arbitrary, Debug)]
pub struct Input {
    pub settings: Settings,
    pub operations: Vec<Operation>,
}

#[derive(Arbitrary, Debug)]
pub struct Settings {
    pub seed: u8,
    policy: Policy,
    pub keyed: bool,
    determine_refresh_interval: bool,
    /// The defaults without it.
    knobs: Option<Knobs>,
}

#[derive(Arbitrary, Debug)]
struct Knobs {
    refresh_interval: u16,
    solicitation_timeout: u16,
    solicitation_attempts: u8,
    server_stagger: u16,
    min_backoff: u16,
    max_backoff: u16,
    max_peers: u8,
    max_queue_bytes: u16,
    max_total_queue_bytes: u16,
}

impl Settings {
    /// The history before the run, because late faults would otherwise be hard to reach.
    pub fn before(&self) -> Vec<Operation> {
        let before = vec![
            Operation::Start {
                local: Local(0),
                servers: Servers(1),
            },
            Operation::Advertise(Outer::Mapped(0)),
            Operation::Direct {
                peer: Inner::Peer(0),
                beside: false,
                body: Body::Bubble,
                tail: Vec::new(),
                trailers: Vec::new(),
            },
            Operation::SetSubnet(Some(Subnet(0))),
            Operation::LocalBubble {
                claimed: Inner::Neighbour(0),
                from: Outer::Link(0),
            },
            Operation::SecondaryPort(Some(Local(1))),
            Operation::Secondary(Secondary::Advertise(Hole(0))),
        ];
        let symmetric = Self::behind_a_symmetric_nat();
        let (history, steps) = match self.seed % 7 {
            0 => (before, 0),
            1 => (before, 1),
            2 => (before, 3),
            3 => (before, usize::MAX),
            4 => (symmetric, 3),
            5 => (symmetric, 7),
            _ => (symmetric, usize::MAX),
        };
        history.into_iter().take(steps).collect()
    }

    /// The server's addresses see different mappings, a peer is asked, a random port has passed its echo test, and the peer
    /// is met there.
    fn behind_a_symmetric_nat() -> Vec<Operation> {
        let advertisement = |solicitation, mapped| Operation::Advertisement {
            solicitation,
            mapped: Outer::Mapped(mapped),
            flaw: Flaw::None,
        };
        let echo = |solicitation, mapped| Operation::Echo {
            solicitation,
            mapped: Outer::Mapped(mapped),
            flaw: Flaw::None,
        };
        vec![
            Operation::Start {
                local: Local(0),
                servers: Servers(1),
            },
            advertisement(0, 1),
            advertisement(1, 0),
            Operation::Submit {
                destination: Inner::Peer(0),
                body: Body::Filler(8),
            },
            Operation::RandomPort {
                port: 0,
                answer: PortAnswer::Open,
            },
            echo(0, 1),
            echo(1, 0),
            Operation::Random {
                port: 0,
                from: Outer::Peer(0),
                source: Inner::Peer(0),
                body: Body::Bubble,
                trailers: vec![Tail::Echo],
            },
            Operation::Indirect {
                source: Inner::Peer(0),
                origin: Some(Outer::Peer(0)),
                body: Body::Bubble,
                trailers: vec![Tail::Nonce([1; 4])],
            },
        ]
    }

    pub fn refused(&self) -> Vec<Ipv4Addr> {
        self.policy.refused()
    }

    pub fn config(&self) -> ClientConfig {
        let config = ClientConfig {
            destinations: self.policy.destinations(),
            determine_refresh_interval: self.determine_refresh_interval,
            keyring: keyring(self.keyed),
            ..ClientConfig::default()
        };
        let Some(knobs) = &self.knobs else {
            return config;
        };
        let duration = |millis: u16| Duration::from_millis(1 + u64::from(millis));
        ClientConfig {
            refresh_interval: duration(knobs.refresh_interval),
            solicitation_timeout: duration(knobs.solicitation_timeout),
            solicitation_attempts: u32::from(knobs.solicitation_attempts % 5),
            server_stagger: duration(knobs.server_stagger),
            min_backoff: duration(knobs.min_backoff),
            max_backoff: duration(knobs.max_backoff),
            max_peers: knobs.max_peers.into(),
            max_queue_bytes: knobs.max_queue_bytes.into(),
            max_total_queue_bytes: knobs.max_total_queue_bytes.into(),
            ..config
        }
    }
}

/// The credentials for the servers.
pub fn keyring(keyed: bool) -> Keyring {
    let mut keyring = Keyring::default();
    if keyed {
        keyring.set_everywhere(Arc::new(credentials()));
    }
    keyring
}

/// The credentials that the servers know, too.
pub fn credentials() -> Credentials {
    Credentials {
        identifier: Identifier::new(b"alice").expect("1 to 255 bytes"),
        secret: Secret::new(b"alice's secret key"),
    }
}

#[derive(Arbitrary, Debug)]
pub struct Policy {
    allow_private: bool,
    denied: Option<Outer>,
    broadcast: Option<Outer>,
}

impl Policy {
    /// The addresses that the policy denies by name.
    pub fn refused(&self) -> Vec<Ipv4Addr> {
        let named = self.denied.into_iter().chain(self.broadcast);
        named.map(|outer| *outer.address().ip()).collect()
    }

    pub fn destinations(&self) -> DestinationPolicy {
        let mut policy = DestinationPolicy::default();
        policy.allow_private(self.allow_private);
        if let Some(denied) = self.denied {
            policy.deny(*denied.address().ip(), 32);
        }
        let broadcast = self.broadcast.map(|broadcast| *broadcast.address().ip());
        policy.set_broadcasts(broadcast.into_iter().collect());
        policy
    }
}

#[derive(Arbitrary, Debug)]
pub enum Operation {
    /// Every outstanding solicitation is answered correctly.
    Advertise(Outer),
    /// One solicitation is answered, perhaps incorrectly.
    Advertisement {
        solicitation: u8,
        mapped: Outer,
        flaw: Flaw,
    },
    /// The connectivity test is answered.
    Reply {
        test: u8,
        from: Outer,
    },
    /// A packet to the client, directly from its source's mapping or from the port beside it.
    Direct {
        peer: Inner,
        beside: bool,
        body: Body,
        tail: Vec<u8>,
        trailers: Vec<Tail>,
    },
    /// A packet to the client, through its server.
    Indirect {
        source: Inner,
        origin: Option<Outer>,
        body: Body,
        trailers: Vec<Tail>,
    },
    /// The host's answer to one of the random ports that the client wants.
    RandomPort {
        port: u8,
        answer: PortAnswer,
    },
    /// A datagram to a random port.
    Random {
        port: u8,
        from: Outer,
        source: Inner,
        body: Body,
        trailers: Vec<Tail>,
    },
    /// The server answers a solicitation of a random port.
    Echo {
        solicitation: u8,
        mapped: Outer,
        flaw: Flaw,
    },
    /// An ICMP error about one of the last datagrams, quoting so much of it, or about another destination.
    IcmpError {
        expired: bool,
        reporter: Outer,
        datagram: u8,
        elsewhere: Option<Outer>,
        quoted: u8,
        garbage: Vec<u8>,
    },
    Receive {
        from: Outer,
        multicast: bool,
        nonce: Option<u8>,
        origin: Option<Outer>,
        packet: Packet,
        tail: Vec<u8>,
    },
    ReceiveRaw {
        from: Outer,
        bytes: Vec<u8>,
    },
    /// A packet of the host's, from the client's address.
    Submit {
        destination: Inner,
        body: Body,
    },
    SubmitOdd(Packet),
    SubmitRaw(Vec<u8>),
    Wait(Wait),
    Timeout,
    NetworkChange(Local),
    SetServers(Servers),
    SetKeyring {
        keyed: bool,
    },
    /// The link in which to look for neighbours.
    SetSubnet(Option<Subnet>),
    /// The result of opening the secondary port.
    SecondaryPort(Option<Local>),
    /// A datagram for the secondary port.
    Secondary(Secondary),
    /// A local bubble from somewhere on the link.
    LocalBubble {
        claimed: Inner,
        from: Outer,
    },
    /// A neighbour sends directly over the link.
    Neighbour {
        claimed: Inner,
        from: Outer,
        body: Body,
    },
    SetDestinations(Policy),
    Start {
        local: Local,
        servers: Servers,
    },
    Stop,
    /// The host has native IPv6 with this address.
    Sleep(Inner),
}

/// A trailer of RFC 6081.
#[derive(Arbitrary, Debug)]
pub enum Tail {
    /// The nonce of the client's last indirect bubble to the sender.
    Echo,
    Nonce([u8; 4]),
    Alternate(Outer),
    Discovery {
        advertisement: bool,
    },
    Port(u16),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum PortAnswer {
    Open,
    Taken,
    Refused,
}

#[derive(Arbitrary, Debug)]
pub enum Secondary {
    /// The server answers every solicitation, with this mapping.
    Advertise(Hole),
    /// The server answers one solicitation, perhaps incorrectly.
    Advertisement {
        solicitation: u8,
        mapped: Outer,
        flaw: Flaw,
    },
    /// The last bubble hairpins in the NAT.
    Hairpin {
        from: Outer,
    },
    /// The server forwards the last bubble.
    Forwarded {
        origin: Outer,
    },
    Raw {
        from: Outer,
        bytes: Vec<u8>,
    },
}

/// A mapping of the secondary port.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Hole(u8);

impl Hole {
    pub fn address(self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 6000 + u16::from(self.0 % 2))
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Subnet(u8);

impl Subnet {
    pub fn local(self) -> LocalSubnet {
        LocalSubnet {
            address: Ipv4Addr::new(192, 168, 1, 2),
            prefix_len: *nth(&[24, 24, 30, 31, 32, 0, 16, 8], self.0),
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
pub enum Flaw {
    None,
    Nonce,
    NoAuthentication,
    /// Unsigned although a signature is needed, or signed with another secret.
    Unsigned,
    Forged,
    NoOrigin,
    Confirmation(u8),
    HopLimit(u8),
    Checksum(u8),
    From(Outer),
    Source(Inner),
    Destination(Inner),
    Prefix(Inner),
    PrefixLength(u8),
    Prefixes(u8),
    Mtu(u32),
    Tail(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
pub struct Packet {
    pub source: Inner,
    pub destination: Inner,
    pub body: Body,
}

#[derive(Arbitrary, Debug)]
pub enum Body {
    Bubble,
    EchoRequest(Vec<u8>),
    EchoReply(Vec<u8>),
    /// With the data of a connectivity test.
    TestReply(u8),
    /// This many bytes of UDP.
    Filler(u16),
    /// A payload of any type; sometimes a routing header.
    Other(u8, Vec<u8>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Wait {
    Millis(u16),
    Seconds(u16),
    /// Until the client's deadline.
    Timer,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Local(u8);

impl Local {
    pub fn address(self) -> SocketAddrV4 {
        SocketAddrV4::new(
            Ipv4Addr::new(192, 168, 1, 2),
            50_000 + u16::from(self.0 % 2),
        )
    }
}

/// The servers, one bit each.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Servers(u8);

impl Servers {
    pub fn addresses(self) -> Vec<ServerAddress> {
        let chosen = (0..SERVERS.len()).filter(|bit| self.0 >> bit & 1 != 0);
        let mut chosen: Vec<_> = chosen.map(|index| SERVERS[index]).collect();
        if self.0 & 0x80 != 0 {
            chosen.reverse();
        }
        chosen
    }
}

/// The third is the first with its addresses swapped, the fourth is a refused destination, the fifth has one address.
const SERVERS: [ServerAddress; 5] = [
    server([203, 0, 113, 120], [203, 0, 113, 121]),
    server([198, 51, 100, 118], [198, 51, 100, 200]),
    server([203, 0, 113, 121], [203, 0, 113, 120]),
    server([192, 168, 7, 1], [192, 168, 7, 2]),
    server([203, 0, 113, 9], [203, 0, 113, 9]),
];

const fn server([a, b, c, d]: [u8; 4], [e, f, g, h]: [u8; 4]) -> ServerAddress {
    ServerAddress {
        primary: Ipv4Addr::new(a, b, c, d),
        secondary: Ipv4Addr::new(e, f, g, h),
    }
}

/// An IPv4 address and port.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Outer {
    /// The client's mapping.
    Mapped(u8),
    Primary(u8),
    Secondary(u8),
    Peer(u8),
    Relay(u8),
    /// Another host on the link.
    Link(u8),
    /// The mapping of another host on the link.
    Beside(u8),
    Forbidden(u8),
    Any(u32, u16),
}

const FORBIDDEN: [[u8; 4]; 10] = [
    [0, 0, 0, 1],
    [10, 0, 0, 1],
    [127, 0, 0, 1],
    [169, 254, 1, 1],
    [172, 16, 0, 1],
    [192, 88, 99, 1],
    [192, 168, 0, 1],
    [224, 0, 0, 1],
    [239, 255, 255, 255],
    [255, 255, 255, 255],
];

impl Outer {
    pub fn address(self) -> SocketAddrV4 {
        match self {
            Self::Mapped(n) => {
                SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4096 + u16::from(n % 2))
            }
            Self::Primary(n) => SocketAddrV4::new(nth(&SERVERS, n).primary, PORT),
            Self::Secondary(n) => SocketAddrV4::new(nth(&SERVERS, n).secondary, PORT),
            Self::Peer(n) => {
                let port = 8192 + u16::from(n / 4 % 2);
                SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10 + n % 4), port)
            }
            Self::Relay(n) => SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 30 + n % 2), 3545),
            Self::Link(n) => SocketAddrV4::new(
                Ipv4Addr::new(192, 168, 1, 10 + n % 4),
                50_000 + u16::from(n / 4 % 2),
            ),
            Self::Beside(n) => {
                SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 5000 + u16::from(n % 4))
            }
            Self::Forbidden(0) => DISCOVERY,
            Self::Forbidden(1) => SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10), 0),
            Self::Forbidden(n) => SocketAddrV4::new((*nth(&FORBIDDEN, n)).into(), 4096),
            Self::Any(ip, port) => SocketAddrV4::new(ip.into(), port),
        }
    }
}

/// An IPv6 address.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Inner {
    /// The client's address, if it has one.
    Own,
    /// The client's previous address.
    Former,
    Peer(u8),
    /// A client behind the same NAT.
    Neighbour(u8),
    Teredo {
        server: Outer,
        mapped: Outer,
        flags: u16,
    },
    Native(u8),
    LinkLocal(u8),
    Special(u8),
    Any(u128),
}

const SPECIAL: [Ipv6Addr; 8] = [
    Ipv6Addr::UNSPECIFIED,
    Ipv6Addr::LOCALHOST,
    Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x20a),
    Ipv6Addr::new(0x2002, 0xc000, 0x20a, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x3ffe, 0x831f, 0xcb00, 0x7178, 0, 0, 0, 1),
    Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xff0e, 0, 0, 0, 0, 0, 0, 1),
];

impl Inner {
    /// `own` is the client's address, `former` the one before.
    pub fn address(self, own: Ipv6Addr, former: Ipv6Addr) -> Ipv6Addr {
        match self {
            Self::Own => own,
            Self::Former => former,
            Self::Peer(n) => teredo(Outer::Primary(0), Outer::Peer(n), 0),
            Self::Neighbour(n) => teredo(Outer::Primary(0), Outer::Beside(n), 0),
            Self::Teredo {
                server,
                mapped,
                flags,
            } => teredo(server, mapped, flags),
            Self::Native(n) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n % 4)),
            Self::LinkLocal(n) => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(n % 4)),
            Self::Special(n) => *nth(&SPECIAL, n),
            Self::Any(bits) => bits.into(),
        }
    }
}

fn teredo(server: Outer, mapped: Outer, flags: u16) -> Ipv6Addr {
    TeredoAddress {
        server: *server.address().ip(),
        flags: Flags::from_bits(flags),
        mapped: mapped.address(),
    }
    .to_ipv6()
}

fn nth<T>(all: &[T], index: u8) -> &T {
    &all[usize::from(index) % all.len()]
}
