use super::*;

/// A host whose clock is 1000 s ahead, and what a perimeter makes of its entries.
struct World {
    epoch: Instant,
    delay: Delay,
    last: Moment,
}

impl World {
    /// The first entry is of second 0, and arrives at once.
    fn new() -> Self {
        let epoch = Instant::now();
        let last = (Duration::from_secs(1000), epoch);
        let delay = Delay::begin(epoch, last, Duration::ZERO);
        Self { epoch, delay, last }
    }

    fn of(&mut self, written: u64, arrived: u64) -> u64 {
        let arrived = self.epoch + Duration::from_secs(arrived);
        let next = (Duration::from_secs(1000 + written), arrived);
        let last = std::mem::replace(&mut self.last, next);
        self.delay.of(self.epoch, last, next).as_secs()
    }
}

#[test]
fn what_was_held_up_during_a_long_cut_is_known_after_it() {
    let mut world = World::new();
    for second in [5, 10, 15, 20] {
        assert_eq!(world.of(second, second), 0);
    }
    // Sent at the beginning of a cut of five minutes.
    assert_eq!(world.of(25, 325), 300);
    assert_eq!(world.of(30, 325), 295);
    assert_eq!(world.of(325, 325), 0);
    assert_eq!(world.of(330, 330), 0);
}

/// A machine that stood still for 20 s: its first entry seems late, and the second one shows that it is not.
#[test]
fn a_machine_that_was_paused_is_learnt_with_the_second_entry() {
    let mut world = World::new();
    assert_eq!(world.of(5, 5), 0);
    assert_eq!(world.of(10, 30), 20);
    assert_eq!(world.of(15, 35), 0);
    assert_eq!(world.of(20, 40), 0);
}

/// The first entry that a perimeter ever sees of a host was held up, or the clock of the host is behind.
#[test]
fn a_first_entry_in_doubt_is_decided_by_the_next_ones() {
    let epoch = Instant::now();
    let seconds = Duration::from_secs;
    let moment = |written, arrived| (seconds(written), epoch + seconds(arrived));
    let mut behind = Delay::begin(epoch, moment(0, 0), seconds(3600));
    assert_eq!(behind.of(epoch, moment(0, 0), moment(5, 5)), Duration::ZERO);
    let mut held_up = Delay::begin(epoch, moment(0, 60), seconds(60));
    assert_eq!(held_up.of(epoch, moment(0, 60), moment(5, 60)), seconds(55));
    assert_eq!(
        held_up.of(epoch, moment(5, 60), moment(61, 61)),
        Duration::ZERO
    );
}

#[test]
fn any_time_of_a_host_is_taken() {
    let epoch = Instant::now();
    let all = [Duration::MAX, Duration::ZERO, Duration::from_secs(7)].map(|time| (time, epoch));
    for first in all {
        for held_up in [Duration::ZERO, Duration::MAX] {
            let mut delay = Delay::begin(epoch, first, held_up);
            for (last, next) in all.into_iter().zip(all.into_iter().rev()) {
                delay.of(epoch, last, next);
            }
        }
    }
}
