//! The stage: servers, NATs and clients with recognisable addresses.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::client::{Event, LocalSubnet, NatTraversal, Reason, State, Status};
use teredo::wire::{Datagram, TeredoAddress};
use teredo::{ClientConfig, Instant, Node, ServerAddress};
use teredo_sim::{ClientId, HostId, NatBehaviour, NatId, Network, Record, World};

use crate::evidence;

pub(crate) const SERVER: ServerAddress = ServerAddress {
    primary: Ipv4Addr::new(192, 0, 2, 1),
    secondary: Ipv4Addr::new(192, 0, 2, 2),
};
pub(crate) const OTHER_SERVER: ServerAddress = ServerAddress {
    primary: Ipv4Addr::new(192, 0, 2, 17),
    secondary: Ipv4Addr::new(192, 0, 2, 18),
};

/// From a client behind a NAT to a server and back.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(41);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The time since the world began.
pub(crate) fn elapsed(at: Instant) -> Duration {
    at - Instant::default()
}

pub(crate) fn socket(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

pub(crate) fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub(crate) fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// A world with both servers. If its test fails, it leaves its evidence.
pub(crate) fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.when_failed(evidence::write);
    world.add_server(SERVER);
    world.add_server(OTHER_SERVER);
    world
}

/// A NAT at 203.0.113.`number`.
pub(crate) fn nat(world: &mut World, number: u8, behaviour: NatBehaviour) -> NatId {
    world.add_nat(behaviour, [203, 0, 113, number])
}

/// The service port of client `number`: 10.0.0.`number`, port 40000 + `number`.
pub(crate) fn local(number: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, number), 40_000 + u16::from(number))
}

/// Client `number` of [`SERVER`] behind a NAT of its own; started, not yet qualified.
pub(crate) fn client(world: &mut World, number: u8, behaviour: NatBehaviour) -> ClientId {
    let nat = nat(world, number, behaviour);
    world.add_client(nat, local(number), &[SERVER])
}

/// Clients 1 and 2 on one link behind one NAT, qualified; they know nothing of the link.
pub(crate) fn neighbours(seed: u64, behaviour: NatBehaviour) -> (World, NatId, [ClientId; 2]) {
    let mut world = world(seed);
    let nat = nat(&mut world, 1, behaviour);
    let clients = [1, 2].map(|number| world.add_client(nat, local(number), &[SERVER]));
    for client in clients {
        qualify(&mut world, client);
    }
    (world, nat, clients)
}

/// The /24 of a client behind a NAT.
pub(crate) fn subnet(world: &World, client: ClientId) -> LocalSubnet {
    LocalSubnet {
        address: *world.client(client).local().ip(),
        prefix_len: 24,
    }
}

/// Lets a client look for neighbours in its /24.
pub(crate) fn join(world: &mut World, client: ClientId) {
    let subnet = subnet(world, client);
    world.set_local_subnet(client, Some(subnet));
}

/// Client `number` with its own settings, started.
pub(crate) fn client_with(
    world: &mut World,
    number: u8,
    behaviour: NatBehaviour,
    config: ClientConfig,
) -> ClientId {
    let nat = nat(world, number, behaviour);
    let client = world.add_idle_client(nat, local(number), config);
    world.start(client, &[SERVER]);
    client
}

/// The settings of a client without the extensions of RFC 6081.
pub(crate) fn by_rfc4380() -> ClientConfig {
    ClientConfig {
        nat_traversal: NatTraversal::Rfc4380,
        ..ClientConfig::default()
    }
}

/// A client at 198.51.100.`number` without a NAT; started, not yet qualified.
pub(crate) fn public_client(world: &mut World, number: u8) -> ClientId {
    let local = SocketAddrV4::new(
        Ipv4Addr::new(198, 51, 100, number),
        40_000 + u16::from(number),
    );
    world.add_client(Network::Internet, local, &[SERVER])
}

/// As [`client`], and qualified.
pub(crate) fn qualified_client(world: &mut World, number: u8, behaviour: NatBehaviour) -> ClientId {
    let client = client(world, number, behaviour);
    qualify(world, client);
    client
}

