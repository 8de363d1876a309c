//! Every kind of NAT against every other, seen from every place: no right exchange stalls, no state machine of this project
//! breaks a rule, and no kind of NAT is named that is not there.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::wire::{Icmpv6, Ipv6Packet, emit_echo_reply, emit_echo_request};
use teredo::{Instant, RelayConfig, ServerAddress, relay::Served};
use teredo_sim::{
    Arrival, ClientId, Fate, HostId, NatBehaviour, NatId, Network, RelayId, ServerId, World,
};
use teredo_trace::{Grade, Limits, Mapping, NatKind, Node, Role, Trace, trace_file};

const HOMES: [[u8; 4]; 2] = [[203, 0, 113, 1], [198, 51, 100, 1]];
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// A capture that begins here begins on clients that run.
const LATE: Duration = Duration::from_secs(25);
/// The time to live that a datagram has left at its receiver.
const LEFT: u8 = 58;

/// The kinds, and what a trace may say about them.
fn kinds() -> [(&'static str, NatBehaviour, NatKind); 12] {
    use NatKind::{Cone, None, Restricted, Symmetric};
    [
        ("none", NatBehaviour::none(), None),
        ("cone", NatBehaviour::cone(), Cone),
        ("restricted", NatBehaviour::restricted(), Restricted),
        (
            "port-restricted",
            NatBehaviour::port_restricted(),
            Restricted,
        ),
        ("open-input", NatBehaviour::open_input(), Cone),
        ("hairpin", NatBehaviour::hairpin(), Restricted),
        ("symmetric", NatBehaviour::symmetric(), Symmetric),
        (
            "sequential",
            NatBehaviour::symmetric_sequential(),
            Symmetric,
        ),
        (
            "preserving",
            NatBehaviour::symmetric_preserving(),
            Symmetric,
        ),
        // Each destination has a mapping of its own, but all have the same number: nobody outside sees the difference.
        (
            "overloading",
            NatBehaviour::symmetric_overloading(),
            Restricted,
        ),
        ("by address", NatBehaviour::address_symmetric(), Symmetric),
        ("carrier", NatBehaviour::carrier(), Restricted),
    ]
}

struct Pair {
    world: World,
    clients: [ClientId; 2],
    nats: [NatId; 2],
    server: ServerId,
    relay: RelayId,
}

impl Pair {
    /// Two clients that have qualified, a relay, and a native host that answers echo requests.
    fn new(nats: [NatBehaviour; 2]) -> Self {
        let mut world = World::new(5);
        let address = ServerAddress::adjacent([192, 0, 2, 1].into());
        let server = world.add_server(address);
        let end: SocketAddrV4 = "198.51.100.99:4545".parse().expect("an endpoint");
        let config = RelayConfig {
            error_source: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfff)),
            ..RelayConfig::new(end, Served::Networks(vec![]))
        };
        let relay = world.add_relay(Network::Internet, end, config);
        let host = world.add_responder(Network::Internet, &[], |arrival, out| {
            if let Arrival::Native(packet) = arrival
                && let Ok(packet) = Ipv6Packet::parse(packet)
                && let Ok(Icmpv6::EchoRequest {
                    identifier,
                    sequence,
                    data,
                }) = Icmpv6::parse(&packet)
            {
                let (from, to) = (packet.destination(), packet.source());
                let mut reply = Vec::new();
                emit_echo_reply(from, to, 64, identifier, sequence, data, &mut reply);
                out.send_native(reply);
            }
        });
        world.attach_native(host, NATIVE);
        let [left, right] = nats;
        let nats = [
            world.add_nat(left, HOMES[0]),
            world.add_nat(right, HOMES[1]),
        ];
        let ends = ["192.168.1.2:40000", "10.0.0.2:41000"];
        let ends = ends.map(|end| end.parse().expect("an endpoint"));
        let clients = [
            world.add_client(nats[0], ends[0], &[address]),
            world.add_client(nats[1], ends[1], &[address]),
        ];
        world.run_for(Duration::from_secs(20));
        Self {
            world,
            clients,
            nats,
            server,
            relay,
        }
    }

    /// Two minutes of echo requests, from both sides and to the native host. In between the first NAT forgets, if it is to.
    fn talk(&mut self, first: usize, forgets: bool) -> Option<()> {
        let world = &mut self.world;
        let address = |world: &World, id| world.client(id).client().status().address;
        let addresses = [
            address(world, self.clients[0])?,
            address(world, self.clients[1])?,
        ];
        for round in 0..12_u16 {
            let from = (usize::from(round) + first) % 2;
            let mut packet = Vec::new();
            let (source, destination) = (addresses[from], addresses[1 - from]);
            emit_echo_request(
                source,
                destination,
                64,
                7,
                round,
                b"0123456789",
                &mut packet,
            );
            world.send(self.clients[from], &packet);
            if round % 4 == 0 {
                let mut packet = Vec::new();
                emit_echo_request(
                    addresses[0],
                    NATIVE,
                    64,
                    9,
                    round,
                    b"abcdefghij",
                    &mut packet,
                );
                world.send(self.clients[0], &packet);
            }
            if forgets && round == 6 {
                world.nat_mut(self.nats[0]).forget();
            }
            world.run_for(Duration::from_secs(if round % 5 == 0 { 40 } else { 3 }));
        }
        world.run_for(Duration::from_secs(10));
        Some(())
    }

    fn works(&self) -> bool {
        let heard = |id: ClientId| !self.world.client(id).delivered().is_empty();
        self.clients.into_iter().all(heard)
    }

    /// The captures of both hosts, the server, the relay, the Internet, the first home's line, and a late one.
    fn captures(&self) -> BTreeMap<&'static str, Capture> {
        let mut captures: BTreeMap<&'static str, Capture> = BTreeMap::new();
        let hosts: [(&str, HostId); 4] = [
            ("left", self.clients[0].into()),
            ("right", self.clients[1].into()),
            ("server", self.server.into()),
            ("relay", self.relay.into()),
        ];
        let is_home = |end: SocketAddrV4| end.ip().octets() == HOMES[0];
        for record in self.world.capture().iter() {
            let datagram = &record.datagram;
            let (near, far, to) = (datagram.source, record.public_source, datagram.destination);
            let payload = record.payload();
            let mut put = |name, at: Instant, from, to, ttl| {
                let capture = captures.entry(name).or_default();
                capture.0.push((at, from, to, ttl, payload.to_vec()));
            };
            put("internet", record.at, far, to, datagram.ttl);
            for (name, host) in hosts {
                if record.sender == host {
                    put(name, record.at, near, to, datagram.ttl);
                }
                if let Fate::Delivered { at, host: receiver } = record.fate
                    && receiver == host
                {
                    put(name, at, far, record.inner_destination, LEFT);
                }
            }
            if record.sender == HostId::from(self.clients[0]) && is_home(far) {
                put("line", record.at, far, to, datagram.ttl.saturating_sub(1));
            } else if is_home(to) {
                put("line", record.at, far, to, LEFT);
            }
        }
        let late = captures["left"].0.clone();
        let is_late = |at: Instant| Duration::from_nanos(at.as_nanos()) > LATE;
        let late = late.into_iter().filter(|(at, ..)| is_late(*at));
        captures.insert("left, late", Capture(late.collect()));
        captures
    }
}

