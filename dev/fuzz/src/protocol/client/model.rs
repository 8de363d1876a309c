//! An observer's knowledge of the client, and what the client may do accordingly.

mod extended;
mod sent;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::client::{Event, LocalSubnet, Reason, State};
use teredo::policy::DestinationPolicy;
use teredo::wire::{
    DISCOVERY, Datagram, Flags, Icmpv6, Ipv6Packet, MTU, PORT, TeredoAddress, Trailer, Trailers,
    is_teredo,
};
use teredo::{Credentials, Destination, Instant, ServerAddress, Transmit};

pub use sent::Sent;

use super::input::credentials;
use super::random::RandomPorts;
use super::secondary::{SecondaryPort, Solicitation};

const VALIDITY: Duration = Duration::from_secs(30);
const BUBBLE_SPACING: Duration = Duration::from_secs(2);
const TEST_SPACING: Duration = Duration::from_secs(2);
const BUBBLE_WINDOW: Duration = Duration::from_secs(300);
const BUBBLE_LIMIT: usize = 4;
/// How often a bubble that expires on the way is sent again.
const COPIES: usize = 2;
/// All nodes on the link, the destination of a local bubble.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Between two local bubbles from a timer.
const LOCAL_SPACING: Duration = Duration::from_secs(10);
/// The most solicitations of the client that the fuzzer can still answer.
const OUTSTANDING: usize = 8;

pub struct Model {
    pub now: Instant,
    pub policy: DestinationPolicy,
    /// The refused destinations, besides the addresses that are never permitted.
    pub refused: Vec<Ipv4Addr>,
    pub servers: Vec<ServerAddress>,
    /// Whether servers must authenticate.
    pub keyed: bool,
    pub subnet: Option<LocalSubnet>,
    pub secondary: SecondaryPort,
    pub random: RandomPorts,
    /// Whether RFC 6081 counts: the NAT is symmetric, or a bubble had trailers. What leaves then depends on more than the
    /// model knows, and it checks fewer things.
    pub is_extended: bool,
    /// The last datagrams, the newest first.
    pub last: VecDeque<(SocketAddrV4, Vec<u8>)>,
    /// The address on the interface.
    pub own: Option<TeredoAddress>,
    /// Its server.
    server: Option<ServerAddress>,
    /// The one before.
    pub former: Ipv6Addr,
    /// The newest first.
    pub solicitations: VecDeque<Solicitation>,
    pub tests: VecDeque<Test>,
    visible: (State, Option<Reason>),
    nonces: HashSet<[u8; 8]>,
    /// When a datagram came from there.
    heard: HashMap<SocketAddrV4, Instant>,
    /// The addresses on the link of mappings, from local bubbles.
    told: HashSet<(SocketAddrV4, SocketAddrV4)>,
    last_local: Option<Instant>,
    /// Addresses that others have named to the client.
    named: HashSet<Ipv6Addr>,
    peers: HashMap<Ipv6Addr, Peer>,
    /// The peer whose indirect bubble this call is about, or whose direct bubble with our nonce.
    asks: Option<Ipv6Addr>,
    answers: Option<Ipv6Addr>,
    /// Addresses that peers behind the same NAT have named as their own.
    alternates: HashSet<SocketAddrV4>,
}

pub struct Test {
    pub target: Ipv6Addr,
    pub identifier: u16,
    pub sequence: u16,
    pub data: Vec<u8>,
}

#[derive(Default)]
struct Peer {
    queued: VecDeque<Vec<u8>>,
    tests: HashSet<Vec<u8>>,
    /// The source of the answer to a test.
    proven: HashSet<SocketAddrV4>,
    last_bubble: Option<Instant>,
    /// The last direct bubble expired on the way, and was sent again so often.
    cut_short: bool,
    copies: usize,
    last_test: Option<Instant>,
    /// RFC 6081 §5.2: the nonce of the last indirect bubble to the peer and from it, and whether that was repeated.
    sent: Option<[u8; 4]>,
    received: Option<[u8; 4]>,
    repeated: bool,
    /// Where bubbles with the nonce came from.
    learned: HashSet<SocketAddrV4>,
    /// The random ports that the peer has named.
    ports: HashSet<u16>,
    /// When an indirect bubble was sent.
    last_indirect: Option<Instant>,
    /// Bubbles without a direct response.
    asked: Vec<Instant>,
    answered: Vec<Instant>,
}

