//! Offers of a relay, against what it would do with each packet itself.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{PathChange, PeerPath};

/// More than fit.
const CLIENTS: u8 = 6;
const MOST: usize = 4;

/// How long a path is used after its client was heard. The table rounds to tenths of a second (`Tick`), so it may end one earlier
/// than 30 s.
const VALIDITY: Duration = Duration::from_millis(29_900);

fn mapping(client: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10 + client), 4096)
}

fn address(client: u8) -> Ipv6Addr {
    teredo(SERVER, mapping(client))
}

/// A relay, its clients' knowledge, and a caller that polls after every call.
struct World {
    relay: Relay,
    millis: u64,
    /// The source of the last bubble to each client.
    tokens: BTreeMap<Ipv6Addr, Ipv6Addr>,
    offered: BTreeMap<Ipv6Addr, PeerPath>,
    changes: Vec<PathChange>,
}

impl World {
    fn new() -> Self {
        let mut relay = relay_with(RelayConfig {
            max_peers: MOST,
            served: Served::Networks(vec!["2001:db8::/64".parse().unwrap()]),
            ..config()
        });
        relay.report_paths(true);
        Self {
            relay,
            millis: 0,
            tokens: BTreeMap::new(),
            offered: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    /// A relay that trusts a client, and has not offered its path yet.
    fn trusting(client: u8) -> Self {
        let mut world = Self::new();
        world.meet(client);
        world
    }

    fn meet(&mut self, client: u8) {
        assert_eq!(self.send(client), Submission::Queued);
        self.answer(client, mapping(client));
    }

    fn now(&self) -> Instant {
        at(self.millis)
    }

    fn poll(&mut self) {
        for (_, token, target) in bubbles(&mut self.relay) {
            self.tokens.insert(target, token);
        }
        while let Some(change) = self.relay.poll_path() {
            self.changes.push(change);
            match change {
                PathChange::Offered(path) => _ = self.offered.insert(path.peer, path),
                PathChange::Withdrawn(peer) => _ = self.offered.remove(&peer),
                PathChange::AllWithdrawn => self.offered.clear(),
            }
        }
        self.check();
    }

    /// The changes since the last call.
    fn changes(&mut self) -> Vec<PathChange> {
        std::mem::take(&mut self.changes)
    }

    /// A packet of the IPv6 Internet. One for an offered path that is not too old takes it.
    fn send(&mut self, client: u8) -> Submission {
        let (now, target) = (self.now(), address(client));
        let submission = self.relay.handle_tun(now, &data(NATIVE, target));
        if let Some(path) = self.offered.get(&target)
            && now - path.heard < VALIDITY
        {
            assert_eq!(submission, Submission::Send(path.remote));
        }
        self.poll();
        submission
    }

    /// A datagram of a client. One over an offered path that is not too old is delivered.
    fn receive(&mut self, client: u8, from: SocketAddrV4, packet: &[u8]) {
        let now = self.now();
        let reception = self.relay.handle_udp(now, from, *SERVICE.ip(), packet);
        let parsed = Ipv6Packet::parse(packet).unwrap();
        if let Some(path) = self.offered.get_mut(&address(client))
            && path.remote == from
            && now - path.heard < VALIDITY
        {
            if parsed.destination() == NATIVE && !parsed.is_bubble() {
                assert_eq!(reception, Reception::Deliver(packet), "{path:?}");
            }
            path.heard = now;
        }
        self.poll();
    }

    fn receive_data(&mut self, client: u8) {
        self.receive(client, mapping(client), &data(address(client), NATIVE));
    }

    /// The client answers the relay's last bubble.
    fn answer(&mut self, client: u8, from: SocketAddrV4) {
        if let Some(&token) = self.tokens.get(&address(client)) {
            self.receive(client, from, &bubble(address(client), token, 255));
        }
    }

    fn pass(&mut self, millis: u64) {
        self.millis += millis;
        self.relay.handle_timeout(self.now());
        self.poll();
    }

    fn refuse(&mut self, client: Option<u8>) {
        let mut destinations = DestinationPolicy::default();
        let refused = client.map(|client| *mapping(client).ip());
        destinations.set_broadcasts(refused.into_iter().collect());
        self.relay.set_destinations(destinations);
        self.poll();
    }

    /// Each offered path is that of a trusted client, which is not being asked; and each mark was reported.
    fn check(&mut self) {
        for client in 0..CLIENTS {
            let target = TeredoAddress::from_ipv6(address(client)).unwrap();
            let key = Key::from(target);
            // At time zero, no entry has expired.
            let entry = self.relay.trusted.find(key, Tick::at(at(0)));
            let is_marked = entry.is_some_and(|peer| peer.is_offered());
            let path = self.offered.get(&address(client));
            assert_eq!(is_marked, path.is_some(), "{client}");
            if let Some(path) = path {
                let elsewhere = self.relay.elsewhere.find(key);
                assert_eq!(path.remote, elsewhere.unwrap_or(target.mapped));
                assert!(
                    !self.relay.underway.contains(key),
                    "{client} is being asked"
                );
                assert!(contact::check(&self.relay.config, target).is_ok());
                assert!(self.relay.config.destinations.permits(path.remote));
            }
        }
    }
}

fn offered(client: u8, remote: SocketAddrV4, heard: u64) -> PathChange {
    PathChange::Offered(PeerPath {
        peer: address(client),
        own: None,
        port: None,
        remote,
        heard: at(heard),
    })
}

/// R4380-5.4.1-03, R4380-5.4.2-02: the path of a trusted client is offered with its first packet, in either direction, and
/// once.
#[test]
fn a_path_in_use_is_offered_once() {
    let mut world = World::trusting(0);
    assert_eq!(world.changes(), []);
    world.pass(250);
    for _ in 0..2 {
        let _ = world.send(0);
        world.receive_data(0);
    }
    assert_eq!(world.changes(), [offered(0, mapping(0), 0)]);
    world.meet(1);
    world.pass(100);
    world.receive_data(1);
    assert_eq!(world.changes(), [offered(1, mapping(1), 300)]);
    let _ = world.send(1);
    world.receive_data(1);
    assert_eq!(world.changes(), []);
}

/// R4380-5.4.1-08: a client that is asked after 20 s of silence has no path until it answers.
#[test]
fn a_question_takes_the_path_back() {
    let mut world = World::trusting(0);
    let _ = world.send(0);
    world.changes();
    world.pass(20_000);
    let _ = world.send(0);
    assert_eq!(world.changes(), [PathChange::Withdrawn(address(0))]);
    let _ = world.send(0);
    world.answer(0, mapping(0));
    assert_eq!(world.changes(), []);
    let _ = world.send(0);
    assert_eq!(world.changes(), [offered(0, mapping(0), 20_000)]);
}

/// R4380-5.4-03, R4380-5.2-06: one packet each way every 4 s keeps a path for an hour, in a table that is always full of
/// clients that come and go.
#[test]
fn samples_keep_a_path() {
    let mut world = World::trusting(0);
    world.receive_data(0);
    world.tokens.clear();
    world.changes();
    for round in 0..900 {
        world.pass(2000);
        let stranger = 1 + (round % 5) as u8;
        if world.send(stranger) == Submission::Queued {
            world.answer(stranger, mapping(stranger));
        }
        world.pass(2000);
        assert_eq!(world.send(0), Submission::Send(mapping(0)));
        world.receive_data(0);
    }
    assert!(!world.tokens.contains_key(&address(0)), "it was asked");
    assert!(!world.changes().contains(&PathChange::Withdrawn(address(0))));
}

/// R4380-5.4-03, R4380-5.2-06, R4380-5.4.1-02: the path goes with the entry: after 30 s of silence, in a full table, by a
/// new policy.
#[test]
fn a_forgotten_client_has_no_path() {
    let withdrawn = |client| PathChange::Withdrawn(address(client));
    let mut world = World::trusting(0);
    let _ = world.send(0);
    world.changes();
    for _ in 0..70 {
        world.pass(1000);
    }
    assert_eq!(world.changes(), [withdrawn(0)]);

    for client in 0..MOST as u8 {
        world.meet(client);
        let _ = world.send(client);
        world.pass(100);
    }
    world.receive_data(0);
    world.changes();
    // The first one was heard last.
    world.meet(4);
    assert_eq!(world.changes(), [withdrawn(1)]);
    world.refuse(Some(2));
    assert_eq!(world.changes(), [withdrawn(2)]);
    world.relay.set_served(Served::Networks(Vec::new()));
    world.poll();
    assert_eq!(world.changes(), [PathChange::AllWithdrawn]);
}

/// R4380-5.4.2-02: a client that has proven another mapping has its path there, and loses it with that.
#[test]
fn a_client_elsewhere_has_its_path_there() {
    let there = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 77), 5000);
    let mut world = World::new();
    let _ = world.send(0);
    world.answer(0, there);
    world.answer(0, there);
    let _ = world.send(0);
    assert_eq!(world.changes(), [offered(0, there, 0)]);
    let mut destinations = DestinationPolicy::default();
    destinations.set_broadcasts(vec![*there.ip()]);
    world.relay.set_destinations(destinations);
    world.poll();
    assert_eq!(world.changes(), [PathChange::Withdrawn(address(0))]);
}

