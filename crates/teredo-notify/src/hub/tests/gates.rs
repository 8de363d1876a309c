use futures_util::FutureExt;

use super::*;
use crate::types::FLEET_BACKEND;

fn gate(hub: &Hub) -> GateRegistration {
    hub.register_gate(GateOwner {
        pid: Some(42),
        command: Some("wall".to_owned()),
    })
    .unwrap()
}

/// N-16
#[test]
fn an_announcement_is_settled_when_every_gate_has_confirmed() {
    let hub = Hub::new();
    assert!(hub.is_settled(hub.publish(1)), "nobody gates");
    let (one, two) = (gate(&hub), gate(&hub));
    assert!(hub.is_settled(1), "announced before the gates came");
    let sequence = hub.publish(2);
    assert!(!hub.is_settled(sequence));
    one.settle(sequence).unwrap();
    assert!(!hub.is_settled(sequence));
    two.settle(sequence).unwrap();
    assert!(hub.is_settled(sequence));
    assert_eq!(hub.wait_settled(sequence, Duration::ZERO), Settled::All);
    assert_eq!(hub.gate_missed(), 0);
}

/// N-16: a later confirmation is one of everything before it.
#[test]
fn a_confirmation_reaches_back() {
    let hub = Hub::new();
    let gate = gate(&hub);
    let (first, second) = (hub.publish(1), hub.publish(2));
    gate.settle(second).unwrap();
    assert!(hub.is_settled(first) && hub.is_settled(second));
    gate.settle(first).unwrap();
    assert!(hub.is_settled(second));
}

/// N-16: a gate that has ended delays nothing, and ends a wait.
#[test]
fn a_gate_that_ends_no_longer_counts() {
    let hub = Hub::new();
    let gate = gate(&hub);
    let sequence = hub.publish(1);
    let waiter = {
        let hub = hub.clone();
        thread::spawn(move || hub.wait_settled(sequence, SOON))
    };
    drop(gate);
    assert_eq!(waiter.join().unwrap(), Settled::All);
    assert!(hub.gates().is_empty());
}

/// N-16: a missed deadline is counted once for an announcement, and names the late gate.
#[test]
fn a_missed_deadline_is_counted() {
    let hub = Hub::new();
    let (quick, slow) = (gate(&hub), gate(&hub));
    let first = hub.publish(1);
    quick.settle(first).unwrap();
    let Settled::TimedOut { missing } = hub.wait_settled(first, Duration::from_millis(1)) else {
        panic!("settled without the slow one");
    };
    assert_eq!(
        missing.iter().map(|gate| gate.id).collect::<Vec<_>>(),
        [slow.id()]
    );
    assert_eq!(missing[0].owner.pid, Some(42));
    assert_eq!(hub.expire(first).len(), 1);
    assert_eq!(hub.gate_missed(), 1, "one announcement, one miss");

    let second = hub.publish(2);
    quick.settle(second).unwrap();
    hub.expire(second);
    assert_eq!(hub.gate_missed(), 2);
    slow.settle(second).unwrap();
    assert!(hub.is_settled(second));
    assert!(hub.expire(second).is_empty());
    drop(slow);
    assert_eq!(hub.gate_missed(), 2);
}

/// N-16: a deadline belongs to its announcement, not to the one that is current when it passes.
#[test]
fn a_later_announcement_has_a_deadline_of_its_own() {
    let hub = Hub::new();
    let slow = gate(&hub);
    let first = hub.publish(1);
    let late = gate(&hub);
    let second = hub.publish(2);
    slow.settle(first).unwrap();
    assert!(hub.expire(first).is_empty(), "settled, and not awaited");
    assert!(
        hub.expire(second + 1).is_empty(),
        "it was never announced, so its deadline cannot have passed"
    );
    assert_eq!(hub.gate_missed(), 0);
    assert_eq!(hub.expire(second).len(), 2);
    assert_eq!(hub.gate_missed(), 2);
    let third = hub.publish(3);
    assert_eq!(hub.expire(third).len(), 2);
    assert_eq!(hub.gate_missed(), 4);
    drop(late);
}

