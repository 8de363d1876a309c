//! Offers of a client, against what it would do with each packet itself.

mod properties;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use crate::client::peers::{Contact, Path};
use crate::client::random_port::RandomPort;
use crate::client::reachability::Forward;
use crate::client::{Event, LocalSubnet, Phase, RandomPortAnswer};
use crate::policy::DestinationPolicy;
use crate::wire::{
    Authentication, Datagram, ECHO_REQUEST, Flags, Origin, PORT, PrefixInformation,
    RouterAdvertisement, TeredoAddress, Trailer, emit_bubble, emit_echo_reply, emit_echo_request,
    protocol, server_link_local, server_prefix,
};
use crate::{
    Client, ClientConfig, Destination, Instant, Node, PathChange, PeerPath, Reception,
    ServerAddress, Submission,
};

const SERVER: ServerAddress = ServerAddress {
    primary: Ipv4Addr::new(203, 0, 113, 120),
    secondary: Ipv4Addr::new(203, 0, 113, 121),
};
const LOCAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 2), 50_000);
const MAPPED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 50_000);
/// Teredo peers, of which the last is behind our NAT, and native hosts behind as many relays.
const TEREDO: u8 = 3;
const PEERS: u8 = 5;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn mapping(peer: u8) -> SocketAddrV4 {
    match peer {
        2 => SocketAddrV4::new(*MAPPED.ip(), 4099),
        _ => SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 10 + peer), 4096),
    }
}

fn address(peer: u8) -> Ipv6Addr {
    if peer >= TEREDO {
        return Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, peer.into());
    }
    TeredoAddress {
        server: Ipv4Addr::new(203, 0, 113, 7),
        flags: Flags::default(),
        mapped: mapping(peer),
    }
    .to_ipv6()
}

/// Any packet that is no bubble.
fn data(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit_echo_request(source, destination, 64, 1, 1, &[], &mut bytes);
    bytes
}

/// A client, its peers' knowledge, and a caller that polls after every call.
struct World {
    client: Client,
    millis: u64,
    /// Solicitations without an answer.
    asked: Vec<(SocketAddrV4, Vec<u8>)>,
    /// The mapping that the server's secondary address sees.
    seen_by_secondary: SocketAddrV4,
    /// The data of the last test of a native host, and the nonce of the last bubble to a Teredo peer.
    tests: BTreeMap<Ipv6Addr, Vec<u8>>,
    nonces: BTreeMap<Ipv6Addr, [u8; 4]>,
    /// The random ports that the client wants.
    ports: Vec<u16>,
    offered: BTreeMap<Ipv6Addr, PeerPath>,
    changes: Vec<PathChange>,
}

impl World {
    fn new(config: ClientConfig, seen_by_secondary: SocketAddrV4) -> Self {
        let mut world = Self {
            client: Client::new(config, [1; 32], at(0)),
            millis: 0,
            asked: Vec::new(),
            seen_by_secondary,
            tests: BTreeMap::new(),
            nonces: BTreeMap::new(),
            ports: Vec::new(),
            offered: BTreeMap::new(),
            changes: Vec::new(),
        };
        world.client.report_paths(true);
        world.client.start(at(0), LOCAL, &[SERVER]);
        world.poll();
        world.answer(MAPPED);
        world.answer(MAPPED);
        assert!(world.client.status().address.is_some());
        world
    }

    fn usual() -> Self {
        Self::new(ClientConfig::default(), MAPPED)
    }

    fn own(&self) -> Ipv6Addr {
        self.client.status().address.unwrap_or(Ipv6Addr::LOCALHOST)
    }

    fn now(&self) -> Instant {
        at(self.millis)
    }

    /// Polls everything, and opens the ports that the client wants.
    fn poll(&mut self) {
        let mut bytes = Vec::new();
        loop {
            while let Some(transmit) = self.client.poll_transmit(&mut bytes) {
                self.note(transmit.destination, &std::mem::take(&mut bytes));
            }
            self.poll_paths();
            let Some(event) = self.client.poll_event() else {
                break;
            };
            if let Event::RandomPort { port, wanted } = event {
                self.ports.retain(|&other| other != port);
                if wanted {
                    self.ports.push(port);
                    self.client
                        .random_port(self.now(), port, RandomPortAnswer::Open);
                    self.poll_paths();
                }
            }
        }
        self.check();
    }

