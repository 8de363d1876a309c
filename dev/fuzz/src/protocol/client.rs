//! A client between a server, peers, a relay, a host and strangers, all played by the fuzzer. Whatever they do, the
//! client sends only what it may and where it may, and always has a deadline when it needs one.

mod extended;
mod input;
mod model;
mod random;
mod secondary;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

pub use input::Input;
use input::{
    Body, Flaw, Inner, Operation, Outer, Packet, Secondary, Settings, Wait, credentials, keyring,
};
use model::{Model, Sent};
use secondary::Solicitation;
use teredo::client::{Event, Nat, Reason, State};
use teredo::wire::{
    Authentication, DISCOVERY, Datagram, Ipv6Header, Ipv6Packet, Origin, PORT, PrefixInformation,
    RouterAdvertisement, Secret, TeredoAddress, checksum, emit_bubble, emit_echo_reply,
    emit_echo_request, protocol, server_link_local, server_prefix,
};
use teredo::{Client, Credentials, DropReason, Node, Reception, Submission};

/// The most time that passes in one step.
const MAX_WAIT: Duration = Duration::from_secs(400);
/// The hop limit of packets from the host and from others. The client's own bubbles have 255, which distinguishes them.
const HOP_LIMIT: u8 = 64;

/// Runs the target with one input.
pub fn run(input: Input) {
    let mut world = World::new(&input.settings);
    for operation in input.settings.before().iter().chain(&input.operations) {
        world.run(operation);
    }
}

struct World {
    client: Client,
    model: Model,
    max_peers: usize,
    max_queue_bytes: usize,
}

/// The kind of a call to the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Udp,
    /// A bubble from a link-local address, directly from a peer that is being asked: its token is returned.
    Token,
    /// For the discovery address, from there.
    Multicast(SocketAddrV4),
    /// To the secondary port.
    Secondary,
    /// To a random port.
    Random,
    /// The host's answer to a random port.
    RandomPort,
    /// An ICMP error.
    Icmp,
    Tun,
    Timeout,
    /// Before the client asked for the port.
    EarlyTimeout,
    Control,
}

impl World {
    fn new(settings: &Settings) -> Self {
        let config = settings.config();
        let mut model = Model::new(config.destinations.clone(), settings.refused());
        model.keyed = settings.keyed;
        let (max_peers, max_queue_bytes) = (config.max_peers, config.max_queue_bytes);
        Self {
            client: Client::new(config, [settings.seed; 32], model.now),
            model,
            max_peers,
            max_queue_bytes,
        }
    }

