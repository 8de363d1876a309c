//! The search for a longer refresh interval (RFC 4380 §5.2.7).

use std::time::Duration;

use teredo::client::Event;
use teredo::wire::{Datagram, PORT, TeredoAddress};
use teredo::{ClientConfig, DropReason};
use teredo_sim::{ClientId, Fate, Filtering, NatBehaviour, NatId, PortAssignment, Record, World};

use crate::internet::*;
use crate::packets;

/// An open NAT that hairpins and forgets after this many seconds.
fn hairpinning(lifetime: u64) -> NatBehaviour {
    NatBehaviour {
        hairpin: true,
        lifetime: seconds(lifetime),
        refresh_inbound: false,
        ..NatBehaviour::cone()
    }
}

fn searching(behaviour: NatBehaviour) -> (World, NatId, ClientId) {
    let mut world = world(1);
    let nat = nat(&mut world, 1, behaviour);
    let config = ClientConfig {
        determine_refresh_interval: true,
        ..ClientConfig::default()
    };
    let client = world.add_idle_client(nat, local(1), config);
    world.start(client, &[SERVER]);
    qualify(&mut world, client);
    (world, nat, client)
}

fn secondary(world: &World, client: ClientId) -> std::net::SocketAddrV4 {
    world
        .client(client)
        .secondary()
        .expect("the secondary port is open")
}

/// The datagrams of the secondary port.
fn from_secondary(world: &World, client: ClientId) -> Vec<Record> {
    world
        .capture()
        .sent_by(client)
        .filter(|record| record.datagram.source.port() != local(1).port())
        .cloned()
        .collect()
}

fn is_solicitation(record: &Record) -> bool {
    let datagram = Datagram::parse(record.payload()).unwrap();
    datagram.packet.payload().first() == Some(&133)
}

/// The bubbles to the secondary port, as seconds since its last exchange with the server.
fn probes(world: &World, client: ClientId) -> Vec<f64> {
    let asked = from_secondary(world, client);
    let bubbles = bubbles(world, client);
    let after = bubbles.iter().map(|bubble| {
        let last = asked.iter().rfind(|asked| asked.at <= bubble.at).unwrap();
        (bubble.at - last.at).as_secs_f64()
    });
    after.collect()
}

/// Runs the search to its end; returns the candidates in seconds, and the resulting interval.
fn search(behaviour: NatBehaviour) -> (Vec<f64>, Duration) {
    let (mut world, _, client) = searching(behaviour);
    let ended = world.run_until(seconds(1000), |world| {
        world.client(client).secondary().is_none()
    });
    assert!(ended, "{}", world.capture());
    let first_of_each = probes(&world, client)
        .into_iter()
        .fold(Vec::new(), |mut all, after| {
            // A repetition comes 2 s, 4 s or 6 s after the first.
            let rounded = after.round();
            match all.last() {
                Some(last) if rounded - last <= 6.0 && rounded > *last => {}
                _ => all.push(rounded),
            }
            all
        });
    (first_of_each, status(&world, client).refresh_interval)
}

/// R4380-5.2.7-01: the secondary port is qualified right after the service port, by the same procedure.
#[test]
fn the_secondary_port_qualifies_right_after_the_service_port() {
    let (mut world, _, client) = searching(hairpinning(300));
    let qualified = world.now();
    world.run_for(SECOND);
    let sent = from_secondary(&world, client);
    let to: Vec<_> = sent
        .iter()
        .map(|record| record.datagram.destination)
        .collect();
    let both = [SERVER.primary, SERVER.secondary].map(|ip| std::net::SocketAddrV4::new(ip, PORT));
    assert_eq!(to, both);
    for record in &sent {
        assert_eq!(record.at, qualified);
        assert!(is_solicitation(record));
        assert_eq!(record.datagram.source, secondary(&world, client));
        assert!(matches!(record.fate, Fate::Delivered { .. }));
    }
}