/// A hook lasts as long as its guard, and what it owns is dropped with it.
#[test]
fn a_settle_hook_ends_with_its_guard() {
    let hub = Hub::new();
    let wakes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&wakes);
    let hook = hub.on_settle(move || _ = count.fetch_add(1, Ordering::SeqCst));
    drop(gate(&hub));
    assert_eq!(wakes.load(Ordering::SeqCst), 1);
    drop(hook);
    drop(gate(&hub));
    assert_eq!(wakes.load(Ordering::SeqCst), 1);
    assert_eq!(Arc::strong_count(&wakes), 1, "the hook was not dropped");
}

#[test]
fn the_status_of_a_gate_tells_what_it_has_done() {
    let hub = Hub::new();
    hub.publish(1);
    let gate = gate(&hub);
    let before = &hub.gates()[0];
    assert_eq!(
        (before.settled, before.in_sync, before.settle_time),
        (None, false, None)
    );
    gate.settle(1).unwrap();
    assert!(
        hub.gates()[0].in_sync,
        "it has taken over the current state"
    );
    assert_eq!(
        hub.gates()[0].settle_time,
        None,
        "nobody has waited for that"
    );
    hub.publish(2);
    assert!(!hub.gates()[0].in_sync);
    gate.settle(2).unwrap();
    let after = &hub.gates()[0];
    assert_eq!(
        (after.settled, after.in_sync, after.missed),
        (Some(2), true, 0)
    );
    assert!(after.settle_time.is_some());
}

#[test]
fn wrong_confirmations_are_refused() {
    let hub = Hub::new();
    let gate = gate(&hub);
    assert_eq!(
        gate.settle(1),
        Err(SettleError::NotAnnounced {
            sequence: 1,
            current: 0
        })
    );
    assert_eq!(
        hub.settle(999, 0),
        Err(SettleError::UnknownSubscription(999))
    );
    let sequence = hub.publish(1);
    assert!(!hub.is_settled(sequence));
}

/// N-16: the data path is woken; it does not poll.
#[test]
fn to_settle_wakes_waiters() {
    let hub = Hub::new();
    let wakes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&wakes);
    let _hook = hub.on_settle(move || _ = count.fetch_add(1, Ordering::SeqCst));
    let gate = gate(&hub);
    let sequence = hub.publish(1);
    assert_eq!(wakes.load(Ordering::SeqCst), 0);

    let mut waiting = Box::pin(hub.settled(sequence));
    assert_eq!((&mut waiting).now_or_never(), None);
    gate.settle(sequence).unwrap();
    assert_eq!(waiting.now_or_never(), Some(()));
    assert_eq!(wakes.load(Ordering::SeqCst), 1);
    drop(gate);
    assert_eq!(
        wakes.load(Ordering::SeqCst),
        2,
        "what waited for it need not"
    );
}

/// N-16: a gate withdraws its confirmation with a reason, gives it again, and is not believed beyond its report's time.
#[test]
fn a_report_with_trouble_withdraws_the_confirmation() {
    let hub = Hub::new();
    let gate = hub.register_gate(GateOwner::default()).unwrap();
    gate.settle(hub.publish(4500)).unwrap();
    let status = || hub.gates().remove(0);
    let report = |trouble: Option<&str>, valid| GateReport {
        backend: None,
        random_trouble: None,
        trouble: trouble.map(str::to_owned),
        protects: vec!["teredo".to_owned()],
        valid,
    };
    assert!(status().in_sync && status().protects.is_empty());

    let minute = Duration::from_secs(60);
    hub.report(gate.id(), report(Some("the set is gone"), minute))
        .unwrap();
    assert!(!status().in_sync);
    assert_eq!(status().trouble.as_deref(), Some("the set is gone"));
    // The client does not wait for it again.
    assert!(hub.is_settled(hub.snapshot().sequence));
    hub.report(gate.id(), report(None, minute)).unwrap();
    assert!(status().in_sync);
    assert_eq!(status().protects, ["teredo"]);

    hub.report(gate.id(), report(None, Duration::ZERO)).unwrap();
    assert!(!status().in_sync);
    assert!(
        status()
            .trouble
            .is_some_and(|trouble| trouble.contains("it hangs"))
    );
    assert!(hub.report(gate.id() + 1, report(None, minute)).is_err());
}

