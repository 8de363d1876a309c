use super::*;

#[test]
fn each_time_is_later_and_near_the_hosts_clock() {
    let mut clock = EntryClock::start();
    let wall = clock.wall;
    let mut last = Duration::ZERO;
    for _ in 0..1000 {
        let next = clock.next();
        assert!(next > last);
        last = next;
    }
    assert!(last >= wall && last < wall + Duration::from_secs(60));
}