type Datagram = (Instant, SocketAddrV4, SocketAddrV4, u8, Vec<u8>);

#[derive(Default)]
struct Capture(Vec<Datagram>);

impl Capture {
    /// A file of raw IP with nanoseconds.
    fn file(mut self) -> Vec<u8> {
        self.0.sort_by_key(|(at, ..)| *at);
        let mut file = 0xa1b2_3c4d_u32.to_le_bytes().to_vec();
        file.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0]);
        for (at, from, to, ttl, payload) in self.0 {
            let mut packet = Vec::new();
            etherparse::PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), ttl)
                .udp(from.port(), to.port())
                .write(&mut packet, &payload)
                .expect("a vector has room");
            let nanos = at.as_nanos();
            let length = packet.len() as u32;
            let seconds = 1_700_000_000 + (nanos / 1_000_000_000) as u32;
            for word in [seconds, (nanos % 1_000_000_000) as u32, length, length] {
                file.extend_from_slice(&word.to_le_bytes());
            }
            file.extend_from_slice(&packet);
        }
        file
    }
}

/// The faults of a trace, against the truth.
/// If `is_quiet`, no mapping changes: each client is one node.
fn faults(trace: &Trace, works: bool, is_quiet: bool, homes: [NatKind; 2]) -> Vec<String> {
    let mut faults = Vec::new();
    for packet in &trace.packets {
        for finding in &packet.findings {
            let is_stall = finding.id.starts_with("stall");
            if finding.grade == Grade::Fail || works && is_stall {
                faults.push(format!("#{} {}: {}", packet.n, finding.id, finding.text));
            }
        }
    }
    // A router with an open input that forgot takes what comes in for new connections, and their ports from its clients:
    // it does have a mapping for each destination then.
    let is_open = homes.contains(&NatKind::Cone);
    for node in trace.nodes.iter().filter(|node| node.role == Role::Client) {
        faults.extend(wrong_kind(node, homes).filter(|_| works || !is_open));
    }
    let clients = trace.nodes.iter().filter(|node| node.role == Role::Client);
    // A client asks from a second port to learn how its NAT assigns ports (RFC 6081 §5.4): that may be another client.
    let mut ends: Vec<_> = clients
        .map(|node| {
            (
                node.local.map(|end| *end.ip()),
                node.mapped.map(|end| *end.ip()),
            )
        })
        .collect();
    ends.sort_unstable();
    ends.dedup();
    if ends.len() > 2 && is_quiet {
        faults.push(format!("{} clients: {ends:?}", ends.len()));
    }
    if trace.not_teredo > 0 {
        faults.push(format!("{} datagrams are not Teredo", trace.not_teredo));
    }
    faults
}