impl Model {
    pub fn new(policy: DestinationPolicy, refused: Vec<Ipv4Addr>) -> Self {
        Self {
            now: Instant::from_nanos(0),
            policy,
            refused,
            servers: Vec::new(),
            keyed: false,
            subnet: None,
            secondary: SecondaryPort::default(),
            random: RandomPorts::default(),
            is_extended: false,
            last: VecDeque::new(),
            own: None,
            server: None,
            former: Ipv6Addr::UNSPECIFIED,
            solicitations: VecDeque::new(),
            tests: VecDeque::new(),
            visible: (State::Offline, Some(Reason::Stopped)),
            nonces: HashSet::new(),
            heard: HashMap::new(),
            told: HashSet::new(),
            last_local: None,
            named: HashSet::new(),
            peers: HashMap::new(),
            asks: None,
            answers: None,
            alternates: HashSet::new(),
        }
    }

    pub fn state(&self) -> State {
        self.visible.0
    }

    pub fn own_address(&self) -> Ipv6Addr {
        self.own
            .map_or(Ipv6Addr::UNSPECIFIED, TeredoAddress::to_ipv6)
    }

    /// The server to which a solicitation went.
    pub fn server_at(&self, to: SocketAddrV4) -> Option<ServerAddress> {
        let at = |server: &&ServerAddress| [server.primary, server.secondary].contains(to.ip());
        self.servers.iter().find(at).copied()
    }

    /// A datagram is about to be passed to the client.
    pub fn hears(&mut self, from: SocketAddrV4, bytes: &[u8]) {
        self.heard.insert(from, self.now);
        for (address, peer) in &mut self.peers {
            if TeredoAddress::from_ipv6(*address).is_some_and(|teredo| teredo.mapped == from) {
                peer.responded();
            }
        }
        let Ok(Datagram {
            packet, trailers, ..
        }) = Datagram::parse(bytes)
        else {
            return;
        };
        self.named.insert(packet.source());
        let server = self.own.map(|own| SocketAddrV4::new(own.server, PORT));
        if packet.is_bubble() {
            let nonce = nonce_of(&trailers);
            let peer = self.peers.entry(packet.source()).or_default();
            let ports = trailers.iter().filter_map(|trailer| match trailer {
                Trailer::RandomPort(port) => Some(port),
                _ => None,
            });
            peer.ports.extend(ports);
            if Some(from) == server {
                self.asks = Some(packet.source());
                let own = self.own.map(|own| *own.mapped.ip());
                let mapped =
                    TeredoAddress::from_ipv6(packet.source()).map(|peer| *peer.mapped.ip());
                for trailer in trailers.iter().filter(|_| own.is_some() && mapped == own) {
                    if let Trailer::AlternateAddresses(list) = trailer {
                        self.alternates.extend(list.as_slice());
                    }
                }
                peer.repeated &= peer.received == nonce;
                peer.received = nonce;
            } else if nonce.is_some() && peer.sent == nonce {
                self.answers = Some(packet.source());
                peer.learned.insert(from);
            }
        }
        if let Some(peer) = self.peers.get_mut(&packet.source()) {
            peer.responded();
            if let Ok(Icmpv6::EchoReply { data, .. }) = Icmpv6::parse(&packet)
                && peer.tests.contains(data)
            {
                peer.proven.insert(from);
            }
        }
    }

    /// A datagram for the discovery address is about to be passed to the client.
    pub fn hears_locally(&mut self, from: SocketAddrV4, bytes: &[u8]) {
        if let Ok(datagram) = Datagram::parse(bytes)
            && let Some(claimed) = TeredoAddress::from_ipv6(datagram.packet.source())
        {
            self.named.insert(datagram.packet.source());
            self.told.insert((claimed.mapped, from));
        }
    }

    pub fn set_subnet(&mut self, subnet: Option<LocalSubnet>) {
        if self.subnet != subnet {
            self.last_local = None;
        }
        self.subnet = subnet;
        // Peers on another link now are forgotten.
        self.forget_questions();
    }

