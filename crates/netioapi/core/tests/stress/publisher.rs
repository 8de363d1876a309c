//! The side of the Teredo client: a hub, its service, and a thread that announces.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use teredo_notify::hub::Hub;
use teredo_notify::service::{
    Config, Control, ControlError, ControlFuture, EventBus, Outcome, Service,
};
use teredo_notify::types::Status;

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
    at_work: RefCell<Option<JoinHandle<()>>>,
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
        let service = Service::bind(&config, hub.clone(), events, Arc::new(Unsteered)).unwrap();
        drop(entered);
        thread::spawn(move || runtime.block_on(service.run(std::future::pending())));
        Self {
            hub,
            at_work: RefCell::default(),
        }
    }

    /// Begins a phase; its last port.
    pub(crate) fn publish(&self, (changes, end): Phase, seed: u64) -> u16 {
        let (hub, mut random) = (self.hub.clone(), Random(seed));
        let work = move || {
            // The last one is the end, and there is no port 0 but between ports.
            for port in 1..changes as u16 {
                match random.below(2000) {
                    0 => thread::sleep(Duration::from_micros(random.below(3000))),
                    1..20 => drop(hub.publish(0)),
                    20..100 => thread::yield_now(),
                    _ => {}
                }
                hub.publish(port);
            }
            hub.publish(end);
        };
        *self.at_work.borrow_mut() = Some(thread::spawn(work));
        end
    }

    /// Whether the phase is at its end.
    pub(crate) fn has_ended(&self) -> bool {
        let mut at_work = self.at_work.borrow_mut();
        if at_work.as_ref().is_some_and(|work| !work.is_finished()) {
            return false;
        }
        if let Some(work) = at_work.take() {
            work.join().unwrap();
        }
        true
    }
}

/// Nobody steers this client.
struct Unsteered;

impl Control for Unsteered {
    fn status(&self) -> ControlFuture<'_, Status> {
        Box::pin(async { Status::default() })
    }

    fn rebind(&self, _port: Option<u16>) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        Box::pin(async { Err(ControlError::NotReady) })
    }

    fn stop(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        Box::pin(async { Err(ControlError::NotReady) })
    }

    fn start(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        Box::pin(async { Err(ControlError::NotReady) })
    }
}
