use super::*;

/// N-13, N-16: a hook has acted on each new state when the publisher goes on.
#[test]
fn a_publish_hook_runs_before_the_publisher_goes_on() {
    let hub = Hub::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let publisher = thread::current().id();
    // It may use the hub: no lock is held.
    let same = hub.clone();
    let hook = hub.on_publish(move |state| {
        assert_eq!(thread::current().id(), publisher);
        assert_eq!(same.snapshot(), state);
        log.lock().unwrap().push((state.sequence, state.port));
    });
    hub.publish(40_000);
    assert_eq!(*seen.lock().unwrap(), [(1, 40_000)]);
    hub.publish(40_000);
    assert_eq!(*seen.lock().unwrap(), [(1, 40_000)], "it is no news");
    hub.publish(0);
    assert_eq!(*seen.lock().unwrap(), [(1, 40_000), (2, 0)]);
    drop(hook);
    hub.publish(40_001);
    assert_eq!(seen.lock().unwrap().len(), 2);
    assert_eq!(Arc::strong_count(&seen), 1, "the hook was not dropped");
}