    /// Whether a datagram may go to an address that is not global.
    fn is_neighbour(&self, to: SocketAddrV4) -> bool {
        let on_link = |subnet: LocalSubnet| subnet.has_neighbour(*to.ip());
        to.port() != 0
            && self.subnet.is_some_and(on_link)
            && !to.ip().is_loopback()
            && !to.ip().is_multicast()
            && !self.refused.contains(to.ip())
    }

    /// The table may have forgotten when it asked which peer.
    pub fn forget_questions(&mut self) {
        for peer in self.peers.values_mut() {
            peer.last_bubble = None;
            peer.last_indirect = None;
            peer.repeated = false;
            peer.last_test = None;
            peer.responded();
        }
    }

    /// A packet of the host is about to be passed to the client.
    pub fn names(&mut self, packet: &[u8]) {
        if let Ok(packet) = Ipv6Packet::parse(packet) {
            self.named.insert(packet.destination());
        }
    }

    /// A packet of the host was queued.
    pub fn queued(&mut self, packet: &[u8]) {
        let packet = parse(packet);
        assert_eq!(packet.source(), self.own_address());
        let peer = self.peers.entry(packet.destination()).or_default();
        peer.queued.push_back(packet.as_bytes().to_vec());
    }

    /// A packet of the host leaves unchanged.
    pub fn submitted(&self, to: SocketAddrV4, packet: &[u8]) {
        let packet = parse(packet);
        assert!(packet.as_bytes().len() <= MTU);
        self.check_data(to, &packet);
        assert!(self.now - self.heard[&to] < VALIDITY, "R4380-5.2.4-01");
    }

    fn check_data(&self, to: SocketAddrV4, packet: &Ipv6Packet<'_>) {
        assert_eq!(self.state(), State::Qualified, "R4380-5.2-04");
        assert_eq!(packet.source(), self.own_address());
        self.check_destination(to);
        match TeredoAddress::from_ipv6(packet.destination()) {
            Some(teredo) => self.check_path(packet.destination(), teredo.mapped, to),
            None => {
                let peer = self.peers.get(&packet.destination());
                assert!(
                    peer.is_some_and(|peer| peer.proven.contains(&to)),
                    "R4380-5.2.9-04: nothing goes where no test was answered"
                );
            }
        }
    }

    /// A peer is reached at its mapping, at the address from its local bubble, or where its bubble with our nonce came
    /// from.
    fn check_path(&self, peer: Ipv6Addr, mapped: SocketAddrV4, to: SocketAddrV4) {
        let learned = |peer: &Peer| peer.learned.contains(&to);
        assert!(
            to == mapped
                || self.told.contains(&(mapped, to))
                || self.peers.get(&peer).is_some_and(learned),
            "{to} for {mapped}"
        );
    }

    fn check_destination(&self, to: SocketAddrV4) {
        let is_alternate = self.alternates.contains(&to) && !self.refused.contains(to.ip());
        assert!(
            self.policy.permits(to) || self.is_neighbour(to) || is_alternate,
            "R4380-5.2.4-07: {to}"
        );
        assert_ne!(Some(to), self.own.map(|own| own.mapped), "L-03");
    }

    pub fn event(&mut self, event: Event) {
        match event {
            Event::StateChanged { state, reason } => {
                assert_ne!(self.visible, (state, reason), "no change");
                self.visible = (state, reason);
            }
            Event::AddressUp {
                address,
                mapped,
                server,
                mtu,
            } => {
                let teredo = TeredoAddress::from_ipv6(address).expect("a Teredo address");
                assert_eq!((teredo.server, teredo.mapped), (server.primary, mapped));
                assert_eq!(teredo.flags, Flags::from_random(teredo.flags.bits()));
                assert_eq!(mtu, MTU as u32);
                assert!(self.policy.permits(mapped));
                assert_ne!(self.own, Some(teredo), "it is up already");
                self.replace(Some(teredo));
                self.server = Some(server);
            }
            Event::AddressDown { address } => {
                assert_eq!(self.own, TeredoAddress::from_ipv6(address), "not up");
                self.replace(None);
            }
            Event::SecondaryPort { wanted } => {
                let determination = self.own.is_some() || !wanted;
                assert!(
                    determination,
                    "without an address there is nothing to determine"
                );
                self.secondary.wanted(wanted);
            }
            Event::RandomPort { port, wanted } => self.random.wanted(port, wanted),
            _ => {}
        }
    }