    fn run(&mut self, operation: &Operation) {
        let now = self.model.now;
        match operation {
            Operation::Advertise(mapped) => self.advertise_all(mapped.address()),
            Operation::Advertisement {
                solicitation,
                mapped,
                flaw,
            } => {
                let count = self.model.solicitations.len().max(1);
                self.advertise(
                    usize::from(*solicitation) % count,
                    mapped.address(),
                    flaw.clone(),
                );
            }
            Operation::Reply { test, from } => {
                let count = self.model.tests.len().max(1);
                let Some(test) = self.model.tests.get(usize::from(*test) % count) else {
                    return;
                };
                let mut bytes = Vec::new();
                emit_echo_reply(
                    test.target,
                    self.model.own_address(),
                    HOP_LIMIT,
                    test.identifier,
                    test.sequence,
                    &test.data,
                    &mut bytes,
                );
                self.receive(from.address(), &bytes);
            }
            Operation::Direct {
                peer,
                beside,
                body,
                tail,
                trailers,
            } => {
                let source = self.address(*peer);
                let mut from = TeredoAddress::from_ipv6(source)
                    .map_or_else(|| Outer::Relay(0).address(), |teredo| teredo.mapped);
                from.set_port(from.port() ^ u16::from(*beside));
                let mut bytes = Vec::new();
                self.emit(source, self.model.own_address(), body, &mut bytes);
                self.trail(source, trailers, &mut bytes);
                bytes.extend_from_slice(tail);
                self.receive(from, &bytes);
            }
            Operation::Indirect {
                source,
                origin,
                body,
                trailers,
            } => {
                let Some(own) = self.model.own else { return };
                let mut bytes = Vec::new();
                if let Some(origin) = origin {
                    Origin(origin.address()).emit(&mut bytes);
                }
                let source = self.address(*source);
                self.emit(source, own.to_ipv6(), body, &mut bytes);
                self.trail(source, trailers, &mut bytes);
                self.receive(SocketAddrV4::new(own.server, PORT), &bytes);
            }
            Operation::RandomPort { .. }
            | Operation::Random { .. }
            | Operation::Echo { .. }
            | Operation::IcmpError { .. } => self.run_extended(operation),
            Operation::Receive {
                from,
                multicast,
                nonce,
                origin,
                packet,
                tail,
            } => {
                let mut bytes = Vec::new();
                if let Some(nonce) = nonce {
                    let count = self.model.solicitations.len().max(1);
                    let solicitation = self.model.solicitations.get(usize::from(*nonce) % count);
                    let nonce = solicitation.map_or([*nonce; 8], |s| s.nonce);
                    Authentication::nonce_only(nonce).emit(&mut bytes);
                }
                if let Some(origin) = origin {
                    Origin(origin.address()).emit(&mut bytes);
                }
                self.emit_packet(packet, &mut bytes);
                bytes.extend_from_slice(tail);
                let local = if *multicast { *DISCOVERY.ip() } else { LOCAL };
                self.receive_at(local, from.address(), &bytes);
            }
            Operation::ReceiveRaw { from, bytes } => {
                self.receive(from.address(), bytes);
            }
            Operation::Submit { destination, body } => {
                let mut bytes = Vec::new();
                let destination = self.address(*destination);
                self.emit(self.model.own_address(), destination, body, &mut bytes);
                self.submit(&bytes);
            }
            Operation::SubmitOdd(packet) => {
                let mut bytes = Vec::new();
                self.emit_packet(packet, &mut bytes);
                self.submit(&bytes);
            }
            Operation::SubmitRaw(bytes) => self.submit(bytes),
            Operation::Wait(wait) => {
                let step = match *wait {
                    Wait::Millis(millis) => Duration::from_millis(millis.into()),
                    Wait::Seconds(seconds) => Duration::from_secs(seconds.into()),
                    Wait::Timer => self
                        .client
                        .poll_timeout()
                        .map_or(Duration::ZERO, |(at, _)| at - now),
                };
                self.model.now += step.min(MAX_WAIT);
                if matches!(wait, Wait::Timer) {
                    self.timeout();
                }
            }
            Operation::Timeout => self.timeout(),
            Operation::NetworkChange(local) => {
                self.client.handle_network_change(now, local.address());
                self.settle(Call::Control);
            }
            Operation::SetServers(servers) => {
                self.model.servers = servers.addresses();
                self.client.set_servers(now, &self.model.servers);
                self.settle(Call::Control);
            }
            Operation::SetKeyring { keyed } => {
                self.model.keyed = *keyed;
                self.client.set_keyring(keyring(*keyed));
                assert_eq!(self.settle(Call::Control).own(), 0);
            }
            Operation::SetSubnet(subnet) => {
                let subnet = subnet.map(|subnet| subnet.local());
                self.model
                    .set_subnet(subnet.filter(|subnet| subnet.prefix_len < 32));
                self.client.set_local_subnet(now, subnet);
                assert_eq!(self.settle(Call::Control).own(), 0);
            }
            Operation::SecondaryPort(local) => {
                self.model.secondary.answered(local.is_some());
                let local = local.map(|local| local.address());
                self.client.secondary_port(now, local);
                let sent = self.settle(Call::Control);
                assert_eq!(sent.own(), sent.secondary);
            }
            Operation::Secondary(operation) => self.run_secondary(operation),
            Operation::LocalBubble { claimed, from } => {
                let mut bytes = Vec::new();
                emit_bubble(self.address(*claimed), ALL_NODES, 1, &mut bytes);
                self.receive_at(*DISCOVERY.ip(), from.address(), &bytes);
            }
            Operation::Neighbour {
                claimed,
                from,
                body,
            } => {
                let mut bytes = Vec::new();
                let claimed = self.address(*claimed);
                self.emit(claimed, self.model.own_address(), body, &mut bytes);
                self.receive(from.address(), &bytes);
            }
            Operation::SetDestinations(policy) => {
                self.model.policy = policy.destinations();
                self.model.refused = policy.refused();
                self.client.set_destinations(self.model.policy.clone());
                // Peers that may not be reached are forgotten.
                self.model.forget_questions();
                assert_eq!(self.settle(Call::Control).own(), 0);
            }
            Operation::Start { local, servers } => {
                self.model.servers = servers.addresses();
                self.client.start(now, local.address(), &self.model.servers);
                self.settle(Call::Control);
            }
            Operation::Stop => {
                self.client.stop(now);
                assert_eq!(self.settle(Call::Control).own(), 0);
                assert_eq!(self.client.poll_timeout(), None);
            }
            Operation::Sleep(native) => {
                let native = self.address(*native);
                self.client.sleep(now, native);
                assert_eq!(self.settle(Call::Control).own(), 0);
                assert_eq!(self.client.poll_timeout(), None);
                let status = self.client.status();
                assert_eq!(status.reason, Some(Reason::NativeIpv6(native)));
            }
        }
    }

