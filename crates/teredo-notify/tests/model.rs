//! The hub under a model checker: shuttle runs each scenario in thousands of orders of its threads' steps, at random
//! and by probabilistic concurrency testing, with timeouts that strike at any time. A scenario that comes to a
//! standstill fails, and so does a thread of the hub that stays when the last registration has gone.
//!
//! The orders are the same in every run; `SHUTTLE_RANDOM_SEED=N` selects others. A failure prints its schedule for
//! `shuttle::replay`.

#![cfg(shuttle)]

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::{Config, Runner, thread};

use teredo_notify::hub::{Admission, GateOwner, Hub, Registration, Settled};
use teredo_notify::{Kind, Notification, RandomPorts};

#[path = "model/mirror.rs"]
mod mirror;
#[path = "model/outlet.rs"]
mod outlet;

/// The orders that each of the two schedulers tries of a scenario.
const ORDERS: usize = 2_000;
const SEED: u64 = 6081;
/// How many times a thread that has precedence loses it.
const DEPTH: usize = 4;
const FOREVER: Duration = Duration::MAX;

thread_local! {
    /// The checks that have failed. They are noted here, because a panic in a callback would end only its registration.
    /// The model checker runs all threads of a scenario on one thread of the system.
    static FAULTS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

fn hold(holds: bool, what: &'static str) {
    if !holds {
        FAULTS.with_borrow_mut(|faults| faults.push(what));
    }
}

fn no_faults() {
    FAULTS.with_borrow(|faults| assert!(faults.is_empty(), "{faults:?}"));
}

fn explore(scenario: fn()) {
    let run = move || {
        scenario();
        no_faults();
    };
    let random = RandomScheduler::new_from_seed(SEED, ORDERS);
    Runner::new(random, Config::default()).run(run);
    let pct = PctScheduler::new_from_seed(SEED, DEPTH, ORDERS);
    Runner::new(pct, Config::default()).run(run);
    // Of the hub's threads, after the end of the scenario.
    no_faults();
}

/// A witness of one registration's invocations: it checks the rules for them.
#[derive(Default)]
struct Witness {
    inside: AtomicBool,
    /// The context of the callback is no longer valid: it must not run.
    poisoned: AtomicBool,
    last: Mutex<Option<Notification>>,
}

impl Witness {
    /// An invocation, which does `body`.
    fn invoked(&self, notification: Notification, body: impl FnOnce()) {
        hold(
            !self.inside.swap(true, Ordering::SeqCst),
            "N-01: two at once",
        );
        hold(
            !self.poisoned.load(Ordering::SeqCst),
            "N-06: started too late",
        );
        let before = self.last.lock().unwrap().replace(notification);
        let in_order = match before {
            None => true,
            Some(before) => {
                notification.kind != Kind::Initial
                    && notification.state.sequence > before.state.sequence
            }
        };
        hold(in_order, "N-01: out of order");
        body();
        hold(!self.poisoned.load(Ordering::SeqCst), "N-06: runs too long");
        self.inside.store(false, Ordering::SeqCst);
    }

    fn poison(&self) {
        self.poisoned.store(true, Ordering::SeqCst);
        hold(
            !self.inside.load(Ordering::SeqCst),
            "N-06: runs after its cancellation",
        );
    }
}

/// The context that a callback owns. Dropping it takes a while.
struct Context(Arc<Witness>);

impl Drop for Context {
    fn drop(&mut self) {
        hold(
            !self.0.poisoned.load(Ordering::SeqCst),
            "N-06: dropped too late",
        );
    }
}

/// A registration whose callback sends every state to a channel, which closes when the callback is dropped.
fn listen(hub: &Hub, initial: bool) -> (Arc<Witness>, Registration, Receiver<u64>) {
    let witness = Arc::new(Witness::default());
    let (told, heard) = channel();
    let context = Context(Arc::clone(&witness));
    let registration = hub
        .register(initial, move |n| {
            context
                .0
                .invoked(n, || told.send(n.state.sequence).unwrap_or(()));
        })
        .unwrap();
    (witness, registration, heard)
}

/// Everything that was heard, up to `last`.
fn heard_up_to(heard: &Receiver<u64>, last: u64) -> Vec<u64> {
    let mut all = Vec::new();
    while all.last() != Some(&last) {
        all.push(heard.recv().expect("the callback is registered"));
    }
    all
}

/// N-01, N-02, N-14: two announcers; a callback that was there before, and one that comes while they announce.
#[test]
fn callbacks_run_one_at_a_time_and_in_order() {
    explore(|| {
        let hub = Hub::new();
        let (_early, early, heard_early) = listen(&hub, false);
        let announcers = [1, 100].map(|first| {
            let hub = hub.clone();
            thread::spawn(move || {
                hub.publish(first);
                hub.publish(first + 1);
            })
        });
        let (_late, late, heard_late) = listen(&hub, true);
        for announcer in announcers {
            announcer.join().unwrap();
        }
        assert_eq!(heard_up_to(&heard_early, 4), [1, 2, 3, 4]);
        let heard = heard_up_to(&heard_late, 4);
        assert!(heard.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        drop((early, late));
    });
}

/// N-14: more states than the hub keeps; one callback is stuck until another has heard the last, and then hears it.
#[test]
fn everyone_hears_the_last_state() {
    const LAST: u64 = 18;
    explore(|| {
        let hub = Hub::new();
        let (let_go, held) = channel::<()>();
        let witness = Arc::new(Witness::default());
        let (told, slow) = channel();
        let seen = Arc::clone(&witness);
        let stuck = hub
            .register(false, move |n| {
                seen.invoked(n, || {
                    // Once let go, for ever.
                    let _ = held.recv();
                    told.send(n.state.sequence).unwrap_or(());
                });
            })
            .unwrap();
        let (_free, free, fast) = listen(&hub, false);
        let mut feed = hub.subscribe(false).unwrap();
        let reader =
            thread::spawn(
                move || {
                    while feed.next_within(FOREVER).unwrap().state.sequence != LAST {}
                },
            );
        for port in 1..=LAST {
            hub.publish(u16::try_from(port).unwrap());
        }
        heard_up_to(&fast, LAST);
        drop(let_go);
        heard_up_to(&slow, LAST);
        reader.join().unwrap();
        drop((stuck, free));
    });
}

/// N-14: a thread that waits for a feed is woken.
#[test]
fn a_feed_hears_the_last_state() {
    explore(|| {
        let hub = Hub::new();
        let mut feed = hub.subscribe(false).unwrap();
        let announcer = thread::spawn(move || {
            hub.publish(1);
            hub.publish(2);
        });
        while feed.next_within(FOREVER).unwrap().state.sequence != 2 {}
        announcer.join().unwrap();
    });
}

/// N-06: two threads cancel one registration and a third another, while ports are announced; the context of a
/// callback is poisoned as soon as one who cancelled it is back.
#[test]
fn nothing_runs_after_a_cancellation() {
    explore(|| {
        let hub = Hub::new();
        let listeners = [(); 2].map(|()| {
            let (witness, registration, heard) = listen(&hub, true);
            (witness, Arc::new(registration), heard)
        });
        let announcer = {
            let hub = hub.clone();
            thread::spawn(move || {
                hub.publish(1);
                hub.publish(2);
            })
        };
        let cancellers = [0, 0, 1].map(|place| {
            let (witness, registration, _) = &listeners[place];
            let (witness, registration) = (Arc::clone(witness), Arc::clone(registration));
            thread::spawn(move || {
                registration.cancel();
                witness.poison();
            })
        });
        for canceller in cancellers {
            canceller.join().unwrap();
        }
        for (witness, _, heard) in &listeners {
            let others = Arc::strong_count(witness) - 1;
            assert_eq!(others, 0, "N-06: the callback is still there");
            assert!(heard.try_iter().count() <= 3);
        }
        announcer.join().unwrap();
    });
}

/// N-06, N-08: a callback that cancels another one, which does not cancel it, waits for it.
#[test]
fn a_callback_that_cancels_another_waits_for_it() {
    explore(|| {
        let hub = Hub::new();
        let (witness, registration, _heard) = listen(&hub, false);
        let (told, done) = channel();
        let poisoner = Arc::clone(&witness);
        let canceller = hub
            .register(false, move |_| {
                registration.cancel();
                poisoner.poison();
                told.send(()).unwrap_or(());
            })
            .unwrap();
        hub.publish(1);
        hub.publish(2);
        done.recv().unwrap();
        canceller.cancel();
    });
}

/// N-07: the invocation in which a callback cancels itself is the last, and then the callback is dropped.
#[test]
fn a_callback_that_cancels_itself_has_run_for_the_last_time() {
    explore(|| {
        let hub = Hub::new();
        let (give, own) = channel::<Registration>();
        let (told, heard) = channel();
        let registration = hub
            .register(true, move |n: Notification| {
                if let Ok(own) = own.try_recv() {
                    own.cancel();
                    own.cancel();
                    told.send((n.state.sequence, true)).unwrap();
                } else {
                    told.send((n.state.sequence, false)).unwrap();
                }
            })
            .unwrap();
        let announcer = {
            let hub = hub.clone();
            thread::spawn(move || {
                hub.publish(1);
                hub.publish(2);
            })
        };
        give.send(registration).unwrap();
        announcer.join().unwrap();
        // Whatever it has been told by now, this finds the registration in its hands.
        hub.publish(3);
        let all: Vec<_> = heard.iter().collect();
        let (last, before) = all.split_last().unwrap();
        assert!(last.1, "N-07: an invocation after the last: {all:?}");
        assert!(before.iter().all(|(_, cancelled)| !cancelled), "{all:?}");
    });
}

/// Callbacks each of which cancels the next one's registration; returns when all have been dropped.
fn cancel_in_a_ring(hubs: &[&Hub]) {
    let (told, dropped) = channel::<()>();
    let (mut gives, mut registrations) = (Vec::new(), Vec::new());
    for hub in hubs {
        let (give, next) = channel::<Registration>();
        let witness = Arc::new(Witness::default());
        let told: Sender<()> = told.clone();
        let registration = hub.register(false, move |n| {
            let _told = &told;
            witness.invoked(n, || {
                if let Ok(next) = next.recv() {
                    next.cancel();
                }
            });
        });
        gives.push(give);
        registrations.push(registration.unwrap());
    }
    drop(told);
    let announcer = {
        let hubs: Vec<Hub> = hubs.iter().copied().cloned().collect();
        thread::spawn(move || hubs.iter().map(|hub| hub.publish(1)).max())
    };
    registrations.rotate_left(1);
    // One that is refused has a callback that was cancelled meanwhile. Its drop may wait for a callback that has
    // not been given its own yet.
    let refused: Vec<_> = gives
        .into_iter()
        .zip(registrations)
        .map(|(give, registration)| give.send(registration))
        .collect();
    drop(refused);
    announcer.join().unwrap();
    assert!(dropped.recv().is_err());
}

/// N-08
#[test]
fn two_callbacks_that_cancel_each_other_come_to_an_end() {
    explore(|| {
        let hub = Hub::new();
        cancel_in_a_ring(&[&hub, &hub]);
    });
}

/// N-08: three, and in two hubs.
#[test]
fn rings_of_cancellations_come_to_an_end() {
    explore(|| {
        let (one, other) = (Hub::new(), Hub::new());
        cancel_in_a_ring(&[&one, &other, &one]);
    });
}

/// N-16: two gating subscribers confirm from their callbacks while ports are announced, one leaves without
/// confirming anything, and a thread, a task and a callback ask.
#[test]
fn settled_is_what_every_gate_has_confirmed() {
    explore(|| {
        let hub = Hub::new();
        let leaving = hub.register_gate(GateOwner::default()).unwrap();
        let acted = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let gates = [0, 1].map(|place| {
            let gate = hub.register_gate(GateOwner::default()).unwrap();
            let (hub_inside, id, acted) = (hub.clone(), gate.id(), Arc::clone(&acted));
            let registration = hub
                .register(false, move |n| {
                    acted[place].store(n.state.sequence, Ordering::SeqCst);
                    hub_inside.settle(id, n.state.sequence).unwrap();
                })
                .unwrap();
            (gate, registration)
        });
        let gone = Arc::new(AtomicBool::new(false));
        let all_have = {
            let (acted, gone) = (Arc::clone(&acted), Arc::clone(&gone));
            move |sequence| {
                gone.load(Ordering::SeqCst)
                    && acted
                        .iter()
                        .all(|acted| acted.load(Ordering::SeqCst) >= sequence)
            }
        };
        let first = hub.publish(1);
        let thread = {
            let (hub, all_have) = (hub.clone(), all_have.clone());
            thread::spawn(move || {
                let second = hub.publish(2);
                assert_eq!(hub.wait_settled(second, FOREVER), Settled::All);
                assert!(all_have(second), "N-16: settled too early");
            })
        };
        let task = {
            let (hub, all_have) = (hub.clone(), all_have.clone());
            thread::spawn(move || {
                shuttle::future::block_on(hub.settled(first));
                assert!(all_have(first), "N-16: settled too early");
            })
        };
        for sequence in [first, first + 1] {
            if hub.is_settled(sequence) {
                assert!(all_have(sequence), "N-16: settled too early");
            }
        }
        gone.store(true, Ordering::SeqCst);
        drop(leaving);
        thread.join().unwrap();
        task.join().unwrap();
        drop(gates);
    });
}

/// N-16: two gates open random ports as they hear of them, and one leaves. Who waits for both is woken, and not too early.
#[test]
fn random_ports_are_used_when_every_gate_has_admitted_them() {
    explore(|| {
        let hub = Hub::new();
        let leaving = hub.register_random_gate(GateOwner::default()).unwrap();
        let gone = Arc::new(AtomicBool::new(false));
        let opened = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let gates = [0, 1].map(|place| {
            let (hub, opened) = (hub.clone(), Arc::clone(&opened));
            let mut feed = hub.subscribe_random(false).unwrap();
            let gate = hub.register_random_gate(GateOwner::default()).unwrap();
            thread::spawn(move || {
                let mut sequence = 0;
                while sequence < 2 {
                    shuttle::future::block_on(feed.next());
                    sequence = hub.random_ports().sequence;
                    opened[place].store(sequence, Ordering::SeqCst);
                    gate.admit(sequence).unwrap();
                }
                gate
            })
        });
        let (wake, woken) = channel();
        let hook = hub.on_settle(move || wake.send(()).unwrap_or(()));
        let leaver = {
            let gone = Arc::clone(&gone);
            thread::spawn(move || {
                gone.store(true, Ordering::SeqCst);
                drop(leaving);
            })
        };
        let mut ports = RandomPorts::default();
        for port in [50_001, 50_002] {
            ports.insert(port).unwrap();
            let sequence = hub.publish_random(ports);
            while hub.admission(sequence) == Admission::Pending {
                woken.recv().unwrap();
            }
            assert_eq!(hub.admission(sequence), Admission::Admitted);
            let all = opened
                .iter()
                .all(|opened| opened.load(Ordering::SeqCst) >= sequence);
            assert!(
                all && gone.load(Ordering::SeqCst),
                "N-16: admitted too early"
            );
        }
        leaver.join().unwrap();
        drop(gates.map(|gate| gate.join().unwrap()));
        drop(hook);
    });
}
