//! Two clients behind one NAT without local discovery: they connect by hairpinning, or not at all (RFC 4380 §8.3).

use teredo::{DropReason, Submission};
use teredo_sim::{Filtering, NatBehaviour};

use crate::internet::*;
use crate::packets;
use crate::unsupported::{Outcome, unreachable_after};

/// R4380-5.2.4-06, R4380-5.2.6-01: if the NAT hairpins, the public path works with any filter.
#[test]
fn a_hairpinning_nat_leads_from_one_host_to_the_other() {
    for filtering in [
        Filtering::EndpointIndependent,
        Filtering::AddressDependent,
        Filtering::AddressAndPortDependent,
    ] {
        let behaviour = NatBehaviour {
            hairpin: true,
            filtering,
            ..NatBehaviour::cone()
        };
        let (mut world, _, [a, b]) = neighbours(1, behaviour);
        let there = packets::udp(address(&world, a), address(&world, b), 1);
        let back = packets::udp(address(&world, b), address(&world, a), 2);
        assert_eq!(world.submit(a, &there), Submission::Queued);
        assert!(
            world.run_until(SECOND, |world| delivered(world, b) == [there.clone()]),
            "{filtering:?}: {}",
            world.capture()
        );
        let mapped = teredo(&world, a).mapped;
        assert_eq!(world.submit(b, &back), Submission::Send(mapped));
        world.run_for(SECOND);
        assert_eq!(delivered(&world, a), [back]);
    }
}

/// R4380-5.2.4-11: if it does not, and the clients have not met on the link, the program gets an error within the
/// retries.
#[test]
fn without_hairpinning_the_program_is_told() {
    let (mut world, _, [a, b]) = neighbours(1, NatBehaviour::port_restricted());
    let to = address(&world, b);
    assert_eq!(
        unreachable_after(&mut world, a, to),
        Outcome::Told(seconds(8))
    );
    assert_eq!(status(&world, a).trusted_peers, 0);
}

/// L-03: nothing goes to the own address, or to the own mapping under another address, and the program gets an error.
#[test]
fn nothing_is_sent_to_oneself() {
    let behaviour = NatBehaviour {
        hairpin: true,
        ..NatBehaviour::cone()
    };
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, behaviour);
    world.capture_mut().clear();
    let own = address(&world, client);
    let mut other_name = teredo(&world, client);
    other_name.server = OTHER_SERVER.primary;
    for to in [own, other_name.to_ipv6()] {
        let dropped = world.submit(client, &packets::udp(own, to, 1));
        assert_eq!(dropped, Submission::Drop(DropReason::OwnAddress));
    }
    assert_eq!(world.client(client).errors().len(), 2);
    assert_eq!(bubbles(&world, client).len(), 0);
    // Packets that come back through the hairpin are refused.
    let hostile = world.add_raw(world.network_of(client), &[v4("10.0.0.66")]);
    let mapped = teredo(&world, client).mapped;
    world.inject(
        hostile,
        socket("10.0.0.66:5000"),
        mapped,
        &packets::udp(own, own, 1),
    );
    world.inject(
        hostile,
        local(1),
        mapped,
        &packets::udp(other_name.to_ipv6(), own, 1),
    );
    world.run_for(SECOND);
    assert_eq!(delivered(&world, client).len(), 0);
    assert_eq!(
        drops(&world, client, DropReason::OwnAddress),
        4,
        "{}",
        world.capture()
    );
}
