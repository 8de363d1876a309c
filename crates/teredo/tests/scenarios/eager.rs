//! An eager client: repetitions by the measured round trip, and another server in time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use teredo::client::{NatTraversal, Reason, State};
use teredo::wire::{Datagram, PORT, TeredoAddress};
use teredo::{ClientConfig, ServerAddress};
use teredo_sim::{Arrival, ClientId, NatBehaviour, Network, Record, World};

use crate::fake_relay;
use crate::internet::*;
use crate::packets;

/// The time beyond three round trips after which a silent server is left.
const GRACE: Duration = Duration::from_millis(40);

pub(crate) fn eager() -> ClientConfig {
    ClientConfig {
        nat_traversal: NatTraversal::Eager,
        ..ClientConfig::default()
    }
}

/// Client `number`, eager and qualified.
pub(crate) fn eager_client(world: &mut World, number: u8, behaviour: NatBehaviour) -> ClientId {
    let client = client_with(world, number, behaviour, eager());
    qualify(world, client);
    client
}

/// An eager client in service that knows both servers.
fn client_of_two() -> (World, ClientId) {
    let mut world = world(1);
    let nat = nat(&mut world, 1, NatBehaviour::port_restricted());
    let client = world.add_idle_client(nat, local(1), eager());
    world.start(client, &[SERVER, OTHER_SERVER]);
    qualify(&mut world, client);
    world.capture_mut().clear();
    (world, client)
}

fn set_silent(world: &mut World, server: ServerAddress, silent: bool) {
    for address in [server.primary, server.secondary] {
        world.set_silent(address, silent);
    }
}

