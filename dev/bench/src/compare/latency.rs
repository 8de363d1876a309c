//! The latency that a tunnel adds to a round trip, idle and at 70 % of its capacity.
//!
//! Questions are asked at a rate, and not after the answer to the one before, so that a pause delays all that were asked
//! meanwhile. Both ends have real-time priority, and the load runs when a core is idle: the wait is for the tunnel, not
//! for a core that the load generator holds.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use teredo_lab::{Host, Receive, until};

use super::cpu::{Place, Turn};
use super::daemon::{DataPath, Make};
use super::estimate::median;
use super::row::Target::{self, AtMost, None as Nothing};
use super::session::Session;
use super::stage::{Carrier, Mode, Stage};

const CARRIERS: [Carrier; 5] = [
    Carrier::Ipv4,
    Carrier::Tunnel(Make::Ours(DataPath::Auto)),
    Carrier::Tunnel(Make::Ours(DataPath::User)),
    Carrier::Tunnel(Make::Miredo),
    Carrier::Vxlan,
];
/// The port of the echo, and that of the load.
const ECHO_PORT: u16 = 4001;
const LOAD_PORT: u16 = 4002;
/// Of the load's datagrams.
const SIZE: usize = 1000;
const RECEIVE_BUFFER: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_millis(200);
/// Between two questions, on average.
const INTERVAL: Duration = Duration::from_micros(200);
/// The load, as a share of a carrier's capacity.
const SHARE: f64 = 0.7;
/// The loss that counts as none in the search for the capacity.
const LOSS: f64 = 0.001;
/// Datagrams a second that the search begins with; every carrier can do that.
const LEAST: f64 = 2000.0;
/// The search ends when the rate is known so well.
const PRECISION: f64 = 1.05;

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Run {
    trips: usize,
    lost: usize,
    p50_us: f64,
    p99_us: f64,
    /// Datagrams a second beside the round trips, as they were to be and as they arrived.
    load: f64,
    arrived: f64,
}

/// The highest rate at which a carrier loses nothing.
#[derive(Clone, Copy, Debug, Serialize)]
struct Capacity {
    per_second: f64,
    tries: usize,
}

pub(crate) fn measure(session: &mut Session) -> Result<()> {
    let stages = CARRIERS
        .iter()
        .map(|carrier| Stage::build(session, *carrier, Mode::WireTrue))
        .collect::<Result<Vec<_>>>()?;
    let (idle, refusal) = runs(session, "idle", &stages, [0.0; CARRIERS.len()])?;
    let rival = ("plain IPv4", 0, AtMost(1.3));
    round_trips(session, "idle", &idle, rival, refusal.as_deref());
    rows(session, "idle", &idle, [0.0; CARRIERS.len()], refusal);
    let mut loads = [0.0; CARRIERS.len()];
    let measure = "capacity, datagrams of 1,000 bytes";
    for (number, (stage, load)) in stages.iter().zip(&mut loads).enumerate() {
        session.progress(measure, number);
        stage.warm_up()?;
        let capacity = capacity(stage).with_context(|| stage.carrier.name())?;
        session.keep(measure, stage.carrier.name(), 0, &capacity)?;
        *load = SHARE * capacity.per_second;
    }
    // Plain IPv4 is the idle path that the others are compared with.
    loads[0] = 0.0;
    let (loaded, refusal) = runs(session, "at 70 % load", &stages, loads)?;
    let short = shortfall("teredo", loads[1], &loaded[1]);
    let short = short.or_else(|| shortfall("vxlan", loads[4], &loaded[4]));
    let reason = refusal.as_ref().or(short.as_ref());
    let rival = ("vxlan", 4, AtMost(1.2));
    round_trips(
        session,
        "at 70 % load",
        &loaded,
        rival,
        reason.map(String::as_str),
    );
    rows(session, "at 70 % load", &loaded, loads, refusal);
    Ok(())
}

