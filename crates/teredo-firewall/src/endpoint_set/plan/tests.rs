use super::*;

const LEASE: Duration = Duration::from_secs(15);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn endpoint(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new([192, 0, 2, 7].into(), port)
}

/// A plan that holds port 1 until the end of a lease.
fn holding(now: Instant) -> Plan {
    let mut plan = Plan::new(LEASE);
    let steps = plan.steps(&[endpoint(1)], |_| Some(now + LEASE), now);
    assert_eq!((steps.remove.len(), steps.add.len()), (0, 1));
    plan.taken(&steps);
    plan
}

/// Renewals come each third of a lease; the kernel hears of one only when half of its time is over.
#[test]
fn a_renewal_costs_a_transaction_only_in_the_second_half() {
    let start = Instant::now();
    let plan = holding(start);
    let until = |now| move |_: &SocketAddrV4| Some(now + LEASE);
    let now = start + seconds(5);
    assert_eq!(
        plan.steps(&[endpoint(1)], until(now), now),
        Steps::default()
    );
    assert!(plan.due(now).is_empty());
    let now = start + seconds(10);
    assert_eq!(plan.due(now), [endpoint(1)]);
    let steps = plan.steps(&[endpoint(1)], until(now), now);
    assert_eq!(
        (steps.remove, steps.add),
        (vec![endpoint(1)], vec![(endpoint(1), now + LEASE)])
    );
}

#[test]
fn a_port_that_is_gone_is_removed_at_once() {
    let start = Instant::now();
    let plan = holding(start);
    let steps = plan.steps(&[endpoint(1), endpoint(2)], |_| None, start + seconds(1));
    assert_eq!((steps.remove, steps.add.len()), (vec![endpoint(1)], 0));
}

/// Rule 1: no element outlives what its host was granted.
#[test]
fn a_shorter_lease_shortens_the_element() {
    let start = Instant::now();
    let plan = holding(start);
    let steps = plan.steps(&[endpoint(1)], |_| Some(start + seconds(4)), start);
    assert_eq!(steps.add, [(endpoint(1), start + seconds(4))]);
}

/// The kernel refuses a transaction that removes what has ended.
#[test]
fn what_ends_by_itself_is_left_alone() {
    let start = Instant::now();
    let mut plan = holding(start);
    let brink = start + LEASE - BRINK / 2;
    assert_eq!(
        plan.steps(&[endpoint(1)], |_| None, brink),
        Steps::default()
    );
    let after = start + LEASE;
    assert_eq!(
        plan.steps(&[endpoint(1)], |_| None, after + BRINK),
        Steps::default()
    );
    let steps = plan.steps(&[endpoint(1)], |_| Some(after + LEASE), after + BRINK);
    assert_eq!((steps.remove.len(), steps.add.len()), (0, 1));
    plan.forget_ended(after);
    assert_eq!(plan.len(), 0);
}

#[test]
fn an_element_of_another_is_neither_added_nor_removed() {
    let start = Instant::now();
    let mut plan = Plan::new(LEASE);
    assert!(plan.found([].into_iter(), [(endpoint(1), None)].into_iter(), start));
    for wanted in [None, Some(start + LEASE)] {
        assert_eq!(
            plan.steps(&[endpoint(1)], |_| wanted, start),
            Steps::default()
        );
    }
}

#[test]
fn what_the_kernel_holds_is_compared() {
    let start = Instant::now();
    let mut plan = holding(start);
    let whole = [(endpoint(1), start + LEASE)];
    assert!(!plan.found(whole.into_iter(), [].into_iter(), start));
    // A saved ruleset was loaded again, without the end.
    let endless = [(endpoint(1), start + LEASE * 1000)];
    assert!(plan.found(endless.into_iter(), [].into_iter(), start));
    // Another program flushed the set.
    assert!(plan.found([].into_iter(), [].into_iter(), start));
    let steps = plan.steps(&[endpoint(1)], |_| Some(start + LEASE), start);
    assert_eq!(steps.add.len(), 1);
    // A process before this one left an element.
    assert!(plan.found(
        [(endpoint(9), start + seconds(3))].into_iter(),
        [].into_iter(),
        start
    ));
    // What has ended is no loss.
    assert!(!plan.found([].into_iter(), [].into_iter(), start + seconds(3)));
}

/// A foreign element that has a timeout stands for a port only as long as it is there.
#[test]
fn a_foreign_element_that_ends_leaves_its_place() {
    let start = Instant::now();
    let mut plan = Plan::new(LEASE);
    let end = start + seconds(4);
    plan.found(
        [].into_iter(),
        [(endpoint(1), Some(end))].into_iter(),
        start,
    );
    let steps = |plan: &Plan, now| plan.steps(&[endpoint(1)], |_| Some(now + LEASE), now);
    assert_eq!(steps(&plan, start), Steps::default());
    assert!(plan.due(start + seconds(3)).is_empty());
    let later = start + seconds(5);
    assert_eq!(plan.due(later), [endpoint(1)]);
    assert_eq!(steps(&plan, later).add, [(endpoint(1), later + LEASE)]);
    plan.forget_ended(later);
    assert!(plan.due(later).is_empty());
}
