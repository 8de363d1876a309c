use std::collections::VecDeque;
use std::thread::ThreadId;

use super::*;

/// A sink with as much room as it is given, which keeps what was written, by whom, and whether it called its task.
#[derive(Default)]
struct Peer {
    room: Mutex<usize>,
    written: Mutex<Vec<(ThreadId, String)>>,
    calls: AtomicUsize,
}

impl Peer {
    fn with_room(room: usize) -> Self {
        Self {
            room: Mutex::new(room),
            ..Self::default()
        }
    }

    fn text(&self) -> String {
        let written = self.written.lock().unwrap();
        written.iter().map(|(_, text)| text.as_str()).collect()
    }
}

impl Sink for Peer {
    fn encode(&self, notification: Notification) -> Vec<u8> {
        let state = notification.state;
        format!("{}:{} ", state.sequence, state.port).into_bytes()
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut room = self.room.lock().unwrap();
        let length = bytes.len().min(*room);
        if length == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        *room -= length;
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        let by = thread::current().id();
        self.written.lock().unwrap().push((by, text));
        Ok(length)
    }

    fn wake_task(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

/// The publisher has written when `publish` returns, and no task was woken for it.
#[test]
fn the_publishing_thread_writes_an_announcement() {
    let hub = Hub::new();
    let feed = hub.subscribe(false).unwrap();
    let outlet = Outlet::new(feed, Peer::with_room(1000), Writer::Publisher);
    assert!(outlet.advance().unwrap());
    hub.publish(10);
    hub.publish(20);
    let publisher = thread::current().id();
    assert_eq!(
        *outlet.sink().written.lock().unwrap(),
        [
            (publisher, "1:10 ".to_owned()),
            (publisher, "2:20 ".to_owned())
        ]
    );
    assert_eq!(outlet.sink().calls.load(Ordering::Relaxed), 0);
}

/// N-14: without room the publisher goes on and the task is called, once; states wait in the hub and coalesce.
#[test]
fn what_finds_no_room_is_left_to_the_task() {
    let hub = Hub::new();
    let feed = hub.subscribe(false).unwrap();
    let outlet = Outlet::new(feed, Peer::with_room(2), Writer::Publisher);
    assert!(outlet.advance().unwrap());
    for port in 1..=99 {
        hub.publish(port);
    }
    assert_eq!(outlet.sink().text(), "1:");
    assert_eq!(outlet.sink().calls.load(Ordering::Relaxed), 1);
    assert!(!outlet.advance().unwrap(), "there is no room");
    *outlet.sink().room.lock().unwrap() = 1000;
    assert!(outlet.advance().unwrap());
    assert_eq!(outlet.sink().text(), "1:1 99:99 ");
    hub.publish(100);
    assert_eq!(outlet.sink().text(), "1:1 99:99 100:100 ");
}

/// An outlet whose task is the writer costs the publisher a call and no write.
#[test]
fn a_task_may_be_the_writer() {
    let hub = Hub::new();
    let feed = hub.subscribe(true).unwrap();
    let outlet = Outlet::new(feed, Peer::with_room(1000), Writer::Task);
    assert!(outlet.advance().unwrap());
    hub.publish(10);
    assert_eq!(outlet.sink().text(), "0:0 ");
    assert_eq!(outlet.sink().calls.load(Ordering::Relaxed), 1);
    assert!(outlet.advance().unwrap());
    assert_eq!(outlet.sink().text(), "0:0 1:10 ");
    drop(outlet);
    assert_eq!(hub.registrations(), 0);
}

/// N-16: gates are notified first, even if they came last.
#[test]
fn gates_are_notified_first() {
    #[derive(Clone)]
    struct Named(&'static str, Arc<Mutex<VecDeque<&'static str>>>);
    impl Sink for Named {
        fn encode(&self, _: Notification) -> Vec<u8> {
            vec![0]
        }
        fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            self.1.lock().unwrap().push_back(self.0);
            Ok(bytes.len())
        }
        fn wake_task(&self) {}
    }
    let hub = Hub::new();
    let order = Arc::default();
    let outlets = [
        ("first", Rank::Ordinary),
        ("second", Rank::Ordinary),
        ("firewall", Rank::Gating),
    ]
    .map(|(name, rank)| {
        let feed = hub.subscribe_as(rank, false).unwrap();
        let outlet = Outlet::new(feed, Named(name, Arc::clone(&order)), Writer::Publisher);
        outlet.advance().unwrap();
        outlet
    });
    hub.publish(1);
    assert_eq!(*order.lock().unwrap(), ["firewall", "first", "second"]);
    drop(outlets);
}