    fn run_secondary(&mut self, operation: &Secondary) {
        match operation {
            Secondary::Advertise(mapped) => {
                for index in 0..self.model.secondary.solicitations.len() {
                    self.advertise_secondary(index, mapped.address(), &Flaw::None);
                }
            }
            Secondary::Advertisement {
                solicitation,
                mapped,
                flaw,
            } => {
                let count = self.model.secondary.solicitations.len().max(1);
                let index = usize::from(*solicitation) % count;
                self.advertise_secondary(index, mapped.address(), flaw);
            }
            Secondary::Hairpin { from } => {
                let Some((_, address)) = self.model.secondary.probe else {
                    return;
                };
                let mut bytes = Vec::new();
                emit_bubble(self.model.own_address(), address, 255, &mut bytes);
                self.receive_secondary(from.address(), &bytes);
            }
            Secondary::Forwarded { origin } => {
                let (Some((_, address)), Some(own)) = (self.model.secondary.probe, self.model.own)
                else {
                    return;
                };
                let mut bytes = Vec::new();
                Origin(origin.address()).emit(&mut bytes);
                emit_bubble(own.to_ipv6(), address, 255, &mut bytes);
                self.receive_secondary(SocketAddrV4::new(own.server, PORT), &bytes);
            }
            Secondary::Raw { from, bytes } => {
                self.receive_secondary(from.address(), bytes);
            }
        }
    }

    fn advertise_secondary(&mut self, index: usize, mapped: SocketAddrV4, flaw: &Flaw) {
        let Some(solicitation) = self.model.secondary.solicitations.get(index) else {
            return;
        };
        let Some((from, bytes)) = self.answer(solicitation, mapped, flaw) else {
            return;
        };
        self.model.secondary.tells(mapped);
        let dropped = self.receive_secondary(from, &bytes);
        if self.is_wrong(flaw, mapped) {
            assert!(dropped.is_some(), "R4380-5.2.7-01");
        }
    }

    fn receive_secondary(&mut self, from: SocketAddrV4, bytes: &[u8]) -> Option<DropReason> {
        let before = self.client.drops().clone();
        let status = self.client.status();
        let reception = self.client.handle_secondary(self.model.now, from, bytes);
        let dropped = match reception {
            Reception::Deliver(_) => panic!("nothing there is for the host"),
            Reception::Consumed => None,
            Reception::Drop(reason) => {
                assert!(self.client.drops().get(reason) > before.get(reason));
                Some(reason)
            }
        };
        self.settle(Call::Secondary);
        let interval = self.client.status().refresh_interval;
        let shortest = status.refresh_interval.min(Duration::from_secs(5));
        assert!(interval >= shortest, "it is never shortened below 5 s");
        assert_eq!(
            self.client.status(),
            teredo::client::Status {
                refresh_interval: interval,
                ..status
            }
        );
        dropped
    }

    fn timeout(&mut self) {
        let due = self.client.poll_timeout();
        let call = match due {
            Some((at, _)) if at <= self.model.now => Call::Timeout,
            _ => Call::EarlyTimeout,
        };
        self.client.handle_timeout(self.model.now);
        self.settle(call);
        let next = self.client.poll_timeout();
        assert!(
            next.is_none_or(|(at, _)| at > self.model.now),
            "it spins: {next:?}"
        );
        assert!(call != Call::EarlyTimeout || next == due);
    }

    fn submit(&mut self, packet: &[u8]) {
        let is_odd = |p: Ipv6Packet<'_>| p.is_bubble() && p.hop_limit() != HOP_LIMIT;
        if Ipv6Packet::parse(packet).is_ok_and(is_odd) {
            return;
        }
        let before = self.client.drops().clone();
        self.make_room();
        self.model.names(packet);
        match self.client.handle_tun(self.model.now, packet) {
            Submission::Send(to) => self.model.submitted(to, packet),
            Submission::SendFrom { port, to } => self.model.submitted_from(port, to, packet),
            Submission::Queued => self.model.queued(packet),
            Submission::Drop(reason) => {
                assert!(self.client.drops().get(reason) > before.get(reason));
            }
        }
        self.settle(Call::Tun);
    }

