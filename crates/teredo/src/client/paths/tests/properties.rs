use proptest::prelude::*;

use super::*;
use crate::client::NatTraversal;
use crate::wire::DISCOVERY;

#[derive(Clone, Debug)]
enum Step {
    Send(u8),
    /// A packet of a peer from a place, at the service port, or at the n-th random port.
    Receive {
        peer: u8,
        from: Place,
        random: bool,
        what: What,
    },
    Pass(u64),
    /// The server answers; it sees the mapping with this offset of the port.
    Answer(u16),
    AnswerTest(u8),
    Refuse(Option<u8>),
    Strangers(u8),
    Subnet(bool),
    Start(bool),
    NetworkChange(bool),
    Stop,
    Sleep,
    ReportAgain,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Mapping,
    OtherPort,
    OtherPeer,
    Link,
    Server,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Data,
    /// A bubble, with our nonce if the peer has it.
    Bubble,
    /// A bubble through the server.
    Indirect(u8),
    /// A neighbor advertisement, or a solicitation.
    Advertisement(bool),
    LocalBubble,
}

fn step() -> impl Strategy<Value = Step> {
    let place = prop_oneof![
        12 => Just(Place::Mapping),
        2 => Just(Place::OtherPort),
        1 => Just(Place::OtherPeer),
        2 => Just(Place::Link),
        1 => Just(Place::Server),
    ];
    let what = prop_oneof![
        8 => Just(What::Data),
        4 => Just(What::Bubble),
        2 => any::<u8>().prop_map(What::Indirect),
        1 => any::<bool>().prop_map(What::Advertisement),
        1 => Just(What::LocalBubble),
    ];
    let receive = (0..PEERS, place, prop::bool::weighted(0.25), what);
    prop_oneof![
        16 => (0..PEERS).prop_map(Step::Send),
        24 => receive.prop_map(|(peer, from, random, what)| Step::Receive { peer, from, random, what }),
        6 => prop_oneof![0..3000u64, 0..12_000u64, Just(21_000), Just(31_000), Just(301_000)].prop_map(Step::Pass),
        5 => prop_oneof![8 => Just(0u16), 1 => 1..4u16].prop_map(Step::Answer),
        4 => (TEREDO..PEERS).prop_map(Step::AnswerTest),
        1 => prop::option::of(0..PEERS).prop_map(Step::Refuse),
        1 => (1..40u8).prop_map(Step::Strangers),
        1 => any::<bool>().prop_map(Step::Subnet),
        1 => any::<bool>().prop_map(Step::Start),
        1 => any::<bool>().prop_map(Step::NetworkChange),
        1 => prop_oneof![Just(Step::Stop), Just(Step::Sleep), Just(Step::ReportAgain)],
    ]
}

impl World {
    fn step(&mut self, step: &Step) {
        let now = self.now();
        let moved = SocketAddrV4::new(*LOCAL.ip(), 50_100);
        match *step {
            Step::Send(peer) => _ = self.send(address(peer)),
            Step::Receive {
                peer,
                from,
                random,
                what,
            } => self.receive_any(peer, from, random, what),
            Step::Pass(millis) => self.pass(millis),
            Step::Answer(offset) => {
                self.answer(SocketAddrV4::new(*MAPPED.ip(), MAPPED.port() + offset));
            }
            Step::AnswerTest(peer) => self.answer_test(peer),
            Step::Refuse(peer) => {
                let mut destinations = DestinationPolicy::default();
                destinations
                    .set_broadcasts(peer.into_iter().map(|peer| *mapping(peer).ip()).collect());
                self.client.set_destinations(destinations);
            }
            Step::Strangers(number) => {
                for number in 0..number {
                    let from = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 100 + number), 4096);
                    let source = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, number.into());
                    let bytes = data(source, self.own());
                    self.receive(None, from, &bytes);
                }
            }
            Step::Subnet(is_there) => {
                let subnet = LocalSubnet {
                    address: *LOCAL.ip(),
                    prefix_len: 24,
                };
                self.client
                    .set_local_subnet(now, is_there.then_some(subnet));
            }
            Step::Start(same) => {
                self.client
                    .start(now, if same { LOCAL } else { moved }, &[SERVER]);
            }
            Step::NetworkChange(same) => {
                self.client
                    .handle_network_change(now, if same { LOCAL } else { moved });
            }
            Step::Stop => self.client.stop(now),
            Step::Sleep => self.client.sleep(now, "2001:db8::9".parse().unwrap()),
            Step::ReportAgain => self.client.report_paths(true),
        }
        self.poll();
    }

    fn receive_any(&mut self, peer: u8, from: Place, random: bool, what: What) {
        let from = match from {
            Place::Mapping => mapping(peer),
            Place::OtherPort => SocketAddrV4::new(*mapping(peer).ip(), 5000),
            Place::OtherPeer => mapping((peer + 1) % PEERS),
            Place::Link => SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 7), 50_000),
            Place::Server => SocketAddrV4::new(SERVER.primary, PORT),
        };
        let port = self.ports.last().copied().filter(|_| random);
        let (source, own) = (address(peer), self.own());
        match what {
            What::Data => self.receive(port, from, &data(source, own)),
            What::Bubble => self.bubble(peer, port, from),
            What::Indirect(nonce) => self.indirect_bubble(peer, [nonce; 4]),
            What::Advertisement(advertisement) => {
                let mut bytes = Vec::new();
                emit_bubble(source, own, 255, &mut bytes);
                Trailer::NeighborDiscovery { advertisement }.emit(&mut bytes);
                self.receive(port, from, &bytes);
            }
            What::LocalBubble => {
                let mut bytes = Vec::new();
                let all_nodes = "ff02::1".parse().unwrap();
                emit_bubble(address(2), all_nodes, 1, &mut bytes);
                let link = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 7), 50_000);
                let now = self.now();
                let _ = self.client.handle_udp(now, link, *DISCOVERY.ip(), &bytes);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// R4380-5.2.4-01, R4380-5.2.4-02, R4380-5.2.3-06, R4380-5.2.4-07, R6081-5.4.4.5-05: after every call of any sequence,
    /// each offered path is the one that the client uses itself: what the host sends leaves there, and what comes from
    /// there is the host's. So a packet that takes it without the client takes the same way.
    #[test]
    fn an_offered_path_is_the_one_in_use(
        steps in prop::collection::vec(step(), 0..150),
        symmetric in any::<bool>(),
        eager in any::<bool>(),
        is_small in any::<bool>(),
    ) {
        let config = ClientConfig {
            nat_traversal: if eager { NatTraversal::Eager } else { NatTraversal::Rfc6081 },
            max_peers: if is_small { 3 } else { 100 },
            ..ClientConfig::default()
        };
        let port = if symmetric { MAPPED.port() + 7 } else { MAPPED.port() };
        let mut world = World::new(config, SocketAddrV4::new(*MAPPED.ip(), port));
        for step in &steps {
            world.step(step);
        }
        let offered: Vec<PeerPath> = world.offered.values().copied().collect();
        for path in offered {
            let _ = world.send(path.peer);
            let bytes = data(path.peer, world.own());
            world.receive(path.port, path.remote, &bytes);
        }
        world.client.peers.assert_consistent();
    }
}
