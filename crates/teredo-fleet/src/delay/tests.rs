use super::*;

const WINDOW: Duration = Duration::from_secs(15);

/// By the host's clock, which is 1000 s behind the server's, and the server's.
fn of(delay: &mut Delay, sent: u64, taken: u64) -> u64 {
    let (time, stamp) = (sent, 1000 + taken);
    let held_up = delay.of(
        Duration::from_secs(time),
        Duration::from_secs(stamp),
        WINDOW,
    );
    held_up.as_secs()
}

#[test]
fn what_was_held_up_during_a_long_cut_is_known_after_it() {
    let mut delay = Delay::default();
    for second in [0, 5, 10, 15, 20] {
        assert_eq!(of(&mut delay, second, second), 0);
    }
    // Sent at the beginning of a cut of five minutes.
    assert_eq!(of(&mut delay, 25, 325), 300);
    assert_eq!(of(&mut delay, 30, 325), 295);
    assert_eq!(of(&mut delay, 325, 325), 0);
}

/// Of a clock that was set back the first entries seem late, for two windows.
#[test]
fn a_clock_that_was_set_back_is_learnt() {
    let mut delay = Delay::default();
    for second in (0..60).step_by(5) {
        assert_eq!(of(&mut delay, second + 3600, second), 0);
    }
    let seems = (60..120)
        .step_by(5)
        .map(|second| of(&mut delay, second, second));
    let late = seems.take_while(|held_up| *held_up == 3600).count();
    assert!(late <= 6, "{late}");
    assert_eq!(of(&mut delay, 120, 120), 0);
}

#[test]
fn any_time_of_a_host_is_taken() {
    let mut delay = Delay::default();
    for time in [Duration::MAX, Duration::ZERO, Duration::from_secs(1)] {
        for stamp in [Duration::ZERO, Duration::MAX, Duration::from_secs(7)] {
            delay.of(time, stamp, WINDOW);
        }
    }
}
