//! Random ports in the kernel, and at firewalls that answer when the test says so.

use super::*;
use crate::client::random::RandomPorts;
use crate::client::role::{ClientRole, Command};
use crate::lane::Lane;
use crate::netns::isolated;
use crate::offload::Offload;
use crate::port::Admission;
use teredo::client::PORT_BLOCK;

const SETTLE: Duration = Duration::from_millis(250);

/// The announcements of random ports, and the firewalls' answer to all of them.
#[derive(Clone, Debug)]
struct Firewalls(Arc<Mutex<(Vec<Vec<u16>>, Admission)>>);

impl Firewalls {
    fn new(answer: Admission) -> Self {
        Self(Arc::new(Mutex::new((Vec::new(), answer))))
    }

    fn answer(&self, answer: Admission) {
        self.0.lock().unwrap().1 = answer;
    }

    fn announced(&self) -> Vec<Vec<u16>> {
        self.0.lock().unwrap().0.clone()
    }
}

impl PortAnnouncer for Firewalls {
    fn announce(&mut self, _port: u16) -> u64 {
        0
    }

    fn is_settled(&self, _sequence: u64) -> bool {
        true
    }

    fn announce_random(&mut self, ports: &[u16]) -> u64 {
        let mut log = self.0.lock().unwrap();
        log.0.push(ports.to_vec());
        log.0.len() as u64
    }

    fn admission(&self, _sequence: u64) -> Admission {
        self.0.lock().unwrap().1
    }
}

/// A lane that the test turns by hand.
struct Bench {
    lane: Lane<ClientRole>,
    random: RandomPorts,
    firewalls: Firewalls,
    now: teredo::Instant,
    _commands: mpsc::Sender<Command>,
}

impl Bench {
    fn new(answer: Admission) -> Self {
        addresses();
        let now = clock::now();
        let firewalls = Firewalls::new(answer);
        let (commands, receiver) = mpsc::channel();
        let lane = Lane::new(
            Client::new(ClientConfig::default(), [0; 32], now),
            Tun::open(Some("teredo")).unwrap(),
            Box::new(firewalls.clone()),
            Some(SETTLE),
            Arc::new(|_| ()),
            receiver,
            Waker::new().unwrap(),
        );
        Self {
            lane: lane.unwrap(),
            random: RandomPorts::default(),
            firewalls,
            now,
            _commands: commands,
        }
    }

    fn open(&mut self, port: u16) {
        let (lane, now) = (&mut self.lane, self.now);
        self.random.open(lane, now, port, CLIENT, Offload::Auto);
    }

    fn poll(&mut self, after: Duration) {
        self.random.poll(&mut self.lane, self.now + after);
    }

    fn ports(&self) -> Vec<u16> {
        let sockets = self.random.sockets().iter();
        sockets.map(|socket| socket.local().port()).collect()
    }
}

fn is_free(port: u16) -> bool {
    std::net::UdpSocket::bind((CLIENT, port)).is_ok()
}

/// N-16: a random port (RFC 6081 §5.4.4.2) is bound to the address of the service port before it is announced, and waits
/// for the firewalls; one that is late is closed, and its end announced.
#[test]
fn a_random_port_waits_for_the_firewalls() {
    isolated(|| {
        let mut bench = Bench::new(Admission::Pending);
        bench.open(50_001);
        assert!(!is_free(50_001));
        let deadline = bench.now + SETTLE;
        assert_eq!(bench.random.deadline(), Some(deadline));
        bench.poll(SETTLE - Duration::from_millis(1));
        assert_eq!(bench.random.deadline(), Some(deadline));
        bench.firewalls.answer(Admission::Admitted);
        bench.poll(SETTLE - Duration::from_millis(1));
        assert_eq!(
            (bench.random.deadline(), bench.ports()),
            (None, vec![50_001])
        );

        bench.firewalls.answer(Admission::Pending);
        bench.open(50_000);
        bench.poll(SETTLE);
        assert_eq!(
            (bench.random.deadline(), bench.ports()),
            (None, vec![50_001])
        );
        assert!(is_free(50_000));
        bench.random.flush(&mut bench.lane);
        bench.random.flush(&mut bench.lane);
        let announced = [vec![50_001], vec![50_000, 50_001], vec![50_001]];
        assert_eq!(bench.firewalls.announced(), announced);
    });
}

