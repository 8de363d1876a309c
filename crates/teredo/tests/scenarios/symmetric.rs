//! Peers behind symmetric NATs (RFC 6081 §5.2).

use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::client::Nat;
use teredo::wire::{Datagram, Flags, PORT, TeredoAddress, Trailer};
use teredo::{ClientConfig, DropReason, RelayConfig, Submission};
use teredo_sim::{
    ClientId, Fate, Filtering, Mapping, NatBehaviour, Network, PortAssignment, PortFirewall, RawId,
    Record, World,
};

use crate::internet::*;
use crate::packets;
use crate::relay::{config, native_host, service};

/// The mapping in the peer's address, and the one towards the client.
const EMBEDDED: &str = "198.51.100.44:4444";
const OBSERVED: &str = "198.51.100.44:5555";

fn nonce(record: &Record) -> Option<[u8; 4]> {
    let datagram = Datagram::parse(record.payload()).unwrap();
    datagram.trailers.iter().find_map(|trailer| match trailer {
        Trailer::Nonce(nonce) => Some(nonce),
        _ => None,
    })
}

/// R6081-5.2-01, R6081-5.2.4.1-01, R6081-5.2.4.2-01, R6081-5.2.4.4-01, R6081-5.2.4.4-02, R6081-5.2.4.4-04, golden trace G2: a client behind a
/// symmetric NAT opens a conversation with one behind a restricted one. The RFC's example takes 2 s longer: there, the
/// last bubble comes when the first client has asked again.
#[test]
fn a_symmetric_client_is_met_by_nonces() {
    let mut world = world(1);
    let a = qualified_client(&mut world, 1, NatBehaviour::symmetric());
    let b = qualified_client(&mut world, 2, NatBehaviour::restricted());
    assert_eq!(status(&world, a).nat, Nat::Symmetric);
    // Random ports are another extension.
    world.set_port_firewall(a, PortFirewall::Refuses);
    let (to_a, to_b) = (teredo(&world, a).mapped, teredo(&world, b).mapped);
    let server = SocketAddrV4::new(SERVER.primary, PORT);
    world.capture_mut().clear();
    let start = world.now();
    let packet = packets::udp(address(&world, a), address(&world, b), 7);
    assert_eq!(world.submit(a, &packet), Submission::Queued);
    assert!(world.run_until(SECOND, |world| !delivered(world, b).is_empty()));
    assert!(world.now() - start <= 4 * ROUND_TRIP, "{}", world.capture());

    let [one, two] = [distinct_bubbles(&world, a), distinct_bubbles(&world, b)];
    let to = |records: &[Record]| {
        let all = records.iter().map(|record| record.datagram.destination);
        all.collect::<Vec<_>>()
    };
    assert_eq!(to(&one), [to_b, server, to_b]);
    let observed = two[2].datagram.destination;
    assert_eq!(to(&two), [to_a, server, observed]);
    assert_eq!(observed.ip(), to_a.ip());
    assert_ne!(observed, to_a);
    let [first, second] = [nonce(&one[1]).unwrap(), nonce(&two[1]).unwrap()];
    assert_ne!(first, second);
    assert_eq!(nonce(&one[0]), None);
    assert_eq!(nonce(&one[2]), Some(second));
    assert_eq!((nonce(&two[0]), nonce(&two[2])), (Some(first), Some(first)));
    assert!(matches!(two[0].fate, Fate::Refused(_)), "{:?}", two[0].fate);

    // Data goes to the observed mapping, and comes from it.
    let answer = packets::udp(address(&world, b), address(&world, a), 8);
    assert_eq!(world.submit(b, &answer), Submission::Send(observed));
    world.run_for(SECOND);
    assert_eq!(delivered(&world, a), [answer]);
    assert_eq!(delivered(&world, b), [packet]);
}

