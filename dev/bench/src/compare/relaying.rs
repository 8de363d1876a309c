//! A relay between a native host and a crowd of clients, and how many packets it relays.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use serde::Serialize;
use teredo_lab::{Host, Internet};

use super::batch::{BATCH, Batch};
use super::cpu::{Busy, Place, Usage};
use super::crowd::{self, Arrival, Crowd, INNER_PORT};
use super::daemon::{Daemon, InUse, Make, RELAY_PORT};
use super::load::{LOST, Outcome, WINDOW, in_window};
use super::session::Session;
use super::stage::steer;
use crate::machine::resident;

const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const LOAD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 120);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
const RECEIVE_BUFFER: usize = 8 << 20;
/// The smallest inner packet, by which the relay meets clients.
pub(crate) const SMALL: usize = 64;
/// A relay trusts a client for 30 s after it was heard (RFC 4380 §5.2.4).
const FRESH: Duration = Duration::from_secs(12);
/// That long before the first are forgotten again.
pub(crate) const VALIDITY: Duration = Duration::from_secs(25);

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    /// From the interface to the socket: one more destination with each packet.
    ToPeers,
    /// From the socket to the interface.
    FromPeers,
}

/// Which of the clients is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// One after the other, and again.
    InTurn,
    /// Any, each as likely as the others.
    Random,
}

/// One run of a relay.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) direction: Direction,
    size: usize,
    peers: usize,
    order: Order,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
    pub(crate) per_second: f64,
    /// For each second that the relay's core was in use, by the relay or by the kernel.
    pub(crate) per_core_second: f64,
    /// The relay process's, for a packet.
    pub(crate) processor_nanoseconds: f64,
}

/// A relay of one make and all that it relays between.
pub(crate) struct Scene {
    make: Make,
    relay: Daemon,
    crowd: Crowd,
    sender: UdpSocket,
    sink: UdpSocket,
    /// How many clients were introduced, and when all of them had been heard last.
    introduced: Option<(usize, Instant)>,
    _hosts: [Host; 3],
    _internet: Internet,
}