/// Of each carrier the runs of all pairs, and why those of ours are not of the path in the kernel.
fn runs(
    session: &mut Session,
    name: &str,
    stages: &[Stage],
    loads: [f64; CARRIERS.len()],
) -> Result<([Vec<Run>; CARRIERS.len()], Option<String>)> {
    let before = stages[1].data_paths()?;
    let measure = format!("added latency p99, {name}");
    let duration = Duration::from_millis(if session.quick { 600 } else { 1000 });
    let mut runs = [const { Vec::new() }; CARRIERS.len()];
    for pair in 0..session.pairs() {
        session.progress(&measure, pair);
        for ((stage, runs), load) in stages.iter().zip(&mut runs).zip(loads) {
            stage.warm_up()?;
            let run = run(stage, load, duration).with_context(|| stage.carrier.name())?;
            session.keep(&measure, stage.carrier.name(), pair, &run)?;
            runs.push(run);
        }
    }
    Ok((runs, stages[1].obstacle(&before)?))
}

/// The median of the whole round trip, idle beside that of plain IPv4, and beside a load with that of VXLAN: half of VXLAN's
/// round trips take less than the machine's noise longer than plain IPv4's.
fn round_trips(
    session: &mut Session,
    name: &str,
    runs: &[Vec<Run>; CARRIERS.len()],
    (rival, theirs, target): (&str, usize, Target),
    refusal: Option<&str>,
) {
    let p50 = |at: usize| runs[at].iter().map(|run| run.p50_us).collect::<Vec<_>>();
    let [ours, user, theirs] = [1, 2, theirs].map(p50);
    let measure = format!("round trip p50, {name}");
    session.row_unless(refusal, &measure, "us", rival, [&ours, &theirs], target);
    let measure = format!("{measure}, in user space");
    session.row(&measure, "us", rival, [&user, &theirs], Nothing);
}

/// The reason why runs beside a load decide nothing: less than 95 % of it arrived.
fn shortfall(carrier: &str, load: f64, runs: &[Run]) -> Option<String> {
    let arrived = runs.iter().map(|run| run.arrived).collect::<Vec<_>>();
    let arrived = median(&arrived).unwrap_or_default();
    (arrived < 0.95 * load).then(|| {
        format!(
            "of {carrier}'s load of {load:.0} datagrams a second {arrived:.0} arrived, {:.0} %",
            100.0 * arrived / load
        )
    })
}

/// The added latency is a percentile less the median of plain IPv4, idle, on the same path in the same pair.
fn rows(
    session: &mut Session,
    name: &str,
    runs: &[Vec<Run>; CARRIERS.len()],
    loads: [f64; CARRIERS.len()],
    refusal: Option<String>,
) {
    type Value = fn(&Run) -> f64;
    let mut shortfalls = [const { None }; CARRIERS.len()];
    for (number, carrier) in CARRIERS.iter().enumerate() {
        shortfalls[number] = shortfall(carrier.name(), loads[number], &runs[number]);
    }
    let [plain, ours, user, miredo, vxlan] = runs;
    let [_, ours_short, user_short, miredo_short, vxlan_short] = &shortfalls;
    let refusal = refusal.as_ref().or(ours_short.as_ref());
    let added = |runs: &[Run], percentile: Value| {
        let pairs = runs.iter().zip(plain);
        pairs
            .map(|(run, plain)| percentile(run) - plain.p50_us)
            .collect::<Vec<_>>()
    };
    let is_idle = loads.iter().all(|load| *load == 0.0);
    let over_vxlan = [AtMost(if is_idle { 1.5 } else { 1.2 }), Nothing];
    let percentiles: [(&str, Value); 2] = [("p99", |run| run.p99_us), ("p50", |run| run.p50_us)];
    for (mode, ours, refusal) in [
        ("", ours, refusal),
        (", in user space", user, user_short.as_ref()),
    ] {
        for ((percentile, value), over_vxlan) in percentiles.into_iter().zip(over_vxlan) {
            let measure = format!("added latency {percentile}, {name}{mode}");
            let ours = added(ours, value);
            let over_miredo = match (mode, percentile) {
                ("", _) | (_, "p50") => Nothing,
                _ => AtMost(0.3),
            };
            let over_vxlan = if mode.is_empty() { over_vxlan } else { Nothing };
            for (rival, theirs, target, short) in [
                ("miredo", miredo, over_miredo, miredo_short),
                ("vxlan", vxlan, over_vxlan, vxlan_short),
            ] {
                let theirs = added(theirs, value);
                let refusal = refusal.or(short.as_ref()).map(String::as_str);
                if theirs.iter().all(|added| *added > 0.0) {
                    let figures = [&ours[..], &theirs];
                    session.row_unless(refusal, &measure, "us", rival, figures, target);
                } else {
                    let reason = "the machine's noise is larger than what is added";
                    session.missing(format!("{measure} / {rival}"), reason);
                }
            }
        }
    }
    let trips = [ours, user, miredo, vxlan].map(|runs| runs.iter().map(|run| run.trips).min());
    let least = trips.into_iter().flatten().min().unwrap_or_default();
    session.note(format!(
        "added latency {name}: each p99 is that of {least} round trips at the least"
    ));
}