/// R6081-5.2.4.4-02: the other way round, and both at once; then for minutes, and after a silence.
#[test]
fn conversations_with_a_symmetric_client_last() {
    for (mapping, other) in [
        (Mapping::AddressAndPortDependent, NatBehaviour::cone()),
        (Mapping::AddressAndPortDependent, NatBehaviour::restricted()),
        (Mapping::AddressDependent, NatBehaviour::restricted()),
    ] {
        let filters = [
            Filtering::EndpointIndependent,
            Filtering::AddressDependent,
            Filtering::AddressAndPortDependent,
        ];
        let begins = [[true, false], [false, true], [true, true]];
        for (filtering, begins) in filters
            .into_iter()
            .flat_map(|filter| begins.map(|begins| (filter, begins)))
        {
            let mut world = world(1);
            let behaviour = NatBehaviour {
                mapping,
                filtering,
                ..NatBehaviour::symmetric()
            };
            let a = qualified_client(&mut world, 1, behaviour);
            let b = qualified_client(&mut world, 2, other);
            let mut sent = 0;
            let mut exchange = |world: &mut World, a_begins: bool, b_begins: bool| {
                for (begins, from, to) in [(a_begins, a, b), (b_begins, b, a)] {
                    if begins {
                        let packet = packets::udp(address(world, from), address(world, to), sent);
                        assert_ne!(
                            world.submit(from, &packet),
                            Submission::Drop(DropReason::PeerUnreachable)
                        );
                    }
                }
                sent += 1;
                world.run_for(SECOND);
            };
            exchange(&mut world, begins[0], begins[1]);
            for _ in 0..60 {
                exchange(&mut world, true, true);
            }
            world.run_for(seconds(31));
            for _ in 0..10 {
                exchange(&mut world, true, true);
            }
            let expected = |begins: bool| 70 + usize::from(begins);
            assert_eq!(
                delivered(&world, b).len(),
                expected(begins[0]),
                "{mapping:?} {filtering:?} {begins:?}"
            );
            assert_eq!(
                delivered(&world, a).len(),
                expected(begins[1]),
                "{mapping:?} {filtering:?} {begins:?}"
            );
        }
    }
}

/// The client, and a peer that the test plays.
fn stage() -> (World, ClientId, RawId) {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::cone());
    let peer = world.add_raw(Network::Internet, &[*socket(EMBEDDED).ip()]);
    (world, client, peer)
}

fn peer_address() -> Ipv6Addr {
    TeredoAddress {
        server: SERVER.primary,
        flags: Flags::default(),
        mapped: socket(EMBEDDED),
    }
    .to_ipv6()
}

fn bubble(world: &World, client: ClientId, nonces: &[[u8; 4]]) -> Vec<u8> {
    let mut bubble = packets::bubble(peer_address(), address(world, client));
    for nonce in nonces {
        Trailer::Nonce(*nonce).emit(&mut bubble);
    }
    bubble
}

/// The nonce of the client's last indirect bubble.
fn last_nonce(world: &World, client: ClientId) -> [u8; 4] {
    let indirect = bubbles(world, client);
    let mut indirect = indirect.iter().rev();
    let server = SocketAddrV4::new(SERVER.primary, PORT);
    let last = indirect.find(|record| record.datagram.destination == server);
    nonce(last.unwrap()).unwrap()
}

/// R6081-5.2.4.4-03, R6081-7-01: without the nonce of the last indirect bubble, nothing is believed: none, a guess, an old
/// one, one of several, one that was used.
#[test]
fn nothing_is_believed_without_the_nonce() {
    let (mut world, client, peer) = stage();
    let mapped = teredo(&world, client).mapped;
    let packet = packets::udp(address(&world, client), peer_address(), 1);
    assert_eq!(world.submit(client, &packet), Submission::Queued);
    world.run_for(SECOND);
    let old = last_nonce(&world, client);
    world.run_for(2 * SECOND);
    let new = last_nonce(&world, client);
    assert_ne!(old, new);
    let before = drops(&world, client, DropReason::MappingMismatch);
    let wrong = [
        vec![],
        vec![old],
        vec![[0; 4]],
        vec![new, old],
        vec![[new[0] ^ 1, new[1], new[2], new[3]]],
    ];
    for nonces in &wrong {
        let bubble = bubble(&world, client, nonces);
        world.inject(peer, socket(OBSERVED), mapped, &bubble);
        world.run_for(SECOND / 20);
        assert_eq!(data(&world, client), [], "{nonces:?}");
    }
    let refused = drops(&world, client, DropReason::MappingMismatch) - before;
    assert_eq!(refused, wrong.len() as u64);
    // With it, the packet goes there.
    let right = bubble(&world, client, &[new]);
    world.inject(peer, socket(OBSERVED), mapped, &right);
    world.run_for(SECOND);
    let sent = data(&world, client);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].datagram.destination, socket(OBSERVED));
    // An eavesdropper with the nonce cannot move the peer.
    world.inject(peer, socket("198.51.100.44:6666"), mapped, &right);
    world.run_for(SECOND);
    assert_eq!(
        world.submit(client, &packet),
        Submission::Send(socket(OBSERVED))
    );
}

