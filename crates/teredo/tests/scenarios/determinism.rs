//! The same seed gives the same run, byte for byte, state machines included.

use std::time::Duration;

use teredo_sim::{LinkQuality, NatBehaviour, PortAssignment, Vantage, World};

use crate::fake_relay;
use crate::internet::*;
use crate::packets;

/// Three clients on bad links, half an hour of traffic among them and to a native host, a NAT that forgets.
fn half_an_hour(seed: u64) -> World {
    let mut world = world(seed);
    fake_relay::add(&mut world, packets::echo_reply);
    let behaviour = NatBehaviour {
        ports: PortAssignment::Random,
        ..NatBehaviour::port_restricted()
    };
    let nats = [1, 2, 3].map(|number| nat(&mut world, number, behaviour));
    let clients = [1, 2, 3].map(|number| {
        let nat = nats[usize::from(number) - 1];
        *world.nat_link_mut(nat) = LinkQuality {
            jitter: Duration::from_millis(30),
            reorder: true,
            loss: 0.05,
            duplication: 0.02,
            ..LinkQuality::with_delay(Duration::from_millis(15))
        };
        world.add_client(nat, local(number), &[SERVER, OTHER_SERVER])
    });
    for minute in 0..30 {
        world.run_for(seconds(60));
        for from in clients {
            let targets = clients
                .into_iter()
                .filter_map(|to| status(&world, to).address)
                .chain([v6(fake_relay::NATIVE)]);
            for target in targets.collect::<Vec<_>>() {
                if let Some(own) = status(&world, from).address {
                    world.send(from, &packets::udp(own, target, minute));
                }
            }
        }
        if minute % 10 == 9 {
            world.nat_mut(nats[1]).forget();
        }
    }
    world
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (one, two) = (half_an_hour(1), half_an_hour(1));
    assert!(one.capture().total() > 500);
    assert_eq!(one.capture().to_string(), two.capture().to_string());
    assert_eq!(one.capture().hash(), two.capture().hash());
    for vantage in [Vantage::Sender, Vantage::Public] {
        assert_eq!(
            one.capture().to_pcap(vantage),
            two.capture().to_pcap(vantage)
        );
    }
    let other = half_an_hour(2);
    assert_ne!(one.capture().hash(), other.capture().hash());
    assert_ne!(
        one.capture().to_pcap(Vantage::Public),
        other.capture().to_pcap(Vantage::Public)
    );
}