    fn replace(&mut self, own: Option<TeredoAddress>) {
        if self.own.is_some() {
            self.former = self.own_address();
        }
        self.own = own;
        self.peers.clear();
    }

    pub fn transmitted(&mut self, transmit: &Transmit, bytes: &[u8], sent: &mut Sent) {
        if let Destination::Udp(to) | Destination::Random { to, .. } = transmit.destination {
            self.last.push_front((to, bytes.to_vec()));
            self.last.truncate(OUTSTANDING);
        }
        match transmit.destination {
            Destination::Host => self.informed(bytes, sent),
            Destination::Secondary(to) => {
                assert_eq!(transmit.ttl, None);
                self.solicited_secondary(to, bytes, sent);
            }
            Destination::Random { port, to } => {
                sent.random += 1;
                self.sent_from(port, to, bytes, sent);
            }
            Destination::Udp(DISCOVERY) => self.announced(bytes, sent),
            Destination::Udp(to) => {
                assert_ne!(to.port(), 0);
                assert_ne!(to.ip(), DISCOVERY.ip());
                let datagram = Datagram::parse(bytes).expect("what is sent is a datagram");
                assert_eq!(datagram.origin, None);
                let target = datagram.packet.destination();
                let owes = |peer: &Peer| peer.received.is_some() && !peer.repeated;
                if self.peers.get(&target).is_some_and(owes) {
                    sent.owed.insert(target);
                }
                if self.trailed(to, transmit.ttl.is_some(), &datagram) {
                    sent.discoveries += 1;
                    self.check_destination(to);
                    let teredo = TeredoAddress::from_ipv6(target).expect("a Teredo peer");
                    return self.check_path(target, teredo.mapped, to);
                }
                if transmit.ttl.is_some() {
                    assert!(
                        datagram.packet.is_bubble(),
                        "what must arrive ends on the way"
                    );
                    sent.cut_short.insert(datagram.packet.destination());
                }
                if datagram.authentication.is_some() {
                    self.solicited(to, &datagram, sent);
                } else {
                    self.sent(to, &datagram.packet, sent);
                }
            }
        }
    }

    /// One of the host's packets that waited.
    fn released(&mut self, packet: &Ipv6Packet<'_>, sent: &mut Sent) -> bool {
        let peer = self.peers.entry(packet.destination()).or_default();
        let position = peer.queued.iter().position(|p| p == packet.as_bytes());
        let Some(position) = position else {
            return false;
        };
        // Over a path that may lead one way only, a copy was sent, which waits.
        if !self.is_extended {
            peer.queued.drain(..=position);
        }
        sent.released += 1;
        sent.released_bytes += packet.as_bytes().len();
        true
    }

    /// R6081-5.2.4.1-01, R6081-5.2.4.2-01, R6081-5.2.4.2-02: an indirect bubble has a fresh nonce, a direct one repeats the
    /// peer's, and nothing else has a trailer. Returns whether it is a question over an old path, or the answer to one.
    fn trailed(&mut self, to: SocketAddrV4, cut_short: bool, datagram: &Datagram<'_>) -> bool {
        let bytes = datagram.trailers.as_bytes();
        let nonce = nonce_of(&datagram.trailers);
        let others: Vec<_> = datagram
            .trailers
            .iter()
            .filter(|trailer| !matches!(trailer, Trailer::Nonce(_)))
            .collect();
        let others_len = match others[..] {
            [] => 0,
            // R6081-5.7.4.1-01, R6081-5.7.4.2-01
            [Trailer::NeighborDiscovery { .. }] if nonce.is_none() => 6,
            // A question behind a symmetric NAT shows our mapping as well.
            [
                Trailer::NeighborDiscovery {
                    advertisement: false,
                },
            ] if self.is_extended => 6,
            // R6081-5.6.4.1-01
            [Trailer::AlternateAddresses(list)] => {
                assert!(nonce.is_some());
                assert_eq!(list.as_slice().len(), 1);
                10
            }
            // R6081-5.4.4.2-02
            [Trailer::RandomPort(port)] if self.is_extended => {
                assert!(nonce.is_some() && port >= 1024);
                4
            }
            [Trailer::AlternateAddresses(_), Trailer::RandomPort(port)] if self.is_extended => {
                assert!(nonce.is_some() && port >= 1024);
                14
            }
            _ => panic!("an unusual trailer: {others:?}"),
        };
        assert_eq!(
            bytes.len(),
            others_len + if nonce.is_some() { 6 } else { 0 }
        );
        if matches!(others[..], [Trailer::NeighborDiscovery { .. }]) {
            assert!(datagram.packet.is_bubble());
            let received = self.peers.get(&datagram.packet.destination());
            let received = received.and_then(|peer| peer.received);
            assert!(nonce.is_none() || nonce == received, "R6081-5.2.4.2-02");
            return true;
        }
        let target = datagram.packet.destination();
        let teredo = TeredoAddress::from_ipv6(target);
        // A peer may claim its server's port as its mapping.
        let both = teredo.filter(|teredo| SocketAddrV4::new(teredo.server, PORT) == to);
        if both.is_some_and(|teredo| teredo.mapped == to) {
            return false;
        }
        let is_indirect = both.is_some();
        if !datagram.packet.is_bubble() || !self.named.contains(&target) {
            assert_eq!(nonce, None);
            return false;
        }
        let peer = self.peers.entry(target).or_default();
        if is_indirect {
            assert!(nonce.is_some(), "R6081-5.2.4.1-01");
            assert_ne!(nonce, peer.sent, "R6081-7-01");
            peer.sent = nonce;
        } else {
            assert!(
                nonce.is_none() || nonce == peer.received,
                "R6081-5.2.4.2-02"
            );
            peer.repeated |= !cut_short;
        }
        false
    }