/// R6081-5.4.4.5-02: a peer that is heard elsewhere stays there. A forged packet from the mapping in its address, or with the nonce of a
/// later question, does not move it. After 30 s of silence, the client looks for the peer again.
#[test]
fn a_path_in_use_is_not_moved() {
    let (mut world, client, peer) = stage();
    let mapped = teredo(&world, client).mapped;
    let packet = packets::udp(address(&world, client), peer_address(), 1);
    let heard = packets::udp(peer_address(), address(&world, client), 2);
    assert_eq!(world.submit(client, &packet), Submission::Queued);
    world.run_for(SECOND);
    let right = bubble(&world, client, &[last_nonce(&world, client)]);
    world.inject(peer, socket(OBSERVED), mapped, &right);
    world.run_for(SECOND);
    let to_observed = Submission::Send(socket(OBSERVED));
    assert_eq!(world.submit(client, &packet), to_observed);
    // Data is delivered, since it comes from where the address says, and changes nothing.
    let bare = bubble(&world, client, &[]);
    for forged in [&bare, &heard] {
        world.inject(peer, socket(EMBEDDED), mapped, forged);
        world.run_for(SECOND);
        assert_eq!(world.submit(client, &packet), to_observed);
    }
    assert_eq!(delivered(&world, client), [heard]);
    // After 20 s of silence, the peer is asked; an eavesdropper cannot take its place.
    let before = last_nonce(&world, client);
    for _ in 0..10 {
        world.run_for(2 * SECOND);
        let _ = world.submit(client, &packet);
    }
    assert_ne!(last_nonce(&world, client), before);
    let stolen = bubble(&world, client, &[last_nonce(&world, client)]);
    world.inject(peer, socket("198.51.100.44:6666"), mapped, &stolen);
    world.run_for(SECOND / 2);
    assert_eq!(world.submit(client, &packet), to_observed);
    // It has not answered for too long.
    world.run_for(seconds(10));
    assert_eq!(world.submit(client, &packet), Submission::Queued);
    world.run_for(SECOND);
    let again = bubble(&world, client, &[last_nonce(&world, client)]);
    world.inject(peer, socket("198.51.100.44:6666"), mapped, &again);
    world.run_for(SECOND / 2);
    let moved = Submission::Send(socket("198.51.100.44:6666"));
    assert_eq!(world.submit(client, &packet), moved);
}

/// An overheard nonce is good for 10 s.
#[test]
fn a_nonce_does_not_last() {
    for (pause, lasts) in [(9, true), (11, false)] {
        let (mut world, client, peer) = stage();
        let mapped = teredo(&world, client).mapped;
        let packet = packets::udp(address(&world, client), peer_address(), 1);
        assert_eq!(world.submit(client, &packet), Submission::Queued);
        // The last of four questions.
        world.run_for(6 * SECOND);
        let late = bubble(&world, client, &[last_nonce(&world, client)]);
        world.run_for(seconds(pause));
        world.inject(peer, socket(OBSERVED), mapped, &late);
        world.run_for(SECOND / 2);
        let moved = world.submit(client, &packet) == Submission::Send(socket(OBSERVED));
        assert_eq!(moved, lasts, "after {pause} s");
    }
}

/// R6081-5.2.4.3-01, R6081-5.2.4.3-02, R6081-5.2.4.2-02: the nonce is repeated until an indirect bubble has another one, or
/// none.
#[test]
fn the_nonce_of_the_last_indirect_bubble_counts() {
    let (mut world, client, peer) = stage();
    let server = SocketAddrV4::new(SERVER.primary, PORT);
    for nonces in [vec![[1; 4]], vec![[2; 4]], vec![]] {
        let bubble = bubble(&world, client, &nonces);
        world.capture_mut().clear();
        world.inject(peer, socket(EMBEDDED), server, &bubble);
        world.run_for(3 * SECOND);
        let answers = bubbles(&world, client);
        let direct = answers
            .iter()
            .find(|record| record.datagram.destination == socket(EMBEDDED));
        assert_eq!(nonce(direct.unwrap()), nonces.first().copied());
        // R6081-3.1-01: a peer without nonces is not asked back.
        let asked_back = answers
            .iter()
            .any(|record| record.datagram.destination == server);
        assert_eq!(asked_back, !nonces.is_empty());
    }
}