/// R4380-5.2.7-03, R4380-5.2.7-04, R4380-5.2.7-05, R4380-5.2.7-06, A-05: the candidates behind NATs of several
/// lifetimes.
#[test]
fn candidates_follow_the_lifetime_of_the_nat() {
    for (lifetime, candidates, found) in [
        (70, vec![60.0, 90.0, 75.0], 60.0),
        (80, vec![60.0, 90.0, 75.0], 75.0),
        (100, vec![60.0, 90.0], 90.0),
        (1000, vec![60.0, 90.0], 90.0),
    ] {
        let (tried, interval) = search(hairpinning(lifetime));
        assert_eq!(tried, candidates, "with a lifetime of {lifetime} s");
        assert_eq!(
            interval.as_secs_f64(),
            found,
            "with a lifetime of {lifetime} s"
        );
    }
}

/// R4380-5.2.7-04: a failing bubble is sent four times, 2 s apart, from the service port to the secondary address.
#[test]
fn a_failing_candidate_is_tried_four_times() {
    let (mut world, _, client) = searching(hairpinning(40));
    world.run_for(seconds(70));
    let sent: Vec<_> = bubbles(&world, client);
    let times = times(sent[0].at, &sent);
    assert_eq!(times, [0.0, 2.0, 4.0, 6.0]);
    for record in &sent {
        assert_eq!(record.datagram.source, local(1), "through the service port");
        let (source, target) = packets::endpoints(record.payload());
        assert_eq!(source, address(&world, client));
        let target = TeredoAddress::from_ipv6(target).unwrap();
        assert_eq!(target.mapped, record.datagram.destination);
        assert_eq!(target.server, SERVER.primary);
    }
}

/// R4380-5.2.7-02: if the secondary port does not qualify, there is no search, and the port is closed.
#[test]
fn without_a_secondary_mapping_there_is_no_search() {
    let (mut world, nat, client) = searching(hairpinning(300));
    let port = secondary(&world, client);
    world.nat_mut(nat).behaviour_mut().mapping = teredo_sim::Mapping::AddressDependent;
    world.run_for(SECOND);
    assert_eq!(
        world.client(client).secondary(),
        None,
        "{}",
        world.capture()
    );

    let (mut world, _, client) = searching(hairpinning(300));
    world.interfere(move |datagram| datagram.source == port);
    world.run_for(SECOND);
    // Datagrams from before the rule are answered; the search then ends with the first maintenance.
    let ended = world.run_until(seconds(100), |world| {
        world.client(client).secondary().is_none()
    });
    assert!(ended);
    world.run_for(seconds(300));
    assert!(status(&world, client).refresh_interval >= seconds(30));
}

/// R4380-5.2.7-07: after each round the secondary port asks for its mapping, which may have changed.
#[test]
fn the_secondary_mapping_is_maintained_between_rounds() {
    let (mut world, nat, client) = searching(hairpinning(300));
    world.run_for(seconds(50));
    world.capture_mut().clear();
    world.nat_mut(nat).behaviour_mut().ports = PortAssignment::Sequential;
    // The first round fails: the secondary port's mapping is gone by then, but not the service port's.
    world.nat_mut(nat).behaviour_mut().lifetime = seconds(40);
    world.run_for(seconds(30));
    let first = bubbles(&world, client)[0].datagram.destination;
    let asked = from_secondary(&world, client);
    assert_eq!(asked.len(), 1, "{}", world.capture());
    assert!(is_solicitation(&asked[0]));
    assert_eq!(*asked[0].datagram.destination.ip(), SERVER.primary);
    assert_eq!(status(&world, client).refresh_interval, seconds(30));
    // The next bubble goes to the new mapping; the values are those after one failure.
    let after = asked[0].public_source;
    assert_ne!(after, first);
    world.capture_mut().clear();
    let found = world.run_until(seconds(60), |world| {
        bubbles(world, client)
            .iter()
            .any(|bubble| bubble.datagram.destination == after)
    });
    assert!(found, "{}", world.capture());
}

