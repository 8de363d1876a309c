//! One event, one seed, with the real state machines.

use std::net::Ipv6Addr;
use std::time::Duration;

use teredo::client::{NatTraversal, Resumption};
use teredo::wire::{TeredoAddress, emit_echo_request};
use teredo_sim::{ClientId, NatBehaviour, World, packet};

use crate::event::Event;
use crate::place::{NATIVE_HOST, Place, SERVERS, address};

/// A program asks once a second, as `ping` does.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);
/// A run ends after so long without success.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// How long the event takes if every two sites are `delay` apart and the link of each NAT loses this share of the
/// datagrams, in each direction, with this setting of all clients; `None` if it does not succeed in a minute.
pub fn time(
    mode: NatTraversal,
    event: Event,
    delay: Duration,
    loss: f64,
    seed: u64,
) -> Option<Duration> {
    let mut place = Place::new(seed, delay, mode, event != Event::NativeToClient);
    match event {
        Event::Cold => cold(place, loss),
        Event::Warm => warm(place, loss),
        Event::ClientToClient => {
            let (a, nat_a, source) = place.settle(1);
            let (b, nat_b, destination) = place.settle(2);
            place.set_loss(nat_a, loss);
            place.set_loss(nat_b, loss);
            ask(place.world, (a, source), Some(b), destination)
        }
        Event::ClientToNative => {
            let (a, nat, source) = place.settle(1);
            place.set_loss(nat, loss);
            ask(place.world, (a, source), None, NATIVE_HOST)
        }
        Event::NativeToClient => from_native(place, loss),
    }
}

fn cold(mut place: Place, loss: f64) -> Option<Duration> {
    let config = place.config();
    let (client, nat) = place.add_client(1, NatBehaviour::port_restricted(), config);
    place.set_loss(nat, loss);
    let mut world = place.world;
    let began = world.now();
    world.start(client, &SERVERS[..1]);
    let qualified = world.run_until(LIMIT, |world| address(world, client).is_some());
    qualified.then(|| world.now() - began)
}

fn warm(mut place: Place, loss: f64) -> Option<Duration> {
    let (client, nat, held) = place.settle(1);
    place.set_loss(nat, loss);
    let config = place.config();
    let mut world = place.world;
    let status = world.client(client).client().status();
    let earlier = Resumption {
        server: SERVERS[0],
        address: TeredoAddress::from_ipv6(held)?,
        nat: status.nat,
        refresh_interval: status.refresh_interval,
    };
    world.stop(client);
    let began = world.now();
    world.resume(client, config, &SERVERS[..1], earlier);
    let qualified = world.run_until(LIMIT, |world| address(world, client).is_some());
    qualified.then(|| world.now() - began)
}

/// A client's program asks a client or a native host, until the first answer.
fn ask(
    mut world: World,
    (client, source): (ClientId, Ipv6Addr),
    peer: Option<ClientId>,
    destination: Ipv6Addr,
) -> Option<Duration> {
    let began = world.now();
    let mut answered = 0;
    let heard = |world: &World, client: ClientId| world.client(client).delivered().len();
    for number in 0..LIMIT.as_secs() as u16 {
        world.send(client, &question(source, destination, number));
        let end = began + PERIOD * u32::from(number + 1);
        loop {
            let left = end.saturating_duration_since(world.now());
            let came = world.run_until(left, |world| {
                heard(world, client) > 0 || peer.is_some_and(|peer| heard(world, peer) > answered)
            });
            if heard(&world, client) > 0 {
                return Some(world.now() - began);
            }
            let Some(peer) = peer.filter(|_| came) else {
                break;
            };
            let asked = world.client(peer).delivered()[answered].what.clone();
            answered += 1;
            if let Some(reply) = packet::echo_reply(&asked) {
                world.send(peer, &reply);
            }
        }
    }
    None
}

/// A native host asks a client's program, until the first answer.
fn from_native(mut place: Place, loss: f64) -> Option<Duration> {
    let (client, nat, destination) = place.settle(1);
    place.set_loss(nat, loss);
    let native = place.native;
    let mut world = place.world;
    let began = world.now();
    let mut answered = 0;
    // The native host answers the client's test of its path.
    let mut tested = 0;
    for number in 0..LIMIT.as_secs() as u16 {
        world.send_native(&question(NATIVE_HOST, destination, number));
        let end = began + PERIOD * u32::from(number + 1);
        loop {
            let left = end.saturating_duration_since(world.now());
            let came = world.run_until(left, |world| {
                world.raw(native).native().len() > tested
                    || world.client(client).delivered().len() > answered
            });
            if !came {
                break;
            }
            while let Some(packet) = world.raw(native).native().get(tested) {
                tested += 1;
                match packet::echo_reply(&packet.what) {
                    Some(reply) => world.send_native(&reply),
                    // No question, so it is the answer. The host had it a moment after the question left it.
                    None => return Some(world.now() - began),
                }
            }
            while let Some(packet) = world.client(client).delivered().get(answered) {
                let reply = packet::echo_reply(&packet.what);
                answered += 1;
                if let Some(reply) = reply {
                    world.send(client, &reply);
                }
            }
        }
    }
    None
}

fn question(source: Ipv6Addr, destination: Ipv6Addr, number: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    emit_echo_request(source, destination, 64, 1, number, b"question", &mut packet);
    packet
}
