//! Traffic that goes on all the time, and its gaps.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use teredo::wire::{Authentication, Flags, PORT, emit_router_solicitation, link_local};
use teredo_lab::{Host, Receive as _};

/// The time between two packets.
pub(super) const PACE: Duration = Duration::from_millis(5);
const ECHO_PORT: u16 = 7;
const HOP: usize = 8;

/// When a packet was sent, and when its answer came.
type Packet = (Instant, Option<Instant>);

/// The packets of a stream.
#[derive(Debug, Default)]
struct Log {
    packets: Vec<Packet>,
}

/// A stream of numbered packets that are answered.
#[derive(Debug)]
pub(super) struct Stream {
    log: Arc<Mutex<Log>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// The outcome of the packets of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) sent: usize,
    pub(super) lost: usize,
    /// The longest time without an answer.
    pub(super) silence: Duration,
}

impl Account {
    fn of(packets: &[Packet]) -> Self {
        let mut answers: Vec<Instant> = packets.iter().filter_map(|(_, answer)| *answer).collect();
        answers.sort();
        let (first, last) = (packets.first(), packets.last());
        let edge = |packet: Option<&Packet>| packet.map(|(sent, _)| *sent);
        let lost = packets.len() - answers.len();
        let mut times: Vec<Instant> = edge(first).into_iter().chain(answers).collect();
        // Answers to the last packets come after them, and nothing is said of the time behind.
        times.extend(edge(last).filter(|end| times.last().is_some_and(|time| time < end)));
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        Self {
            sent: packets.len(),
            lost,
            silence: gaps.max().unwrap_or_default(),
        }
    }
}

impl Stream {
    /// Datagrams from a program on one host to a program on another, which returns them.
    pub(super) fn echo(from: &Host, to: &Host, address: Ipv6Addr) -> io::Result<Self> {
        let far = to.udp_socket((Ipv6Addr::UNSPECIFIED, ECHO_PORT))?;
        let near = from.udp_socket((Ipv6Addr::UNSPECIFIED, 0))?;
        near.connect(SocketAddrV6::new(address, ECHO_PORT, 0, 0))?;
        let mut stream = Self::new();
        stream.answer(far)?;
        stream.send(near.try_clone()?, |number| number.to_be_bytes().to_vec())?;
        stream.collect(near, |bytes| {
            let number = bytes.get(..HOP)?.try_into().ok()?;
            Some(u64::from_be_bytes(number))
        })?;
        Ok(stream)
    }

    /// Solicitations to a server, with their numbers as nonces.
    pub(super) fn solicitations(from: &Host, server: Ipv4Addr) -> io::Result<Self> {
        let socket = from.udp_socket((from.ipv4(), 0))?;
        socket.connect((server, PORT))?;
        let own = SocketAddrV4::new(from.ipv4(), socket.local_addr()?.port());
        let mut stream = Self::new();
        stream.send(socket.try_clone()?, move |number| {
            let mut bytes = Vec::new();
            Authentication::nonce_only(number.to_be_bytes()).emit(&mut bytes);
            emit_router_solicitation(link_local(Flags::default(), own), &mut bytes);
            bytes
        })?;
        stream.collect(socket, |bytes| {
            let (element, _) = Authentication::parse(bytes).ok()?;
            Some(u64::from_be_bytes(element.nonce))
        })?;
        Ok(stream)
    }

    fn new() -> Self {
        Self {
            log: Arc::default(),
            stop: Arc::default(),
            threads: Vec::new(),
        }
    }

    /// A mark, from which on packets count.
    pub(super) fn mark(&self) -> usize {
        self.log().packets.len()
    }

    /// Whether all packets of the last `time` were answered, and were sent after the mark.
    pub(super) fn flows_since(&self, mark: usize, time: Duration) -> bool {
        // The very last ones may be under way.
        const UNDER_WAY: usize = 10;
        let log = self.log();
        let wanted = (time.as_nanos() / PACE.as_nanos()) as usize;
        let Some(packets) = log.packets.get(mark..) else {
            return false;
        };
        let mut settled = packets.iter().rev().skip(UNDER_WAY).take(wanted);
        packets.len() >= wanted + UNDER_WAY && settled.all(|(_, answer)| answer.is_some())
    }

    /// The outcome of the packets since the mark. Answers that are missing are waited for this long.
    pub(super) fn account(&self, mark: usize, patience: Duration) -> Account {
        let end = self.mark();
        let settled = || {
            let log = self.log();
            let mut packets = log.packets[mark..end].iter();
            packets.all(|(_, answer)| answer.is_some()).then_some(())
        };
        // Those that are waited for in vain are lost.
        let _ = teredo_lab::until(patience, "the last answers", settled);
        Account::of(&self.log().packets[mark..end])
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(
        &mut self,
        work: impl FnOnce(&AtomicBool, &Mutex<Log>) + Send + 'static,
    ) -> io::Result<()> {
        let (stop, log) = (Arc::clone(&self.stop), Arc::clone(&self.log));
        let thread = thread::Builder::new()
            .name("lab-traffic".into())
            .spawn(move || work(&stop, &log))?;
        self.threads.push(thread);
        Ok(())
    }

    fn send(
        &mut self,
        socket: UdpSocket,
        packet: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> io::Result<()> {
        self.spawn(move |stop, log| {
            let mut next = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let number = {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.packets.push((Instant::now(), None));
                    log.packets.len() as u64 - 1
                };
                // What is refused is lost.
                let _ = socket.send(&packet(number));
                next += PACE;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        })
    }

    fn collect(
        &mut self,
        socket: UdpSocket,
        number: impl Fn(&[u8]) -> Option<u64> + Send + 'static,
    ) -> io::Result<()> {
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        self.spawn(move |stop, log| {
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                let Ok(length) = socket.receive(&mut buffer) else {
                    continue;
                };
                let now = Instant::now();
                let Some(number) = number(&buffer[..length]) else {
                    continue;
                };
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((_, answer)) = log.packets.get_mut(number as usize) {
                    answer.get_or_insert(now);
                }
            }
        })
    }

    fn answer(&mut self, socket: UdpSocket) -> io::Result<()> {
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        self.spawn(move |stop, _| {
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.receive_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..length], from);
                }
            }
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::warn!("a thread of the traffic had panicked");
            }
        }
    }
}