fn wrong_kind(node: &Node, homes: [NatKind; 2]) -> Option<String> {
    let nat = node.nat.as_ref()?;
    let private: Ipv4Addr = [192, 168, 1, 2].into();
    let is_left = node.local.map(|end| *end.ip()) == Some(private)
        || node.mapped.is_some_and(|end| end.ip().octets() == HOMES[0]);
    let truth = homes[usize::from(!is_left)];
    let is_wrong = nat.kind.is_some_and(|kind| kind != truth)
        || nat.mapping == Some(Mapping::EndpointIndependent) && truth == NatKind::Symmetric
        || nat.mapping == Some(Mapping::EndpointDependent) && truth != NatKind::Symmetric;
    is_wrong.then(|| format!("{nat} instead of {truth:?}: {:?}", nat.evidence))
}

/// R4380-5.2.1-11, R4380-5.2.4-03, R4380-5.2.6-05, R4380-5.2.9-01
#[test]
fn no_wrong_accusation_from_any_place() {
    let mut faulty = Vec::new();
    let mut named = BTreeMap::<(&str, &str), usize>::new();
    for (left, one, left_kind) in kinds() {
        for (right, other, right_kind) in kinds() {
            // Which side begins, and whether a NAT forgets: each pair has one of the four.
            let number = left.len() + right.len();
            let mut pair = Pair::new([one, other]);
            let forgets = number % 4 >= 2;
            if pair.talk(number % 2, forgets).is_none() {
                continue;
            }
            // Behind a NAT that forgot, something does stall.
            let works = pair.works() && !forgets;
            // A NAT with several addresses has mappings that nothing in the datagrams connects.
            let is_quiet = !forgets && ![left, right].contains(&"by address");
            for (place, capture) in pair.captures() {
                // The line is that of one address, and this NAT has several.
                if (left, place) == ("by address", "line") {
                    continue;
                }
                let trace = trace_file(&capture.file(), Limits::default()).expect("a capture");
                let found = faults(&trace, works, is_quiet, [left_kind, right_kind]);
                faulty.extend(
                    found
                        .into_iter()
                        .map(|fault| format!("{left}/{right}, {place}: {fault}")),
                );
                for nat in trace.nodes.iter().filter_map(|node| node.nat.as_ref()) {
                    let name = nat.kind.map_or("no kind", NatKind::name);
                    *named.entry((place, name)).or_default() += 1;
                }
            }
        }
    }
    assert!(
        faulty.is_empty(),
        "{} faults:\n{}",
        faulty.len(),
        faulty.join("\n")
    );
    // Cautious, but not silent.
    for (place, kind) in [
        ("left", "symmetric"),
        ("left", "cone"),
        ("internet", "symmetric"),
    ] {
        assert!(
            named.contains_key(&(place, kind)),
            "{place}: no {kind} in {named:#?}"
        );
    }
}
