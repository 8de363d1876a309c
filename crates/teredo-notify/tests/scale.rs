//! Many registrations.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use teredo_notify::hub::Hub;

const MANY: usize = 10_000;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim()
        .strip_suffix(" kB")
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

/// N-14: ten thousand registrations cost less than a KiB each, also when all have something pending, and
/// one of them that is stuck keeps none of the others from hearing of the last state.
#[test]
fn ten_thousand_registrations_are_cheap() {
    let hub = Hub::new();
    let before = resident_bytes();
    let (release, stuck) = mpsc::channel::<()>();
    let first = hub
        .register(false, move |_| assert!(stuck.recv().is_err()))
        .unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let registrations: Vec<_> = (1..MANY)
        .map(|_| {
            let heard = Arc::clone(&heard);
            hub.register(false, move |n| {
                if n.state.port == 100 {
                    heard.fetch_add(1, Ordering::Relaxed);
                }
            })
            .unwrap()
        })
        .collect();
    let published = Instant::now();
    for port in 1..=100 {
        hub.publish(port);
    }
    assert!(
        published.elapsed() < Duration::from_secs(2),
        "publishing is slow"
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    while heard.load(Ordering::Relaxed) < MANY - 1 {
        assert!(Instant::now() < deadline, "{heard:?} of {MANY} have heard");
        std::thread::yield_now();
    }
    let each = resident_bytes().saturating_sub(before) / MANY;
    assert!(each <= 1024, "{each} bytes each");
    drop(release);
    drop(first);
    drop(registrations);
    assert_eq!(hub.registrations(), 0);
}