/// R6081-3.1-01, R4380-5.2.6-04, R4380-5.2.6-05: a peer that asks again and again gets four answers, and no more indirect
/// bubbles than answers, 2 s apart.
#[test]
fn a_peer_that_asks_without_end_gets_little() {
    let (mut world, client, peer) = stage();
    let server = SocketAddrV4::new(SERVER.primary, PORT);
    for number in 0..200_u32 {
        let bubble = bubble(&world, client, &[number.to_be_bytes()]);
        world.inject(peer, socket(EMBEDDED), server, &bubble);
        world.run_for(SECOND / 10);
    }
    assert!(bubbles(&world, client).len() <= 8, "{}", world.capture());
}

/// R6081-3-01: two symmetric NATs have no path. The host gets an error in time, and no state is left.
#[test]
fn without_a_path_the_host_is_told() {
    let mut world = world(1);
    let [a, b] =
        [1, 2].map(|number| qualified_client(&mut world, number, NatBehaviour::symmetric()));
    let packet = packets::udp(address(&world, a), address(&world, b), 1);
    assert_eq!(world.submit(a, &packet), Submission::Queued);
    world.run_for(seconds(9));
    assert_eq!(world.client(a).errors().len(), 1);
    assert_eq!(status(&world, a).trusted_peers, 0);
    world.run_for(seconds(400));
    assert_eq!((status(&world, a).peers, status(&world, b).peers), (0, 0));
}

/// Every way to be symmetric.
fn symmetric_kinds() -> Vec<NatBehaviour> {
    let mut kinds = Vec::new();
    for mapping in [Mapping::AddressDependent, Mapping::AddressAndPortDependent] {
        for filtering in [
            Filtering::EndpointIndependent,
            Filtering::AddressDependent,
            Filtering::AddressAndPortDependent,
        ] {
            for ports in [
                PortAssignment::Preserving,
                PortAssignment::Sequential,
                PortAssignment::Random,
            ] {
                kinds.push(NatBehaviour {
                    mapping,
                    filtering,
                    ports,
                    ..NatBehaviour::symmetric()
                });
            }
        }
    }
    kinds
}

/// A client behind any symmetric NAT and a native host connect through our relay, and either may begin. RFC 6081 has no
/// such way.
#[test]
fn a_symmetric_client_and_a_native_host_meet_through_our_relay() {
    let native = v6("2001:db8::1");
    for behaviour in symmetric_kinds() {
        for client_begins in [true, false] {
            let mut world = world(1);
            let relay = world.add_relay(Network::Internet, service(), config());
            let host = native_host(&mut world);
            let client = qualified_client(&mut world, 1, behaviour);
            let own = address(&world, client);
            let outwards = |number| packets::udp(own, native, number);
            let inwards = |number| packets::udp(native, own, number);
            if client_begins {
                assert_eq!(world.submit(client, &outwards(0)), Submission::Queued);
            } else {
                world.send_native(&inwards(0));
            }
            world.run_for(SECOND);
            for number in 1..60 {
                let _ = world.submit(client, &outwards(number));
                world.send_native(&inwards(number));
                world.run_for(SECOND);
            }
            let arrived = world.raw(host).native().iter();
            let arrived = arrived.filter(|packet| packet.what[6] == 17);
            let context = format!("{behaviour:?}, client begins: {client_begins}");
            assert_eq!(
                arrived.count(),
                59 + usize::from(client_begins),
                "{context}"
            );
            let at_client = delivered(&world, client).len();
            assert_eq!(at_client, 59 + usize::from(!client_begins), "{context}");
            assert_eq!(
                world.relay(relay).relay().status().elsewhere,
                1,
                "{context}"
            );
            assert!(world.client(client).errors().is_empty(), "{context}");
        }
    }
}

