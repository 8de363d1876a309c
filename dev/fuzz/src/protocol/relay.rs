//! A relay between the IPv6 Internet, clients, strangers and its operator, all played by the fuzzer. The relay sends
//! only what it may, and where it may.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use arbitrary::Arbitrary;
use teredo::policy::DestinationPolicy;
use teredo::relay::Served;
use teredo::wire::{Flags, Ipv6Header, Ipv6Packet, PORT, TeredoAddress, emit_bubble, protocol};
use teredo::{Destination, Instant, Node, Prefix, Reception, Relay, RelayConfig, Submission};

const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 9), 3545);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const OWN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xff);
const MAX_PEERS: usize = 6;
const MAX_UNDERWAY: usize = 4;
const MAX_QUEUE: usize = 4 * 1280;
/// The number of clients for which the fuzzer can still answer.
const ASKED: usize = 6;
const VALIDITY: Duration = Duration::from_secs(30);

#[derive(Arbitrary, Debug)]
pub struct Input {
    direct_bubbles: bool,
    host: bool,
    operations: Vec<Operation>,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    /// A packet of the IPv6 Internet, numbered.
    Native {
        from: Inner,
        to: Inner,
        length: u16,
    },
    /// A datagram.
    Udp {
        from: Place,
        source: Inner,
        to: Inner,
        body: Body,
        tail: Vec<u8>,
    },
    /// A packet of a client that was asked, from its mapping or from the port beside it.
    Client {
        client: u8,
        beside: bool,
        to: Inner,
        body: Body,
        tail: Vec<u8>,
    },
    /// A correct answer to one of the last bubbles.
    Answer {
        client: u8,
    },
    RawUdp {
        from: Place,
        bytes: Vec<u8>,
    },
    RawNative(Vec<u8>),
    Wait {
        millis: u16,
    },
    Deny {
        client: u8,
    },
}

#[derive(Arbitrary, Debug)]
enum Body {
    Bubble,
    Udp,
    /// A routing header of this type, with so many segments left.
    Routing(u8, u8),
    /// A payload of any type.
    Other(u8, Vec<u8>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Place {
    Client(u8),
    Service,
    Private,
    Server,
    Any(u32, u16),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Inner {
    Teredo {
        server: u8,
        flags: u16,
        mapped: Place,
    },
    Native,
    Unserved,
    LinkLocal(u64),
    Any(u128),
}

impl Place {
    fn address(self) -> SocketAddrV4 {
        match self {
            Self::Client(number) => SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, number % 8), 4096),
            Self::Service => SERVICE,
            Self::Private => SocketAddrV4::new(Ipv4Addr::new(192, 168, 0, 1), 4096),
            Self::Server => SocketAddrV4::new(server(0), PORT),
            Self::Any(ip, port) => SocketAddrV4::new(ip.into(), port),
        }
    }
}

fn server(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, 120 + number % 2)
}

impl Inner {
    fn address(self) -> Ipv6Addr {
        match self {
            Self::Teredo {
                server: number,
                flags,
                mapped,
            } => TeredoAddress {
                server: server(number),
                flags: Flags::from_bits(flags & 1),
                mapped: mapped.address(),
            }
            .to_ipv6(),
            Self::Native => NATIVE,
            Self::Unserved => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1),
            Self::LinkLocal(identifier) => Ipv6Addr::from(0xfe80 << 112 | u128::from(identifier)),
            Self::Any(bits) => bits.into(),
        }
    }
}

/// An observer's knowledge of a client.
#[derive(Default)]
struct Seen {
    heard: Option<Instant>,
    /// The number of the last packet that left.
    last: u32,
    last_bubble: Option<Instant>,
    /// Its packets that wait until it has answered a bubble.
    held: Vec<Vec<u8>>,
    /// The source of its bubbles.
    tokens: HashSet<Ipv6Addr>,
    /// The IPv6 Internet has sent to it, or it has returned a token.
    wanted: bool,
}

struct World {
    relay: Relay,
    now: Instant,
    number: u32,
    /// Packets without a number are on the way.
    untold: bool,
    seen: HashMap<Ipv6Addr, Seen>,
    /// Source and target of the last bubbles, newest first.
    bubbles: VecDeque<(Ipv6Addr, Ipv6Addr)>,
}