/// A firewall that ends is named until another one reports; a gate that never reported is none.
#[test]
fn a_firewall_that_has_ended_is_named_until_there_is_another() {
    let hub = Hub::new();
    let firewall = |name: &str| {
        let owner = GateOwner {
            pid: None,
            command: Some(name.to_owned()),
        };
        let gate = hub.register_gate(owner).unwrap();
        hub.report(gate.id(), GateReport::default()).unwrap();
        gate
    };
    let departed = || hub.departed_firewall().and_then(|owner| owner.command);
    drop(gate(&hub));
    assert_eq!(departed(), None, "it was no firewall");
    let first = firewall("first");
    let second = firewall("second");
    drop(first);
    assert_eq!(departed(), None, "the second is there");
    drop(second);
    assert_eq!(departed().as_deref(), Some("second"));
    let _idle = gate(&hub);
    assert_eq!(departed().as_deref(), Some("second"));
    let _third = firewall("third");
    assert_eq!(departed(), None);
}

/// The publisher of a fleet opens no port here: it takes the place of no firewall, and none takes its place.
#[test]
fn a_firewall_that_has_ended_is_named_beside_a_publisher() {
    let hub = Hub::new();
    let report = |name: &str, backend: Option<&str>| {
        let owner = GateOwner {
            pid: None,
            command: Some(name.to_owned()),
        };
        let gate = hub.register_gate(owner).unwrap();
        let report = GateReport {
            backend: backend.map(str::to_owned),
            ..GateReport::default()
        };
        hub.report(gate.id(), report.clone()).unwrap();
        (gate, report)
    };
    let (publisher, again) = report("publisher", Some(FLEET_BACKEND));
    // Nothing here waits for the perimeters: only the port's first use does.
    hub.publish(4500);
    assert_eq!(hub.gate_summary().behind, 0);
    assert!(!hub.is_settled(1));
    let (firewall, _) = report("firewall", None);
    drop(firewall);
    hub.report(publisher.id(), again).unwrap();
    let departed = hub.departed_firewall().and_then(|owner| owner.command);
    assert_eq!(departed.as_deref(), Some("firewall"));
    assert_eq!(hub.departed_publisher(), None);
    let _other = report("other", Some("firewalld"));
    drop(publisher);
    assert_eq!(hub.departed_firewall(), None);
    let departed = hub.departed_publisher().and_then(|owner| owner.command);
    assert_eq!(departed.as_deref(), Some("publisher"));
}

/// A node that passes packets beside the firewall must know of each change before it goes on.
#[test]
fn a_change_of_the_gates_is_told_on_the_thread_that_makes_it() {
    let hub = Hub::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = hub.on_gate_change({
        let (hub, seen) = (hub.clone(), Arc::clone(&seen));
        // A hook may ask the hub.
        move |change| seen.lock().unwrap().push((change, hub.gate_summary()))
    });
    let told = || std::mem::take(&mut *seen.lock().unwrap());
    let behind = |gates, behind| GateSummary {
        gates,
        behind,
        until: None,
    };
    let first = gate(&hub);
    assert_eq!(told(), [(GateChange::New, behind(1, 1))]);
    hub.publish(1);
    first.settle(0).unwrap();
    assert_eq!(told(), [], "an earlier state");
    first.settle(1).unwrap();
    assert_eq!(told(), [(GateChange::Settled, behind(1, 0))]);
    let report = GateReport {
        trouble: Some("no".to_owned()),
        valid: Duration::from_secs(60),
        ..GateReport::default()
    };
    hub.report(first.id(), report).unwrap();
    let [(GateChange::Reported, summary)] = told()[..] else {
        panic!("a report is a change");
    };
    assert_eq!(summary.behind, 1);
    assert!(summary.until.is_some());
    drop(first);
    assert_eq!(told(), [(GateChange::Ended, behind(0, 0))]);
    drop(hook);
    drop(gate(&hub));
    assert_eq!(told(), []);
}
