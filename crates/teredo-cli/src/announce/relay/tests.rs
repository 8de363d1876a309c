use teredo::relay::Served;
use teredo::wire::{ECHO_REQUEST, emit_echo_request};
use teredo::{Destination, Instant, Node as _, Reception, Relay, RelayConfig, Submission};

use super::*;

const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 99), 3545);
const MAPPED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 99), 40_001);
const HOST: SocketAddrV6 =
    SocketAddrV6::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9), 40_002, 0, 0);
const TOKEN: [u8; 16] = *b"0123456789abcdef";

/// The probe and the state machine of the relay.
struct Stage {
    relay: Relay,
    probe: RelayProbe,
    now: Instant,
    /// Whether the relay takes packets from the tunnel's interface, and puts them there.
    is_in_order: [bool; 2],
}

impl Stage {
    fn new() -> Self {
        let served = Served::Networks(Vec::new());
        Self {
            relay: Relay::new(RelayConfig::new(RELAY, served), [1; 32]),
            probe: RelayProbe::new(client(MAPPED, 7), HOST),
            now: Instant::from_nanos(0),
            is_in_order: [true; 2],
        }
    }

    /// Carries datagrams until none is under way. Returns the number of bubbles, if the node has answered.
    fn run(&mut self) -> Option<usize> {
        let mut under_way = self.probe.ask(TOKEN);
        let mut bubbles = 0;
        while let Some(sent) = under_way.pop() {
            let arrived = match sent.from {
                NATIVE => self.tunnel(&sent.payload),
                CLIENT => self.udp(&sent.payload),
                other => panic!("the socket {other} never begins"),
            };
            for (at, bytes) in arrived {
                bubbles += usize::from(at == SERVER);
                match self.probe.received(at, &bytes) {
                    Ok(Progress::Answered) => return Some(bubbles),
                    Ok(Progress::Send(more)) => under_way.extend(more),
                    Err(wrong) => panic!("{wrong}"),
                }
            }
        }
        None
    }

    fn tunnel(&mut self, data: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let to = far_end(self.probe.client);
        let mut packet = datagram(*HOST.ip(), to, data);
        packet[40..42].copy_from_slice(&HOST.port().to_be_bytes());
        if !self.is_in_order[0] {
            return Vec::new();
        }
        let mut arrived = match self.relay.handle_tun(self.now, &packet) {
            Submission::Send(to) => vec![(to, packet)],
            Submission::Queued => Vec::new(),
            other => panic!("{other:?}"),
        };
        arrived.extend(self.drain());
        arrived.into_iter().map(socket_of).collect()
    }

    fn udp(&mut self, bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let reception = self.relay.handle_udp(self.now, MAPPED, *RELAY.ip(), bytes);
        if let Reception::Deliver(packet) = reception {
            let packet = Ipv6Packet::parse(packet).unwrap();
            let sum = wire::checksum(
                packet.source(),
                packet.destination(),
                protocol::UDP,
                packet.payload(),
            );
            assert_eq!((packet.destination(), sum), (*HOST.ip(), 0));
            let data = packet.payload()[UDP_HEADER..].to_vec();
            return match self.is_in_order[1] {
                true => vec![(NATIVE, data)],
                false => Vec::new(),
            };
        }
        self.drain().into_iter().map(socket_of).collect()
    }

    fn drain(&mut self) -> Vec<(SocketAddrV4, Vec<u8>)> {
        let mut sent = Vec::new();
        let mut buffer = Vec::new();
        while let Some(transmit) = self.relay.poll_transmit(&mut buffer) {
            if let Destination::Udp(to) = transmit.destination {
                sent.push((to, buffer.clone()));
            }
            buffer.clear();
        }
        sent
    }
}

fn socket_of((to, bytes): (SocketAddrV4, Vec<u8>)) -> (usize, Vec<u8>) {
    let socket = match to {
        MAPPED => CLIENT,
        to if to == server(*MAPPED.ip()) => SERVER,
        other => panic!("a datagram to {other}"),
    };
    (socket, bytes)
}

/// The first round asks the relay to trust the client; the next ones are one round trip.
#[test]
fn a_relay_carries_a_packet_to_a_client_and_back() {
    let mut stage = Stage::new();
    assert_eq!(stage.run(), Some(1));
    for _ in 0..100 {
        stage.now += std::time::Duration::from_secs(1);
        stage.relay.handle_timeout(stage.now);
        assert_eq!(stage.run(), Some(0));
    }
    assert!(stage.relay.drops().iter().all(|(_, count)| count == 0));
}

#[test]
fn a_relay_is_asked_anew_after_a_long_time() {
    let mut stage = Stage::new();
    assert_eq!(stage.run(), Some(1));
    stage.now += std::time::Duration::from_secs(60);
    stage.relay.handle_timeout(stage.now);
    assert_eq!(stage.run(), Some(1));
}

#[test]
fn each_way_has_its_own_silence() {
    let mut stage = Stage::new();
    stage.is_in_order = [false, true];
    assert_eq!(stage.run(), None);
    assert!(stage.probe.silence().contains("does not leave the relay"));
    stage.is_in_order = [true, false];
    assert_eq!(stage.run(), None);
    assert!(
        stage.probe.silence().contains("does not come out"),
        "{}",
        stage.probe.silence()
    );
}

#[test]
fn what_is_not_the_token_is_no_answer() {
    let mut probe = RelayProbe::new(client(MAPPED, 7), HOST);
    assert_eq!(
        probe.received(NATIVE, &TOKEN),
        Err(Wrong::Nonce),
        "not asked yet"
    );
    probe.ask(TOKEN);
    assert_eq!(
        probe.received(NATIVE, b"0123456789abcdeF"),
        Err(Wrong::Nonce)
    );
    assert_eq!(probe.received(CLIENT, b"garbage"), Err(Wrong::Malformed));
    let mut echo = Vec::new();
    let own = probe.client.to_ipv6();
    emit_echo_request(*HOST.ip(), own, 64, 1, 1, &TOKEN, &mut echo);
    assert_eq!(echo[40], ECHO_REQUEST);
    assert_eq!(probe.received(CLIENT, &echo), Err(Wrong::Nonce));
    let mut foreign = Vec::new();
    emit_bubble(own, *HOST.ip(), 64, &mut foreign);
    assert_eq!(probe.received(SERVER, &foreign), Err(Wrong::Nonce));
    assert_eq!(probe.received(NATIVE, &TOKEN), Ok(Progress::Answered));
    assert_eq!(probe.received(NATIVE, &TOKEN), Err(Wrong::Nonce), "twice");
}
