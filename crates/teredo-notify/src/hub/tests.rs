use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::{Kind, Notification};

const SOON: Duration = Duration::from_secs(10);

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::yield_now();
    }
}

fn listen(hub: &Hub, initial: bool) -> (Registration, Receiver<Notification>) {
    let (told, heard) = mpsc::channel();
    let registration = hub.register(initial, move |n| _ = told.send(n)).unwrap();
    (registration, heard)
}

fn next(heard: &Receiver<Notification>) -> (Kind, u64, u16) {
    let Notification { kind, state } = heard.recv_timeout(SOON).expect("nothing was notified");
    (kind, state.sequence, state.port)
}

/// A callback that waits inside until it is let go.
struct Stuck {
    registration: Arc<Registration>,
    entered: Receiver<u16>,
    go: Option<Sender<()>>,
    returned: Arc<AtomicUsize>,
}

impl Stuck {
    fn new(hub: &Hub) -> Self {
        let (enter, entered) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let returned = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&returned);
        let registration = hub
            .register(false, move |n| {
                let _ = enter.send(n.state.port);
                // An error: let go for good.
                let _ = wait.recv();
                count.fetch_add(1, Ordering::SeqCst);
            })
            .unwrap();
        Self {
            registration: Arc::new(registration),
            entered,
            go: Some(go),
            returned,
        }
    }

    fn entered(&self) -> u16 {
        self.entered
            .recv_timeout(SOON)
            .expect("the callback was not called")
    }

    fn let_go(&mut self) {
        self.go = None;
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// N-01
#[test]
fn invocations_are_serialized_and_in_order() {
    let hub = Hub::new();
    let busy = AtomicBool::new(false);
    let (told, heard) = mpsc::channel();
    let _registration = hub
        .register(true, move |n| {
            assert!(!busy.swap(true, Ordering::SeqCst), "two at once");
            thread::yield_now();
            busy.store(false, Ordering::SeqCst);
            told.send(n).unwrap();
        })
        .unwrap();
    thread::scope(|scope| {
        for publisher in 1..=4 {
            let hub = hub.clone();
            scope.spawn(move || {
                for step in 0..500 {
                    hub.publish(publisher * 1000 + step);
                }
            });
        }
    });
    let last = hub.snapshot();
    assert_eq!(next(&heard), (Kind::Initial, 0, 0));
    let mut known = 0;
    while known != last.sequence {
        let (_, sequence, _) = next(&heard);
        assert!(sequence > known);
        known = sequence;
    }
}

/// N-02, N-03, N-11, N-19
#[test]
fn the_initial_notification_comes_first_if_wanted() {
    let hub = Hub::new();
    hub.publish(10);
    let (_with, with) = listen(&hub, true);
    let (_without, without) = listen(&hub, false);
    assert_eq!(next(&with), (Kind::Initial, 1, 10));
    hub.publish(20);
    hub.publish(0);
    for heard in [&with, &without] {
        assert_eq!(next(heard), (Kind::Change, 2, 20));
        assert_eq!(next(heard), (Kind::Delete, 3, 0));
    }
}

/// N-06: while the callback runs, cancel blocks; then its context is free.
#[test]
fn cancel_waits_for_a_running_callback_and_frees_its_context() {
    let hub = Hub::new();
    let context = Arc::new(());
    let mut stuck = Stuck::new(&hub);
    let held = Arc::clone(&context);
    let idle = hub
        .register(false, move |_| drop(Arc::clone(&held)))
        .unwrap();
    hub.publish(1);
    assert_eq!(stuck.entered(), 1);
    hub.publish(2);

    let (registration, returned) = (Arc::clone(&stuck.registration), Arc::clone(&stuck.returned));
    let canceller = thread::spawn(move || {
        registration.cancel();
        returned.load(Ordering::SeqCst)
    });
    wait_until("the cancellation has begun", || {
        !stuck.registration.is_active()
    });
    assert!(!canceller.is_finished());
    stuck.let_go();
    assert_eq!(
        canceller.join().unwrap(),
        1,
        "cancel returned before the callback did"
    );
    assert!(
        stuck.entered.try_recv().is_err(),
        "a callback ran after its cancellation"
    );

    idle.cancel();
    assert_eq!(
        Arc::strong_count(&context),
        1,
        "the callback was not dropped"
    );
    idle.cancel();
}

/// N-06: many threads may cancel; all of them wait.
#[test]
fn every_canceller_waits() {
    let hub = Hub::new();
    let mut stuck = Stuck::new(&hub);
    hub.publish(1);
    stuck.entered();
    let cancellers: Vec<_> = (0..3)
        .map(|_| {
            let (registration, returned) =
                (Arc::clone(&stuck.registration), Arc::clone(&stuck.returned));
            thread::spawn(move || {
                registration.cancel();
                returned.load(Ordering::SeqCst)
            })
        })
        .collect();
    wait_until("the cancellation has begun", || {
        !stuck.registration.is_active()
    });
    stuck.let_go();
    for canceller in cancellers {
        assert_eq!(canceller.join().unwrap(), 1);
    }
}

/// N-07
#[test]
fn a_callback_may_cancel_itself() {
    let hub = Hub::new();
    let own: Arc<OnceLock<Registration>> = Arc::default();
    let (told, heard) = mpsc::channel();
    let mine = Arc::clone(&own);
    let registration = hub
        .register(false, move |n| {
            mine.wait().cancel();
            told.send(n.state.port).unwrap();
        })
        .unwrap();
    assert!(own.set(registration).is_ok());
    hub.publish(1);
    assert_eq!(heard.recv_timeout(SOON), Ok(1));
    hub.publish(2);
    // The callback is dropped after its last invocation, and the sender with it.
    assert_eq!(
        heard.recv_timeout(SOON),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
    wait_until("the registration has ended", || hub.registrations() == 0);
}

/// N-07: also when it is the drop of what the callback owns that cancels.
#[test]
fn a_callback_may_own_its_registration() {
    let hub = Hub::new();
    let own: Arc<Mutex<Option<Registration>>> = Arc::default();
    let mine = Arc::clone(&own);
    let registration = hub
        .register(false, move |_| {
            let _keep = &mine;
            panic!("to end the registration");
        })
        .unwrap();
    *own.lock().unwrap() = Some(registration);
    drop(own);
    hub.publish(1);
    wait_until("the registration has ended", || hub.registrations() == 0);
}

/// Registers callbacks that meet, each in its own invocation, and then cancel each the next one's
/// registration. Returns when all have.
fn cancel_in_a_ring(hubs: &[Hub]) {
    for hub in hubs {
        hub.publish(0);
    }
    let size = hubs.len();
    let meet = Arc::new(Barrier::new(size));
    let ring: Arc<Vec<OnceLock<Registration>>> =
        Arc::new((0..size).map(|_| OnceLock::new()).collect());
    let (told, heard) = mpsc::channel();
    for (place, hub) in hubs.iter().enumerate() {
        let (meet, others, told) = (Arc::clone(&meet), Arc::clone(&ring), told.clone());
        let registration = hub
            .register(false, move |_| {
                meet.wait();
                others[(place + 1) % size].wait().cancel();
                told.send(place).unwrap();
            })
            .unwrap();
        assert!(ring[place].set(registration).is_ok());
    }
    for hub in hubs {
        hub.publish(1);
    }
    for _ in 0..size {
        heard
            .recv_timeout(SOON)
            .expect("the callbacks wait for each other");
    }
    wait_until("all have ended", || {
        hubs.iter().all(|hub| hub.registrations() == 0)
    });
}

/// N-08
#[test]
fn callbacks_that_cancel_each_other_do_not_deadlock() {
    let hub = Hub::new();
    for _ in 0..20 {
        cancel_in_a_ring(&[hub.clone(), hub.clone()]);
        cancel_in_a_ring(&[hub.clone(), hub.clone(), hub.clone()]);
        // A process may have several hubs.
        cancel_in_a_ring(&[Hub::new(), Hub::new()]);
    }
}

/// N-06, N-08: where no circle closes, cancel waits in a callback too.
#[test]
fn cancel_in_another_callback_waits() {
    let hub = Hub::new();
    let mut stuck = Stuck::new(&hub);
    let (start, started) = mpsc::channel::<()>();
    let (told, heard) = mpsc::channel();
    let (victim, returned) = (Arc::clone(&stuck.registration), Arc::clone(&stuck.returned));
    let _canceller = hub
        .register(false, move |_| {
            let _ = started.recv();
            victim.cancel();
            told.send(returned.load(Ordering::SeqCst)).unwrap();
        })
        .unwrap();
    hub.publish(1);
    stuck.entered();
    start.send(()).unwrap();
    wait_until("the cancellation has begun", || {
        !stuck.registration.is_active()
    });
    stuck.let_go();
    assert_eq!(heard.recv_timeout(SOON), Ok(1));
}

/// N-12: whatever a caller has asked after it registered, what comes later is notified.
#[test]
fn no_change_is_missed_between_registering_and_asking() {
    let hub = Hub::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for port in (0..u16::MAX).cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                hub.publish(port);
            }
        });
        for _ in 0..200 {
            let (_registration, heard) = listen(&hub, false);
            let asked = hub.snapshot();
            wait_until("the port has moved on", || {
                hub.snapshot().sequence > asked.sequence
            });
            while next(&heard).1 <= asked.sequence {}
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// N-13
#[test]
fn the_same_port_again_notifies_nobody() {
    let hub = Hub::new();
    assert_eq!(hub.publish(0), 0);
    let (_registration, heard) = listen(&hub, false);
    let mut feed = hub.subscribe(false).unwrap();
    assert_eq!(hub.publish(10), 1);
    assert_eq!(hub.publish(10), 1);
    assert_eq!(hub.publish(20), 2);
    assert_eq!(next(&heard), (Kind::Add, 1, 10));
    assert_eq!(next(&heard), (Kind::Change, 2, 20));
    assert_eq!(std::iter::from_fn(|| feed.try_next()).count(), 2);
}

/// N-14: stuck callbacks hold up nobody, and in the end they hear of the last state.
#[test]
fn stuck_callbacks_hold_up_nobody() {
    let hub = Hub::new();
    let mut stuck: Vec<_> = (0..10).map(|_| Stuck::new(&hub)).collect();
    let (_registration, heard) = listen(&hub, false);
    hub.publish(1);
    for stuck in &stuck {
        assert_eq!(stuck.entered(), 1);
    }
    for port in 2..100 {
        let published = Instant::now();
        let sequence = hub.publish(port);
        assert!(
            published.elapsed() < Duration::from_secs(1),
            "publishing has blocked"
        );
        while next(&heard).1 != sequence {}
    }
    for stuck in &mut stuck {
        stuck.let_go();
        let mut last = 1;
        while last != 99 {
            last = stuck.entered();
        }
    }
}

/// N-14: up to the bound; beyond, others wait, and go on when one is let go.
#[test]
fn threads_are_bounded_and_exit() {
    let hub = Hub::new();
    let mut stuck: Vec<_> = (0..MAX_THREADS + 8).map(|_| Stuck::new(&hub)).collect();
    hub.publish(1);
    let inside = |stuck: &[Stuck]| {
        stuck
            .iter()
            .filter(|stuck| stuck.entered.try_recv().is_ok())
            .count()
    };
    let count = AtomicUsize::new(0);
    wait_until("all threads are stuck", || {
        count.fetch_add(inside(&stuck), Ordering::Relaxed) >= MAX_THREADS
    });
    assert_eq!(hub.lock().threads.total(), MAX_THREADS);
    stuck.iter_mut().for_each(Stuck::let_go);
    wait_until("everyone was called", || {
        count.fetch_add(inside(&stuck), Ordering::Relaxed) >= MAX_THREADS + 8
    });
    wait_until("only a leader and a standby are left", || {
        hub.lock().threads.total() == 2
    });
    drop(stuck);
    wait_until("no thread is left", || hub.lock().threads.total() == 0);
}

/// N-17
#[test]
fn a_panic_ends_its_registration_alone() {
    let hub = Hub::new();
    let (_other, heard) = listen(&hub, false);
    let panicking = hub.register(false, |_| panic!("on purpose")).unwrap();
    hub.publish(1);
    assert_eq!(next(&heard), (Kind::Add, 1, 1));
    wait_until("the registration has ended", || !panicking.is_active());
    hub.publish(2);
    assert_eq!(next(&heard), (Kind::Change, 2, 2));
    panicking.cancel();
}

/// N-17: what is dropped with a callback may panic too.
#[test]
fn a_panic_in_a_drop_harms_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !thread::panicking() {
                panic!("on purpose");
            }
        }
    }
    let hub = Hub::new();
    let bomb = Bomb;
    let registration = hub.register(false, move |_| _ = &bomb).unwrap();
    registration.cancel();
    let registration = hub
        .register(false, |_| std::panic::panic_any(Bomb))
        .unwrap();
    let (_other, heard) = listen(&hub, false);
    hub.publish(1);
    assert_eq!(next(&heard), (Kind::Add, 1, 1));
    wait_until("the registration has ended", || !registration.is_active());
    assert_eq!(hub.registrations(), 1);
}

