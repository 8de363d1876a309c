use proptest::prelude::*;

use super::*;

/// Times that share digits of every wheel, and that no wheel reaches.
fn times() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..5_u64,
        0..1_u64 << 22,
        0..1_u64 << 30,
        0..1_u64 << 38,
        0..1_u64 << 46,
        0..1_u64 << 50,
        (u64::MAX - 3)..=u64::MAX,
    ]
}

proptest! {
    /// The schedule does the same as a sorted map, also after look-ups.
    #[test]
    fn a_schedule_is_a_sorted_map(steps in prop::collection::vec((0..3_u8, times()), 1..200)) {
        let mut schedule = Schedule::default();
        let mut map = BTreeMap::new();
        let mut now = 0_u64;
        for (number, (step, time)) in (0_u64..).zip(steps) {
            if step == 0 {
                let limit = now.saturating_add(time);
                loop {
                    let due = map
                        .first_key_value()
                        .filter(|((at, _), _)| *at <= limit)
                        .map(|(&(at, number), &event)| (at, number, event));
                    let popped = schedule.pop_due(Instant::from_nanos(limit));
                    prop_assert_eq!(
                        popped.map(|(at, event)| (at.as_nanos(), event)),
                        due.map(|(at, _, event)| (at, event))
                    );
                    let Some((at, number, _)) = due else { break };
                    map.remove(&(at, number));
                }
                now = limit;
            } else {
                // Also into the past.
                let at = if step == 1 { now.saturating_add(time) } else { time };
                schedule.push(Instant::from_nanos(at), number);
                map.insert((at, number), number);
            }
            prop_assert_eq!(schedule.len(), map.len());
            prop_assert_eq!(schedule.is_empty(), map.is_empty());
            prop_assert_eq!(
                schedule.next_time().map(Instant::as_nanos),
                map.first_key_value().map(|((at, _), _)| *at)
            );
        }
    }
}

#[test]
fn an_event_is_not_found_before_its_time() {
    let mut schedule = Schedule::default();
    let hour = Instant::from_nanos(3_600_000_000_000);
    schedule.push(hour, "alarm");
    for seconds in 0..3_600 {
        let limit = Instant::from_nanos(seconds * 1_000_000_000);
        assert_eq!(schedule.pop_due(limit), None);
        // The wheels have not moved past what comes now.
        schedule.push(limit, "datagram");
        assert_eq!(schedule.pop_due(limit), Some((limit, "datagram")));
    }
    assert_eq!(schedule.pop_due(hour), Some((hour, "alarm")));
    assert!(schedule.is_empty());
}
