//! `miredo` behind each NAT of the kernel, and our client behind each NAT for which RFC 4380 alone suffices, on real
//! packets: the share of docs/nat-matrix.md that an implementation of RFC 4380 has.

use teredo_lab::NatKind;

use super::*;

/// The NATs that are not symmetric: RFC 4380 promises a path between each two of them.
const OURS: [NatKind; 8] = [
    NatKind::None,
    NatKind::Cone,
    NatKind::Restricted,
    NatKind::PortRestricted,
    NatKind::OpenInput,
    NatKind::Hairpin,
    NatKind::Carrier,
    NatKind::Igd,
];

/// `miredo` repeats a bubble with a packet that comes 3 s later or more.
const PATIENCE: Duration = Duration::from_secs(12);

/// R4380-5.2.6-01, R4380-5.2.6-03: miredo has a public address.
#[test]
fn miredo_without_a_nat_meets_ours_behind_each() {
    meets_each(NatKind::None);
}

/// R4380-5.2.6-01, R4380-5.2.6-03
#[test]
fn miredo_behind_a_cone_nat_meets_ours_behind_each() {
    meets_each(NatKind::Cone);
}

/// R4380-5.2.6-01, R4380-5.2.6-03
#[test]
fn miredo_behind_a_restricted_nat_meets_ours_behind_each() {
    meets_each(NatKind::Restricted);
}

/// R4380-5.2.6-01, R4380-5.2.6-03
#[test]
fn miredo_behind_a_port_restricted_nat_meets_ours_behind_each() {
    meets_each(NatKind::PortRestricted);
}

/// R4380-5.2.6-01, R4380-5.2.6-03
#[test]
fn miredo_behind_an_open_input_meets_ours_behind_each() {
    meets_each(NatKind::OpenInput);
}

/// One begins, and then the other does over the path that there is.
#[track_caller]
fn meets_each(theirs: NatKind) {
    let both = OURS.map(|ours| [(ours, First::Ours), (ours, First::Theirs)]);
    let mut scenes = both.concat();
    // Its first bubble goes all the way, and such a router takes it for its own: tests/matrix/cell.rs has the reason.
    scenes.retain(|scene| *scene != (NatKind::OpenInput, First::Theirs));
    side_by_side(scenes, |(ours, first)| meets(ours, theirs, first));
}

#[track_caller]
fn meets(ours: NatKind, theirs: NatKind, first: First) {
    let world = World::new(ours, theirs);
    let _server = world.serve();
    let (alice, bob) = (
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    );
    let _miredo = Miredo::client(&world, &bob);
    let bob_address = appears(&bob);
    let options: &[&str] = match ours {
        NatKind::Igd => &["--igd"],
        _ => &[],
    };
    let client = world.client(&alice, options);
    let alice_address = client.address();
    let context = format!("ours behind {ours}, miredo behind {theirs}, first {first:?}");
    let ours = || answered(&alice, bob_address, &context);
    let theirs = || answered(&bob, alice_address, &context);
    match first {
        First::Theirs => {
            theirs();
            ours();
        }
        First::Ours | First::Both => {
            ours();
            theirs();
        }
    }
}

/// Waits until a burst of echo requests is answered as a whole.
#[track_caller]
fn answered(from: &Host, to: Ipv6Addr, context: &str) {
    let burst = || {
        let replies = teredo_lab::ping(from, to, PINGS, SECOND * 2);
        replies
            .is_ok_and(|replies| replies.order.len() == usize::from(PINGS))
            .then_some(())
    };
    let met = until(
        PATIENCE,
        format_args!("an answer to {}", from.name()),
        burst,
    );
    met.unwrap_or_else(|error| panic!("{context}: {error}"));
}
