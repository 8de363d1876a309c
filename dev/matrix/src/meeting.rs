//! One pair of clients, one seed: does a program behind one NAT get an answer from behind the other?

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::client::NatTraversal;
use teredo::{ClientConfig, ServerAddress};
use teredo_sim::{CaptureMode, ClientId, NatBehaviour, NatId, Network, World, packet};

const SERVER: ServerAddress = ServerAddress {
    primary: Ipv4Addr::new(192, 0, 2, 1),
    secondary: Ipv4Addr::new(192, 0, 2, 2),
};

/// Qualification with losses: the client tries again for longer, but then no program waits for it.
const QUALIFICATION: Duration = Duration::from_secs(120);
/// One way from a client to the middle of the internet.
const DELAY: Duration = Duration::from_micros(10_500);
/// Between the clients and back.
const ROUND_TRIP: Duration = Duration::from_millis(42);
/// A program sends a datagram each second, as `ping` does.
const PERIOD: Duration = Duration::from_secs(1);
/// Its patience, in datagrams. RFC 4380 §5.2.6 has bubbles at 0, 2, 4 and 6 s.
const PATIENCE: u8 = 10;

/// An answer that came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meeting {
    /// From the program's first datagram to the first answer, in round trips between the clients.
    pub round_trips: f64,
    /// The UDP datagrams that all machines sent meanwhile.
    pub datagrams: u64,
}

/// Lets a program behind `from` talk to one behind `to`. Each client's link loses `loss` of all datagrams in each
/// direction. `None` if there is no answer within 10 s, or if one has no Teredo address.
pub fn meet(
    from: NatBehaviour,
    to: NatBehaviour,
    mode: NatTraversal,
    loss: f64,
    seed: u64,
) -> Option<Meeting> {
    let mut world = World::new(seed);
    world.capture_mut().set_mode(CaptureMode::HashOnly);
    world.add_server(SERVER);
    let a = attach(&mut world, 1, from, mode, loss);
    let b = attach(&mut world, 2, to, mode, loss);
    let qualified = world.run_until(QUALIFICATION, |world| {
        [a, b].map(|client| address(world, client).is_some()) == [true; 2]
    });
    if !qualified {
        return None;
    }
    let (source, destination) = (address(&world, a)?, address(&world, b)?);
    let (start, sent) = (world.now(), world.capture().total());
    let mut answered = 0;
    for number in 0..PATIENCE {
        world.send(a, &packet::udp(source, destination, &[number]));
        let end = world.now() + PERIOD;
        loop {
            let left = end.saturating_duration_since(world.now());
            let heard = |world: &World, client: ClientId| world.client(client).delivered().len();
            let before = answered;
            let _ = world.run_until(left, |world| {
                heard(world, b) > before || heard(world, a) > 0
            });
            if heard(&world, a) > 0 {
                return Some(Meeting {
                    round_trips: (world.now() - start).as_secs_f64() / ROUND_TRIP.as_secs_f64(),
                    datagrams: world.capture().total() - sent,
                });
            }
            if heard(&world, b) == before {
                break;
            }
            // The answer of the other program, to each of them.
            world.send(b, &packet::udp(destination, source, &[number]));
            answered += 1;
        }
    }
    None
}

/// A client of the server; a NAT that does not translate is none.
fn attach(
    world: &mut World,
    number: u8,
    behaviour: NatBehaviour,
    mode: NatTraversal,
    loss: f64,
) -> ClientId {
    let config = ClientConfig {
        nat_traversal: mode,
        ..ClientConfig::default()
    };
    let network = if behaviour.translates {
        // Some have four external addresses.
        let nat: NatId = world.add_nat(behaviour, [203, 0, 113, 16 * number]);
        nat.into()
    } else {
        Network::Internet
    };
    let ip = match network {
        Network::Internet => Ipv4Addr::new(198, 51, 100, number),
        Network::Behind(_) => Ipv4Addr::new(10, 0, 0, number),
    };
    let port = 40_000 + u16::from(number);
    let client = world.add_idle_client(network, SocketAddrV4::new(ip, port), config);
    let link = world.link_mut(client);
    if network == Network::Internet {
        link.delay = DELAY;
    }
    link.loss = loss;
    // RFC 6081 §5.3.3: before the qualification, and whether or not it helps.
    if mode != NatTraversal::Rfc4380 {
        let _ = world.ask_gateway(client);
    }
    world.start(client, &[SERVER]);
    client
}

/// The Teredo address, if the client has one.
fn address(world: &World, client: ClientId) -> Option<Ipv6Addr> {
    world.client(client).client().status().address
}