    fn informed(&self, bytes: &[u8], sent: &mut Sent) {
        assert_eq!(self.state(), State::Qualified);
        assert!(bytes.len() <= MTU);
        let packet = parse(bytes);
        assert_eq!(packet.destination(), self.own_address());
        assert!(matches!(
            Icmpv6::parse(&packet),
            Ok(Icmpv6::DestinationUnreachable { .. } | Icmpv6::PacketTooBig { .. })
        ));
        sent.errors += 1;
    }

    fn announced(&mut self, bytes: &[u8], sent: &mut Sent) {
        assert_eq!(self.state(), State::Qualified, "R4380-5.2-04");
        assert!(self.subnet.is_some(), "R4380-5.2.8-09");
        let packet = parse(bytes);
        assert!(packet.is_bubble());
        assert_eq!(
            (packet.source(), packet.destination()),
            (self.own_address(), ALL_NODES)
        );
        sent.local += 1;
    }

    fn solicited_secondary(&mut self, to: SocketAddrV4, bytes: &[u8], sent: &mut Sent) {
        assert_eq!(self.state(), State::Qualified);
        assert!(self.secondary.is_open(), "R4380-5.2.7-08");
        let datagram = Datagram::parse(bytes).expect("what is sent is a datagram");
        let own = self.own.expect("a qualified client has an address");
        let server = self.server.expect("it came with the address");
        assert_eq!(server.primary, own.server);
        assert!([server.primary, server.secondary].contains(to.ip()));
        let asked = self.check_solicitation(to, &datagram);
        self.secondary.asks(asked);
        sent.secondary += 1;
    }

    fn solicited(&mut self, to: SocketAddrV4, datagram: &Datagram<'_>, sent: &mut Sent) {
        let in_use = self.own.is_some_and(|own| own.server == *to.ip());
        assert!(in_use || self.server_at(to).is_some(), "nobody's server");
        let asked = self.check_solicitation(to, datagram);
        self.solicitations.push_front(asked);
        self.solicitations.truncate(OUTSTANDING);
        sent.solicitations += 1;
    }

    fn check_solicitation(&mut self, to: SocketAddrV4, datagram: &Datagram<'_>) -> Solicitation {
        assert_eq!(datagram.origin, None);
        assert!(datagram.trailers.as_bytes().is_empty());
        let authentication = datagram.authentication.expect("a solicitation has a nonce");
        if self.keyed {
            let Credentials { identifier, secret } = credentials();
            assert_eq!(authentication.identifier, identifier.as_bytes());
            assert!(datagram.verify(&secret), "R4380-5.2.2-04");
        } else {
            assert!(authentication.identifier.is_empty() && authentication.value.is_empty());
        }
        assert_eq!(authentication.confirmation, 0, "R4380-5.2.2-05");
        let packet = &datagram.packet;
        assert!(matches!(
            Icmpv6::parse(packet),
            Ok(Icmpv6::RouterSolicitation(_))
        ));
        assert!(packet.source().is_unicast_link_local());
        assert_eq!(to.port(), PORT);
        let nonce = authentication.nonce;
        assert!(
            self.nonces.insert(nonce),
            "R4380-5.2.2-03: not a fresh nonce"
        );
        Solicitation {
            to,
            source: packet.source(),
            nonce,
        }
    }

