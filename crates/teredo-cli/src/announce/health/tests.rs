use super::*;

const PACE: Pace = Pace {
    every: Duration::from_secs(1),
    late: Duration::from_millis(100),
};
const PROMPT: Duration = Duration::from_millis(1);
const LATE: Duration = Duration::from_millis(101);

/// A node on a virtual clock.
struct Stage {
    now: Instant,
    watch: Watch,
}

/// A node's answer to a probe.
#[derive(Clone, Copy)]
enum Does {
    Answer(Duration),
    Nothing,
    Refuse,
}

impl Stage {
    fn new() -> Self {
        let now = Instant::from_nanos(0);
        let watch = Watch::new(now, PACE);
        Self { now, watch }
    }

    /// The state after each of some probes. One without an answer is lost when the next one is due.
    fn probes(&mut self, count: usize, does: Does) -> Vec<Health> {
        let probe = |_| {
            let number = self.watch.tick(self.now).expect("a probe is due");
            let next = self.now + PACE.every;
            match does {
                Does::Answer(after) => self.watch.answered(self.now + after, number),
                Does::Nothing => {}
                Does::Refuse => self.watch.refused(number),
            }
            self.now = next;
            self.watch.health()
        };
        (0..count).map(probe).collect()
    }

    fn healthy() -> Self {
        let mut stage = Self::new();
        assert_eq!(stage.probes(20, Does::Answer(PROMPT)), [Healthy; 20]);
        stage
    }
}

use Health::{Dead, Healthy, Strained};

#[test]
fn nothing_is_well_before_the_first_answer() {
    let mut stage = Stage::new();
    assert_eq!(stage.watch.health(), Dead);
    assert_eq!(stage.probes(5, Does::Nothing), [Dead; 5]);
    assert_eq!(stage.probes(2, Does::Refuse), [Dead; 2]);
    assert_eq!(stage.probes(1, Does::Answer(PROMPT)), [Healthy]);
}

#[test]
fn a_node_that_is_late_from_the_start_is_strained() {
    let mut stage = Stage::new();
    assert_eq!(stage.probes(1, Does::Answer(LATE)), [Strained]);
}

/// The third one is lost when the fourth is due.
#[test]
fn three_lost_in_a_row_are_the_end() {
    let mut stage = Stage::healthy();
    assert_eq!(
        stage.probes(4, Does::Nothing),
        [Healthy, Healthy, Healthy, Dead]
    );
    assert_eq!(stage.watch.tally().lost, 3);
}

#[test]
fn one_refusal_is_the_end() {
    let mut stage = Stage::healthy();
    assert_eq!(stage.probes(1, Does::Refuse), [Dead]);
}

#[test]
fn who_has_died_returns_as_strained_and_proves_itself() {
    let mut stage = Stage::healthy();
    stage.probes(1, Does::Refuse);
    let back = stage.probes(12, Does::Answer(PROMPT));
    let expected = [[Dead; 2].as_slice(), &[Strained; 7], &[Healthy; 3]].concat();
    assert_eq!(back, expected);
}

/// One that answers now and then does not come back.
#[test]
fn who_has_died_is_not_back_at_the_first_answer() {
    let mut stage = Stage::healthy();
    stage.probes(1, Does::Refuse);
    for _ in 0..10 {
        assert_eq!(stage.probes(2, Does::Answer(PROMPT)), [Dead; 2]);
        assert_eq!(stage.probes(1, Does::Nothing), [Dead]);
    }
}

#[test]
fn three_late_ones_of_ten_are_a_strain_and_ten_good_ones_its_end() {
    let mut stage = Stage::healthy();
    assert_eq!(
        stage.probes(3, Does::Answer(LATE)),
        [Healthy, Healthy, Strained]
    );
    // Two good ones, one late one: it stays strained, however long.
    for _ in 0..20 {
        assert_eq!(stage.probes(2, Does::Answer(PROMPT)), [Strained; 2]);
        assert_eq!(stage.probes(1, Does::Answer(LATE)), [Strained]);
    }
    let back = stage.probes(10, Does::Answer(PROMPT));
    assert_eq!(back, [[Strained; 9].as_slice(), &[Healthy]].concat());
    assert_eq!(stage.watch.recent(), (0, WINDOW));
}

/// Two of ten are no strain: a single hiccup moves no traffic.
#[test]
fn some_late_ones_are_no_strain() {
    let mut stage = Stage::healthy();
    for _ in 0..10 {
        assert_eq!(stage.probes(2, Does::Answer(LATE)), [Healthy; 2]);
        assert_eq!(stage.probes(8, Does::Answer(PROMPT)), [Healthy; 8]);
    }
}

#[test]
fn an_answer_to_an_earlier_probe_does_not_count() {
    let mut stage = Stage::healthy();
    let first = stage.watch.tick(stage.now).unwrap();
    let second = stage.watch.tick(stage.now + PACE.every).unwrap();
    stage.watch.answered(stage.now + PACE.every, first);
    stage.watch.refused(first);
    assert_eq!(
        (stage.watch.health(), stage.watch.tally().lost),
        (Healthy, 1)
    );
    stage.watch.answered(stage.now + PACE.every, second);
    stage.watch.answered(stage.now + PACE.every, second);
    assert_eq!(stage.watch.tally().took, Some(Duration::ZERO));
}

/// A suspended host must not take the probes that it missed for lost.
#[test]
fn a_long_sleep_loses_one_probe() {
    let mut stage = Stage::healthy();
    stage.watch.tick(stage.now).unwrap();
    stage.now += Duration::from_secs(3600);
    assert_eq!(stage.probes(3, Does::Answer(PROMPT)), [Healthy; 3]);
    assert_eq!(stage.watch.tally().lost, 1);
}
