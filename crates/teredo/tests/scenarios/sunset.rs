//! A host with native IPv6 does not need a client (RFC 4380 §5.5).

use teredo::client::{Reason, State};
use teredo::{DropReason, Submission};
use teredo_sim::NatBehaviour;

use crate::internet::*;
use crate::packets;

/// R4380-5.5-01, R4380-3.2.1-01, R6169-2.1-01: a dormant client has no address, sends nothing for days under any input,
/// reports the reason, and comes back.
#[test]
fn a_dormant_client_is_silent_and_comes_back() {
    let mut world = world(1);
    let client = qualified_client(&mut world, 1, NatBehaviour::restricted());
    let peer = qualified_client(&mut world, 2, NatBehaviour::restricted());
    let own = address(&world, client);
    let native = v6("2001:db8::5");
    world.sleep(client, native);
    world.capture_mut().clear();
    assert_eq!(state(&world, client), State::Dormant);
    assert_eq!(reason(&world, client), Some(Reason::NativeIpv6(native)));
    assert_eq!(
        reason(&world, client).unwrap().to_string(),
        "the host has native IPv6: 2001:db8::5"
    );
    assert_eq!(addresses(&world, client), [(own, true), (own, false)]);

    world.send(peer, &packets::udp(address(&world, peer), own, 1));
    let packet = packets::udp(own, address(&world, peer), 1);
    let dropped = world.submit(client, &packet);
    assert_eq!(dropped, Submission::Drop(DropReason::NotQualified));
    world.set_servers(client, &[OTHER_SERVER]);
    world.rebind(client, world.network_of(client), local(7));
    join(&mut world, client);
    world.run_for(seconds(2 * 24 * 3600));
    assert_eq!(world.capture().sent_by(client).count(), 0);
    assert_eq!(state(&world, client), State::Dormant);

    world.start(client, &[SERVER]);
    qualify(&mut world, client);
    assert_eq!(reason(&world, client), None);
}