impl Scene {
    pub(crate) fn build(session: &Session, make: Make) -> Result<Self> {
        let internet = Internet::new()?;
        let second = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
        let relay_host = internet.native_host("relay", &[RELAY], second)?;
        let native = internet.native_host("native", &[], NATIVE)?;
        let load = internet.host("load", &[LOAD])?;
        internet.announce(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, &relay_host)?;
        for (namespace, names) in [
            (relay_host.namespace(), &["eth0"][..]),
            (native.namespace(), &["eth0"]),
            (load.namespace(), &["eth0"]),
            (internet.core(), &["to-relay", "to-native", "to-load"]),
        ] {
            for name in names {
                namespace.set_large_frames(name, false)?;
            }
        }
        let crowd = Crowd::new(&internet, &load, SocketAddrV4::new(RELAY, RELAY_PORT))?;
        let sender = native.udp_socket((NATIVE, 0))?;
        let sink = native.udp_socket((NATIVE, INNER_PORT))?;
        setsockopt(&sink, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
        let relay = Daemon::relay(session, make, &relay_host, Place::Receiver)?;
        relay.pin(Place::Receiver)?;
        steer(&relay_host, Place::Receiver)?;
        Ok(Self {
            make,
            relay,
            crowd,
            sender,
            sink,
            introduced: None,
            _hosts: [relay_host, native, load],
            _internet: internet,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.make.name()
    }

    /// The data path of a relay of ours, and what it has carried so far.
    pub(crate) fn data_path(&self) -> Result<InUse> {
        self.relay.data_path()
    }

    /// The resident memory of the relay.
    pub(crate) fn resident(&self) -> Result<u64> {
        self.relay.processes().into_iter().map(resident).sum()
    }

    /// Makes sure that the relay knows so many clients, and will for a while; how long that took.
    pub(crate) fn introduce(&mut self, count: usize) -> Result<Duration> {
        let start = Instant::now();
        let (known, age) = match self.introduced {
            Some((known, heard)) => (known, heard.elapsed()),
            None => (0, Duration::MAX),
        };
        if age < FRESH && known >= count {
            return Ok(start.elapsed());
        }
        // Whom the relay has forgotten, it does not relay for.
        if (FRESH..VALIDITY).contains(&age) {
            self.have_heard(0..known)?;
        }
        let count = count.max(known);
        self.meet(count)
            .with_context(|| format!("{}: the clients and the relay did not meet", self.name()))?;
        // A bubble proves the path of a client; a datagram without a checksum shows after that what the client can read.
        self.have_heard(if age < VALIDITY { known } else { 0 }..count)?;
        // Those who were known before were heard before.
        let heard = match self.introduced {
            Some((_, heard)) if age < FRESH => heard,
            _ => start,
        };
        self.introduced = Some((count, heard));
        Ok(start.elapsed())
    }

    /// Makes the relay know more clients than it can meet while the first of them are still trusted: some at a time.
    pub(crate) fn introduce_in_steps(&mut self, count: usize, step: usize) -> Result<()> {
        for known in (step..count).step_by(step).chain([count]) {
            self.introduce(known)?;
        }
        Ok(())
    }

    pub(crate) fn processes(&self) -> Vec<u32> {
        self.relay.processes()
    }

    /// Relays packets of this size for so long, to or from each client in turn.
    pub(crate) fn run(
        &mut self,
        direction: Direction,
        size: usize,
        peers: usize,
        duration: Duration,
    ) -> Result<Run> {
        self.run_in_order(direction, size, (peers, Order::InTurn), duration)
    }

    /// Relays packets of this size for so long, to clients in some order; from them they come in turn.
    pub(crate) fn run_in_order(
        &mut self,
        direction: Direction,
        size: usize,
        (peers, order): (usize, Order),
        duration: Duration,
    ) -> Result<Run> {
        self.introduce(peers)?;
        let usage = Usage::of(self.relay.processes());
        let busy = Busy::core(Place::Receiver)?;
        let outcome = match direction {
            Direction::ToPeers => self.write_to(size, (peers, order), duration),
            Direction::FromPeers => self.hear_from(size, peers, duration),
        };
        let outcome = outcome.with_context(|| self.name())?;
        let busy = busy.so_far()?.as_secs_f64();
        // A relay may have nothing to do.
        let processor = usage.so_far().unwrap_or_default().as_secs_f64();
        let answered = outcome.answered as f64;
        Ok(Run {
            direction,
            size,
            peers,
            order,
            outcome,
            per_second: answered / outcome.seconds,
            per_core_second: answered / busy,
            processor_nanoseconds: processor * 1e9 / answered,
        })
    }

    fn write_to(
        &mut self,
        size: usize,
        (peers, order): (usize, Order),
        duration: Duration,
    ) -> Result<Outcome> {
        let payload = crowd::payload(size);
        let (crowd, sender) = (&mut self.crowd, &self.sender);
        let mut random = fastrand::Rng::with_seed(peers as u64);
        let mut next = 0;
        let send = |batch: &mut Batch| {
            let to: [_; BATCH] = std::array::from_fn(|at| {
                Some(crowd::destination(match order {
                    Order::InTurn => (next + at) % peers,
                    Order::Random => random.usize(..peers),
                }))
            });
            let sent = batch.send(sender, std::iter::repeat_n(&payload[..], BATCH), &to)?;
            next += sent;
            Ok(sent)
        };
        let receive = |batch: &mut Batch| {
            let mut came = 0;
            crowd.receive(batch, size, |arrival| {
                came += usize::from(matches!(arrival, Arrival::Packet(_)));
            })?;
            Ok(came)
        };
        on_a_thread(|| in_window(duration, send, receive))
    }

    fn hear_from(&mut self, size: usize, peers: usize, duration: Duration) -> Result<Outcome> {
        let (crowd, sink) = (&self.crowd, &self.sink);
        let written = (0..peers).map(|number| crowd.write(number, NATIVE, size));
        let mut written: Vec<_> = written.collect();
        // A batch may begin anywhere.
        written.extend_from_within(..BATCH.min(peers));
        while written.len() < BATCH {
            written.extend_from_within(..);
        }
        let mut next = 0;
        let send = |batch: &mut Batch| {
            let rest = &written[next..];
            let sent = crowd.send(batch, &rest[..BATCH.min(rest.len())])?;
            next = (next + sent) % peers;
            Ok(sent)
        };
        let receive = |batch: &mut Batch| native_receives(batch, sink, size);
        on_a_thread(|| in_window(duration, send, receive))
    }

    /// Has each of these clients write to the native host, so that the relay trusts it for longer.
    fn have_heard(&mut self, clients: Range<usize>) -> Result<()> {
        let (crowd, sink) = (&self.crowd, &self.sink);
        on_a_thread(|| {
            Place::Sender.take()?;
            let mut batch = Batch::new();
            let (mut under_way, mut next) = (0_usize, clients.start);
            let mut last = Instant::now();
            while next < clients.end {
                if under_way + BATCH <= WINDOW {
                    let numbers = next..(next + BATCH).min(clients.end);
                    let written: Vec<_> = numbers
                        .map(|number| crowd.write(number, NATIVE, SMALL))
                        .collect();
                    let sent = crowd.send(&mut batch, &written)?;
                    next += sent;
                    under_way += sent;
                }
                let came = native_receives(&mut batch, sink, SMALL)?;
                under_way = under_way.saturating_sub(came);
                if came > 0 || last.elapsed() >= LOST {
                    under_way = if came > 0 { under_way } else { 0 };
                    last = Instant::now();
                }
            }
            Ok(())
        })
    }

    /// Has each client written to, and answers the bubbles that come of it, until everything has arrived.
    fn meet(&mut self, count: usize) -> Result<()> {
        let (crowd, sender) = (&mut self.crowd, &self.sender);
        on_a_thread(|| {
            Place::Sender.take()?;
            let payload = crowd::payload(SMALL);
            let mut batch = Batch::new();
            let mut met = vec![false; count];
            let (mut left, mut under_way, mut next) = (count, 0_usize, 0);
            let start = Instant::now();
            let mut last = start;
            while left > 0 {
                ensure!(
                    start.elapsed() < VALIDITY,
                    "{left} of {count} were not met within {VALIDITY:?}"
                );
                if under_way + BATCH <= WINDOW {
                    let to: Vec<_> = (next..count)
                        .filter(|number| !met[*number])
                        .take(BATCH)
                        .collect();
                    let addresses: Vec<_> =
                        to.iter().map(|to| Some(crowd::destination(*to))).collect();
                    let hello = std::iter::repeat_n(&payload[..], to.len());
                    let sent = batch.send(sender, hello, &addresses)?;
                    under_way += sent;
                    match sent.checked_sub(1).and_then(|last| to.get(last)) {
                        Some(last) => next = last + 1,
                        // Lost packets are sent again.
                        None if under_way == 0 => next = 0,
                        None => {}
                    }
                }
                let mut came = 0;
                crowd.receive(&mut batch, SMALL, |arrival| {
                    if let Arrival::Packet(number) = arrival
                        && let Some(met) = met.get_mut(number)
                    {
                        came += 1;
                        left -= usize::from(!*met);
                        *met = true;
                    }
                })?;
                under_way = under_way.saturating_sub(came);
                if came > 0 {
                    last = Instant::now();
                } else if last.elapsed() >= LOST {
                    under_way = 0;
                    last = Instant::now();
                }
            }
            Ok(())
        })
    }
}

/// How many packets of this size the native host has got. All are whole; those of other sizes come too late to count.
fn native_receives(batch: &mut Batch, sink: &UdpSocket, size: usize) -> Result<usize> {
    batch.receive(sink, false)?;
    let mut came = 0;
    for datagram in batch.datagrams() {
        ensure!(
            crowd::is_pattern(Some(datagram)),
            "that was not sent: {datagram:02x?}"
        );
        came += usize::from(datagram.len() == size - crowd::HEADERS);
    }
    Ok(came)
}

/// Runs a function that binds its thread to a core.
fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(work);
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