/// Bubbles and data with a forged source, from the mapping in its address, do not cut such a client off.
#[test]
fn a_forged_source_does_not_cut_a_symmetric_client_off() {
    let native = v6("2001:db8::1");
    let mut world = world(1);
    let relay = world.add_relay(Network::Internet, service(), config());
    let host = native_host(&mut world);
    let client = qualified_client(&mut world, 1, NatBehaviour::symmetric());
    let attacker = world.add_raw(Network::Internet, &[v4("198.51.100.44")]);
    let (own, mapped) = (address(&world, client), teredo(&world, client).mapped);
    let inwards = |number| packets::udp(native, own, number);
    world.send_native(&inwards(0));
    world.run_for(SECOND);
    for number in 1..90 {
        for forged in [
            packets::bubble(own, v6("fe80::1")),
            packets::udp(own, native, 7),
        ] {
            world.inject(attacker, mapped, service(), &forged);
        }
        world.run_for(SECOND / 2);
        world.send_native(&inwards(number));
        world.run_for(SECOND / 2);
    }
    assert_eq!(delivered(&world, client).len(), 90);
    assert_eq!(world.relay(relay).relay().status().elsewhere, 1);
    let arrived = world.raw(host).native().iter();
    let forged = arrived.filter(|packet| packet.what[6] == 17).count();
    assert_eq!(forged, 0, "the client is known to be elsewhere");
}

/// R4380-5.4.1-05: a forged packet that comes before the client's own answer, and again and again, does not keep the relay
/// from finding it.
#[test]
fn a_forged_source_does_not_hide_a_symmetric_client() {
    let native = v6("2001:db8::1");
    let mut world = world(1);
    let relay = world.add_relay(Network::Internet, service(), config());
    native_host(&mut world);
    let client = qualified_client(&mut world, 1, NatBehaviour::symmetric());
    let attacker = world.add_raw(Network::Internet, &[v4("198.51.100.44")]);
    let (own, mapped) = (address(&world, client), teredo(&world, client).mapped);
    let forged = packets::udp(own, native, 7);
    world.send_native(&packets::udp(native, own, 0));
    for number in 1..60 {
        world.inject(attacker, mapped, service(), &forged);
        world.run_for(SECOND);
        world.send_native(&packets::udp(native, own, number));
    }
    world.run_for(SECOND);
    assert_eq!(world.relay(relay).relay().status().elsewhere, 1);
    // The first packet went where the forged one came from.
    assert_eq!(delivered(&world, client).len(), 59);
}

/// A relay that follows RFC 4380 exactly sends only to the mapping in the address: the host gets an error, and no state
/// is left.
#[test]
fn a_strict_relay_does_not_reach_a_symmetric_client() {
    let mut world = world(1);
    let strict = RelayConfig {
        symmetric_clients: false,
        ..config()
    };
    let relay = world.add_relay(Network::Internet, service(), strict);
    native_host(&mut world);
    let client = qualified_client(&mut world, 1, NatBehaviour::symmetric());
    let packet = packets::udp(address(&world, client), v6("2001:db8::1"), 1);
    assert_eq!(world.submit(client, &packet), Submission::Queued);
    world.run_for(seconds(9));
    assert_eq!(world.client(client).errors().len(), 1);
    let status = world.relay(relay).relay().status();
    assert_eq!((status.trusted_peers, status.elsewhere), (0, 0));
}

/// Strangers that name many origins between the two questions of a relay do not keep a symmetric client from answering the
/// second one.
#[test]
fn a_relay_that_asks_twice_is_not_pushed_out() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::symmetric());
    let relay = world.add_raw(Network::Internet, &[v4("198.51.100.66")]);
    let own = address(&world, client);
    let server = SocketAddrV4::new(SERVER.primary, PORT);
    let first = packets::bubble(v6("2001:db8::1"), own);
    world.inject(relay, socket("198.51.100.66:3545"), server, &first);
    world.run_for(SECOND);
    let answer = world.raw(relay).received()[0].what.source;
    for number in 1..=100_u32 {
        let origin = SocketAddrV4::new((0x5000_0000 + number * 7).into(), 4444);
        let native = v6("2001:db8:1::").to_bits() + u128::from(number);
        let bubble = packets::bubble(Ipv6Addr::from_bits(native), own);
        world.inject(relay, origin, server, &bubble);
        world.run_for(SECOND / 20);
    }
    let second = packets::bubble(v6("fe80::1"), own);
    for expected in [2, 2] {
        world.inject(relay, socket("198.51.100.66:3545"), answer, &second);
        world.run_for(SECOND);
        // Once.
        assert_eq!(world.raw(relay).received().len(), expected);
    }
}

