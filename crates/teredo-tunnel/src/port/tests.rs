use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use teredo::Instant;
use tokio::sync::oneshot;

use super::state::{Bound, Port, Target};
use super::*;

const PATIENCE: Duration = Duration::from_millis(250);

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// A socket, and the list of those that are still open.
#[derive(Debug)]
struct Socket(u16, Arc<Mutex<Vec<u16>>>);

impl Bound for Socket {
    fn port(&self) -> u16 {
        self.0
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.1.lock().unwrap().retain(|port| *port != self.0);
    }
}

/// The announcements, and the sockets that are open.
#[derive(Clone, Default)]
struct Announcer {
    log: Arc<Mutex<Log>>,
    open: Arc<Mutex<Vec<u16>>>,
}

#[derive(Default)]
struct Log {
    /// Each announced port, with the ports that were open at that moment.
    announced: Vec<(u16, Vec<u16>)>,
    settled: u64,
}

impl PortAnnouncer for Announcer {
    fn announce(&mut self, port: u16) -> u64 {
        let open = self.open();
        let mut log = self.log.lock().unwrap();
        log.announced.push((port, open));
        log.announced.len() as u64
    }

    fn is_settled(&self, sequence: u64) -> bool {
        self.log.lock().unwrap().settled >= sequence
    }
}

impl Announcer {
    fn settle(&self, sequence: u64) {
        self.log.lock().unwrap().settled = sequence;
    }

    fn ports(&self) -> Vec<u16> {
        let log = self.log.lock().unwrap();
        log.announced.iter().map(|(port, _)| *port).collect()
    }

    fn last(&self) -> Option<(u16, Vec<u16>)> {
        self.log.lock().unwrap().announced.last().cloned()
    }

    fn open(&self) -> Vec<u16> {
        self.open.lock().unwrap().clone()
    }

    fn socket(&self, port: u16) -> Target<Socket> {
        self.open.lock().unwrap().push(port);
        Target::Socket(Socket(port, self.open.clone()))
    }

    fn port(&self) -> Port<Socket> {
        Port::new(Box::new(self.clone()), Some(PATIENCE))
    }

    /// A port that serves.
    fn serving(&self, number: u16) -> Port<Socket> {
        let mut port = self.port();
        port.change(at(0), self.socket(number), None, None);
        self.settle(1);
        assert_eq!(port.poll(at(0)).unwrap().port, number);
        port
    }
}

fn outcome(
    mut answer: oneshot::Receiver<Result<PortChange, ChangeError>>,
) -> Option<Result<PortChange, ChangeError>> {
    answer.try_recv().ok()
}

/// N-16
#[test]
fn a_new_port_is_closed_and_waits_for_nothing() {
    let announcer = Announcer::default();
    let mut port = announcer.port();
    announcer.settle(7);
    assert!(port.is_closed() && port.serving().is_none());
    assert_eq!(port.deadline(), None);
    assert!(port.poll(at(1_000_000)).is_none());
    assert_eq!(port.number(), 0);
}

/// N-16
#[test]
fn serves_once_the_announcement_is_settled() {
    let announcer = Announcer::default();
    let mut port = announcer.port();
    port.change(at(0), announcer.socket(40_000), None, None);
    assert!(port.poll(at(10)).is_none());
    assert!(port.serving().is_none() && !port.is_closed());
    announcer.settle(1);
    let ended = port.poll(at(20)).unwrap();
    assert_eq!(
        (ended.port, ended.sequence, ended.missed),
        (40_000, 1, None)
    );
    assert!(ended.bound);
    assert_eq!(port.serving().map(Bound::port), Some(40_000));
    assert_eq!(port.deadline(), None);
    // Once.
    assert!(port.poll(at(20)).is_none());
}

/// N-16
#[test]
fn serves_at_the_deadline_and_says_that_it_was_missed() {
    let announcer = Announcer::default();
    let mut port = announcer.port();
    port.change(at(100), announcer.socket(40_000), None, None);
    assert_eq!(port.deadline(), Some(at(350)));
    assert!(port.poll(at(349)).is_none());
    assert_eq!(port.poll(at(350)).unwrap().missed, Some(PATIENCE));
    assert!(port.serving().is_some());
}

/// N-16
#[test]
fn a_subscriber_that_settles_at_the_last_moment_has_settled() {
    let announcer = Announcer::default();
    let mut port = announcer.port();
    port.change(at(0), announcer.socket(40_000), None, None);
    announcer.settle(1);
    assert_eq!(port.poll(at(250)).unwrap().missed, None);
}

/// N-16: without patience nothing is waited for.
#[test]
fn no_patience_serves_at_once() {
    let announcer = Announcer::default();
    let mut port = Port::new(Box::new(announcer.clone()), Some(Duration::ZERO));
    port.change(at(5), announcer.socket(40_000), None, None);
    assert_eq!(port.poll(at(5)).unwrap().missed, Some(Duration::ZERO));
}

/// N-16: a lane that follows another one serves when that does, and never before.
#[test]
fn a_follower_waits_for_ever() {
    let (follow, announcer) = (Follow::default(), Announcer::default());
    let mut port = Port::new(Box::new(follow.clone()), None);
    port.change(at(0), announcer.socket(3545), None, None);
    assert_eq!(port.deadline(), None);
    assert!(port.poll(at(1_000_000_000)).is_none());
    follow.open();
    assert_eq!(port.poll(at(1_000_000_001)).unwrap().missed, None);
}