    fn receive(&mut self, from: SocketAddrV4, bytes: &[u8]) -> Option<DropReason> {
        self.receive_at(LOCAL, from, bytes)
    }

    fn receive_at(
        &mut self,
        local: Ipv4Addr,
        from: SocketAddrV4,
        bytes: &[u8],
    ) -> Option<DropReason> {
        let before = self.client.drops().clone();
        self.make_room();
        if local.is_multicast() {
            self.model.hears_locally(from, bytes);
        } else {
            self.model.hears(from, bytes);
        }
        let reception = self.client.handle_udp(self.model.now, from, local, bytes);
        let dropped = match reception {
            Reception::Deliver(packet) => {
                assert_eq!(self.model.state(), State::Qualified, "R4380-5.2-04");
                assert!(!local.is_multicast());
                self.check_delivered(packet);
                None
            }
            Reception::Consumed => None,
            Reception::Drop(reason) => {
                assert!(self.client.drops().get(reason) > before.get(reason));
                Some(reason)
            }
        };
        let from_server = self
            .model
            .own
            .is_some_and(|own| from == SocketAddrV4::new(own.server, PORT));
        let token = !from_server
            && Datagram::parse(bytes).is_ok_and(|d| d.packet.source().is_unicast_link_local());
        self.settle(match local.is_multicast() {
            true => Call::Multicast(from),
            false if token => Call::Token,
            false => Call::Udp,
        });
        dropped
    }

    fn check_delivered(&self, packet: &[u8]) {
        let packet = Ipv6Packet::parse(packet).expect("only a packet is delivered");
        assert_eq!(packet.destination(), self.model.own_address());
        assert!(!packet.is_bubble(), "R4380-5.2.3-10");
        let source = packet.source();
        assert!(source != packet.destination() && !source.is_multicast());
        assert!(!source.is_loopback() && !source.is_unspecified());
        let routed = packet
            .upper_layer()
            .is_ok_and(|layer| layer.routing.is_some());
        assert!(!routed, "R6169-2.3-01");
    }

    /// A full table replaces the oldest peer, and forgets when that was last asked.
    fn make_room(&mut self) {
        if self.client.status().peers >= self.max_peers {
            self.model.forget_questions();
        }
    }

