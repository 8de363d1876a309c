//! Small datagrams from a native host through a relay to many clients, which offloads can do nothing for.
//!
//! The clients are addresses and no programs: one socket takes in what is sent to any of them. They answer the relay's
//! bubbles before each run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::SockaddrStorage;
use serde::Serialize;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use teredo::wire::{Datagram, Flags, PORT, TeredoAddress, emit_bubble};
use teredo_lab::{Host, Internet};

use super::batch::{BATCH, Batch};
use super::cpu::{Place, used};
use super::daemon::{Daemon, Make, RELAY_PORT};
use super::load::{Load, Outcome};
use super::plot::{Plot, Series};
use super::row::Target::{AtLeast, None as Nothing};
use super::session::Session;
use super::stage::ip;

const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const LOAD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 120);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
/// RFC 2544's network for benchmarks: clients in the first half, their servers in the second. A relay sends each
/// server but some hundred bubbles a second, so that there have to be many.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const SERVERS: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);
const CLIENT_PORT: u16 = 4096;
/// The port that datagrams are for.
const INNER_PORT: u16 = 4000;
/// What the headers of IPv6 and UDP take.
const HEADERS: usize = 48;
const ICMPV6: u8 = 58;
const RECEIVE_BUFFER: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(1);

/// The inner packet, and the clients that are written to.
const SMALL: usize = 64;
const MANY: usize = 10_000;
const SIZES: [usize; 4] = [64, 256, 640, 1280];
const PEERS: [usize; 4] = [10, 100, 1000, 10_000];

#[derive(Clone, Copy, Debug, Serialize)]
struct Run {
    size: usize,
    peers: usize,
    #[serde(flatten)]
    outcome: Outcome,
    per_second: f64,
    /// For each second that the relay was on a core.
    per_processor_second: f64,
}

struct Scene {
    make: Make,
    relay: Daemon,
    load: Host,
    native: Host,
    _relay_host: Host,
    _internet: Internet,
}

pub(crate) fn measure(session: &mut Session) -> Result<()> {
    let scenes = [Make::Ours, Make::Miredo].map(|make| Scene::build(session, make));
    let [ours, miredo] = scenes;
    let scenes = [ours?, miredo?];
    let measure = "64-byte datagrams, 10,000 peers";
    let mut runs = [Vec::new(), Vec::new()];
    for pair in 0..session.pairs() {
        eprintln!("{measure}: {} of {}", pair + 1, session.pairs());
        for (scene, runs) in scenes.iter().zip(&mut runs) {
            runs.push(scene.run(session, measure, pair, SMALL, MANY)?);
        }
    }
    let lost: u64 = runs[0].iter().map(|run| run.outcome.lost).sum();
    let sent: u64 = runs[0].iter().map(|run| run.outcome.answered).sum();
    if lost * 1000 > sent {
        session.missing(
            format!("{measure}, no loss"),
            format!("teredo lost {lost} of {sent}"),
        );
    }
    for (name, value, target) in [
        (
            "a second and core",
            (|run| run.per_processor_second) as fn(&Run) -> f64,
            AtLeast(3.0),
        ),
        ("a second", |run| run.per_second, Nothing),
    ] {
        let [ours, theirs] = [&runs[0], &runs[1]].map(|runs| runs.iter().map(value).collect());
        let (ours, theirs): (Vec<f64>, Vec<f64>) = (ours, theirs);
        session.row(
            &format!("{measure}, {name}"),
            "1/s",
            "miredo",
            [&ours, &theirs],
            target,
        );
    }
    plots(session, &scenes)
}

/// One run for each point: to see the shape, not to judge.
fn plots(session: &mut Session, scenes: &[Scene]) -> Result<()> {
    let of_sizes = SIZES.map(|size| (size, 100, size));
    let of_peers = PEERS.map(|peers| (SMALL, peers, peers));
    for (name, title, axis, points) in [
        (
            "by-size",
            "through a relay to 100 peers",
            "bytes of an inner packet",
            of_sizes,
        ),
        (
            "by-peers",
            "64-byte packets through a relay",
            "peers",
            of_peers,
        ),
    ] {
        let mut series = Vec::new();
        for scene in scenes {
            let mut line = Vec::new();
            for (size, peers, x) in points {
                let run = scene.run(session, name, 0, size, peers)?;
                line.push((x as f64, run.per_second));
            }
            series.push(Series {
                name: scene.name(),
                points: line,
            });
        }
        let plot = Plot {
            title,
            x: axis,
            y: "packets a second",
            series: &series,
        };
        plot.save(&session.out().join(format!("{name}.svg")))?;
    }
    Ok(())
}

