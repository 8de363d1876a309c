mod border;
mod errors;
mod ports;

use super::*;
use crate::{Fate, Filtering, PortAssignment, Refusal};

const MS: Duration = Duration::from_millis(1);

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn socket(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

fn at(duration: Duration) -> Instant {
    Instant::default() + duration
}

/// The fates of all datagrams, in order.
fn fates(world: &World) -> Vec<Fate> {
    world.capture().iter().map(|record| record.fate).collect()
}

/// A world with two public hosts, 192.0.2.1 and 192.0.2.2.
fn pair(seed: u64) -> (World, RawId, RawId) {
    let mut world = World::new(seed);
    let one = world.add_raw(Network::Internet, &[ip("192.0.2.1")]);
    let two = world.add_raw(Network::Internet, &[ip("192.0.2.2")]);
    (world, one, two)
}

#[test]
fn a_datagram_takes_the_delay_of_both_links() {
    let (mut world, one, two) = pair(1);
    world.link_mut(two).delay = 35 * MS;
    world.inject(one, socket("192.0.2.1:5"), socket("192.0.2.2:6"), b"hello");
    world.run_for(44 * MS);
    assert_eq!(fates(&world), [Fate::InFlight]);
    world.run_for(MS);
    assert_eq!(
        fates(&world),
        [Fate::Delivered {
            at: at(45 * MS),
            host: two.into()
        }]
    );
    let received = &world.raw(two).received()[0];
    assert_eq!(received.at, at(45 * MS));
    assert_eq!(received.what.source, socket("192.0.2.1:5"));
    assert_eq!(received.what.payload, b"hello");
}

#[test]
fn an_address_that_nobody_has_is_no_route() {
    let (mut world, one, _) = pair(1);
    world.inject(one, socket("192.0.2.1:5"), socket("198.51.100.1:6"), b"");
    world.run_for(MS * 100);
    assert_eq!(fates(&world), [Fate::NoRoute]);
}

#[test]
fn a_source_may_be_spoofed() {
    let (mut world, one, two) = pair(1);
    world.inject(one, socket("203.0.113.99:9"), socket("192.0.2.2:6"), b"");
    world.run_for(MS * 100);
    assert_eq!(
        world.raw(two).received()[0].what.source,
        socket("203.0.113.99:9")
    );
}

#[test]
fn an_answer_passes_a_nat_and_a_stranger_does_not() {
    let mut world = World::new(1);
    let server = world.add_responder(Network::Internet, &[ip("192.0.2.1")], |arrival, out| {
        if let Arrival::Udp(datagram) = arrival {
            out.send(datagram.destination, datagram.source, b"answer".to_vec());
        }
    });
    let stranger = world.add_raw(Network::Internet, &[ip("192.0.2.2")]);
    let nat = world.add_nat(NatBehaviour::port_restricted(), [203, 0, 113, 1]);
    let inside = world.add_raw(nat, &[ip("10.0.0.2")]);

    world.inject(
        inside,
        socket("10.0.0.2:5000"),
        socket("192.0.2.1:3544"),
        b"question",
    );
    world.run_for(MS * 100);
    assert_eq!(
        world.raw(server).received()[0].what.source,
        socket("203.0.113.1:5000")
    );
    assert_eq!(
        world.raw(inside).received()[0].what.destination,
        socket("10.0.0.2:5000")
    );

    world.inject(
        stranger,
        socket("192.0.2.2:3544"),
        socket("203.0.113.1:5000"),
        b"",
    );
    world.inject(
        stranger,
        socket("192.0.2.2:3544"),
        socket("203.0.113.1:5001"),
        b"",
    );
    world.run_for(MS * 100);
    assert_eq!(
        fates(&world)[2..],
        [
            Fate::Refused(Refusal::Filtered),
            Fate::Refused(Refusal::NoMapping)
        ]
    );

    world.nat_mut(nat).behaviour_mut().filtering = Filtering::EndpointIndependent;
    world.inject(
        stranger,
        socket("192.0.2.2:3544"),
        socket("203.0.113.1:5000"),
        b"",
    );
    world.run_for(MS * 100);
    assert_eq!(world.raw(inside).received().len(), 2);
}

#[test]
fn a_nat_behind_a_nat_translates_twice() {
    let mut world = World::new(1);
    let server = world.add_raw(Network::Internet, &[ip("192.0.2.1")]);
    let carrier = world.add_nat(
        NatBehaviour {
            ports: PortAssignment::Random,
            ..NatBehaviour::cone()
        },
        [203, 0, 113, 1],
    );
    let home = world.add_nat_in(carrier, NatBehaviour::cone(), [100, 64, 0, 7]);
    let inside = world.add_raw(home, &[ip("10.0.0.2")]);
    world.inject(
        inside,
        socket("10.0.0.2:5000"),
        socket("192.0.2.1:3544"),
        b"",
    );
    world.run_for(MS * 100);
    let seen = world.raw(server).received()[0].what.source;
    assert_eq!(
        (*seen.ip(), seen.port() == 5000),
        (ip("203.0.113.1"), false)
    );

    world.inject(server, socket("192.0.2.1:3544"), seen, b"");
    world.run_for(MS * 100);
    assert_eq!(
        world.raw(inside).received()[0].what.destination,
        socket("10.0.0.2:5000")
    );
}

#[test]
fn hosts_of_one_network_reach_each_other_without_the_nat() {
    let mut world = World::new(1);
    let nat = world.add_nat(NatBehaviour::symmetric(), [203, 0, 113, 1]);
    let one = world.add_raw(nat, &[ip("10.0.0.2")]);
    let two = world.add_raw(nat, &[ip("10.0.0.3")]);
    world.inject(one, socket("10.0.0.2:5"), socket("10.0.0.3:6"), b"");
    world.run_for(MS);
    assert_eq!(
        world.raw(two).received()[0].what.source,
        socket("10.0.0.2:5")
    );
    assert_eq!(world.nat(nat).mappings(world.now()), 0);
}

#[test]
fn two_networks_may_use_the_same_private_address() {
    let mut world = World::new(1);
    let server = world.add_raw(Network::Internet, &[ip("192.0.2.1")]);
    for external in ["203.0.113.1", "203.0.113.2"] {
        let nat = world.add_nat(NatBehaviour::cone(), ip(external));
        let host = world.add_raw(nat, &[ip("10.0.0.2")]);
        world.inject(host, socket("10.0.0.2:5"), socket("192.0.2.1:6"), b"");
    }
    world.run_for(MS * 100);
    let sources: Vec<_> = world
        .raw(server)
        .received()
        .iter()
        .map(|received| received.what.source)
        .collect();
    assert_eq!(sources, [socket("203.0.113.1:5"), socket("203.0.113.2:5")]);
}

#[test]
fn hairpinning_reaches_the_neighbour_with_the_external_source() {
    for hairpin in [true, false] {
        let mut world = World::new(1);
        let nat = world.add_nat(
            NatBehaviour {
                hairpin,
                ..NatBehaviour::cone()
            },
            [203, 0, 113, 1],
        );
        let one = world.add_raw(nat, &[ip("10.0.0.2")]);
        let two = world.add_raw(nat, &[ip("10.0.0.3")]);
        world.inject(two, socket("10.0.0.3:6"), socket("192.0.2.1:1"), b"");
        world.run_for(MS * 100);
        world.inject(one, socket("10.0.0.2:5"), socket("203.0.113.1:6"), b"");
        world.run_for(MS * 100);
        if hairpin {
            assert_eq!(
                world.raw(two).received()[0].what.source,
                socket("203.0.113.1:5")
            );
        } else {
            assert_eq!(fates(&world)[1], Fate::Refused(Refusal::NoHairpin));
        }
    }
}

#[test]
fn a_renumbered_nat_is_reached_at_its_new_address() {
    let mut world = World::new(1);
    let server = world.add_raw(Network::Internet, &[ip("192.0.2.1")]);
    let nat = world.add_nat(NatBehaviour::cone(), [203, 0, 113, 1]);
    let inside = world.add_raw(nat, &[ip("10.0.0.2")]);
    world.renumber_nat(nat, [203, 0, 113, 9]);
    world.inject(inside, socket("10.0.0.2:5"), socket("192.0.2.1:6"), b"");
    world.run_for(MS * 100);
    assert_eq!(
        world.raw(server).received()[0].what.source,
        socket("203.0.113.9:5")
    );
    world.inject(server, socket("192.0.2.1:6"), socket("203.0.113.9:5"), b"");
    world.inject(server, socket("192.0.2.1:6"), socket("203.0.113.1:5"), b"");
    world.run_for(MS * 100);
    assert_eq!(world.raw(inside).received().len(), 1);
    assert_eq!(fates(&world)[2], Fate::NoRoute);
}

#[test]
fn knobs_have_names_in_the_log() {
    let (mut world, one, two) = pair(1);
    let send = |world: &mut World| {
        world.inject(one, socket("192.0.2.1:5"), socket("192.0.2.2:6"), b"x");
        world.run_for(MS * 100);
        world.capture().iter().next_back().unwrap().fate
    };
    world.link_mut(one).up = false;
    assert_eq!(send(&mut world), Fate::LinkDown);
    *world.link_mut(one) = LinkQuality {
        loss: 1.0,
        ..LinkQuality::with_delay(MS)
    };
    assert_eq!(send(&mut world), Fate::Lost);
    world.link_mut(one).loss = 0.0;
    world.set_silent(ip("192.0.2.2"), true);
    assert_eq!(send(&mut world), Fate::Silenced);
    world.set_silent(ip("192.0.2.2"), false);
    world.interfere(|datagram| datagram.payload == b"x");
    assert_eq!(send(&mut world), Fate::Eaten);
    world.interfere(|_| false);
    assert!(matches!(send(&mut world), Fate::Delivered { .. }));
    assert_eq!(world.raw(two).received().len(), 1);
}

/// A NAT is a router, and so is either end of the Internet.
#[test]
fn a_datagram_ends_where_its_time_to_live_does() {
    let mut world = World::new(1);
    let [near, far] = ["203.0.113.1", "203.0.113.2"]
        .map(|external| world.add_nat(NatBehaviour::cone(), ip(external)));
    let one = world.add_raw(near, &[ip("10.0.0.1")]);
    let two = world.add_raw(far, &[ip("10.0.0.2")]);
    world.inject(
        two,
        socket("10.0.0.2:6"),
        socket("203.0.113.1:5"),
        b"opens its NAT",
    );
    world.run_for(MS * 1000);
    for (ttl, passes) in [(1, false), (2, false), (3, false), (4, false), (5, true)] {
        let datagram = Datagram {
            source: socket("10.0.0.1:5"),
            destination: socket("203.0.113.2:6"),
            ttl,
            dont_fragment: false,
            payload: vec![ttl],
        };
        world.emit(one.into(), datagram);
        world.run_for(MS * 1000);
        let fate = world.capture().iter().next_back().unwrap().fate;
        assert_eq!(fate == Fate::Expired, !passes, "{ttl}: {fate}");
    }
    assert_eq!(world.raw(two).received().len(), 1);
}

#[test]
fn a_duplicate_has_a_record_of_its_own() {
    let (mut world, one, two) = pair(1);
    world.link_mut(one).duplication = 1.0;
    world.inject(one, socket("192.0.2.1:5"), socket("192.0.2.2:6"), b"x");
    world.run_for(MS * 100);
    assert_eq!(world.raw(two).received().len(), 2);
    let flags: Vec<_> = world
        .capture()
        .iter()
        .map(|record| (record.duplicate, record.delivered()))
        .collect();
    assert_eq!(flags, [(false, true), (true, true)]);
}

#[test]
fn run_until_stops_at_the_event_that_made_it_so_or_at_its_limit() {
    let (mut world, one, two) = pair(1);
    world.inject(one, socket("192.0.2.1:5"), socket("192.0.2.2:6"), b"x");
    assert!(world.run_until(MS * 500, |world| !world.raw(two).received().is_empty()));
    assert_eq!(world.now(), at(20 * MS));
    assert!(!world.run_until(MS * 500, |world| world.raw(two).received().len() > 1));
    assert_eq!(world.now(), at(520 * MS));
}

#[test]
fn native_packets_reach_the_host_that_has_their_address() {
    let (mut world, one, two) = pair(1);
    world.attach_native(two, "2001:db8::2".parse().unwrap());
    let mut packet = vec![0x60; 40];
    packet[24..40].copy_from_slice(&"2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
    world.act(
        one.into(),
        vec![
            Action::Native(packet.clone()),
            Action::Native(vec![0x60; 40]),
        ],
    );
    world.run_for(MS * 100);
    assert_eq!(world.raw(two).native().len(), 1);
    assert_eq!(world.raw(two).native()[0].what, packet);
}

/// Two hosts behind NATs with random ports, bad links, an echoing server and an hour of traffic.
fn busy(seed: u64) -> World {
    let mut world = World::new(seed);
    world.add_responder(Network::Internet, &[ip("192.0.2.1")], |arrival, out| {
        if let Arrival::Udp(datagram) = arrival {
            out.send_after(
                MS * 3,
                datagram.destination,
                datagram.source,
                datagram.payload.clone(),
            );
        }
    });
    for (number, external) in ["203.0.113.1", "203.0.113.2"].into_iter().enumerate() {
        let behaviour = NatBehaviour {
            ports: PortAssignment::Random,
            ..NatBehaviour::symmetric()
        };
        let nat = world.add_nat(behaviour, ip(external));
        let host = world.add_raw(nat, &[ip("10.0.0.2")]);
        *world.nat_link_mut(nat) = LinkQuality {
            jitter: 5 * MS,
            loss: 0.1,
            duplication: 0.1,
            reorder: true,
            ..LinkQuality::with_delay(MS)
        };
        for second in 0..100 {
            world.inject(
                host,
                socket("10.0.0.2:5"),
                socket("192.0.2.1:6"),
                &[number as u8, second],
            );
            world.run_for(Duration::from_secs(36));
        }
    }
    world
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let (one, two) = (busy(1), busy(1));
    assert_eq!(one.capture().to_string(), two.capture().to_string());
    assert_eq!(
        one.capture().to_pcap(crate::Vantage::Public),
        two.capture().to_pcap(crate::Vantage::Public)
    );
    assert_eq!(one.capture().hash(), two.capture().hash());
    let other = busy(2);
    assert_ne!(one.capture().to_string(), other.capture().to_string());
    assert_ne!(one.capture().hash(), other.capture().hash());
}

/// RFC 4787 §4.1: every address of a pool is the NAT's, and hairpins.
#[test]
fn a_pool_of_addresses_belongs_to_its_nat() {
    let mut world = World::new(1);
    let server = world.add_raw(Network::Internet, &[ip("192.0.2.1"), ip("192.0.2.2")]);
    let behaviour = NatBehaviour {
        hairpin: true,
        filtering: Filtering::EndpointIndependent,
        ..NatBehaviour::address_symmetric()
    };
    let pool = [ip("203.0.113.1"), ip("198.51.100.1")];
    let nat = world.add_nat_pool(Network::Internet, behaviour, &pool);
    let inside = world.add_raw(nat, &[ip("10.0.0.2")]);
    let other = world.add_raw(nat, &[ip("10.0.0.3")]);
    for to in ["192.0.2.1:1", "192.0.2.2:1"] {
        world.inject(inside, socket("10.0.0.2:5"), socket(to), b"");
    }
    world.run_for(MS * 100);
    let sources = world.raw(server).received().iter();
    let sources: Vec<SocketAddrV4> = sources.map(|received| received.what.source).collect();
    assert_eq!([*sources[0].ip(), *sources[1].ip()], pool);
    for to in &sources {
        world.inject(server, socket("192.0.2.1:7"), *to, b"");
        world.inject(other, socket("10.0.0.3:7"), *to, b"");
    }
    world.run_for(MS * 100);
    assert_eq!(world.raw(inside).received().len(), 4);
    world.renumber_nat(nat, [198, 51, 100, 7]);
    assert_eq!(world.nat(nat).externals().count(), 4);
}

/// A host behind a router, and behind a router behind it, has an address of the Internet.
#[test]
fn a_router_shows_the_addresses_behind_it() {
    let mut world = World::new(1);
    let server = world.add_raw(Network::Internet, &[ip("192.0.2.1")]);
    let outer = world.add_nat(NatBehaviour::none(), [203, 0, 113, 1]);
    let inner = world.add_nat_in(outer, NatBehaviour::firewall(), [203, 0, 113, 2]);
    let host = world.add_raw(inner, &[ip("198.51.100.9")]);
    world.inject(
        server,
        socket("192.0.2.1:1"),
        socket("198.51.100.9:5"),
        b"early",
    );
    world.run_for(MS * 100);
    assert_eq!(fates(&world), [Fate::Refused(Refusal::NoMapping)]);
    world.inject(host, socket("198.51.100.9:5"), socket("192.0.2.1:1"), b"");
    world.run_for(MS * 100);
    world.inject(server, socket("192.0.2.1:1"), socket("198.51.100.9:5"), b"");
    world.run_for(MS * 100);
    assert_eq!(
        world.raw(server).received()[0].what.source,
        socket("198.51.100.9:5")
    );
    assert_eq!(world.raw(host).received().len(), 1);
}