/// N-16: a firewall that refuses is not waited for, and a port of another program is not announced.
#[test]
fn a_random_port_that_cannot_be_had_is_closed_at_once() {
    isolated(|| {
        let mut bench = Bench::new(Admission::Refused);
        bench.open(50_000);
        assert!(is_free(50_000));
        bench.random.flush(&mut bench.lane);
        assert_eq!(bench.firewalls.announced(), [vec![50_000], vec![]]);

        let _taken = std::net::UdpSocket::bind((CLIENT, 50_001)).unwrap();
        bench.open(50_001);
        assert!(bench.ports().is_empty() && bench.random.deadline().is_none());
        assert_eq!(bench.firewalls.announced().len(), 2);
    });
}

/// N-16: ports that are closed together are announced together; there are at most 32; and the end of the lane
/// closes them before it announces that.
#[test]
fn random_ports_are_bounded_and_end_with_the_lane() {
    isolated(|| {
        let mut bench = Bench::new(Admission::Admitted);
        (50_000..50_040).for_each(|port| bench.open(port));
        assert_eq!(bench.ports(), (50_000..50_032).collect::<Vec<_>>());
        assert!(is_free(50_032));
        let before = bench.firewalls.announced().len();
        assert_eq!(before, 32);
        (50_000..50_030).for_each(|port| bench.random.close(port));
        bench.random.close(50_000);
        bench.random.flush(&mut bench.lane);
        assert_eq!(
            bench.firewalls.announced()[before..],
            [vec![50_030, 50_031]]
        );
        assert!(is_free(50_000));

        let Bench {
            lane,
            random,
            firewalls,
            ..
        } = bench;
        drop(random);
        drop(lane);
        assert_eq!(firewalls.announced()[before + 1..], [vec![0; 0]]);
    });
}

/// R4380-5.5-01: no random port is left when the service port goes.
#[test]
fn all_random_ports_close_with_the_service_port() {
    isolated(|| {
        let mut bench = Bench::new(Admission::Pending);
        bench.open(50_000);
        bench.firewalls.answer(Admission::Admitted);
        bench.open(50_001);
        bench.random.close_all(&mut bench.lane);
        assert!(is_free(50_000) && is_free(50_001));
        assert_eq!(bench.random.deadline(), None);
        assert_eq!(bench.firewalls.announced().last(), Some(&vec![]));
    });
}

/// N-16: a block of ports is announced once, and read once every firewall has admitted it. One of its ports stays, and the end
/// of the others is announced once.
#[test]
fn a_block_of_ports_is_announced_as_a_whole() {
    isolated(|| {
        let mut bench = Bench::new(Admission::Pending);
        bench
            .random
            .open_block(&mut bench.lane, bench.now, CLIENT, Offload::Auto);
        let announced = bench.firewalls.announced();
        let [block] = &announced[..] else {
            panic!("{announced:?}");
        };
        assert_eq!(block.len(), PORT_BLOCK);
        assert!(!is_free(block[7]));
        assert_eq!(bench.random.deadline(), Some(bench.now + SETTLE));
        bench.firewalls.answer(Admission::Admitted);
        bench.poll(Duration::ZERO);
        assert_eq!(bench.random.deadline(), None);

        assert!(bench.random.ready_of_block().is_empty());
        let sender = std::net::UdpSocket::bind((CLIENT, 0)).unwrap();
        for port in [block[7], block[9]] {
            sender.send_to(b"nonsense", (CLIENT, port)).unwrap();
        }
        let mut ready = bench.random.ready_of_block();
        ready.sort_unstable();
        assert_eq!(ready, [block[7], block[9]]);
        for port in ready {
            bench
                .random
                .receive_of_block(&mut bench.lane, bench.now, port);
        }
        assert!(bench.random.ready_of_block().is_empty());

        bench.random.close_block(Some(block[9]));
        bench.random.flush(&mut bench.lane);
        assert_eq!(bench.ports(), [block[9]]);
        assert!(is_free(block[7]) && !is_free(block[9]));
        assert_eq!(bench.firewalls.announced()[1..], [vec![block[9]]]);
    });
}

/// N-16: a firewall that refuses or is late gets no block, and no port of it stays.
#[test]
fn a_block_that_is_not_admitted_is_closed() {
    for (answer, after) in [
        (Admission::Refused, Duration::ZERO),
        (Admission::Pending, SETTLE),
    ] {
        isolated(move || {
            let mut bench = Bench::new(answer);
            bench
                .random
                .open_block(&mut bench.lane, bench.now, CLIENT, Offload::Auto);
            let port = bench.firewalls.announced()[0][0];
            bench.poll(after);
            assert!(bench.random.block_sockets().is_empty());
            assert!(is_free(port));
            bench.random.flush(&mut bench.lane);
            assert_eq!(bench.firewalls.announced().len(), 2);
        });
    }
}
