//! Setting up a path while bubbles are lost (RFC 4380 §5.2.4 case 5).

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use teredo::wire::Datagram;
use teredo_sim::{ClientId, NatBehaviour, World};

use crate::internet::*;
use crate::packets;

/// Two clients behind restricted NATs, and five packets from one to the other. `lost` decides for each bubble on each
/// leg whether it is lost.
fn five_packets(
    seed: u64,
    mut lost: impl FnMut() -> bool + 'static,
) -> (World, ClientId, ClientId, Duration) {
    let mut world = world(seed);
    let a = qualified_client(&mut world, 1, NatBehaviour::port_restricted());
    let b = qualified_client(&mut world, 2, NatBehaviour::port_restricted());
    world.capture_mut().clear();
    world.interfere(move |datagram| {
        Datagram::parse(&datagram.payload).is_ok_and(|datagram| datagram.packet.is_bubble())
            && lost()
    });
    let start = world.now();
    for number in 0..5 {
        let packet = packets::udp(address(&world, a), address(&world, b), number);
        assert_eq!(world.submit(a, &packet), teredo::Submission::Queued);
    }
    let _ = world.run_until(seconds(20), |world| delivered(world, b).len() == 5);
    let taken = world.now() - start;
    (world, a, b, taken)
}

fn numbers(world: &World, client: ClientId) -> Vec<u8> {
    delivered(world, client)
        .iter()
        .map(|packet| packets::number(packet))
        .collect()
}

/// R4380-5.2.4-06: timers repeat the bubbles at 2, 4 and 6 s without any further packet of the program. Bubbles that
/// open the own NAT and are sent again at once do not count.
#[test]
fn lost_bubbles_are_repeated_by_timers() {
    for rounds in 0..4_u64 {
        // Of each pair, the direct one is sent three times.
        let left = Rc::new(Cell::new(4 * rounds));
        let (world, a, b, taken) = five_packets(1, move || {
            let lost = left.get() > 0;
            left.set(left.get().saturating_sub(1));
            lost
        });
        assert_eq!(numbers(&world, b), [0, 1, 2, 3, 4], "{}", world.capture());
        assert!(
            (seconds(2 * rounds)..seconds(2 * rounds + 1)).contains(&taken),
            "{taken:?} after {rounds} lost pairs"
        );
        // And the answer to the other one's indirect bubble.
        assert_eq!(
            distinct_bubbles(&world, a).len() as u64,
            2 * (rounds + 1) + 1
        );
    }
}

/// R4380-5.2.4-06: with a fifth of all bubbles lost on each of four legs, a single attempt would succeed in 41 % of all
/// cases. Four attempts nearly always do, and then all packets arrive in order.
#[test]
fn with_twenty_percent_loss_nearly_all_paths_come_up() {
    const RUNS: u64 = 200;
    let (mut complete, mut at_once) = (0, 0);
    for seed in 0..RUNS {
        let state = Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (world, a, b, taken) = five_packets(seed, move || {
            // xorshift64*
            let mut x = state.get();
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            state.set(x);
            (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).is_multiple_of(5)
        });
        if delivered(&world, b).len() == 5 {
            assert_eq!(numbers(&world, b), [0, 1, 2, 3, 4]);
            assert_eq!(world.client(a).errors().len(), 0);
            complete += 1;
            at_once += u64::from(taken < SECOND);
        } else {
            assert_eq!(numbers(&world, b), [0; 0], "all or nothing");
            assert_eq!(world.client(a).errors().len(), 5, "the host is told");
        }
    }
    assert!(complete * 100 >= RUNS * 88, "{complete} of {RUNS}");
    assert!(
        at_once * 100 < RUNS * 60,
        "{at_once} of {RUNS} at once: nothing was lost"
    );
}