/// An answer from elsewhere is believed once a second one has come from there: a forged IPv4 source directs no data
/// at a victim. The victim gets one bubble for each bubble that the relay has sent anyway.
#[test]
fn a_relay_is_not_turned_on_others() {
    const VICTIM: &str = "198.51.100.200:7777";
    let mut world = world(1);
    let relay = world.add_relay(Network::Internet, service(), config());
    let attacker = world.add_raw(
        Network::Internet,
        &[*socket(EMBEDDED).ip(), *socket(VICTIM).ip()],
    );
    let native = v6("2001:db8::1");
    let flood = |world: &mut World| {
        for number in 0..200 {
            world.send_native(&packets::udp(native, peer_address(), number));
        }
    };
    flood(&mut world);
    world.run_for(SECOND);
    let sent_to = |world: &World, to: &str| {
        let records = world.capture().sent_by(relay);
        records
            .filter(|record| record.datagram.destination == socket(to))
            .cloned()
            .collect::<Vec<_>>()
    };
    // The attacker's server has forwarded the bubble, so the attacker knows its token.
    let asked = bubbles(&world, relay);
    let (token, _) = packets::endpoints(asked[0].payload());
    let answer = packets::bubble(peer_address(), token);
    for _ in 0..50 {
        world.inject(attacker, socket(VICTIM), service(), &answer);
        world.run_for(SECOND / 50);
    }
    let at_victim = sent_to(&world, VICTIM);
    assert!(!at_victim.is_empty());
    assert!(at_victim.len() <= bubbles(&world, relay).len() - at_victim.len());
    assert!(
        at_victim.iter().all(|record| record.payload().len() == 40),
        "bubbles alone"
    );
    // A guess at the second token does not help, and neither does the first one.
    for guess in [token, v6("fe80::1")] {
        let forged = packets::bubble(peer_address(), guess);
        world.inject(attacker, socket(VICTIM), service(), &forged);
    }
    flood(&mut world);
    world.run_for(SECOND);
    let at_victim = sent_to(&world, VICTIM);
    assert!(
        at_victim.iter().all(|record| record.payload().len() == 40),
        "bubbles alone"
    );
    assert_eq!(world.relay(relay).relay().status().elsewhere, 0);
}

/// R6081-5.7.4.1-01, R6081-5.7.4.2-01, R6081-5.7-02, R6081-5.7-03, golden trace G7: after 31 s of silence the server has no
/// work. If a NAT has forgotten, the usual bubbles follow half a second later.
#[test]
fn an_idle_peer_is_asked_directly() {
    for forgets in [false, true] {
        let mut world = world(1);
        // Refreshes keep the mappings; the permission of the peer ends.
        let config = || ClientConfig {
            refresh_interval: seconds(8),
            ..ClientConfig::default()
        };
        let behaviour = NatBehaviour {
            lifetime: seconds(if forgets { 20 } else { 120 }),
            ..NatBehaviour::port_restricted()
        };
        let [a, b] = [1, 2].map(|number| {
            let client = client_with(&mut world, number, behaviour, config());
            qualify(&mut world, client);
            client
        });
        let packet =
            |world: &World, number| packets::udp(address(world, a), address(world, b), number);
        let first = packet(&world, 1);
        assert_eq!(world.submit(a, &first), Submission::Queued);
        world.run_for(seconds(31));
        world.capture_mut().clear();
        let start = world.now();
        let second = packet(&world, 2);
        assert_eq!(world.submit(a, &second), Submission::Queued);
        assert!(world.run_until(seconds(10), |world| delivered(world, b).len() == 2));
        let took = world.now() - start;
        let discovery = |client| {
            let sent = bubbles(&world, client);
            let kinds = sent.iter().filter_map(|record| {
                let datagram = Datagram::parse(record.payload()).unwrap();
                datagram.trailers.iter().find_map(|trailer| match trailer {
                    Trailer::NeighborDiscovery { advertisement } => Some(advertisement),
                    _ => None,
                })
            });
            kinds.collect::<Vec<_>>()
        };
        assert_eq!(discovery(a), [false]);
        if forgets {
            assert!(took < SECOND, "{took:?}");
        } else {
            assert_eq!(discovery(b), [true]);
            assert!(took < 2 * ROUND_TRIP, "{took:?}");
            let server = SocketAddrV4::new(SERVER.primary, PORT);
            let all = [bubbles(&world, a), bubbles(&world, b)].concat();
            assert!(
                all.iter()
                    .all(|record| record.datagram.destination != server)
            );
        }
    }
}