/// Runs the target with one input.
pub fn run(input: Input) {
    let served = if input.host {
        Served::Host(vec![NATIVE])
    } else {
        Served::Networks(vec![Prefix::new(NATIVE, 48)])
    };
    let config = RelayConfig {
        error_source: Some(OWN),
        direct_bubbles: input.direct_bubbles,
        max_peers: MAX_PEERS,
        max_underway: MAX_UNDERWAY,
        max_queue_bytes: MAX_QUEUE / 2,
        max_total_queue_bytes: MAX_QUEUE,
        ..RelayConfig::new(SERVICE, served)
    };
    let now = Instant::from_nanos(0);
    let mut world = World {
        relay: Relay::new(config, [0; 32]),
        now,
        number: 0,
        untold: false,
        seen: HashMap::new(),
        bubbles: VecDeque::new(),
    };
    for operation in &input.operations {
        world.run(operation);
        let status = world.relay.status();
        assert!(status.trusted_peers <= MAX_PEERS && status.underway <= MAX_UNDERWAY);
        assert!(status.queued_bytes <= MAX_QUEUE);
    }
}

impl World {
    fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Native { from, to, length } => {
                let length = usize::from(length % 1400);
                self.submit(from.address(), to.address(), length);
            }
            Operation::Udp {
                from,
                source,
                to,
                body,
                tail,
            } => {
                let mut bytes = Vec::new();
                body.emit(source.address(), to.address(), &mut bytes);
                bytes.extend_from_slice(tail);
                self.receive(from.address(), &bytes);
            }
            Operation::Client {
                client,
                beside,
                to,
                body,
                tail,
            } => {
                let Some((_, source)) = self.asked(*client) else {
                    return;
                };
                let mut from = teredo(source).mapped;
                from.set_port(from.port() ^ u16::from(*beside));
                let mut bytes = Vec::new();
                body.emit(source, to.address(), &mut bytes);
                bytes.extend_from_slice(tail);
                self.receive(from, &bytes);
            }
            Operation::Answer { client } => {
                if let Some((token, client)) = self.asked(*client) {
                    let mut bytes = Vec::new();
                    emit_bubble(client, token, 255, &mut bytes);
                    self.receive(teredo(client).mapped, &bytes);
                }
            }
            Operation::RawUdp { from, bytes } => self.receive(from.address(), bytes),
            Operation::RawNative(bytes) => {
                if let Ok(packet) = Ipv6Packet::parse(bytes) {
                    self.seen.entry(packet.destination()).or_default().wanted = true;
                }
                if let Submission::Queued | Submission::Send(_) =
                    self.relay.handle_tun(self.now, bytes)
                {
                    // It has no number that would show its order.
                    self.untold = true;
                }
                self.drain(true);
            }
            Operation::Wait { millis } => self.wait(Duration::from_millis(u64::from(*millis))),
            Operation::Deny { client } => {
                let mut policy = DestinationPolicy::default();
                policy.deny(*Place::Client(*client).address().ip(), 32);
                self.relay.set_destinations(policy);
                self.drain(false);
            }
        }
    }

    fn submit(&mut self, from: Ipv6Addr, to: Ipv6Addr, length: usize) {
        self.number += 1;
        let mut payload = vec![0; length.max(4)];
        payload[..4].copy_from_slice(&self.number.to_be_bytes());
        let mut bytes = Vec::new();
        packet(from, to, protocol::UDP, &payload, &mut bytes);
        self.seen.entry(to).or_default().wanted = true;
        match self.relay.handle_tun(self.now, &bytes) {
            Submission::Send(place) => self.check(place, &bytes),
            Submission::SendFrom { .. } => panic!("a relay has one port"),
            Submission::Queued | Submission::Drop(_) => {}
        }
        self.drain(true);
    }

    fn asked(&self, client: u8) -> Option<(Ipv6Addr, Ipv6Addr)> {
        let count = self.bubbles.len().max(1);
        self.bubbles.get(usize::from(client) % count).copied()
    }

    fn receive(&mut self, from: SocketAddrV4, bytes: &[u8]) {
        let mut waits = Vec::new();
        let source = Ipv6Packet::parse_prefix(bytes).ok().map(|(packet, _)| {
            if !packet.is_bubble() {
                waits = packet.as_bytes().to_vec();
            }
            let seen = self.seen.entry(packet.source()).or_default();
            seen.wanted |= packet.is_bubble() && seen.tokens.contains(&packet.destination());
            packet.source()
        });
        let reception = self.relay.handle_udp(self.now, from, *SERVICE.ip(), bytes);
        if let Reception::Deliver(delivered) = reception {
            let packet = Ipv6Packet::parse(delivered).expect("only a packet is delivered");
            assert!(!packet.is_bubble());
            assert!(self.relay.config().destinations.permits(from) && from != SERVICE);
            let to = packet.destination();
            match &self.relay.config().served {
                Served::Host(addresses) => assert!(addresses.contains(&to)),
                Served::Networks(networks) => assert!(networks[0].contains(to)),
            }
            assert!(packet.upper_layer().expect("whole").routing.is_none());
        }
        let vouched = source.filter(|source| {
            TeredoAddress::from_ipv6(*source).is_some_and(|teredo| teredo.mapped == from)
        });
        match (reception, vouched) {
            (Reception::Drop(_), Some(source)) => {
                // A packet that is refused for its content may still have been heard.
                self.seen.entry(source).or_default().heard = Some(self.now);
            }
            (Reception::Drop(_), None) => {}
            // It proves nothing yet.
            (Reception::Consumed, vouched) if !waits.is_empty() => {
                let source = vouched.expect("what is held comes from its mapping");
                self.seen.entry(source).or_default().held.push(waits);
            }
            (_, vouched) => {
                let source = vouched.expect("what is taken comes from its mapping");
                let seen = self.seen.entry(source).or_default();
                assert!(seen.wanted && seen.last_bubble.is_some(), "R4380-5.4-04");
                seen.heard = Some(self.now);
            }
        }
        self.drain(false);
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.relay.poll_timeout().filter(|(at, _)| *at <= end) {
            assert!(at >= self.now, "no deadline in the past");
            self.now = at;
            self.relay.handle_timeout(at);
            assert!(
                self.relay.poll_timeout().is_none_or(|(next, _)| next > at),
                "no spinning"
            );
            self.drain(true);
        }
        self.now = end;
    }

    /// Checks all output. Errors are sent only if a packet of the IPv6 Internet can be the reason.
    fn drain(&mut self, errors: bool) {
        let mut bytes = Vec::new();
        while let Some(transmit) = self.relay.poll_transmit(&mut bytes) {
            assert_eq!(transmit.len, bytes.len());
            match transmit.destination {
                Destination::Udp(to) => self.check(to, &bytes),
                Destination::Secondary(_) | Destination::Random { .. } => {
                    panic!("a relay has one port")
                }
                Destination::Host => {
                    let error = Ipv6Packet::parse(&bytes).expect("an error is a packet");
                    if error.source() != OWN {
                        self.check_held(error.source(), &bytes);
                        bytes.clear();
                        continue;
                    }
                    assert!(errors);
                    assert!(!error.destination().is_multicast());
                    assert!(bytes.len() <= 1280);
                }
            }
            bytes.clear();
        }
    }

    /// A packet of a client that has waited: the client has answered since, and none passes twice (R4380-5.4-04).
    fn check_held(&mut self, source: Ipv6Addr, bytes: &[u8]) {
        let seen = self.seen.entry(source).or_default();
        assert!(seen.wanted && seen.last_bubble.is_some() && seen.heard.is_some());
        let place = seen.held.iter().position(|held| held == bytes);
        seen.held
            .remove(place.expect("only what a client has sent is passed on"));
    }

    fn check(&mut self, to: SocketAddrV4, bytes: &[u8]) {
        assert!(self.relay.config().destinations.permits(to) && to != SERVICE);
        let packet = Ipv6Packet::parse(bytes).expect("what is sent is a packet");
        let target = teredo(packet.destination());
        let server = SocketAddrV4::new(target.server, PORT);
        assert_ne!(target.mapped, server, "L-02");
        let seen = self.seen.entry(packet.destination()).or_default();
        if packet.is_bubble() && packet.source().is_unicast_link_local() {
            assert!(to == server || self.relay.config().direct_bubbles && to == target.mapped);
            seen.tokens.insert(packet.source());
            self.bubbles
                .push_front((packet.source(), packet.destination()));
            self.bubbles.truncate(ASKED);
            seen.last_bubble = Some(self.now);
            return;
        }
        assert_eq!(to, target.mapped);
        assert!(seen.heard.is_some_and(|heard| self.now - heard < VALIDITY));
        assert!(seen.last_bubble.is_some(), "nobody is sent to unasked");
        if !self.untold
            && let Some(number) = packet.payload().first_chunk()
        {
            let number = u32::from_be_bytes(*number);
            // Earlier packets may be lost, but never come later.
            assert!(number > seen.last, "in order, and once");
            seen.last = number;
        }
    }
}

fn teredo(address: Ipv6Addr) -> TeredoAddress {
    TeredoAddress::from_ipv6(address).expect("a relay sends to Teredo addresses alone")
}

fn packet(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: payload.len() as u16,
        next_header,
        hop_limit: 64,
        source,
        destination,
    }
    .emit(out);
    out.extend_from_slice(payload);
}

impl Body {
    fn emit(&self, source: Ipv6Addr, destination: Ipv6Addr, out: &mut Vec<u8>) {
        match self {
            Self::Bubble => emit_bubble(source, destination, 0, out),
            Self::Udp => packet(source, destination, protocol::UDP, &[0; 9], out),
            Self::Routing(kind, left) => {
                let header = [protocol::UDP, 0, *kind, *left, 0, 0, 0, 0];
                packet(source, destination, protocol::ROUTING, &header, out);
            }
            Self::Other(next_header, payload) => {
                let payload = &payload[..payload.len().min(usize::from(u16::MAX))];
                packet(source, destination, *next_header, payload, out);
            }
        }
    }
}
