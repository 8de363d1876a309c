use super::*;
use crate::{RandomPorts, RandomSnapshot};

fn ports(ports: &[u16]) -> RandomPorts {
    RandomPorts::try_from(ports).unwrap()
}

fn random_gate(hub: &Hub) -> GateRegistration {
    hub.register_random_gate(GateOwner::default()).unwrap()
}

/// A sink that keeps each notification with its random ports.
#[derive(Default)]
struct Page(Mutex<String>);

impl Sink for Page {
    fn encode(&self, notification: Notification) -> Vec<u8> {
        format!("{} ", notification.state.port).into_bytes()
    }

    fn encode_with_random(&self, notification: Notification, random: RandomSnapshot) -> Vec<u8> {
        let port = notification.state.port;
        format!("{port}+{}:{:?} ", random.sequence, random.ports).into_bytes()
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap()
            .push_str(str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn wake_task(&self) {}
}

/// N-13, N-16: a change of the random ports is no change of the port. Callbacks, ordinary feeds and gates of the port
/// alone hear nothing, and the sequence stays; a gate that follows them hears each change once.
#[test]
fn random_ports_are_announced_to_the_gates_that_follow_them_alone() {
    let hub = Hub::new();
    let sequence = hub.publish(10);
    let (_registration, heard) = listen(&hub, false);
    let mut ordinary = hub.subscribe(false).unwrap();
    let mut plain = hub.subscribe_as(Rank::Gating, false).unwrap();
    let feed = hub.subscribe_random(true).unwrap();
    let follower = Outlet::new(feed, Page::default(), Writer::Publisher);
    assert!(follower.advance().unwrap());

    let first = hub.publish_random(ports(&[50_002, 50_001]));
    assert_eq!(
        hub.publish_random(ports(&[50_001, 50_002])),
        first,
        "the same ports"
    );
    hub.publish_random(ports(&[50_002]));
    assert!(ordinary.try_next().is_none() && plain.try_next().is_none());
    assert!(heard.try_recv().is_err());
    assert_eq!(hub.snapshot().sequence, sequence);

    assert_eq!(hub.publish(20), sequence + 1);
    assert_eq!(next(&heard), (Kind::Change, sequence + 1, 20));
    assert_eq!(ordinary.try_next().map(|n| n.state.port), Some(20));
    assert_eq!(
        *follower.sink().0.lock().unwrap(),
        "10+0:{} 10+1:{50001, 50002} 10+2:{50002} 20+2:{50002} "
    );
    assert_eq!(hub.notifications().changes.change, 1);
}

/// N-16: a random port is used when every gate has opened it, and a later confirmation reaches back.
#[test]
fn a_random_port_waits_for_every_gate() {
    let hub = Hub::new();
    let alone = hub.publish_random(ports(&[50_001]));
    assert_eq!(hub.admission(alone), Admission::Admitted, "nobody gates");
    let (one, two) = (random_gate(&hub), random_gate(&hub));
    assert_eq!(
        hub.admission(alone),
        Admission::Admitted,
        "announced before the gates came"
    );

    let (first, second) = (
        hub.publish_random(ports(&[50_001, 50_002])),
        hub.publish_random(ports(&[50_001, 50_002, 50_003])),
    );
    one.admit(second).unwrap();
    assert_eq!(hub.admission(first), Admission::Pending);
    // To settle the port is another matter.
    two.settle(hub.publish(10)).unwrap();
    assert_eq!(hub.admission(first), Admission::Pending);
    two.admit(first).unwrap();
    assert_eq!(hub.admission(first), Admission::Admitted);
    assert_eq!(hub.admission(second), Admission::Pending);
    assert!(two.admit(second + 1).is_err(), "not announced yet");
    drop(two);
    assert_eq!(hub.admission(second), Admission::Admitted, "it has ended");
}

/// N-16: a gate that cannot open a random port is never taken for one that has, and the client need not wait for it:
/// one of an earlier version, one that says so, one with trouble, and one that hangs.
#[test]
fn a_gate_that_opens_no_random_ports_is_not_waited_for() {
    let hub = Hub::new();
    let old = hub.register_gate(GateOwner::default()).unwrap();
    let sequence = hub.publish_random(ports(&[50_001]));
    assert_eq!(hub.admission(sequence), Admission::Refused);
    old.settle(hub.publish(10)).unwrap();
    assert_eq!(
        hub.admission(sequence),
        Admission::Refused,
        "it has settled the port alone"
    );
    assert!(old.admit(sequence).is_err());
    assert!(hub.gates()[0].random_trouble.is_some() && hub.gates()[0].in_sync);
    drop(old);

    let gate = random_gate(&hub);
    let sequence = hub.publish_random(ports(&[50_001, 50_002]));
    assert_eq!(hub.admission(sequence), Admission::Pending);
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    let _hook = hub.on_settle(move || _ = count.fetch_add(1, Ordering::SeqCst));
    let well = GateReport {
        valid: Duration::from_secs(60),
        ..GateReport::default()
    };
    let report = |report| hub.report(gate.id(), report).unwrap();
    report(well.clone());
    assert_eq!(hub.admission(sequence), Admission::Pending);
    let reason = || Some("no room".to_owned());
    for refusal in [
        GateReport {
            random_trouble: reason(),
            ..well.clone()
        },
        GateReport {
            trouble: reason(),
            ..well.clone()
        },
        GateReport::default(),
    ] {
        let before = woken.load(Ordering::SeqCst);
        report(refusal.clone());
        assert_eq!(hub.admission(sequence), Admission::Refused, "{refusal:?}");
        if !refusal.valid.is_zero() {
            assert_eq!(
                woken.load(Ordering::SeqCst),
                before + 1,
                "who waits is woken"
            );
        }
        report(well.clone());
        assert_eq!(hub.admission(sequence), Admission::Pending);
    }
    gate.admit(sequence).unwrap();
    assert_eq!(hub.admission(sequence), Admission::Admitted);
}