/// N-16: a later change replaces one that is not settled: its time starts anew, and the socket in between is closed
/// unused.
#[test]
fn a_second_change_supersedes_the_first() {
    let announcer = Announcer::default();
    let mut port = announcer.serving(40_000);
    let (reply, first) = oneshot::channel();
    port.change(at(0), announcer.socket(40_001), None, Some(reply));
    let (reply, second) = oneshot::channel();
    port.change(at(200), announcer.socket(40_002), None, Some(reply));
    assert!(matches!(outcome(first), Some(Err(ChangeError::Superseded))));
    assert_eq!(announcer.open(), [40_000, 40_002]);
    assert_eq!(port.receiving().map(Bound::port), Some(40_000));
    assert_eq!(port.changes_to(), Some(40_002));
    // The first's confirmation is not the second's.
    announcer.settle(2);
    assert!(port.poll(at(260)).is_none());
    assert_eq!(port.deadline(), Some(at(450)));
    announcer.settle(3);
    let ended = port.poll(at(300)).unwrap();
    assert_eq!(ended.old.as_ref().map(Bound::port), Some(40_000));
    ended.answer();
    let change = outcome(second).unwrap().unwrap();
    assert_eq!((change.port, change.settled), (40_002, true));
    assert_eq!(announcer.open(), [40_002]);
}

/// N-16: a change back to the old port, announced again because another one was announced in between.
#[test]
fn a_change_back_keeps_the_socket() {
    let announcer = Announcer::default();
    let mut port = announcer.serving(40_000);
    port.change(at(0), announcer.socket(40_001), None, None);
    port.change(at(0), Target::Old, None, None);
    assert_eq!(announcer.ports(), [40_000, 40_001, 40_000]);
    announcer.settle(3);
    let ended = port.poll(at(1)).unwrap();
    assert!(!ended.bound && ended.old.is_none());
    assert_eq!(port.serving().map(Bound::port), Some(40_000));
}

/// N-16: the port is closed before its end is announced, and no later.
#[test]
fn a_port_is_closed_before_its_end_is_announced() {
    for dormant in [false, true] {
        let announcer = Announcer::default();
        let mut port = announcer.serving(40_000);
        let to = if dormant {
            Target::Dormant
        } else {
            Target::Stopped
        };
        port.change(at(0), to, None, None);
        assert_eq!(announcer.last(), Some((0, vec![])));
        assert!(port.is_closed());
        assert_eq!(port.is_dormant(), dormant);
        assert!(port.receiving().is_none());
        announcer.settle(2);
        assert_eq!(port.poll(at(1)).unwrap().port, 0);
        assert!(port.is_closed());
        assert_eq!(port.is_dormant(), dormant);
    }
}

/// R4380-5.5-01: what keeps a closed port closed may change, before and after its end is settled, and nothing is
/// announced for it. A port that serves is not touched.
#[test]
fn a_closed_port_may_become_dormant() {
    let announcer = Announcer::default();
    let mut port = announcer.serving(40_000);
    port.set_dormant(true);
    assert!(port.serving().is_some() && !port.is_dormant());
    port.change(at(0), Target::Stopped, None, None);
    port.set_dormant(true);
    assert!(port.is_dormant());
    announcer.settle(2);
    port.poll(at(1)).unwrap();
    assert!(port.is_dormant());
    port.set_dormant(false);
    assert!(port.is_closed() && !port.is_dormant());
    assert_eq!(announcer.ports(), [40_000, 0]);
}

/// A caller that asks for what is under way waits for it; at rest the answer comes at once.
#[test]
fn a_change_is_joined() {
    let announcer = Announcer::default();
    let mut port = announcer.serving(40_000);
    let (reply, at_rest) = oneshot::channel();
    port.join(reply);
    assert_eq!(outcome(at_rest).unwrap().unwrap().port, 40_000);
    port.change(at(0), announcer.socket(40_001), None, None);
    let (reply, mut joined) = oneshot::channel();
    port.join(reply);
    assert!(joined.try_recv().is_err());
    port.poll(at(250)).unwrap().answer();
    let change = outcome(joined).unwrap().unwrap();
    assert_eq!((change.port, change.settled), (40_001, false));
}

/// N-11: a port that goes away with its thread, by a panic too, is closed and its end announced, once; a caller that
/// waits for a change hears that there will be none.
#[test]
fn dropping_a_port_announces_its_end() {
    let announcer = Announcer::default();
    let mut port = announcer.serving(40_000);
    let (reply, waiting) = oneshot::channel();
    port.change(at(0), announcer.socket(40_001), None, Some(reply));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _port = port;
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(panicked.is_err());
    assert_eq!(announcer.last(), Some((0, vec![])));
    assert!(matches!(
        outcome(waiting),
        Some(Err(ChangeError::Superseded))
    ));

    let announcer = Announcer::default();
    let mut port = announcer.serving(40_000);
    port.change(at(0), Target::Stopped, None, None);
    drop(port);
    drop(announcer.port());
    assert_eq!(announcer.ports(), [40_000, 0]);
}

/// R4380-5.5-01
#[test]
fn errors_name_the_native_address() {
    let native: Ipv6Addr = "2001:db8::5".parse().unwrap();
    assert!(
        ChangeError::Dormant(native)
            .to_string()
            .contains("2001:db8::5")
    );
}