/// Loses the next `count` datagrams that match.
fn lose(world: &mut World, count: u32, matches: impl Fn(&Datagram<'_>) -> bool + 'static) {
    let left = Rc::new(Cell::new(count));
    world.interfere(move |datagram| {
        let is_hit = left.get() > 0
            && Datagram::parse(&datagram.payload).is_ok_and(|parsed| matches(&parsed));
        left.set(left.get() - u32::from(is_hit));
        is_hit
    });
}

fn is_solicitation(datagram: &Datagram<'_>) -> bool {
    datagram.packet.payload().first() == Some(&133)
}

/// When the client solicits for the first time from now on.
fn next_refresh(world: &mut World, client: ClientId) -> teredo::Instant {
    world.capture_mut().clear();
    assert!(world.run_until(seconds(31), |world| {
        !solicitations(world, client).is_empty()
    }));
    world.now()
}

/// R4380-5.2.1-03: a lost solicitation costs 70 ms at first, and each further one twice as much.
#[test]
fn a_lost_solicitation_costs_little() {
    for (lost, later) in [(0, 0), (2, 70), (4, 210), (6, 490)] {
        let mut world = world(1);
        lose(&mut world, lost, is_solicitation);
        let client = client_with(&mut world, 1, NatBehaviour::port_restricted(), eager());
        let qualified = world.run_until(SECOND, |world| state(world, client) == State::Qualified);
        assert!(qualified, "{lost}");
        let took = elapsed(world.now());
        assert_eq!(took, Duration::from_millis(later) + ROUND_TRIP, "{lost}");
    }
}

/// R4380-5.2.1-03, R4380-5.2.1-05: a silent server is given up after the same 12 s, and gets eight solicitations at each
/// address.
#[test]
fn a_silent_server_is_given_up_as_late_as_ever() {
    let mut world = world(1);
    set_silent(&mut world, SERVER, true);
    let client = client_with(&mut world, 1, NatBehaviour::port_restricted(), eager());
    assert!(world.run_until(seconds(60), |world| state(world, client) == State::Offline));
    assert_eq!(elapsed(world.now()), seconds(12));
    let sent = solicitations(&world, client);
    let to_primary = sent
        .into_iter()
        .filter(|record| *record.datagram.destination.ip() == SERVER.primary);
    assert_eq!(
        times(teredo::Instant::default(), &to_primary.collect::<Vec<_>>()),
        [0.0, 0.07, 0.21, 0.49, 1.05, 2.17, 4.41, 8.41]
    );
}

/// R4380-5.2.4-06, R4380-5.2.6-05: lost bubbles are repeated after the way to the peer and back, and then every 2.2 s.
#[test]
fn lost_bubbles_are_repeated_by_the_measured_round_trip() {
    // The way is 61.5 ms, and a contact waits for 100 ms at least.
    for (lost_pairs, least, most) in [
        (0, 0, 100),
        (1, 100, 200),
        (2, 2_300, 2_400),
        (3, 4_500, 4_600),
    ] {
        let mut world = world(1);
        let [a, b] =
            [1, 2].map(|number| eager_client(&mut world, number, NatBehaviour::port_restricted()));
        let to = address(&world, b);
        let server = SERVER.primary;
        let left = Rc::new(Cell::new(lost_pairs));
        world.interfere(move |datagram| {
            let is_indirect = *datagram.destination.ip() == server
                && Datagram::parse(&datagram.payload).is_ok_and(|parsed| {
                    parsed.packet.is_bubble() && parsed.packet.destination() == to
                });
            let is_hit = is_indirect && left.get() > 0;
            left.set(left.get() - u32::from(is_hit));
            is_hit
        });
        let start = world.now();
        let packet = packets::udp(address(&world, a), address(&world, b), 7);
        let _ = world.submit(a, &packet);
        assert!(world.run_until(seconds(8), |world| !delivered(world, b).is_empty()));
        let took = (world.now() - start).as_millis();
        assert!((least..most).contains(&took), "{lost_pairs}: {took} ms");
    }
}

/// R4380-5.2.6-05, R4380-5.2.4-11: a peer that does not answer gets four pairs in 300 s, as ever, and the host hears of it
/// within the 8 s of the RFC.
#[test]
fn a_silent_peer_gets_four_pairs() {
    let mut world = world(1);
    let client = eager_client(&mut world, 1, NatBehaviour::port_restricted());
    let dead = v6("2001:0:c000:201:0:efff:34ff:8efe");
    world.capture_mut().clear();
    let start = world.now();
    let server = SERVER.primary;
    let indirect = move |world: &World| -> Vec<Record> {
        let sent = bubbles(world, client).into_iter();
        sent.filter(|record| *record.datagram.destination.ip() == server)
            .collect()
    };
    for second in 0..290 {
        let packet = packets::udp(address(&world, client), dead, second as u8);
        let _ = world.submit(client, &packet);
        world.run_for(SECOND);
        if second == 7 {
            assert!(!world.client(client).errors().is_empty());
        }
    }
    assert_eq!(
        times(start, &indirect(&world)),
        [0.0, 0.1, 2.3, 4.5],
        "{}",
        world.capture()
    );
}

/// R4380-5.2.6-04: a peer that spaces its answers by 2 s and knows no nonces, such as miredo, answers the last pair if its
/// first answer was lost.
#[test]
fn a_peer_that_spaces_its_answers_is_reached() {
    let mut world = world(1);
    let client = eager_client(&mut world, 1, NatBehaviour::port_restricted());
    let own = teredo(&world, client);
    let place = socket("198.51.100.77:4000");
    let peer = TeredoAddress {
        mapped: place,
        ..own
    };
    let mut answered: Option<teredo::Instant> = None;
    world.add_responder(Network::Internet, &[*place.ip()], move |arrival, out| {
        let is_bubble = matches!(arrival, Arrival::Udp(received)
            if Datagram::parse(&received.payload).is_ok_and(|parsed| parsed.packet.is_bubble()));
        let now = out.now();
        if is_bubble && answered.is_none_or(|at| now - at >= seconds(2)) {
            let bubble = packets::bubble(peer.to_ipv6(), own.to_ipv6());
            // The first answer is lost.
            if answered.is_some() {
                out.send(place, own.mapped, bubble);
            }
            answered = Some(now);
        }
    });
    world.capture_mut().clear();
    let start = world.now();
    let packet = packets::udp(own.to_ipv6(), peer.to_ipv6(), 7);
    let _ = world.submit(client, &packet);
    let is_sent = |world: &World| !data(world, client).is_empty();
    assert!(world.run_until(seconds(8), is_sent), "{}", world.capture());
    assert!(world.now() - start < Duration::from_millis(2_600));
}

/// R4380-5.2.9-01: lost tests of a native host are repeated likewise.
#[test]
fn lost_tests_are_repeated_by_the_measured_round_trip() {
    let mut world = world(1);
    fake_relay::add(&mut world, |_| None);
    let client = eager_client(&mut world, 1, NatBehaviour::port_restricted());
    world.capture_mut().clear();
    let start = world.now();
    let packet = packets::udp(address(&world, client), v6(fake_relay::NATIVE), 1);
    let _ = world.submit(client, &packet);
    world.run_for(seconds(20));
    // 41 ms × 5 / 2 and 50 ms.
    assert_eq!(
        times(start, &echo_requests(&world, client)),
        [0.0, 0.152, 0.162, 2.362]
    );
    assert_eq!(world.client(client).errors().len(), 1);
}

/// R4380-5.2.5-06, R4380-MS-02: a dead server is replaced within two round trips and 50 ms from the moment at which its
/// answer is overdue.
#[test]
fn a_dead_server_is_replaced_in_time() {
    let (mut world, client) = client_of_two();
    let before = address(&world, client);
    set_silent(&mut world, SERVER, true);
    let asked = next_refresh(&mut world, client);
    assert!(world.run_until(SECOND, |world| {
        status(world, client)
            .address
            .is_some_and(|address| address != before)
    }));
    assert_eq!(world.now() - asked, ROUND_TRIP * 3 + GRACE);
    assert_eq!(teredo(&world, client).server, OTHER_SERVER.primary);
    assert_eq!(status(&world, client).server, Some(OTHER_SERVER));
    let reasons = world.client(client).events().iter();
    let is_lost = |event: &teredo::client::Event| {
        matches!(
            event,
            teredo::client::Event::StateChanged {
                reason: Some(Reason::ServerLost(address)),
                ..
            } if *address == SERVER.primary
        )
    };
    assert_eq!(reasons.filter(|event| is_lost(&event.what)).count(), 1);
    // It stays there, and the next qualification asks this one first.
    world.run_for(seconds(600));
    assert_eq!(teredo(&world, client).server, OTHER_SERVER.primary);
}

/// R4380-5.2.5-06: one lost refresh, and two, leave the client with its server and its address.
#[test]
fn lost_refreshes_do_not_replace_a_server() {
    for lost in 0..=2 {
        let (mut world, client) = client_of_two();
        let before = address(&world, client);
        let to = SERVER.primary;
        let left = Cell::new(lost);
        world.interfere(move |datagram| {
            let is_refresh = *datagram.destination.ip() == to
                && Datagram::parse(&datagram.payload).is_ok_and(|parsed| is_solicitation(&parsed));
            let is_hit = is_refresh && left.get() > 0;
            left.set(left.get() - u32::from(is_hit));
            is_hit
        });
        world.run_for(seconds(60));
        assert_eq!(address(&world, client), before, "{lost}");
        assert_eq!(addresses(&world, client), [(before, true)], "{lost}");
        let asked_others = solicitations(&world, client)
            .iter()
            .filter(|record| *record.datagram.destination.ip() == OTHER_SERVER.primary)
            .count();
        assert_eq!(asked_others, usize::from(lost > 0), "{lost}");
    }
}

/// R4380-5.2.5-06: if nothing answers, the client stays in service as long as one that is not eager, and with what is left
/// of its network it goes on.
#[test]
fn a_network_that_is_down_replaces_no_server() {
    let (mut world, client) = client_of_two();
    let before = address(&world, client);
    let [first, second] = [SERVER, OTHER_SERVER];
    set_silent(&mut world, first, true);
    set_silent(&mut world, second, true);
    let asked = next_refresh(&mut world, client);
    assert!(world.run_until(seconds(60), |world| state(world, client)
        != State::Qualified));
    assert_eq!(world.now() - asked, seconds(12));
    // The second outage is shorter.
    set_silent(&mut world, first, false);
    qualify(&mut world, client);
    assert_eq!(address(&world, client), before);
    set_silent(&mut world, first, true);
    let asked = next_refresh(&mut world, client);
    world.run_for(seconds(8));
    set_silent(&mut world, first, false);
    world.run_for(seconds(30));
    assert_eq!(state(&world, client), State::Qualified);
    assert_eq!(address(&world, client), before);
    assert!(asked < world.now());
    // Within 12 s, each address of the servers gets a dozen at most.
    let to_first = solicitations(&world, client)
        .into_iter()
        .filter(|record| *record.datagram.destination.ip() == first.primary);
    assert!(to_first.count() <= 12);
}

/// R4380-7.4-01: strangers that ask every 2 s provoke the same datagrams at the same times, eager or not: answers to bubbles
/// through the server, tests of native hosts, and the questions to a peer with a nonce.
#[test]
fn a_stranger_provokes_no_more() {
    let provoked = |mode: NatTraversal| {
        let mut world = world(1);
        let config = ClientConfig {
            nat_traversal: mode,
            ..ClientConfig::default()
        };
        let client = client_with(&mut world, 1, NatBehaviour::cone(), config);
        qualify(&mut world, client);
        let attacker = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
        let from = socket("198.51.100.66:4545");
        let own = address(&world, client);
        let mapped = teredo(&world, client).mapped;
        world.capture_mut().clear();
        let start = world.now();
        for number in 0..200_u32 {
            world.run_for(Duration::from_millis(52));
            let peer = TeredoAddress {
                mapped: std::net::SocketAddrV4::new(
                    (0x5100_0000 + number % 40).into(),
                    4_000 + (number % 5) as u16,
                ),
                ..teredo(&world, client)
            };
            let server = std::net::SocketAddrV4::new(SERVER.primary, PORT);
            let mut bubble = packets::bubble(peer.to_ipv6(), own);
            teredo::wire::Trailer::Nonce(number.to_be_bytes()).emit(&mut bubble);
            world.inject(attacker, from, server, &bubble);
            let native = v6(&format!("2600::{number:x}:1"));
            world.inject(attacker, from, server, &packets::bubble(native, own));
            world.inject(attacker, from, mapped, &packets::udp(native, own, 1));
            // The host answers some.
            if number % 20 == 10 {
                world.run_for(Duration::from_millis(100));
                let _ = world.submit(client, &packets::udp(own, native, 2));
            }
        }
        world.run_for(seconds(20));
        let sent = world.capture().sent_by(client).filter(|record| {
            !Datagram::parse(record.payload()).is_ok_and(|parsed| is_solicitation(&parsed))
        });
        sent.map(|record| {
            let datagram = &record.datagram;
            let length = datagram.payload.len();
            (
                record.at - start,
                datagram.destination,
                datagram.ttl,
                length,
            )
        })
        .collect::<Vec<_>>()
    };
    let usual = provoked(NatTraversal::Rfc6081);
    assert!(usual.len() > 150, "{}", usual.len());
    assert_eq!(provoked(NatTraversal::Eager), usual);
}

/// R4380-5.2.6-05, R4380-7.4-01: a stranger that asks sooner gets the same four answers and four questions in 300 s.
#[test]
fn a_hasty_stranger_provokes_no_more() {
    let mut world = world(1);
    let client = eager_client(&mut world, 1, NatBehaviour::cone());
    let attacker = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    let own = teredo(&world, client);
    let peer = TeredoAddress {
        mapped: socket("81.0.0.1:4000"),
        ..own
    };
    world.capture_mut().clear();
    for number in 0..2_900_u32 {
        world.run_for(Duration::from_millis(100));
        let mut bubble = packets::bubble(peer.to_ipv6(), own.to_ipv6());
        teredo::wire::Trailer::Nonce(number.to_be_bytes()).emit(&mut bubble);
        world.inject(
            attacker,
            socket("198.51.100.66:4545"),
            std::net::SocketAddrV4::new(SERVER.primary, PORT),
            &bubble,
        );
    }
    let sent = bubbles(&world, client);
    let to = |ip| {
        let sent = sent.iter();
        sent.filter(|record| *record.datagram.destination.ip() == ip)
            .count()
    };
    assert!(to(SERVER.primary) <= 4, "{}", to(SERVER.primary));
    // A question has a direct bubble of its own, which expires behind our NAT.
    assert!(to(*peer.mapped.ip()) <= 8, "{}", to(*peer.mapped.ip()));
}

/// Two eager clients behind these NATs, and a server that is so much further away.
fn pair(from: NatBehaviour, to: NatBehaviour, detour: Duration) -> (World, [ClientId; 2]) {
    let mut world = World::new(1);
    world.when_failed(crate::evidence::write);
    let server = world.add_server(SERVER);
    world.link_mut(server).delay += detour;
    let clients = [(1, from), (2, to)].map(|(number, nat)| eager_client(&mut world, number, nat));
    world.capture_mut().clear();
    (world, clients)
}

/// R4380-5.2.4-06: the first packet arrives just after the peer's NAT has opened, and once more when the peer's bubble is
/// back.
#[test]
fn the_first_packet_comes_as_the_nat_opens() {
    let nat = NatBehaviour::port_restricted();
    let (mut world, [a, b]) = pair(nat, nat, Duration::ZERO);
    let start = world.now();
    for number in 0..3 {
        let packet = packets::udp(address(&world, a), address(&world, b), number);
        let _ = world.submit(a, &packet);
    }
    assert!(world.run_until(SECOND, |world| !delivered(world, b).is_empty()));
    // Half a round trip and an eighth of that, and the way.
    let took = (world.now() - start).as_micros();
    assert!((44_000..45_000).contains(&took), "{took}");
    world.run_for(SECOND);
    let numbers = delivered(&world, b);
    let numbers: Vec<u8> = numbers
        .iter()
        .map(|packet| packets::number(packet))
        .collect();
    assert_eq!(numbers, [0, 0, 1, 2], "{}", world.capture());
}

/// R4380-5.2.4-06: if the peer's bubble is lost, the answer to the early packet makes the path, and the packet is not sent
/// again.
#[test]
fn an_answered_packet_is_not_sent_again() {
    let nat = NatBehaviour::port_restricted();
    let (mut world, [a, b]) = pair(nat, NatBehaviour::cone(), Duration::ZERO);
    let (own, other) = (address(&world, a), address(&world, b));
    let to = teredo(&world, a).mapped;
    world.interfere(move |datagram| {
        datagram.destination == to
            && Datagram::parse(&datagram.payload).is_ok_and(|parsed| parsed.packet.is_bubble())
    });
    let mut question = Vec::new();
    teredo::wire::emit_echo_request(own, other, 64, 1, 1, b"question", &mut question);
    let _ = world.submit(a, &question);
    let _ = world.submit(a, &packets::udp(own, other, 7));
    assert!(world.run_until(SECOND, |world| !delivered(world, b).is_empty()));
    let reply = packets::echo_reply(&delivered(&world, b)[0]).unwrap();
    world.send(b, &reply);
    world.run_for(SECOND);
    assert_eq!(delivered(&world, a), [reply]);
    let of_b = delivered(&world, b);
    assert_eq!(of_b.len(), 2, "{}", world.capture());
    assert_eq!(of_b[0], question);
    assert_eq!(packets::number(&of_b[1]), 7);
}

/// R4380-5.2.4-06: nothing leaves early for a peer of another server, the way through which was not measured, and at most
/// 64 peers get early packets at a time.
#[test]
fn early_data_is_bounded() {
    for (server, most) in [(SERVER.primary, 64), (OTHER_SERVER.primary, 0)] {
        let mut world = world(1);
        let client = eager_client(&mut world, 1, NatBehaviour::port_restricted());
        world.capture_mut().clear();
        for number in 1..=200_u8 {
            let peer = TeredoAddress {
                server,
                mapped: std::net::SocketAddrV4::new([81, 0, 0, number].into(), 4_000),
                ..teredo(&world, client)
            };
            let packet = packets::udp(address(&world, client), peer.to_ipv6(), number);
            let _ = world.submit(client, &packet);
        }
        world.run_for(Duration::from_millis(90));
        assert_eq!(data(&world, client).len(), most);
        // One more copy of each, and no more.
        world.run_for(seconds(20));
        assert_eq!(data(&world, client).len(), 2 * most);
    }
}

/// R6081-5.4.4.2-01: an early packet that comes too early at a router with open input would keep the two apart. A random port
/// brings them together.
#[test]
fn early_data_keeps_nobody_apart() {
    let [open, strict] = [NatBehaviour::open_input(), NatBehaviour::port_restricted()];
    for from in [open, strict] {
        for milliseconds in [5, 40, 150] {
            let (mut world, [a, b]) = pair(from, open, Duration::from_millis(milliseconds));
            let (own, other) = (address(&world, a), address(&world, b));
            let _ = world.submit(a, &packets::udp(own, other, 1));
            let came = world.run_until(seconds(4), |world| !delivered(world, b).is_empty());
            assert!(came, "{milliseconds} {}", world.capture());
            world.send(b, &packets::udp(other, own, 2));
            assert!(world.run_until(SECOND, |world| !delivered(world, a).is_empty()));
        }
    }
}

/// R4380-5.2.5-06: the network is down for a moment, just when the client refreshes. Both servers live; the address stays.
#[test]
fn a_short_outage_costs_no_address() {
    let (mut world, client) = client_of_two();
    let began = world.now();
    let asked = next_refresh(&mut world, client) - began;
    let mut lost = Vec::new();
    for down in (20..400).step_by(20) {
        let (mut world, client) = client_of_two();
        let before = address(&world, client);
        let is_down = Rc::new(Cell::new(false));
        let flag = Rc::clone(&is_down);
        world.interfere(move |_| flag.get());
        world.run_for(asked - Duration::from_millis(1));
        is_down.set(true);
        world.run_for(Duration::from_millis(down + 1));
        is_down.set(false);
        world.run_for(seconds(20));
        if address(&world, client) != before {
            lost.push(down);
        }
    }
    assert!(lost.is_empty(), "outages of {lost:?} ms cost the address");
}

/// Two clients behind port-restricted NATs.
fn two_clients(world: &mut World, mode: NatTraversal) -> [ClientId; 2] {
    [1, 2].map(|number| {
        let config = ClientConfig {
            nat_traversal: mode,
            ..ClientConfig::default()
        };
        let client = client_with(world, number, NatBehaviour::port_restricted(), config);
        qualify(world, client);
        client
    })
}

/// R4380-5.2.4-06: a flow in one direction for 60 s, and the network is down for some seconds once. How long is the longest
/// gap in what arrives?
#[test]
fn a_flow_outlasts_an_outage_as_without_eager() {
    let gap = |mode: NatTraversal, at: u64, down: u64| {
        let mut world = world(1);
        let [a, b] = two_clients(&mut world, mode);
        let is_down = Rc::new(Cell::new(false));
        let flag = Rc::clone(&is_down);
        let service = world.client(a).local();
        world.interfere(move |datagram| flag.get() && datagram.source == service);
        let (mut last, mut longest) = (0u64, 0u64);
        for tick in 0..3_000u64 {
            is_down.set((at * 10..(at + down) * 10).contains(&tick));
            let before = delivered(&world, b).len();
            let packet = packets::udp(address(&world, a), address(&world, b), 7);
            let _ = world.submit(a, &packet);
            world.run_for(SECOND / 10);
            if delivered(&world, b).len() > before {
                last = tick;
            }
            longest = longest.max(tick - last);
        }
        longest as f64 / 10.0
    };
    let mut worse = Vec::new();
    for at in [19, 20, 21] {
        for down in [3, 4] {
            let [usual, eager] =
                [NatTraversal::Rfc6081, NatTraversal::Eager].map(|mode| gap(mode, at, down));
            if eager > usual + 1.0 {
                worse.push((at, down, usual, eager));
            }
        }
    }
    assert!(
        worse.is_empty(),
        "at, down, gap rfc6081, gap eager: {worse:?}"
    );
}

/// The same if the network has changed, and the client asks at once.
#[test]
fn a_change_of_the_network_costs_no_address() {
    let mut lost = Vec::new();
    for down in (20..400).step_by(20) {
        let (mut world, client) = client_of_two();
        let before = address(&world, client);
        let is_down = Rc::new(Cell::new(true));
        let flag = Rc::clone(&is_down);
        world.interfere(move |_| flag.get());
        let network = world.network_of(client);
        world.rebind(client, network, local(1));
        world.run_for(Duration::from_millis(down));
        is_down.set(false);
        world.run_for(seconds(20));
        if address(&world, client) != before {
            lost.push(down);
        }
    }
    assert!(lost.is_empty(), "outages of {lost:?} ms cost the address");
}

/// R4380-5.2.6-05: the network is down for 3 s, just when the host contacts a peer. How long after does its data arrive?
#[test]
fn a_contact_outlasts_an_outage_as_without_eager() {
    let first = |mode: NatTraversal, down: u64| {
        let mut world = world(1);
        let [a, b] = two_clients(&mut world, mode);
        let is_down = Rc::new(Cell::new(true));
        let flag = Rc::clone(&is_down);
        let service = world.client(a).local();
        world.interfere(move |datagram| flag.get() && datagram.source == service);
        let start = world.now();
        for half in 0..700 {
            is_down.set(half < 2 * down);
            let packet = packets::udp(address(&world, a), address(&world, b), 7);
            let _ = world.submit(a, &packet);
            world.run_for(SECOND / 2);
            if !delivered(&world, b).is_empty() {
                break;
            }
        }
        (world.now() - start).as_secs_f64()
    };
    for down in [1, 3] {
        let [usual, eager] =
            [NatTraversal::Rfc6081, NatTraversal::Eager].map(|mode| first(mode, down));
        assert!(
            eager <= usual + 1.0,
            "down {down} s: rfc6081 {usual} s, eager {eager} s"
        );
    }
}

/// R4380-5.2.6-04: how many contacts with a peer that spaces its answers by 2 s fail at 10 % loss?
#[test]
fn a_peer_that_spaces_its_answers_is_reached_as_often() {
    let failures = |mode: NatTraversal| {
        (0..400u64)
            .filter(|seed| {
                let mut world = world(*seed);
                let config = ClientConfig {
                    nat_traversal: mode,
                    ..ClientConfig::default()
                };
                let client = client_with(&mut world, 1, NatBehaviour::port_restricted(), config);
                qualify(&mut world, client);
                let own = teredo(&world, client);
                let place = socket("198.51.100.77:4000");
                let peer = TeredoAddress { mapped: place, ..own };
                let mut answered: Option<teredo::Instant> = None;
                world.add_responder(Network::Internet, &[*place.ip()], move |arrival, out| {
                    let is_indirect = matches!(arrival, Arrival::Udp(received)
                        if Datagram::parse(&received.payload)
                            .is_ok_and(|parsed| parsed.packet.is_bubble() && parsed.origin.is_some()));
                    let now = out.now();
                    if is_indirect && answered.is_none_or(|at| now - at >= seconds(2)) {
                        out.send(place, own.mapped, packets::bubble(peer.to_ipv6(), own.to_ipv6()));
                        answered = Some(now);
                    }
                });
                world.link_mut(client).loss = 0.1;
                let packet = packets::udp(own.to_ipv6(), peer.to_ipv6(), 7);
                let _ = world.submit(client, &packet);
                let is_met = |world: &World| status(world, client).trusted_peers > 0;
                !world.run_until(seconds(9), is_met)
            })
            .count()
    };
    let [usual, eager] = [NatTraversal::Rfc6081, NatTraversal::Eager].map(failures);
    assert!(eager <= usual + 4, "of 400: rfc6081 {usual}, eager {eager}");
}