fn run(stage: &Stage, load: f64, duration: Duration) -> Result<Run> {
    let echo = socket(&stage.native, stage.destination(), ECHO_PORT)?;
    let asker = connected(stage, ECHO_PORT)?;
    let sink = socket(&stage.native, stage.destination(), LOAD_PORT)?;
    let source = connected(stage, LOAD_PORT)?;
    let (over, came) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut trips, lost, arrived) = thread::scope(|scope| -> Result<_> {
        let mut beside = vec![scope.spawn(|| turn(&echo, &over))];
        if load > 0.0 {
            beside.push(scope.spawn(|| drain(&sink, &over, &came)));
            beside.push(scope.spawn(|| pour(&source, load, &over).map(drop)));
        }
        // The load is there before the first question.
        let begun = || (came.load(Relaxed) as f64 >= load / 20.0).then_some(());
        let begun = until(PATIENCE * 10, "the load", begun);
        let (start, before) = (Instant::now(), came.load(Relaxed));
        let asked = scope.spawn(|| ask(&asker, duration)).join();
        let arrived = (came.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
        over.store(true, Relaxed);
        let panicked = |_| anyhow!("a thread panicked");
        for thread in beside {
            thread.join().map_err(panicked)??;
        }
        begun?;
        let (trips, lost) = asked.map_err(panicked)??;
        Ok((trips, lost, arrived))
    })?;
    trips.sort_by(f64::total_cmp);
    // Nearest rank.
    let at = |share: f64| {
        let rank = (trips.len() as f64 * share).ceil() as usize;
        trips.get(rank.saturating_sub(1)).copied()
    };
    Ok(Run {
        trips: trips.len(),
        lost,
        p50_us: at(0.5).context("no round trip")?,
        p99_us: at(0.99).context("no round trip")?,
        load,
        arrived,
    })
}