    /// Drains the client, as its contract demands, and checks all its output.
    fn settle(&mut self, call: Call) -> Sent {
        let mut events = 0;
        while let Some(event) = self.client.poll_event() {
            // The ports of peers that are forgotten are closed at any time.
            let closes = matches!(event, Event::RandomPort { wanted: false, .. });
            self.model.event(event);
            events += usize::from(!closes);
        }
        self.model.is_extended |= self.client.status().nat == Nat::Symmetric;
        let mut sent = Sent::default();
        let mut bytes = vec![0xff];
        while let Some(transmit) = self.client.poll_transmit(&mut bytes) {
            assert_eq!(bytes.len(), 1 + transmit.len);
            self.model.transmitted(&transmit, &bytes[1..], &mut sent);
            bytes.truncate(1);
        }
        if !matches!(call, Call::Token | Call::Multicast(_)) {
            self.model.check_bubbles(&sent);
        }
        self.model.check_local(&sent, call == Call::Timeout);
        self.model
            .check_status(&self.client.status(), self.max_peers);
        match call {
            Call::Udp | Call::Token => {
                // Another mapping is asked for from both addresses; every other call sends one solicitation at most.
                let most = if sent.solicitations == 0 { 1 } else { 2 };
                // RFC 6081: an answer to the mapping and one to each of four alternate addresses, a question back with its
                // direct bubble, a bubble from or to a random port, and a question over the path.
                let most = if self.model.is_extended { 10 } else { most };
                assert!(sent.own() + sent.random <= most, "more out than in");
                assert_eq!(sent.secondary + sent.probes, 0);
                assert_eq!(sent.errors, 0);
                assert!(sent.released_bytes <= self.max_queue_bytes);
            }
            Call::Multicast(from) => {
                assert!(
                    sent.own() <= 1 && sent.own() == sent.bubbles(),
                    "R4380-5.2.8-08"
                );
                assert!(sent.only_bubble().is_none_or(|(_, to)| to == from));
                assert_eq!(sent.released + sent.errors, 0);
            }
            Call::Random => {
                // The answer to an echo test lets an indirect bubble leave; a bubble is greeted, and its question answered.
                assert!(sent.own() + sent.random <= 3, "more out than in");
                assert_eq!(sent.solicitations + sent.errors + sent.tests, 0);
            }
            Call::RandomPort => {
                // An indirect bubble, or an echo test.
                assert!(sent.own() <= 1 && sent.random <= 3);
                assert_eq!(
                    sent.solicitations + sent.errors + sent.tests + sent.released,
                    0
                );
            }
            Call::Icmp => {
                assert!(sent.own() <= 1 && sent.own() == sent.bubbles());
                assert_eq!(sent.random + sent.released + sent.errors, 0);
            }
            Call::Secondary => {
                assert!(
                    sent.own() <= 1 && sent.own() == sent.secondary,
                    "more out than in"
                );
                assert_eq!(sent.released + sent.errors, 0);
            }
            Call::Tun => {
                let most = if self.model.is_extended { 4 } else { 3 };
                assert!(
                    sent.bubbles() <= most
                        && sent.local <= 1
                        && sent.tests <= 1
                        && sent.errors <= 1
                );
                assert!(sent.random <= 1);
                assert_eq!(
                    sent.solicitations + sent.released + sent.secondary + sent.probes,
                    0
                );
            }
            Call::Timeout => {
                assert_eq!(sent.released, 0);
                assert!(sent.probes <= 1 && sent.secondary <= 2);
            }
            Call::EarlyTimeout => assert_eq!(sent.own() + sent.released + sent.errors + events, 0),
            Call::Control => {
                let at_once = sent.bubbles() + sent.tests + sent.local + sent.probes;
                assert_eq!(at_once + sent.released + sent.errors, 0);
            }
        }
        sent
    }

    /// The server's answers to all solicitations.
    fn advertise_all(&mut self, mapped: SocketAddrV4) {
        // An answer does not change the list of solicitations.
        for index in 0..self.model.solicitations.len() {
            self.advertise(index, mapped, Flaw::None);
        }
    }

    fn advertise(&mut self, index: usize, mapped: SocketAddrV4, flaw: Flaw) {
        let Some(solicitation) = self.model.solicitations.get(index) else {
            return;
        };
        let Some((from, bytes)) = self.answer(solicitation, mapped, &flaw) else {
            return;
        };
        let before = self.client.status();
        let dropped = self.receive(from, &bytes);
        if self.is_wrong(&flaw, mapped) {
            assert!(dropped.is_some(), "R4380-5.2.1-06");
            assert_eq!(before, self.client.status(), "R4380-5.2.1-07");
        }
    }

    /// The source and the contents of the server's answer to a solicitation.
    fn answer(
        &self,
        solicitation: &Solicitation,
        mapped: SocketAddrV4,
        flaw: &Flaw,
    ) -> Option<(SocketAddrV4, Vec<u8>)> {
        let server = self.model.server_at(solicitation.to)?;
        let mut from = solicitation.to;
        let mut source = server_link_local(server.primary);
        let mut destination = solicitation.source;
        let mut authentication = Authentication::nonce_only(solicitation.nonce);
        let mut prefix = PrefixInformation {
            prefix: server_prefix(server.primary),
            length: 64,
            on_link: false,
            autonomous: true,
            valid_lifetime: PrefixInformation::INFINITE,
            preferred_lifetime: PrefixInformation::INFINITE,
        };
        let (mut prefixes, mut mtu) = (1, None);
        match *flaw {
            Flaw::Nonce => authentication.nonce[7] ^= 1,
            Flaw::Confirmation(value) => authentication.confirmation = value,
            Flaw::From(outer) => from = outer.address(),
            Flaw::Source(inner) => source = self.address(inner),
            Flaw::Destination(inner) => destination = self.address(inner),
            Flaw::Prefix(inner) => prefix.prefix = self.address(inner),
            Flaw::PrefixLength(length) => prefix.length = length,
            Flaw::Prefixes(count) => prefixes = usize::from(count % 4),
            Flaw::Mtu(value) => mtu = Some(value),
            _ => {}
        }

        let mut signed = Vec::new();
        if !matches!(flaw, Flaw::NoOrigin) {
            Origin(mapped).emit(&mut signed);
        }
        let packet = signed.len();
        let advertisement = RouterAdvertisement {
            prefixes: vec![prefix; prefixes],
            mtu,
            ..RouterAdvertisement::default()
        };
        advertisement.emit(source, destination, &mut signed);
        match flaw {
            Flaw::HopLimit(limit) => signed[packet + 7] = *limit,
            Flaw::Checksum(flipped) => signed[packet + Ipv6Packet::HEADER_LEN + 2] ^= flipped,
            _ => {}
        }
        let Credentials { identifier, secret } = credentials();
        let secret = match flaw {
            Flaw::Forged => Secret::new(b"a guess"),
            _ => secret,
        };
        let value = secret.sign(authentication.nonce, authentication.confirmation, &signed);
        if self.model.keyed && !matches!(flaw, Flaw::Unsigned) {
            authentication.identifier = identifier.as_bytes();
            authentication.value = &value;
        }
        let mut bytes = Vec::new();
        if !matches!(flaw, Flaw::NoAuthentication) {
            authentication.emit(&mut bytes);
        }
        bytes.extend_from_slice(&signed);
        if let Flaw::Tail(tail) = flaw {
            bytes.extend_from_slice(tail);
        }
        Some((from, bytes))
    }