    fn sent(&mut self, to: SocketAddrV4, packet: &Ipv6Packet<'_>, sent: &mut Sent) {
        let destination = packet.destination();
        if !self.named.contains(&destination) {
            self.probed(to, packet);
            sent.probes += 1;
            return;
        }
        if self.released(packet, sent) {
            self.check_data(to, packet);
            let heard = self.heard.get(&to).copied();
            // The path may have waited until the peer could know where we are.
            let is_fresh = match self.is_extended {
                true => heard.is_some_and(|at| self.now - at < VALIDITY),
                false => heard == Some(self.now),
            };
            assert!(is_fresh, "nothing proved it");
            return;
        }
        assert_eq!(self.state(), State::Qualified, "R4380-5.2-04");
        let own = self.own.expect("a qualified client has an address");
        assert_eq!(packet.source(), own.to_ipv6());
        if packet.is_bubble() {
            self.check_destination(to);
            sent.bubbles.entry(destination).or_default().push(to);
            return;
        }
        let Ok(Icmpv6::EchoRequest {
            identifier,
            sequence,
            data,
        }) = Icmpv6::parse(packet)
        else {
            panic!("neither the host's nor the client's: {packet}")
        };
        assert_eq!(to, SocketAddrV4::new(own.server, PORT), "R4380-5.2.9-01");
        assert!(!is_teredo(&destination));
        let peer = self.peers.entry(destination).or_default();
        let spaced = peer
            .last_test
            .is_none_or(|at| self.now - at >= TEST_SPACING);
        assert!(spaced, "R4380-5.2.4-02");
        peer.last_test = Some(self.now);
        peer.tests.insert(data.to_vec());
        self.tests.push_front(Test {
            target: destination,
            identifier,
            sequence,
            data: data.to_vec(),
        });
        self.tests.truncate(OUTSTANDING);
        sent.tests += 1;
    }

    /// A bubble to an address that only the client itself has named: that of the secondary port.
    fn probed(&mut self, to: SocketAddrV4, packet: &Ipv6Packet<'_>) {
        let own = self.own.expect("a qualified client has an address");
        assert_eq!(self.state(), State::Qualified);
        assert!(packet.is_bubble(), "for nobody: {packet}");
        assert_eq!(packet.source(), own.to_ipv6());
        self.check_destination(to);
        let target = TeredoAddress::from_ipv6(packet.destination()).expect("its Teredo address");
        assert_eq!(target.server, own.server);
        let through_server = to == SocketAddrV4::new(own.server, PORT);
        assert!(target.mapped == to || through_server);
        self.secondary
            .probed(self.now, target.mapped, packet.destination());
    }

    /// A local bubble comes with bubbles to a peer on the link, or from a timer.
    pub fn check_local(&mut self, sent: &Sent, timeout: bool) {
        if sent.local == 0 {
            return;
        }
        let to_the_link = sent.bubbles.values().filter(|to| to.len() == 3).count();
        assert!(sent.local <= to_the_link + usize::from(timeout));
        if to_the_link == 0 {
            let spaced = self
                .last_local
                .is_none_or(|at| self.now - at >= LOCAL_SPACING);
            assert!(spaced, "local bubbles one after the other");
        }
        self.last_local = Some(self.now);
    }