    fn poll_paths(&mut self) {
        while let Some(change) = self.client.poll_path() {
            self.changes.push(change);
            match change {
                PathChange::Offered(path) => drop(self.offered.insert(path.peer, path)),
                PathChange::Withdrawn(peer) => drop(self.offered.remove(&peer)),
                PathChange::AllWithdrawn => self.offered.clear(),
            }
        }
    }

    /// The changes since the last call.
    fn changes(&mut self) -> Vec<PathChange> {
        std::mem::take(&mut self.changes)
    }

    fn note(&mut self, destination: Destination, bytes: &[u8]) {
        let datagram = Datagram::parse(bytes).unwrap();
        let packet = datagram.packet;
        if let (Some(_), Destination::Udp(to)) = (&datagram.authentication, destination) {
            self.asked.push((to, bytes.to_vec()));
        } else if packet.next_header() == protocol::ICMPV6
            && packet.payload()[0] == ECHO_REQUEST
            && destination == Destination::Udp(SocketAddrV4::new(SERVER.primary, PORT))
        {
            let data = packet.payload()[8..].to_vec();
            self.tests.insert(packet.destination(), data);
        }
        for trailer in datagram.trailers.iter() {
            if let Trailer::Nonce(nonce) = trailer {
                self.nonces.insert(packet.destination(), nonce);
            }
        }
    }

    /// The server answers all that it was asked.
    fn answer(&mut self, mapped: SocketAddrV4) {
        for (server, solicitation) in std::mem::take(&mut self.asked) {
            let seen = match *server.ip() == SERVER.secondary {
                true => self.seen_by_secondary,
                false => mapped,
            };
            let asked = Datagram::parse(&solicitation).unwrap();
            let mut bytes = Vec::new();
            Authentication::nonce_only(asked.authentication.unwrap().nonce).emit(&mut bytes);
            Origin(seen).emit(&mut bytes);
            let advertisement = RouterAdvertisement {
                prefixes: vec![PrefixInformation {
                    prefix: server_prefix(SERVER.primary),
                    length: 64,
                    on_link: false,
                    autonomous: true,
                    valid_lifetime: PrefixInformation::INFINITE,
                    preferred_lifetime: PrefixInformation::INFINITE,
                }],
                ..RouterAdvertisement::default()
            };
            let router = server_link_local(SERVER.primary);
            advertisement.emit(router, asked.packet.source(), &mut bytes);
            self.receive(None, server, &bytes);
        }
    }

    /// A datagram arrives at the service port or at a random one. An offered path delivers.
    fn receive(&mut self, port: Option<u16>, from: SocketAddrV4, bytes: &[u8]) {
        let datagram = Datagram::parse(bytes).unwrap();
        let (source, is_bubble) = (datagram.packet.source(), datagram.packet.is_bubble());
        let is_plain = datagram.origin.is_none() && datagram.authentication.is_none();
        let is_ours = datagram.packet.destination() == self.own();
        let now = self.now();
        let reception = match port {
            Some(port) => self.client.handle_random(now, port, from, bytes),
            None => self.client.handle_udp(now, from, *LOCAL.ip(), bytes),
        };
        if let Some(path) = self.offered.get_mut(&source)
            && (path.remote, path.port) == (from, port)
            && is_plain
            && is_ours
            && !is_bubble
        {
            assert_eq!(reception, Reception::Deliver(bytes), "{path:?}");
            path.heard = now;
        }
        self.poll();
    }

    fn receive_data(&mut self, peer: u8) {
        let bytes = data(address(peer), self.own());
        self.receive(None, mapping(peer), &bytes);
    }

