//! What the tunnel adds to a round trip, idle and at 70 % of what it can carry.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::Serialize;
use teredo_lab::{Host, Receive};

use super::cpu::Place;
use super::daemon::Make;
use super::row::Target::{self, AtMost, None as Nothing};
use super::session::Session;
use super::stage::{Carrier, Mode, Stage};

const CARRIERS: [Carrier; 4] = [
    Carrier::Tunnel(Make::Ours),
    Carrier::Tunnel(Make::Miredo),
    Carrier::Vxlan,
    Carrier::Ipv4,
];
/// Where round trips turn, and where the load goes.
const ECHO_PORT: u16 = 4001;
const LOAD_PORT: u16 = 4002;
/// Of the load's datagrams.
const SIZE: usize = 1000;
const PATIENCE: Duration = Duration::from_millis(500);
/// Of what a carrier can do.
const SHARE: f64 = 0.7;

#[derive(Clone, Copy, Debug, Serialize)]
struct Run {
    trips: usize,
    lost: usize,
    p50_us: f64,
    p99_us: f64,
    /// Datagrams a second beside the round trips.
    load: f64,
}

pub(crate) fn measure(session: &mut Session) -> Result<()> {
    let stages = CARRIERS
        .iter()
        .map(|carrier| Stage::build(session, *carrier, Mode::WireTrue))
        .collect::<Result<Vec<_>>>()?;
    let duration = Duration::from_millis(if session.quick { 400 } else { 1000 });
    let mut loads = [0.0; CARRIERS.len()];
    for name in ["idle", "at 70 % load"] {
        let measure = format!("added latency p99, {name}");
        let mut runs = [const { Vec::new() }; CARRIERS.len()];
        for pair in 0..session.pairs() {
            eprintln!("{measure}: {} of {}", pair + 1, session.pairs());
            for ((stage, runs), load) in stages.iter().zip(&mut runs).zip(loads) {
                stage.warm_up()?;
                let run =
                    run(stage, load, duration).with_context(|| stage.carrier.name().to_owned())?;
                session.keep(&measure, stage.carrier.name(), pair, &run)?;
                runs.push(run);
            }
        }
        rows(session, &measure, &runs);
        if name == "idle" {
            for (stage, load) in stages.iter().zip(&mut loads) {
                *load = SHARE * capacity(stage)?;
            }
        }
    }
    Ok(())
}

/// What is added is what plain IPv4 does not take on the same path in the same pair, of the median of its trips.
fn rows(session: &mut Session, measure: &str, [ours, miredo, vxlan, plain]: &[Vec<Run>; 4]) {
    let added = |runs: &[Run]| {
        let pairs = runs.iter().zip(plain);
        // A clock's tick at the least, where the machine's noise is larger than what is added.
        let added = pairs.map(|(run, plain)| (run.p99_us - plain.p50_us).max(0.1));
        added.collect::<Vec<_>>()
    };
    let ours = added(ours);
    let targets: [(&str, &Vec<Run>, Target); 2] = [
        ("miredo", miredo, AtMost(0.3)),
        ("vxlan", vxlan, AtMost(1.5)),
    ];
    for (rival, theirs, target) in targets {
        session.row(measure, "us", rival, [&ours, &added(theirs)], target);
    }
    let p99 = plain.iter().map(|run| run.p99_us).collect::<Vec<_>>();
    session.row(
        &format!("{measure} / round trip p99"),
        "us",
        "plain IPv4",
        [&ours, &p99],
        Nothing,
    );
}

fn run(stage: &Stage, load: f64, duration: Duration) -> Result<Run> {
    let echo = socket(&stage.native, stage.destination(), ECHO_PORT)?;
    let asker = connected(stage, ECHO_PORT)?;
    let sink = socket(&stage.native, stage.destination(), LOAD_PORT)?;
    let source = connected(stage, LOAD_PORT)?;
    let over = AtomicBool::new(false);
    let (mut trips, lost) = thread::scope(|scope| {
        scope.spawn(|| turn(&echo, &over));
        if load > 0.0 {
            scope.spawn(|| drain(&sink, &over, &AtomicU64::new(0)));
            scope.spawn(|| pour(&source, load, &over));
        }
        let asked = scope.spawn(|| ask(&asker, duration)).join();
        over.store(true, Relaxed);
        asked.map_err(|_| anyhow!("a thread panicked"))?
    })?;
    trips.sort_by(f64::total_cmp);
    let at = |share: f64| trips.get((trips.len() as f64 * share) as usize).copied();
    Ok(Run {
        trips: trips.len(),
        lost,
        p50_us: at(0.5).context("no round trip")?,
        p99_us: at(0.99).context("no round trip")?,
        load,
    })
}