/// R4380-5.2.7-08: the secondary port sends solicitations only, delivers nothing to the host, and is closed in the end.
#[test]
fn the_secondary_port_serves_nothing_else() {
    let (mut world, _, client) = searching(hairpinning(300));
    let stranger = world.add_raw(teredo_sim::Network::Internet, &[v4("198.51.100.9")]);
    world.run_for(seconds(5));
    let mapped = from_secondary(&world, client)[0].public_source;
    let own = address(&world, client);
    let data = packets::udp(v6("2001:db8::1"), own, 1);
    world.inject(stranger, socket("198.51.100.9:5000"), mapped, &data);
    world.run_for(SECOND);
    assert_eq!(delivered(&world, client).len(), 0);
    assert_eq!(drops(&world, client, DropReason::WrongDestination), 1);
    let ended = world.run_until(seconds(1000), |world| {
        world.client(client).secondary().is_none()
    });
    assert!(ended);
    assert!(from_secondary(&world, client).iter().all(is_solicitation));
    let ports: Vec<_> = world
        .client(client)
        .events()
        .iter()
        .filter_map(|event| match event.what {
            Event::SecondaryPort { wanted } => Some(wanted),
            _ => None,
        })
        .collect();
    assert_eq!(ports, [true, false]);
    let count = from_secondary(&world, client).len();
    world.run_for(seconds(1000));
    assert_eq!(from_secondary(&world, client).len(), count);
}

/// The candidates that fail without hairpinning: 37.5 s is rounded, and the last one is the control.
const IN_VAIN: [f64; 4] = [60.0, 45.0, 38.0, 0.0];

/// NATs that let no bubble of the service port in.
fn closed(lifetime: u64) -> [NatBehaviour; 3] {
    let behaviour = |filtering, hairpin| NatBehaviour {
        filtering,
        hairpin,
        ..hairpinning(lifetime)
    };
    [
        behaviour(Filtering::EndpointIndependent, false),
        behaviour(Filtering::AddressAndPortDependent, true),
        behaviour(Filtering::AddressDependent, false),
    ]
}

/// R4380-5.2.7-09, R4380-5.2.7-05, R4380-5.2.7-06: without hairpinning, or with a filter, every candidate fails. Then the
/// server passes the bubbles on.
#[test]
fn without_hairpinning_the_server_passes_the_bubbles_on() {
    for (lifetime, candidates, found) in [
        (70, &[60.0, 90.0, 75.0][..], 60),
        (100, &[60.0, 90.0], 90),
        (1000, &[60.0, 90.0], 90),
        (17, &[60.0, 45.0, 38.0, 0.0, 30.0, 15.0, 23.0, 19.0], 15),
    ] {
        for behaviour in closed(lifetime) {
            let (tried, interval) = search(behaviour);
            let expected = [&IN_VAIN, candidates].concat();
            assert_eq!(tried, expected, "{lifetime} s: {behaviour:?}");
            assert_eq!(interval, seconds(found), "{behaviour:?}");
        }
    }
}

/// R4380-5.2.7-02: behind a symmetric NAT, no bubble can come directly, so the search begins with the server.
#[test]
fn behind_a_symmetric_nat_the_server_passes_the_bubbles_on() {
    for ports in [PortAssignment::Random, PortAssignment::Sequential] {
        for lifetime in [100, 1000] {
            let (tried, interval) = search(NatBehaviour {
                ports,
                lifetime: seconds(lifetime),
                refresh_inbound: false,
                ..NatBehaviour::symmetric()
            });
            assert_eq!(tried, [60.0, 90.0], "{ports:?}");
            assert_eq!(interval, seconds(90));
        }
    }
}

/// R4380-5.2.7-09: a server that forwards nothing to the secondary port changes nothing; each candidate costs it four
/// bubbles, and two solicitations before it.
#[test]
fn without_the_servers_help_the_interval_stays() {
    let (mut world, _, client) = searching(closed(1000)[1]);
    world.run_for(SECOND);
    let port = secondary(&world, client).port();
    world.interfere(move |datagram| {
        let parsed = Datagram::parse(&datagram.payload);
        datagram.destination.port() == port && parsed.is_ok_and(|d| d.packet.is_bubble())
    });
    let ended = world.run_until(seconds(1000), |world| {
        world.client(client).secondary().is_none()
    });
    assert!(ended);
    assert_eq!(status(&world, client).refresh_interval, seconds(30));
    let bubbles = bubbles(&world, client);
    let server = std::net::SocketAddrV4::new(SERVER.primary, PORT);
    let through_server = bubbles
        .iter()
        .filter(|bubble| bubble.datagram.destination == server);
    assert_eq!(through_server.count(), 4 * IN_VAIN.len());
    // Two at first, one after each of the first three candidates; then one, and two before each candidate.
    assert_eq!(
        from_secondary(&world, client).len(),
        2 + 3 + 2 * IN_VAIN.len()
    );
}