    /// The host sends to a peer. A packet for an offered path that is not too old takes it.
    fn send(&mut self, target: Ipv6Addr) -> Submission {
        let (now, bytes) = (self.now(), data(self.own(), target));
        let submission = self.client.handle_tun(now, &bytes);
        if let Some(path) = self.offered.get(&target)
            && now - path.heard < std::time::Duration::from_secs(30)
        {
            let expected = match path.port {
                None => Submission::Send(path.remote),
                Some(port) => Submission::SendFrom {
                    port,
                    to: path.remote,
                },
            };
            assert_eq!(submission, expected, "{path:?}");
        }
        self.poll();
        submission
    }

    /// The answer of a native host to the last test.
    fn answer_test(&mut self, peer: u8) {
        self.answer_test_from(peer, mapping(peer));
    }

    fn answer_test_from(&mut self, peer: u8, from: SocketAddrV4) {
        if let Some(data) = self.tests.get(&address(peer)) {
            let mut bytes = Vec::new();
            let identifier = u16::from_be_bytes([data[0], data[1]]);
            emit_echo_reply(
                address(peer),
                self.own(),
                64,
                identifier,
                0,
                data,
                &mut bytes,
            );
            self.receive(None, from, &bytes);
        }
    }

    /// A bubble of a Teredo peer, with our last nonce if there is one.
    fn bubble(&mut self, peer: u8, port: Option<u16>, from: SocketAddrV4) {
        let mut bytes = Vec::new();
        emit_bubble(address(peer), self.own(), 255, &mut bytes);
        if let Some(&nonce) = self.nonces.get(&address(peer)) {
            Trailer::Nonce(nonce).emit(&mut bytes);
        }
        self.receive(port, from, &bytes);
    }

    /// A bubble that the server forwards.
    fn indirect_bubble(&mut self, peer: u8, nonce: [u8; 4]) {
        let mut bytes = Vec::new();
        Origin(mapping(peer)).emit(&mut bytes);
        emit_bubble(address(peer), self.own(), 255, &mut bytes);
        Trailer::Nonce(nonce).emit(&mut bytes);
        self.receive(None, SocketAddrV4::new(SERVER.primary, PORT), &bytes);
    }

    fn pass(&mut self, millis: u64) {
        self.millis += millis;
        self.client.handle_timeout(self.now());
        self.poll();
    }

    /// Each offered path is that of its peer, which is trusted, hears us, and is not being asked.
    fn check(&self) {
        for path in self.offered.values() {
            let Phase::Qualified(service) = &self.client.phase else {
                panic!("{path:?} is offered, and there is no service");
            };
            assert_eq!(path.own, Some(service.ipv6));
            let slot = self.client.peers.find(&path.peer);
            let slot = slot.unwrap_or_else(|| panic!("the peer of {path:?} is gone"));
            let peer = self.client.peers.peer(slot);
            let expected = Path::new(path.port, path.remote);
            assert!(peer.trusted, "{path:?}");
            assert_eq!(peer.proven, Some(expected));
            assert_eq!(peer.forward, Forward::Confirmed);
            let contact: Option<Contact> = peer.contact;
            assert!(contact.is_none(), "{path:?} is being asked");
            assert_eq!(self.client.peers.first_waiting(slot), None);
            if let Some(port) = path.port {
                let port = self.client.random_ports.get(port);
                assert!(port.is_some_and(RandomPort::is_open));
            }
        }
    }
}

fn path(world: &World, peer: u8, heard: u64) -> PeerPath {
    PeerPath {
        peer: address(peer),
        own: Some(world.own()),
        port: None,
        remote: mapping(peer),
        heard: at(heard),
    }
}

/// R4380-5.2.4-02, R4380-5.2.3-06: the path of a trusted peer is offered with its first packet, in either direction, and
/// once. Until then a packet may still change it.
#[test]
fn a_path_in_use_is_offered_once() {
    let mut world = World::usual();
    world.changes();
    world.receive_data(0);
    assert_eq!(world.changes(), [], "this one proves the path");
    for _ in 0..3 {
        world.receive_data(0);
        let _ = world.send(address(0));
    }
    let offered = PathChange::Offered(path(&world, 0, 0));
    assert_eq!(world.changes(), [offered]);

    world.receive_data(1);
    world.pass(5000);
    let _ = world.send(address(1));
    let offered = PathChange::Offered(path(&world, 1, 0));
    assert_eq!(world.changes(), [offered]);

    assert_eq!(world.send(address(3)), Submission::Queued);
    world.answer_test(3);
    world.receive_data(3);
    let offered = PathChange::Offered(path(&world, 3, 5000));
    assert_eq!(world.changes(), [offered]);
}

