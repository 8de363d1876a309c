//! The scenes of one test, several at a time: each has an internet of its own, and mostly waits.

use std::sync::Mutex;
use std::thread;

/// How many scenes of a test run at a time. A scene needs a fifth of a core to a third, and another test runs beside this one.
const LANES: usize = 3;

/// Plays every scene. A scene that panics fails the test when the others have ended.
pub(crate) fn side_by_side<I>(scenes: I, play: impl Fn(I::Item) + Sync)
where
    I: IntoIterator<IntoIter: Send>,
{
    let scenes = Mutex::new(scenes.into_iter());
    let next = || scenes.lock().unwrap().next();
    let lane = || {
        while let Some(scene) = next() {
            play(scene);
        }
    };
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(lane);
        }
    });
}