/// How many datagrams a second a carrier brings through when it is given more.
fn capacity(stage: &Stage) -> Result<f64> {
    stage.warm_up()?;
    let sink = socket(&stage.native, stage.destination(), LOAD_PORT)?;
    let source = connected(stage, LOAD_PORT)?;
    let (over, came) = (AtomicBool::new(false), AtomicU64::new(0));
    let duration = Duration::from_millis(500);
    let rate = thread::scope(|scope| {
        scope.spawn(|| drain(&sink, &over, &came));
        scope.spawn(|| pour(&source, f64::INFINITY, &over));
        // What the queues hold comes first.
        thread::sleep(duration / 5);
        let (start, before) = (Instant::now(), came.load(Relaxed));
        thread::sleep(duration);
        let rate = (came.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
        over.store(true, Relaxed);
        rate
    });
    ensure!(
        rate > 0.0,
        "{} brings nothing through",
        stage.carrier.name()
    );
    Ok(rate)
}

fn socket(host: &Host, address: std::net::IpAddr, port: u16) -> Result<UdpSocket> {
    let socket = host.udp_socket(SocketAddr::new(address, port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn connected(stage: &Stage, port: u16) -> Result<UdpSocket> {
    let to = SocketAddr::new(stage.destination(), port);
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = stage.alice.udp_socket(any)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn turn(socket: &UdpSocket, over: &AtomicBool) -> Result<()> {
    Place::Receiver.take()?;
    let mut buffer = [0; 2048];
    while !over.load(Relaxed) {
        if let Ok((len, from)) = socket.receive_from(&mut buffer) {
            socket.send_to(&buffer[..len], from)?;
        }
    }
    Ok(())
}

/// The microseconds of round trips, one after the other, and how many had no end.
fn ask(socket: &UdpSocket, duration: Duration) -> Result<(Vec<f64>, usize)> {
    Place::Sender.take()?;
    let (mut trips, mut lost) = (Vec::new(), 0);
    let mut buffer = [0; 2048];
    let start = Instant::now();
    for number in 0_u64.. {
        if start.elapsed() >= duration {
            break;
        }
        let mut question = [0x5a; 64];
        question[..8].copy_from_slice(&number.to_le_bytes());
        let asked = Instant::now();
        socket.send(&question)?;
        loop {
            match socket.receive(&mut buffer) {
                Ok(len) if buffer[..len] == question => {
                    trips.push(asked.elapsed().as_secs_f64() * 1e6);
                    break;
                }
                // The answer to one that was given up.
                Ok(_) => {}
                Err(_) => {
                    lost += 1;
                    break;
                }
            }
        }
    }
    Ok((trips, lost))
}

fn drain(socket: &UdpSocket, over: &AtomicBool, came: &AtomicU64) -> Result<()> {
    Place::Receiver.take()?;
    let mut buffer = [0; 2048];
    while !over.load(Relaxed) {
        if socket.receive(&mut buffer).is_ok() {
            came.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}

/// Sends so many a second, evenly, as long as the others go on.
fn pour(socket: &UdpSocket, rate: f64, over: &AtomicBool) -> Result<()> {
    Place::Sender.take()?;
    let start = Instant::now();
    let mut sent = 0.0;
    while !over.load(Relaxed) {
        let due = start.elapsed().as_secs_f64() * rate;
        if sent >= due {
            // Not a spin: the core is shared with the client.
            thread::sleep(Duration::from_micros(50));
            continue;
        }
        // Where the queue is full, it is sent again.
        if socket.send(&[0x5a; SIZE]).is_ok() {
            sent += 1.0;
        }
    }
    Ok(())
}