/// R4380-5.2.4-01, R4380-5.2.6-04: a peer that is asked after 20 s of silence has no path until it answers.
#[test]
fn a_question_takes_the_path_back() {
    let mut world = World::usual();
    world.receive_data(0);
    let _ = world.send(address(0));
    world.changes();
    world.pass(19_000);
    let _ = world.send(address(0));
    assert_eq!(world.changes(), []);
    world.pass(1000);
    let _ = world.send(address(0));
    assert_eq!(world.changes(), [PathChange::Withdrawn(address(0))]);
    let _ = world.send(address(0));
    world.receive_data(0);
    assert_eq!(world.changes(), [], "the question is still open");
    world.receive_data(0);
    let offered = PathChange::Offered(path(&world, 0, 20_000));
    assert_eq!(world.changes(), [offered]);
}

/// R4380-5.2.4-01: after 30 s of silence the caller has given the path up, and the peer's next packet offers it again.
#[test]
fn a_path_that_was_given_up_is_offered_again() {
    let mut world = World::usual();
    world.receive_data(0);
    world.receive_data(0);
    world.changes();
    world.pass(30_000);
    world.receive_data(0);
    let offered = PathChange::Offered(path(&world, 0, 30_000));
    assert_eq!(world.changes(), [offered]);
}

/// R4380-5.2.4-01, R6081-5.2.4.4-02: one packet each way every 4 s keeps a path for an hour, behind a NAT of either kind,
/// whatever else it carries meanwhile: nobody is asked, and nobody is thought deaf.
#[test]
fn samples_keep_a_path() {
    for seen_by_secondary in [MAPPED.port(), MAPPED.port() + 7] {
        let seen = SocketAddrV4::new(*MAPPED.ip(), seen_by_secondary);
        let mut world = World::new(ClientConfig::default(), seen);
        for peer in [0, 1] {
            world.receive_data(peer);
            world.receive_data(peer);
        }
        assert_eq!(world.changes().len(), 3, "all withdrawn before the first");
        world.nonces.clear();
        for _ in 0..900 {
            world.pass(4000);
            assert_eq!(world.send(address(0)), Submission::Send(mapping(0)));
            for peer in [0, 1] {
                world.receive_data(peer);
            }
            world.answer(MAPPED);
        }
        assert_eq!(world.changes(), []);
        assert!(world.nonces.is_empty(), "a peer was asked");
    }
}

/// R4380-5.2.4-07, R4380-5.2-06: the path goes with the entry: a refused destination, or another peer in a full table.
#[test]
fn a_forgotten_peer_has_no_path() {
    let config = ClientConfig {
        max_peers: 1,
        ..ClientConfig::default()
    };
    let mut world = World::new(config, MAPPED);
    for peer in [0, 1] {
        world.receive_data(peer);
        world.receive_data(peer);
    }
    let withdrawn = PathChange::Withdrawn(address(0));
    assert!(world.changes().contains(&withdrawn));
    let mut destinations = DestinationPolicy::default();
    destinations.set_broadcasts(vec![*mapping(1).ip()]);
    world.client.set_destinations(destinations);
    world.poll();
    assert_eq!(world.changes(), [PathChange::Withdrawn(address(1))]);
}

/// R4380-5.5-01, R6169-2.1-01: without service there is no path: asleep, stopped, on another network.
#[test]
fn all_paths_end_with_the_service() {
    let end: [fn(&mut Client); 4] = [
        |client| client.stop(at(1)),
        |client| client.sleep(at(1), "2001:db8::9".parse().unwrap()),
        |client| client.start(at(1), LOCAL, &[SERVER]),
        |client| {
            client
                .handle_network_change(at(1), SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 50_000))
        },
    ];
    for end in end {
        let mut world = World::usual();
        world.receive_data(0);
        world.receive_data(0);
        world.changes();
        end(&mut world.client);
        world.poll();
        assert_eq!(world.changes(), [PathChange::AllWithdrawn]);
    }
}

