//! Outlets: the threads that announce, and the task, write to one peer.

use std::io;
use std::sync::{Arc, PoisonError};

use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

use teredo_notify::hub::{Hub, Outlet, Sink, Writer};
use teredo_notify::{Notification, RandomPorts, RandomSnapshot};

use super::explore;

/// The capacity of the pipe, in bytes: less than two notifications.
const ROOM: usize = 3;

/// A pipe to a peer. A notification travels as its number, written twice.
#[derive(Clone, Default)]
struct Pipe(Arc<(Mutex<Ends>, Condvar)>);

#[derive(Default)]
struct Ends {
    inside: Vec<u8>,
    /// The task has work: it was called, or there is room again after a write that found too little.
    due: bool,
    short: bool,
    over: bool,
}

impl Pipe {
    fn with<R>(&self, body: impl FnOnce(&mut Ends) -> R) -> R {
        let result = body(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
        result
    }

    fn wait<R>(&self, mut body: impl FnMut(&mut Ends) -> Option<R>) -> R {
        let mut ends = self.0.0.lock().unwrap();
        loop {
            if let Some(result) = body(&mut ends) {
                return result;
            }
            ends = self.0.1.wait(ends).unwrap();
        }
    }

    /// Acts as the peer: reads byte by byte until it has heard of `last`.
    fn read_up_to(&self, last: u8) -> Vec<u8> {
        let mut all = Vec::new();
        while !all.ends_with(&[last, last]) {
            all.push(self.wait(|ends| (!ends.inside.is_empty()).then(|| ends.inside.remove(0))));
            self.with(|ends| ends.due |= std::mem::take(&mut ends.short));
        }
        all
    }
}

impl Sink for Pipe {
    fn encode(&self, notification: Notification) -> Vec<u8> {
        vec![u8::try_from(notification.state.sequence).unwrap(); 2]
    }

    fn encode_with_random(&self, notification: Notification, random: RandomSnapshot) -> Vec<u8> {
        let number = random.sequence * 10 + notification.state.sequence;
        vec![u8::try_from(number).unwrap(); 2]
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|ends| {
            let length = bytes.len().min(ROOM - ends.inside.len());
            ends.short = length < bytes.len();
            if length == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            ends.inside.extend(&bytes[..length]);
            Ok(length)
        })
    }

    fn wake_task(&self) {
        self.with(|ends| ends.due = true);
    }
}

fn everything_arrives_once_whole_and_in_order(writer: Writer) {
    let hub = Hub::new();
    let pipe = Pipe::default();
    let outlet = Outlet::new(hub.subscribe(true).unwrap(), pipe.clone(), writer);
    let announcers = [1, 100].map(|first| {
        let hub = hub.clone();
        thread::spawn(move || {
            hub.publish(first);
            hub.publish(first + 1);
        })
    });
    let task = {
        let pipe = pipe.clone();
        thread::spawn(move || {
            while !pipe.with(|ends| ends.over) {
                outlet.advance().unwrap();
                pipe.wait(|ends| (std::mem::take(&mut ends.due) || ends.over).then_some(()));
            }
        })
    };
    let heard = pipe.read_up_to(4);
    assert_eq!(heard, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    for announcer in announcers {
        announcer.join().unwrap();
    }
    pipe.with(|ends| ends.over = true);
    task.join().unwrap();
    assert_eq!(
        hub.registrations(),
        0,
        "the outlet has left its feed behind"
    );
    assert!(pipe.with(|ends| ends.inside.is_empty()), "something twice");
}

/// N-14: two announcers and the task, and never enough room.
#[test]
fn what_is_announced_is_written_once_whole_and_in_order() {
    explore(|| everything_arrives_once_whole_and_in_order(Writer::Publisher));
}

/// N-14: the same if the task does all of it.
#[test]
fn a_task_writes_all_that_is_announced() {
    explore(|| everything_arrives_once_whole_and_in_order(Writer::Task));
}

/// N-13, N-14: one thread announces ports, another one random ports. Who follows both gets each state once, whole and in
/// order, and the last of each; who follows the port gets its states and nothing else.
#[test]
fn random_ports_are_written_once_whole_and_in_order() {
    explore(|| {
        let hub = Hub::new();
        let pipe = Pipe::default();
        let feed = hub.subscribe_random(true).unwrap();
        let outlet = Outlet::new(feed, pipe.clone(), Writer::Publisher);
        let mut ordinary = hub.subscribe(true).unwrap();
        let ports = {
            let hub = hub.clone();
            thread::spawn(move || [1, 2].map(|port| hub.publish(port)))
        };
        let random_ports = {
            let hub = hub.clone();
            thread::spawn(move || {
                let mut ports = RandomPorts::default();
                for port in [50_001, 50_002, 50_003] {
                    ports.insert(port).unwrap();
                    hub.publish_random(ports);
                }
            })
        };
        let task = {
            let pipe = pipe.clone();
            thread::spawn(move || {
                while !pipe.with(|ends| ends.over) {
                    outlet.advance().unwrap();
                    pipe.wait(|ends| (std::mem::take(&mut ends.due) || ends.over).then_some(()));
                }
            })
        };
        let heard = pipe.read_up_to(32);
        let mut before = None;
        for state in heard.chunks(2) {
            assert_eq!(state[0], state[1], "not whole");
            let (random, port) = (state[0] / 10, state[0] % 10);
            if let Some((last_random, last_port)) = before.replace((random, port)) {
                assert!(random >= last_random && port >= last_port, "out of order");
                assert!(random > last_random || port > last_port, "twice");
            }
        }
        for sequence in 0..=2 {
            assert!(
                heard.iter().any(|state| state % 10 == sequence),
                "a state of the port is missing"
            );
            assert_eq!(
                shuttle::future::block_on(ordinary.next()).state.sequence,
                u64::from(sequence)
            );
        }
        ports.join().unwrap();
        random_ports.join().unwrap();
        assert!(ordinary.try_next().is_none(), "more than the port's states");
        drop(ordinary);
        pipe.with(|ends| ends.over = true);
        task.join().unwrap();
        assert!(pipe.with(|ends| ends.inside.is_empty()), "something twice");
        assert_eq!(hub.registrations(), 0);
    });
}