impl Scene {
    fn build(session: &Session, make: Make) -> Result<Self> {
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
        let prefix = format!("{CLIENTS}/15");
        let via = LOAD.to_string();
        for (namespace, arguments) in [
            (load.namespace(), ["local", &prefix, "dev", "lo"].as_slice()),
            (
                internet.core(),
                &[&prefix, "via", &via, "dev", "to-load", "onlink"],
            ),
        ] {
            ip(namespace, &[&["-4", "route", "add"], arguments].concat())?;
        }
        let relay = Daemon::relay(session, make, &relay_host)?;
        relay.pin(Place::Receiver)?;
        Ok(Self {
            make,
            relay,
            load,
            native,
            _relay_host: relay_host,
            _internet: internet,
        })
    }

    fn name(&self) -> &'static str {
        match self.make {
            Make::Ours => "teredo",
            Make::Miredo => "miredo",
        }
    }

    fn run(
        &self,
        session: &mut Session,
        measure: &str,
        pair: usize,
        size: usize,
        peers: usize,
    ) -> Result<Run> {
        let duration = Duration::from_millis(if session.quick { 400 } else { 1000 });
        let destinations: Vec<SockaddrStorage> = (0..peers)
            .map(|number| {
                let address = IpAddr::from(client(number).to_ipv6());
                SocketAddr::new(address, INNER_PORT).into()
            })
            .collect();
        let sender = self.native.udp_socket((NATIVE, 0))?;
        let sink = self.load.namespace().run(|| bind(CLIENT_PORT))??;
        let load = self.load.namespace();
        load.run(|| introduce(&sender, &sink, &destinations))?
            .with_context(|| format!("{}: the clients and the relay did not meet", self.name()))?;
        // What had waited.
        let mut batch = Batch::new();
        while batch.receive(&sink, false)? > 0 {}

        let requests = [vec![0x5a; size - HEADERS]];
        let load = Load {
            senders: &[sender],
            receivers: &[sink],
            requests: &requests,
            destinations: &destinations,
            is_answer: |bytes| {
                // The kernel behind a `miredo` relay has a word to say about the bubbles that it is handed: a redirect.
                Datagram::parse(bytes).is_ok_and(|datagram| {
                    let payload = datagram.packet.payload().get(8..).unwrap_or_default();
                    datagram.packet.next_header() == ICMPV6
                        || payload.iter().all(|byte| *byte == 0x5a)
                })
            },
        };
        let processes = self.relay.processes();
        let before = used(&processes)?;
        let outcome = std::thread::scope(|scope| {
            let thread = scope.spawn(|| load.run(duration));
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let outcome = outcome.with_context(|| self.name())?;
        let processor = (used(&processes)? - before).as_secs_f64();
        let run = Run {
            size,
            peers,
            outcome,
            per_second: outcome.answered as f64 / outcome.seconds,
            per_processor_second: outcome.answered as f64 / processor,
        };
        session.keep(measure, self.name(), pair, &run)?;
        Ok(run)
    }
}

fn client(number: usize) -> TeredoAddress {
    let nth = |net: Ipv4Addr| Ipv4Addr::from(net.to_bits() + 256 + number as u32);
    TeredoAddress {
        server: nth(SERVERS),
        flags: Flags::default(),
        mapped: SocketAddrV4::new(nth(CLIENTS), CLIENT_PORT),
    }
}

/// A socket on all addresses, beside which another may be bound to one of them.
fn bind(port: u16) -> Result<UdpSocket> {
    let socket = bind_to(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))?;
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
    Ok(socket)
}

fn bind_to(address: SocketAddrV4) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from(address).into())?;
    Ok(socket.into())
}

/// Has each client written to, and answers the bubbles that come of it by the servers, until everything has arrived. In
/// the namespace of the clients.
fn introduce(sender: &UdpSocket, sink: &UdpSocket, destinations: &[SockaddrStorage]) -> Result<()> {
    let servers = bind(PORT)?;
    let mut batch = Batch::new();
    let start = Instant::now();
    for chunk in destinations.chunks(BATCH) {
        let to: Vec<_> = chunk.iter().copied().map(Some).collect();
        let mut arrived = 0;
        while arrived < to.len() {
            ensure!(
                start.elapsed() < PATIENCE,
                "it takes longer than {PATIENCE:?}"
            );
            let hello = [[0x5a; 16]; BATCH];
            let hello = hello[..to.len()].iter().map(<[u8; 16]>::as_slice);
            batch.send(sender, hello, &to)?;
            // What is lost is sent again.
            let sent = Instant::now();
            while arrived < to.len() && sent.elapsed() < AGAIN {
                batch.receive(&servers, false)?;
                for bubble in batch.datagrams() {
                    answer(bubble)?;
                }
                arrived += batch.receive(sink, false)?;
            }
        }
    }
    Ok(())
}

/// As the client that a bubble is for, from its mapping.
fn answer(bubble: &[u8]) -> Result<()> {
    let bubble = Datagram::parse(bubble)?;
    let (token, own) = (bubble.packet.source(), bubble.packet.destination());
    let client = TeredoAddress::from_ipv6(own).context("a bubble for nobody")?;
    let mut answer = Vec::new();
    emit_bubble(own, token, 255, &mut answer);
    bind_to(client.mapped)?.send_to(&answer, (RELAY, RELAY_PORT))?;
    Ok(())
}
