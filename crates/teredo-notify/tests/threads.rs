//! The threads of a process that registers and cancels again and again. In a process of its own, which has no others.

#[path = "support/service.rs"]
mod support;

use support::{Running, folder, wait_until};
use teredo_notify::watcher::Watcher;

const ROUNDS: usize = 300;

fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.trim() == "teredo-notify")
        .count()
}

/// Registers and cancels without any other registration; the most threads at any time.
fn most_threads(watcher: &Watcher) -> usize {
    (0..ROUNDS)
        .map(|_| {
            drop(watcher.register(true, |_| {}).unwrap());
            threads()
        })
        .max()
        .unwrap()
}

/// N-05, N-14: each round ends the threads that it began, or the next one uses them.
#[test]
fn rounds_of_registrations_do_not_pile_up_threads() {
    let folder = folder();
    let path = folder.path().join("s");
    let watcher = Watcher::new(&path);
    let without_service = most_threads(&watcher);
    let service = Running::start(&path);
    let with_service = most_threads(&watcher);
    assert!(
        without_service <= 4 && with_service <= 4,
        "{without_service} threads without a service, {with_service} with one"
    );
    wait_until("the threads have ended", || threads() == 0);
    service.stop();
}
