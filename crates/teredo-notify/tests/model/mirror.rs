//! Hubs that mirror another: the thread that waits for states runs the callbacks too, and others take over from it.

use std::sync::{Arc, Mutex, PoisonError};

use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread;

use teredo_notify::hub::{Hub, Source};

use super::{Witness, explore, heard_up_to, hold, listen};

/// States that come by a channel, until that is closed.
struct Ports {
    hub: Hub,
    // A reader that waits blocks its thread, so that the lock must not be one that blocks them all.
    ports: shuttle::sync::Mutex<Receiver<u16>>,
    inside: Mutex<bool>,
}

impl Source for Ports {
    fn next(&self) -> bool {
        let entered = |is: bool| {
            std::mem::replace(
                &mut *self.inside.lock().unwrap_or_else(PoisonError::into_inner),
                is,
            )
        };
        hold(!entered(true), "two threads at the source");
        let port = self.ports.lock().unwrap().recv();
        if let Ok(port) = port {
            self.hub.relay(port);
        }
        entered(false);
        port.is_ok()
    }
}

fn mirror() -> (Hub, Sender<u16>) {
    let hub = Hub::new();
    let (bring, ports) = channel();
    let source = Ports {
        hub: hub.clone(),
        ports: shuttle::sync::Mutex::new(ports),
        inside: Mutex::new(false),
    };
    hub.follow(Arc::new(source)).unwrap();
    (hub, bring)
}

/// N-14: a callback that is stuck until another has heard the last state holds up neither that one nor the reading.
#[test]
fn a_stuck_callback_holds_up_neither_the_reading_nor_another() {
    const LAST: u16 = 3;
    explore(|| {
        let (hub, bring) = mirror();
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
        for port in 1..=LAST {
            bring.send(port).unwrap();
        }
        heard_up_to(&fast, LAST.into());
        drop(let_go);
        heard_up_to(&slow, LAST.into());
        drop((stuck, free, bring));
    });
}

/// N-02, N-14: an initial notification comes though nothing is brought, and the leader waits for that.
#[test]
fn initial_notifications_do_not_wait_for_the_source() {
    explore(|| {
        let (hub, bring) = mirror();
        let registrants = [(); 2].map(|()| {
            let hub = hub.clone();
            thread::spawn(move || {
                let (_witness, registration, heard) = listen(&hub, true);
                heard.recv().unwrap();
                drop(registration);
            })
        });
        for registrant in registrants {
            registrant.join().unwrap();
        }
        drop(bring);
    });
}

/// N-15: one source ends and another follows, while a callback is registered and cancelled.
#[test]
fn a_source_may_follow_another() {
    explore(|| {
        let (hub, bring) = mirror();
        let (_witness, registration, heard) = listen(&hub, false);
        bring.send(1).unwrap();
        drop(bring);
        heard_up_to(&heard, 1);
        let (bring, ports) = channel();
        hub.follow(Arc::new(Ports {
            hub: hub.clone(),
            ports: shuttle::sync::Mutex::new(ports),
            inside: Mutex::new(false),
        }))
        .unwrap();
        bring.send(2).unwrap();
        heard_up_to(&heard, 2);
        registration.cancel();
    });
}