/// R4380-5.2.7-04: a bubble that the server forwards for somebody else proves nothing, although it has the addresses of
/// ours.
#[test]
fn a_strangers_bubble_through_the_server_proves_nothing() {
    let (mut world, _, client) = searching(closed(1000)[1]);
    let own = teredo(&world, client).mapped;
    world.run_for(SECOND);
    let port = secondary(&world, client).port();
    world.interfere(move |datagram| {
        let parsed = Datagram::parse(&datagram.payload);
        let origin = parsed.ok().and_then(|parsed| parsed.origin);
        datagram.destination.port() == port && origin.is_some_and(|origin| origin.0 == own)
    });
    let server = std::net::SocketAddrV4::new(SERVER.primary, PORT);
    let probe = |world: &World| {
        let bubbles = bubbles(world, client);
        let mut bubbles = bubbles.into_iter();
        bubbles.find(|bubble| bubble.datagram.destination == server)
    };
    assert!(world.run_until(seconds(400), |world| probe(world).is_some()));
    let (source, target) = packets::endpoints(probe(&world).unwrap().payload());
    assert_eq!(source, address(&world, client));
    let mapped = TeredoAddress::from_ipv6(target).unwrap().mapped;
    let forger = world.add_raw(teredo_sim::Network::Internet, &[v4("198.51.100.9")]);
    let forged = packets::forwarded_bubble(socket("198.51.100.9:6666"), source, target);
    world.inject(forger, server, mapped, &forged);
    world.run_for(SECOND);
    assert_eq!(drops(&world, client, DropReason::WrongSource), 1);
    assert_eq!(status(&world, client).refresh_interval, seconds(30));
}

/// R4380-5.2.7-04, A-05: behind a NAT that forgets after 17 s, the interval that is found keeps the mapping.
#[test]
fn a_shorter_interval_is_found() {
    let (tried, interval) = search(hairpinning(17));
    assert_eq!(tried, [60.0, 45.0, 38.0, 0.0, 30.0, 15.0, 23.0, 19.0]);
    assert_eq!(interval, seconds(15));
}

/// a NAT that also gives another port each time would end every search early, so the next one begins lower.
#[test]
fn a_lost_mapping_shortens_the_interval() {
    let (mut world, _, client) = searching(NatBehaviour {
        ports: PortAssignment::Sequential,
        ..hairpinning(17)
    });
    world.run_for(seconds(600));
    assert_eq!(status(&world, client).refresh_interval, seconds(15));
    world.capture_mut().clear();
    let before = addresses(&world, client).len();
    world.run_for(seconds(3600));
    assert_eq!(addresses(&world, client).len(), before, "no more losses");
}

/// R4380-5.2.7-05: the new interval is used, and forgotten with its mapping.
#[test]
fn the_interval_found_is_used_until_the_nat_changes() {
    let (mut world, nat, client) = searching(hairpinning(1000));
    world.run_for(seconds(600));
    assert_eq!(status(&world, client).refresh_interval, seconds(90));
    world.capture_mut().clear();
    let start = world.now();
    world.run_for(seconds(3600));
    let sent = times(start, &solicitations(&world, client));
    let gaps: Vec<_> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        gaps.iter().all(|gap| (67.0..=91.0).contains(gap)),
        "{gaps:?}"
    );
    world.renumber_nat(nat, v4("203.0.113.77"));
    world.run_for(seconds(120));
    assert!(world.client(client).secondary().is_some(), "a new search");
    assert!(status(&world, client).refresh_interval <= seconds(60));
}

/// R4380-5.2.7-04: only our own service port can make a candidate succeed.
#[test]
fn a_forged_bubble_proves_nothing() {
    let behaviour = NatBehaviour {
        hairpin: false,
        ..hairpinning(1000)
    };
    let (mut world, _, client) = searching(behaviour);
    let stranger = world.add_raw(teredo_sim::Network::Internet, &[v4("198.51.100.9")]);
    world.run_for(seconds(61));
    let probe = bubbles(&world, client)[0].clone();
    world.inject(
        stranger,
        socket("198.51.100.9:5000"),
        probe.datagram.destination,
        probe.payload(),
    );
    world.run_for(SECOND);
    assert_eq!(drops(&world, client, DropReason::WrongSource), 1);
    assert_eq!(status(&world, client).refresh_interval, seconds(30));
}