/// Lets time pass until the client is qualified.
pub(crate) fn qualify(world: &mut World, client: ClientId) {
    let done = world.run_until(seconds(60), |world| {
        state(world, client) == State::Qualified
    });
    assert!(done, "{client} does not qualify:\n{}", world.capture());
}

pub(crate) fn status(world: &World, client: ClientId) -> Status {
    world.client(client).client().status()
}

pub(crate) fn state(world: &World, client: ClientId) -> State {
    status(world, client).state
}

pub(crate) fn reason(world: &World, client: ClientId) -> Option<Reason> {
    status(world, client).reason
}

/// The address of a qualified client.
pub(crate) fn address(world: &World, client: ClientId) -> Ipv6Addr {
    status(world, client).address.unwrap()
}

/// The parts of a qualified client's address.
pub(crate) fn teredo(world: &World, client: ClientId) -> TeredoAddress {
    TeredoAddress::from_ipv6(address(world, client)).unwrap()
}

pub(crate) fn drops(world: &World, client: ClientId, reason: teredo::DropReason) -> u64 {
    world.client(client).client().drops().get(reason)
}

/// The addresses that came up and went down, in order.
pub(crate) fn addresses(world: &World, client: ClientId) -> Vec<(Ipv6Addr, bool)> {
    let changes = world
        .client(client)
        .events()
        .iter()
        .filter_map(|event| match event.what {
            Event::AddressUp { address, .. } => Some((address, true)),
            Event::AddressDown { address } => Some((address, false)),
            _ => None,
        });
    changes.collect()
}

/// The packets delivered to a client's host.
pub(crate) fn delivered(world: &World, client: ClientId) -> Vec<Vec<u8>> {
    world
        .client(client)
        .delivered()
        .iter()
        .map(|packet| packet.what.clone())
        .collect()
}

/// The router solicitations that a host sent.
pub(crate) fn solicitations(world: &World, host: impl Into<HostId>) -> Vec<Record> {
    sent(world, host, |datagram| {
        datagram.packet.payload().first() == Some(&133)
    })
}

/// The bubbles that a host sent.
pub(crate) fn bubbles(world: &World, host: impl Into<HostId>) -> Vec<Record> {
    sent(world, host, |datagram| datagram.packet.is_bubble())
}

/// The same without the bubbles that were only sent again to open the host's own NAT, and expire behind it.
pub(crate) fn distinct_bubbles(world: &World, host: impl Into<HostId>) -> Vec<Record> {
    let all = bubbles(world, host).into_iter();
    all.filter(|record| !is_copy(world, record)).collect()
}

/// Whether a bubble was sent again, and expires on the way.
pub(crate) fn is_copy(world: &World, record: &Record) -> bool {
    let datagram = &record.datagram;
    let is_original = |other: &Record| {
        let earlier = other.at < record.at || other.datagram.ttl > datagram.ttl;
        (earlier && other.at <= record.at && record.at - other.at < Duration::from_millis(100))
            && other.datagram.source == datagram.source
            && other.datagram.destination == datagram.destination
            && other.payload() == record.payload()
    };
    datagram.ttl <= 8 && world.capture().iter().any(is_original)
}

/// The echo requests that a host sent.
pub(crate) fn echo_requests(world: &World, host: impl Into<HostId>) -> Vec<Record> {
    sent(world, host, |datagram| {
        datagram.packet.payload().first() == Some(&128) && datagram.packet.next_header() == 58
    })
}

/// The UDP packets over IPv6 that a host sent.
pub(crate) fn data(world: &World, host: impl Into<HostId>) -> Vec<Record> {
    sent(world, host, |datagram| datagram.packet.next_header() == 17)
}

fn sent(
    world: &World,
    host: impl Into<HostId>,
    wanted: impl Fn(&Datagram<'_>) -> bool,
) -> Vec<Record> {
    let records = world
        .capture()
        .sent_by(host)
        .filter(|record| !record.duplicate);
    records
        .filter(|record| Datagram::parse(record.payload()).is_ok_and(|datagram| wanted(&datagram)))
        .cloned()
        .collect()
}

/// The seconds from `start` to each record, rounded down to milliseconds.
pub(crate) fn times(start: Instant, records: &[Record]) -> Vec<f64> {
    records
        .iter()
        .map(|record| (record.at - start).as_millis() as f64 / 1000.0)
        .collect()
}