    /// Whether an advertisement with this flaw must be refused.
    fn is_wrong(&self, flaw: &Flaw, mapped: SocketAddrV4) -> bool {
        match *flaw {
            Flaw::Nonce | Flaw::NoAuthentication | Flaw::NoOrigin => true,
            Flaw::Unsigned | Flaw::Forged => self.model.keyed,
            Flaw::HopLimit(limit) => limit != 255,
            Flaw::Checksum(flipped) => flipped != 0,
            Flaw::PrefixLength(length) => length != 64,
            Flaw::Prefixes(count) => count % 4 != 1,
            _ => !self.model.policy.permits(mapped),
        }
    }

    fn address(&self, inner: Inner) -> Ipv6Addr {
        inner.address(self.model.own_address(), self.model.former)
    }

    fn emit_packet(&self, packet: &Packet, out: &mut Vec<u8>) {
        let source = self.address(packet.source);
        self.emit(source, self.address(packet.destination), &packet.body, out);
    }

    fn emit(&self, source: Ipv6Addr, destination: Ipv6Addr, body: &Body, out: &mut Vec<u8>) {
        match body {
            Body::Bubble => emit_bubble(source, destination, HOP_LIMIT, out),
            Body::EchoRequest(data) => {
                emit_echo_request(source, destination, HOP_LIMIT, 1, 2, data, out);
            }
            Body::EchoReply(data) => {
                emit_echo_reply(source, destination, HOP_LIMIT, 1, 2, data, out);
            }
            Body::TestReply(index) => {
                let count = self.model.tests.len().max(1);
                let test = self.model.tests.get(usize::from(*index) % count);
                let data = test.map_or(&[][..], |test| &test.data);
                emit_echo_reply(source, destination, HOP_LIMIT, 1, 2, data, out);
            }
            Body::Filler(len) => {
                let len = usize::from(len % 1400);
                emit_payload(source, destination, protocol::UDP, &[0; 1400][..len], out);
            }
            // The fuzzer would hardly guess a complete one.
            Body::Other(next_header, _) if next_header % 8 == protocol::ROUTING % 8 => {
                let header = [protocol::UDP, 0, 0, next_header / 64, 0, 0, 0, 0];
                emit_payload(source, destination, protocol::ROUTING, &header, out);
            }
            Body::Other(next_header, payload) => {
                emit_payload(source, destination, *next_header, payload, out);
            }
        }
    }
}

/// The destination of a local bubble.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The address of the service port, or the one of local discovery.
const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);

/// An IPv6 packet with this payload; ICMPv6 gets a valid checksum.
fn emit_payload(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let mut payload = payload[..payload.len().min(usize::from(u16::MAX))].to_vec();
    if next_header == protocol::ICMPV6
        && let Some(field) = payload.get_mut(2..4)
    {
        field.fill(0);
        let sum = checksum(source, destination, protocol::ICMPV6, &payload);
        payload[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: payload.len() as u16,
        next_header,
        hop_limit: HOP_LIMIT,
        source,
        destination,
    }
    .emit(out);
    out.extend_from_slice(&payload);
}
