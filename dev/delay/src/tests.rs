use std::time::Duration;

use teredo::client::NatTraversal;

use crate::*;

const DELAY: Duration = Duration::from_millis(100);

/// Nothing is faster than its bound, without losses and with them; a cold start reaches it, and a warm one takes no time.
#[test]
fn nothing_is_faster_than_its_bound() {
    for event in Event::ALL {
        for seed in 1..=5 {
            for loss in [0.0, 0.1] {
                for mode in [NatTraversal::Rfc6081, NatTraversal::Eager] {
                    let took = time(mode, event, DELAY, loss, seed);
                    assert!(
                        took.is_none_or(|took| took >= event.bound(DELAY)),
                        "{event:?} {mode} {took:?}"
                    );
                }
            }
        }
    }
    let mode = NatTraversal::Rfc6081;
    assert_eq!(time(mode, Event::Cold, DELAY, 0.0, 1), Some(DELAY * 2));
    assert_eq!(time(mode, Event::Warm, DELAY, 0.0, 1), Some(Duration::ZERO));
}

/// Without losses, a model takes the sum of its exchanges; a lost solicitation costs it 4 s.
#[test]
fn a_model_has_the_documented_timers() {
    for (model, event, delays) in [
        (Model::Rfc4380, Event::Cold, 4),
        (Model::Miredo, Event::Cold, 2),
        (Model::Rfc4380, Event::ClientToClient, 5),
        (Model::Miredo, Event::ClientToClient, 5),
    ] {
        assert_eq!(model.time(event, DELAY, 0.0, 1), Some(DELAY * delays));
    }
    let times = (0..1_000).filter_map(|seed| Model::Miredo.time(Event::Cold, DELAY, 0.1, seed));
    let steps = [0, 4, 8].map(|seconds| Duration::from_secs(seconds) + DELAY * 2);
    assert!(times.into_iter().all(|time| steps.contains(&time)));
}