#[test]
fn registrations_are_limited() {
    let hub = Hub::with_limit(3);
    let _registration = hub.register(false, |_| {}).unwrap();
    let _feed = hub.subscribe(false).unwrap();
    let gate = hub.register_gate(GateOwner::default()).unwrap();
    let refused = hub.register(false, |_| {}).unwrap_err();
    assert!(matches!(refused, RegisterError::Limit(3)));
    assert_eq!(crate::code::NotifyError::from(refused).win32(), 8);
    assert!(hub.subscribe(false).is_err());
    assert!(hub.register_gate(GateOwner::default()).is_err());
    drop(gate);
    assert!(hub.register(false, |_| {}).is_ok());
}

#[test]
fn feeds_wake_threads_and_tasks() {
    let hub = Hub::new();
    let mut feed = hub.subscribe(true).unwrap();
    assert_eq!(feed.try_next().map(|n| n.kind), Some(Kind::Initial));
    assert_eq!(feed.next_within(Duration::ZERO), None);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| feed.next_within(SOON));
        hub.publish(7);
        assert_eq!(waiting.join().unwrap().map(|n| n.state.port), Some(7));
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (heard, _) = tokio::join!(feed.next(), async { hub.publish(8) });
        assert_eq!((heard.kind, heard.state.port), (Kind::Change, 8));
    });
    drop(feed);
    assert_eq!(hub.registrations(), 0);
}

mod gates;
mod hooks;
mod outlets;
mod random;
