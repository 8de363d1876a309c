//! The side of the Teredo client: a hub, its service, and a thread that announces.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use teredo_notify::Notification;
use teredo_notify::hub::{Hub, Registration};
use teredo_notify::service::{Config, EventBus, ReadOnly, Service};

use crate::random::Random;

/// From here on ports are ends of phases.
pub(crate) const FINAL: u16 = 65_000;

/// How many changes there are in a phase, and with which port it ends.
pub(crate) type Phase = (u64, u16);

/// So many changes, in phases.
pub(crate) fn phases(changes: u64) -> impl Iterator<Item = Phase> {
    let most = u64::from(FINAL);
    (0..changes.div_ceil(most)).map(move |phase| {
        let port = FINAL + (phase % 500) as u16;
        (most.min(changes - phase * most), port)
    })
}

pub(crate) struct Publisher {
    hub: Hub,
    /// The port that a callback in this process has heard of last.
    heard: Arc<AtomicU16>,
    _registration: Registration,
}

impl Publisher {
    /// Its threads end with the process.
    pub(crate) fn start(socket: &Path) -> Self {
        let hub = Hub::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let events = EventBus::new(hub.clone());
        let config = Config::new(socket);
        let service =
            Service::bind(&config, hub.clone(), events, Arc::new(ReadOnly::default())).unwrap();
        drop(entered);
        thread::spawn(move || runtime.block_on(service.run(std::future::pending())));
        let heard = Arc::<AtomicU16>::default();
        let hears = heard.clone();
        let hear = move |n: Notification| hears.store(n.state.port, Ordering::Release);
        let _registration = hub.register(true, hear).unwrap();
        Self {
            hub,
            heard,
            _registration,
        }
    }

    /// Begins a phase: the times at which to disturb a subscriber. They end when the phase does.
    pub(crate) fn publish(&self, (changes, end): Phase, seed: u64) -> Receiver<()> {
        let (hub, heard, mut random) = (self.hub.clone(), self.heard.clone(), Random(seed));
        // The changes go on while one subscriber is disturbed, and wait for a second.
        let (times, disturb) = sync_channel(1);
        thread::spawn(move || {
            // The last one is the end, and there is no port 0 but between ports.
            for port in 1..changes as u16 {
                match random.below(2000) {
                    // The next change comes when all is quiet, and does not meet another on its way.
                    0 => {
                        while heard.load(Ordering::Acquire) != hub.snapshot().port {
                            thread::yield_now();
                        }
                    }
                    1..20 => drop(hub.publish(0)),
                    20..100 => thread::yield_now(),
                    100..104 => times.send(()).unwrap(),
                    _ => {}
                }
                hub.publish(port);
            }
            hub.publish(end);
        });
        disturb
    }
}