/// A caller that asks again begins anew; one that has not asked hears nothing.
#[test]
fn paths_are_reported_on_request() {
    let mut world = World::trusting(0);
    let _ = world.send(0);
    world.changes();
    world.relay.report_paths(true);
    world.poll();
    let _ = world.send(0);
    assert_eq!(
        world.changes(),
        [PathChange::AllWithdrawn, offered(0, mapping(0), 0)]
    );
    world.relay.report_paths(false);
    world.offered.clear();
    let _ = world.send(0);
    world.pass(90_000);
    assert_eq!(world.changes(), []);
}

#[derive(Clone, Debug)]
enum Step {
    Send(u8),
    /// Data of a client, from its mapping or elsewhere.
    Data(u8, Place),
    Forged(u8, Place),
    Answer(u8, Place),
    Pass(u64),
    Refuse(Option<u8>),
    Serve,
    ReportAgain,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Mapping,
    Elsewhere(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let place = || {
        prop_oneof![
            4 => Just(Place::Mapping),
            1 => (0..2u16).prop_map(Place::Elsewhere),
        ]
    };
    let client = || 0..CLIENTS;
    prop_oneof![
        16 => client().prop_map(Step::Send),
        12 => (client(), place()).prop_map(|(client, from)| Step::Data(client, from)),
        3 => (client(), place()).prop_map(|(client, from)| Step::Forged(client, from)),
        16 => (client(), place()).prop_map(|(client, from)| Step::Answer(client, from)),
        4 => prop_oneof![0..1000u64, 0..9000u64, Just(21_000), Just(31_000)].prop_map(Step::Pass),
        1 => prop::option::of(client()).prop_map(Step::Refuse),
        1 => prop_oneof![Just(Step::Serve), Just(Step::ReportAgain)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// R4380-5.4.1-03, R4380-5.4.1-02, R4380-5.4.2-02, R4380-5.4-03: after every call of any sequence, each offered path is
    /// the one that the relay uses itself: what it forwards leaves there, and what comes from there passes.
    #[test]
    fn an_offered_path_is_the_one_in_use(steps in prop::collection::vec(step(), 0..150)) {
        let mut world = World::new();
        let place = |client, place| match place {
            Place::Mapping => mapping(client),
            Place::Elsewhere(port) => SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 77), 5000 + port),
        };
        for step in steps {
            match step {
                Step::Send(client) => _ = world.send(client),
                Step::Data(client, from) => {
                    world.receive(client, place(client, from), &data(address(client), NATIVE));
                }
                Step::Forged(client, from) => {
                    world.receive(client, place(client, from), &bubble(address(client), NATIVE, 255));
                }
                Step::Answer(client, from) => world.answer(client, place(client, from)),
                Step::Pass(millis) => world.pass(millis),
                Step::Refuse(client) => world.refuse(client),
                Step::Serve => world.relay.set_served(Served::Networks(Vec::new())),
                Step::ReportAgain => world.relay.report_paths(true),
            }
            world.poll();
        }
        let all: Vec<PeerPath> = world.offered.values().copied().collect();
        for path in all {
            let client = (0..CLIENTS).find(|&client| address(client) == path.peer).unwrap();
            let _ = world.send(client);
            world.receive(client, path.remote, &data(path.peer, NATIVE));
        }
    }
}