/// R4380-5.2.5-04: a refresh with the same mapping leaves the paths as they are, and one with another ends all.
#[test]
fn a_refresh_keeps_the_paths() {
    let mut world = World::usual();
    world.receive_data(0);
    world.receive_data(0);
    world.changes();
    world.client.handle_network_change(at(1), LOCAL);
    world.poll();
    world.answer(MAPPED);
    assert_eq!(world.changes(), []);
    world.client.handle_network_change(at(1), LOCAL);
    world.poll();
    world.answer(SocketAddrV4::new(*MAPPED.ip(), 50_001));
    assert_eq!(world.changes(), [PathChange::AllWithdrawn]);
}

/// R6081-5.4.4.5-05: a path through a random port is offered with the port.
#[test]
fn a_path_through_a_random_port_is_offered_with_it() {
    let symmetric = SocketAddrV4::new(*MAPPED.ip(), MAPPED.port() + 7);
    let mut world = World::new(ClientConfig::default(), symmetric);
    assert_eq!(world.send(address(0)), Submission::Queued);
    let port = world.ports[0];
    world.bubble(0, Some(port), mapping(0));
    world.indirect_bubble(0, [7; 4]);
    world.changes();
    let bytes = data(address(0), world.own());
    world.receive(Some(port), mapping(0), &bytes);
    let offered = PeerPath {
        port: Some(port),
        ..path(&world, 0, 0)
    };
    assert_eq!(world.changes(), [PathChange::Offered(offered)]);
    let expected = Submission::SendFrom {
        port,
        to: mapping(0),
    };
    assert_eq!(world.send(address(0)), expected);
}

/// R4380-5.2.3-04: all that comes from the server counts as its sign of life, so a relay in the server's place has no path.
#[test]
fn a_path_to_the_server_is_not_offered() {
    let mut world = World::usual();
    assert_eq!(world.send(address(3)), Submission::Queued);
    let server = SocketAddrV4::new(SERVER.primary, PORT);
    world.changes();
    world.answer_test_from(3, server);
    assert_eq!(world.send(address(3)), Submission::Send(server));
    let bytes = data(address(3), world.own());
    world.receive(None, server, &bytes);
    assert_eq!(world.changes(), []);
}

/// A caller that asks again begins anew; one that has not asked hears nothing, and nothing waits for it.
#[test]
fn paths_are_reported_on_request() {
    let mut world = World::usual();
    world.client.report_paths(false);
    world.changes();
    world.receive_data(0);
    world.receive_data(0);
    world.pass(60_000);
    assert_eq!(world.changes(), []);
    world.client.report_paths(true);
    world.receive_data(0);
    assert_eq!(world.changes().len(), 1);
    world.client.report_paths(true);
    world.poll();
    assert_eq!(world.changes(), [PathChange::AllWithdrawn]);
    world.receive_data(0);
    let offered = PathChange::Offered(path(&world, 0, 60_000));
    assert_eq!(world.changes(), [offered]);
}

/// R6081-5.2.4.4-02: behind a NAT that maps by destination, a peer that was only heard may not hear us. Its path is
/// offered when it has shown that it does.
#[test]
fn a_path_in_one_direction_is_not_offered() {
    let symmetric = SocketAddrV4::new(*MAPPED.ip(), 50_007);
    let mut world = World::new(ClientConfig::default(), symmetric);
    world.changes();
    assert_eq!(world.send(address(0)), Submission::Queued);
    world.bubble(0, None, mapping(0));
    world.indirect_bubble(0, [7; 4]);
    assert_eq!(world.send(address(0)), Submission::Send(mapping(0)));
    assert_eq!(world.changes(), []);
    world.receive_data(0);
    world.receive_data(0);
    let offered = PathChange::Offered(path(&world, 0, 0));
    assert_eq!(world.changes(), [offered]);
}