    /// Once all bubbles of a call are known: a single one is an answer, several are a question.
    pub fn check_bubbles(&mut self, sent: &Sent) {
        let (asks, answers) = (self.asks.take(), self.answers.take());
        if self.is_extended {
            return self.check_extended(sent);
        }
        for (address, to) in &sent.bubbles {
            let teredo = TeredoAddress::from_ipv6(*address);
            // R6081-5.6.4.2-02: to the addresses that a peer behind the same NAT has named, besides the answer.
            let is_alternate = |to: &SocketAddrV4| {
                asks == Some(*address)
                    && self.alternates.contains(to)
                    && teredo.is_some_and(|teredo| teredo.mapped != *to)
            };
            let alternates = to.iter().filter(|to| is_alternate(to)).count();
            assert!(alternates <= 4, "R6081-7-02");
            let to: Vec<_> = to.iter().filter(|to| !is_alternate(to)).copied().collect();
            let to = &to;
            // A peer with the nonce may be answered at once.
            if let (Some(teredo), [direct]) = (teredo, to.as_slice())
                && answers == Some(*address)
            {
                self.check_path(*address, teredo.mapped, *direct);
                continue;
            }
            for to in to {
                if let Some(teredo) = teredo
                    && *to != SocketAddrV4::new(teredo.server, PORT)
                {
                    self.check_path(*address, teredo.mapped, *to);
                }
            }
            let mut peer = self.peers.remove(address).unwrap_or_default();
            let cut_short = sent.cut_short.contains(address);
            if let (Some(_), [_], true) = (teredo, to.as_slice(), cut_short) {
                peer.copies += 1;
                let since = peer.last_bubble.map(|at| self.now - at);
                assert!(peer.copies <= COPIES);
                assert!(since.is_none_or(|since| since < BUBBLE_SPACING));
                self.peers.insert(*address, peer);
                continue;
            }
            let mut owed = false;
            let was_owed = peer.cut_short || sent.owed.contains(address);
            let events = match (teredo, to.as_slice()) {
                // R6081-3.1-01: an answer, and a question back, whose direct bubble is the same.
                (Some(peer_address), [answer, copy, indirect]) if asks == Some(*address) => {
                    assert!(cut_short);
                    assert!(*copy == peer_address.mapped || copy == answer);
                    assert_eq!(*indirect, SocketAddrV4::new(peer_address.server, PORT));
                    let spaced = peer
                        .last_indirect
                        .is_none_or(|at| self.now - at >= BUBBLE_SPACING);
                    assert!(spaced, "R4380-5.2.6-04");
                    peer.last_indirect = Some(self.now);
                    owed = was_owed;
                    &mut peer.answered
                }
                (Some(peer_address), [on_the_link @ .., _, indirect]) => {
                    assert!(on_the_link.len() <= 1);
                    peer.last_indirect = Some(self.now);
                    let server = SocketAddrV4::new(peer_address.server, PORT);
                    assert_eq!(*indirect, server, "R4380-5.2.6-03");
                    &mut peer.asked
                }
                (Some(_), [_]) => {
                    owed = was_owed;
                    &mut peer.answered
                }
                (None, [_]) => &mut peer.answered,
                _ => panic!("too many bubbles to {address}: {to:?}"),
            };
            events.retain(|at| self.now - *at < BUBBLE_WINDOW);
            assert!(events.len() < BUBBLE_LIMIT, "R4380-5.2.6-05");
            events.push(self.now);
            let spaced = peer
                .last_bubble
                .is_none_or(|at| self.now - at >= BUBBLE_SPACING);
            assert!(spaced || owed, "R4380-5.2.6-04");
            peer.last_bubble = Some(self.now);
            peer.copies = 0;
            peer.cut_short = cut_short && asks != Some(*address);
            self.peers.insert(*address, peer);
        }
    }

    /// The client's status agrees with its events.
    pub fn check_status(&self, status: &teredo::client::Status, max_peers: usize) {
        assert_eq!((status.state, status.reason), self.visible);
        if let Some(address) = status.address {
            assert_eq!(address, self.own_address());
        }
        assert_eq!(status.address.is_some(), status.state == State::Qualified);
        let serves_nobody = matches!(status.state, State::Offline | State::Dormant);
        assert!(!serves_nobody || self.own.is_none());
        assert!(status.neighbours <= 256);
        assert!(status.peers <= max_peers.max(1));
        assert!(status.trusted_peers <= status.peers);
    }
}

impl Peer {
    fn responded(&mut self) {
        self.asked.clear();
        self.answered.clear();
    }
}

fn nonce_of(trailers: &Trailers<'_>) -> Option<[u8; 4]> {
    let nonces = trailers.iter().filter_map(|trailer| match trailer {
        Trailer::Nonce(nonce) => Some(nonce),
        _ => None,
    });
    nonces.last()
}

fn parse(bytes: &[u8]) -> Ipv6Packet<'_> {
    Ipv6Packet::parse(bytes).expect("a packet")
}
