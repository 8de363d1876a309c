//! Independent runs on all cores.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does the work for each plan, on all cores, and returns the results in the order of the plans. `done` gets the number
/// of finished plans and that of all.
pub fn side_by_side<T: Sync, R: Send>(
    plans: &[T],
    work: impl Fn(&T) -> R + Sync,
    done: impl Fn(usize, usize) + Sync,
) -> Vec<R> {
    let (next, ready) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let take = || {
        let mut results = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(plan) = plans.get(number) else {
                return results;
            };
            results.push((number, work(plan)));
            done(ready.fetch_add(1, Ordering::Relaxed) + 1, plans.len());
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .flat_map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