/// The highest rate at which everything arrives: doubled until something is lost, then by halves.
fn capacity(stage: &Stage) -> Result<Capacity> {
    let mut tries = 0;
    let mut carries = |rate: f64| {
        // One hiccup of the machine is no limit of the carrier.
        for _ in 0..2 {
            tries += 1;
            if loss(stage, rate)? <= LOSS {
                return Ok::<_, anyhow::Error>(true);
            }
        }
        Ok(false)
    };
    let (mut low, mut high) = (LEAST, LEAST * 2.0);
    ensure!(
        carries(low)?,
        "carries not even {LEAST} datagrams a second: is the machine in use?"
    );
    while carries(high)? {
        (low, high) = (high, high * 2.0);
    }
    while high / low > PRECISION {
        let middle = (low * high).sqrt();
        if carries(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(Capacity {
        per_second: low,
        tries,
    })
}

/// The share of a rate that does not arrive, or is not even sent.
fn loss(stage: &Stage, rate: f64) -> Result<f64> {
    let sink = socket(&stage.native, stage.destination(), LOAD_PORT)?;
    let source = connected(stage, LOAD_PORT)?;
    let (over, drained, came) = (
        AtomicBool::new(false),
        AtomicBool::new(false),
        AtomicU64::new(0),
    );
    let duration = Duration::from_millis(200);
    let (sent, seconds) = thread::scope(|scope| -> Result<_> {
        let drain = scope.spawn(|| drain(&sink, &drained, &came));
        let start = Instant::now();
        let pour = scope.spawn(|| pour(&source, rate, &over));
        thread::sleep(duration);
        over.store(true, Relaxed);
        let panicked = |_| anyhow!("a thread panicked");
        let sent = pour.join().map_err(panicked)??;
        let seconds = start.elapsed().as_secs_f64();
        // Datagrams in the queues still count, as long as some arrive.
        let mut before = u64::MAX;
        while before != came.load(Relaxed) && came.load(Relaxed) < sent {
            before = came.load(Relaxed);
            thread::sleep(Duration::from_millis(20));
        }
        drained.store(true, Relaxed);
        drain.join().map_err(panicked)??;
        Ok((sent as f64, seconds))
    })?;
    let came = came.load(Relaxed) as f64;
    // The generator runs last: if it cannot send at the rate, the rate is too high.
    let held_back = 1.0 - sent / (rate * seconds);
    Ok(if held_back > 0.05 {
        held_back
    } else {
        1.0 - came / sent
    })
}

fn socket(host: &Host, address: IpAddr, port: u16) -> Result<UdpSocket> {
    let socket = host.udp_socket(SocketAddr::new(address, port))?;
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
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
    Ok(socket)
}

fn turn(socket: &UdpSocket, over: &AtomicBool) -> Result<()> {
    Place::Receiver.take()?;
    Turn::First.take()?;
    let mut buffer = [0; 2048];
    while !over.load(Relaxed) {
        if let Ok((len, from)) = socket.receive_from(&mut buffer) {
            socket.send_to(&buffer[..len], from)?;
        }
    }
    Ok(())
}

/// The microseconds of round trips, and how many had no end.
fn ask(socket: &UdpSocket, duration: Duration) -> Result<(Vec<f64>, usize)> {
    Place::Sender.take()?;
    Turn::First.take()?;
    socket.set_nonblocking(true)?;
    let (mut asked, mut trips) = (Vec::new(), Vec::new());
    let mut buffer = [0; 2048];
    let mut random = fastrand::Rng::with_seed(1);
    let start = Instant::now();
    let mut next = start;
    loop {
        let now = Instant::now();
        let over = now - start >= duration;
        if over && (trips.len() == asked.len() || now - start >= duration + PATIENCE) {
            break;
        }
        if !over && now >= next {
            let mut question = [0x5a; 64];
            question[..8].copy_from_slice(&(asked.len() as u64).to_le_bytes());
            asked.push(Instant::now());
            // If the queue is full, the question is lost.
            let _ = socket.send(&question);
            // Never in step with the load.
            let jitter = random.u64(..INTERVAL.as_nanos() as u64);
            next += INTERVAL / 2 + Duration::from_nanos(jitter);
            continue;
        }
        let deadline = if over {
            start + duration + PATIENCE
        } else {
            next
        };
        let wait = Timespec::try_from(deadline.saturating_duration_since(now))?;
        poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&wait))?;
        while let Ok(len) = socket.receive(&mut buffer) {
            let number = buffer[..len]
                .first_chunk()
                .map(|first| u64::from_le_bytes(*first));
            let at = number.and_then(|number| asked.get(number as usize));
            trips.push(
                at.context("no answer to any question")?
                    .elapsed()
                    .as_secs_f64()
                    * 1e6,
            );
        }
    }
    let lost = asked.len() - trips.len();
    Ok((trips, lost))
}

fn drain(socket: &UdpSocket, over: &AtomicBool, came: &AtomicU64) -> Result<()> {
    Place::Receiver.take()?;
    Turn::Last.take()?;
    let mut buffer = [0; 2048];
    while !over.load(Relaxed) {
        if let Ok(len) = socket.receive(&mut buffer) {
            ensure!(
                len == SIZE && buffer[..len].iter().all(|byte| *byte == 0x5a),
                "the load was changed on the way"
            );
            came.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}

/// Sends so many a second, evenly, as long as the others go on; how many have left.
fn pour(socket: &UdpSocket, rate: f64, over: &AtomicBool) -> Result<u64> {
    Place::Sender.take()?;
    Turn::Last.take()?;
    let start = Instant::now();
    let mut sent = 0;
    while !over.load(Relaxed) {
        let due = start.elapsed().as_secs_f64() * rate;
        if sent as f64 >= due {
            thread::sleep(Duration::from_micros(50));
            continue;
        }
        // If the queue is full, it is sent again.
        if socket.send(&[0x5a; SIZE]).is_ok() {
            sent += 1;
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests;
