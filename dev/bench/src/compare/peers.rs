//! The relay's list of peers: the memory of each, and the cost of a look-up among ten million.
//!
//! Twice. Relays of both makes run as ever, with their TUN interfaces, and get to know clients by packets: some hundred
//! thousand, for a client that is silent for 30 s is forgotten (RFC 4380 §5.2.4), and ten million cannot be heard in
//! 30 s here. The ten million are introduced to the relay's state machine with a clock that stands still; packets for
//! random ones leave by a socket, in batches. Each of those lists is in a process of its own, whose memory is looked at
//! from within.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant as Clock};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::SockaddrStorage;
use serde::{Deserialize, Serialize};
use teredo::relay::Served;
use teredo::wire::{TeredoAddress, emit_bubble, emit_echo_request};
use teredo::{Instant, Node, Relay, RelayConfig, Submission};
use teredo_lab::{Host, Internet};

use super::batch::{BATCH, Batch};
use super::cpu::Place;
use super::crowd::client;
use super::daemon::{DataPath, Make};
use super::datagrams::shape;
use super::plot::{Plot, Series};
use super::relaying::{Direction, Order, SMALL, Scene};
use super::row::Target::{self, AtLeast, AtMost, None as Nothing};
use super::session::Session;
use crate::machine::resident;

const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
const FEW: usize = 10;
const MANY: usize = 10_000_000;
const QUICK_MANY: usize = 1_000_000;
const TURN: Duration = Duration::from_millis(700);
/// As many as either relay meets in time; `miredo` would take 1,048,576.
const MET: usize = 200_000;
const QUICK_MET: usize = 50_000;
const MET_BEFORE: usize = 2000;
/// Of a relay of ours alone, which meets them by and by and hears those before again meanwhile.
const AT_RANDOM: usize = 1_000_000;
const QUICK_AT_RANDOM: usize = 100_000;
const STEP: usize = 40_000;
const STATUSES: usize = 1000;

/// The growth of a relay.
#[derive(Clone, Copy, Debug, Serialize)]
struct Grown {
    peers: usize,
    bytes: u64,
    /// How long it took until all were met.
    seconds: f64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    count: usize,
    #[arg(long, value_enum)]
    list: List,
    /// How often packets are sent, to as many peers and to few.
    #[arg(long)]
    turns: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum List {
    Relay,
    Hashbrown,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Run {
    peers: usize,
    /// By which the process has grown.
    bytes: u64,
    /// The longest that a packet took which made an entry.
    worst_us: f64,
    /// Packets a second, to the many peers and to [`FEW`] of another relay, in turns.
    turns: Vec<[f64; 2]>,
    /// How long the data path took for each status, in microseconds.
    status_us: Vec<f64>,
}

pub(crate) fn measure(session: &mut Session) -> Result<()> {
    let mut theirs = None;
    // Fewer if the machine is too slow to meet all while the first are still trusted.
    let counts = if session.quick {
        &[QUICK_MET][..]
    } else {
        &[MET, QUICK_MET]
    };
    for many in counts {
        match of_relays(session, *many) {
            Ok(each) => {
                theirs = Some((each, format!("miredo, {} met", short_count(*many))));
                break;
            }
            Err(error) => {
                let name = format!("relays that have met {}", short_count(*many));
                session.missing(name, format!("{error:#}"));
            }
        }
    }
    let (many, target) = if session.quick {
        (QUICK_AT_RANDOM, Nothing)
    } else {
        (AT_RANDOM, AtLeast(0.7))
    };
    if let Err(error) = at_random(session, many, target) {
        let name = format!("a relay that knows {} peers", short_count(many));
        session.missing(name, format!("{error:#}"));
    }
    of_lists(session, theirs)
}

/// A relay of ours that knows so many clients, and any of them may be next.
fn at_random(session: &mut Session, many: usize, target: Target) -> Result<()> {
    let mut scene = Scene::build(session, Make::Ours(DataPath::Auto))?;
    let name = format!("packets to {} peers at random, a second", short_count(many));
    session.progress(&name, 0);
    scene.introduce_in_steps(many, STEP)?;
    let before = scene.data_path()?;
    let mut rates = [Vec::new(), Vec::new()];
    for pair in 0..session.pairs() {
        session.progress(&name, pair);
        for (peers, rates) in [many, FEW].into_iter().zip(&mut rates) {
            let peers = (peers, Order::Random);
            let run = scene.run_in_order(Direction::ToPeers, SMALL, peers, TURN)?;
            session.keep(&name, "teredo", pair, &run)?;
            rates.push(run.per_second);
        }
    }
    let refusal = scene.data_path()?.obstacle(&before);
    let itself = format!("itself, {FEW} peers");
    let rates = [&rates[0][..], &rates[1]];
    session.row_unless(refusal.as_deref(), &name, "1/s", &itself, rates, target);
    Ok(())
}

/// Relays as they run, which get to know clients by packets, as many as can be met while the first are still trusted.
/// The bytes of `miredo` for a peer.
fn of_relays(session: &mut Session, many: usize) -> Result<f64> {
    let [ours, miredo] =
        [Make::Ours(DataPath::User), Make::Miredo].map(|make| Scene::build(session, make));
    let mut scenes = [ours?, miredo?];
    let name = format!("a relay's memory for a peer, {} met", short_count(many));
    let mut each = Vec::new();
    for (number, scene) in scenes.iter_mut().enumerate() {
        session.progress(&name, number);
        // Growth that is not the peers': queues, and the allocator's first arenas.
        scene.introduce(MET_BEFORE)?;
        let before = scene.resident()?;
        let took = scene.introduce(many)?;
        let bytes = scene.resident()?.saturating_sub(before);
        let grown = Grown {
            peers: many - MET_BEFORE,
            bytes,
            seconds: took.as_secs_f64(),
        };
        session.keep(&name, scene.name(), 0, &grown)?;
        each.push(bytes as f64 / grown.peers as f64);
    }
    if let [ours, theirs] = each[..] {
        session.row(&name, "B", "miredo", [&[ours], &[theirs]], AtMost(0.3));
    }

    let name = format!("packets to {} met, a second", short_count(many));
    let mut rates = [Vec::new(), Vec::new()];
    for pair in 0..session.pairs() {
        session.progress(&name, pair);
        for (peers, rates) in [many, FEW].into_iter().zip(&mut rates) {
            let run = scenes[0].run(Direction::ToPeers, SMALL, peers, TURN)?;
            session.keep(&name, scenes[0].name(), pair, &run)?;
            rates.push(run.per_second);
        }
    }
    let itself = format!("itself, {FEW} peers");
    session.row(&name, "1/s", &itself, [&rates[0], &rates[1]], AtLeast(0.7));
    by_peers(session, &mut scenes, many)?;
    each.pop().context("nothing has grown")
}

fn by_peers(session: &mut Session, scenes: &mut [Scene], many: usize) -> Result<()> {
    let mut series = Vec::new();
    for scene in scenes {
        let mut points = Vec::new();
        for peers in [10, 100, 1000, 10_000, many] {
            let rate = shape(session, scene, "by peers", SMALL, peers)?;
            points.push((peers as f64, rate));
        }
        series.push(Series {
            name: scene.name(),
            points,
        });
    }
    let plot = Plot {
        title: "64-byte packets through a relay",
        x: "peers, one after the other",
        y: "packets a second",
        base: 10.0,
        series: &series,
    };
    plot.save(&session.out().join("by-peers.svg"))
}

/// The list by itself, at ten million, beside `miredo`'s memory for each of fewer.
fn of_lists(session: &mut Session, miredo: Option<(f64, String)>) -> Result<()> {
    let many = if session.quick { QUICK_MANY } else { MANY };
    // Everything that is sent ends at the core.
    let internet = Internet::new()?;
    let host = internet.host("relay", &[RELAY])?;
    host.namespace().set_large_frames("eth0", false)?;

    let count = short_count(many);
    let measure = format!("throughput, {count} peers in the list");
    session.progress(&measure, 0);
    let run = start(&host, List::Relay, many, session.pairs())?;
    session.keep(&measure, "teredo", 0, &run)?;
    let [ours, few] = [0, 1].map(|at| run.turns.iter().map(|turn| turn[at]).collect::<Vec<_>>());
    session.row(
        &measure,
        "1/s",
        &format!("itself, {FEW} peers"),
        [&ours, &few],
        AtLeast(0.7),
    );

    session.row(
        &format!("data path's time for a status, {count} peers"),
        "us",
        "5 ms",
        [&run.status_us, &[5000.0]],
        AtMost(1.0),
    );

    let measure = format!("memory for a peer of {count}");
    session.progress(&measure, 0);
    let hashbrown = start(&host, List::Hashbrown, many, 0)?;
    session.keep(&measure, "hashbrown", 0, &hashbrown)?;
    let [ours, theirs] = [&run, &hashbrown].map(|run| run.bytes as f64 / many as f64);
    session.row(&measure, "B", "one byte", [&[ours], &[1.0]], AtMost(40.0));
    session.row(&measure, "B", "hashbrown", [&[ours], &[theirs]], Nothing);
    if let Some((theirs, rival)) = miredo {
        session.row(&measure, "B", &rival, [&[ours], &[theirs]], AtMost(0.3));
    }
    let [ours, theirs] = [&run, &hashbrown].map(|run| run.worst_us);
    session.row(
        &format!("worst stall on growth to {count}"),
        "us",
        "hashbrown",
        [&[ours], &[theirs]],
        Nothing,
    );
    Ok(())
}

fn short_count(count: usize) -> String {
    super::row::short(count as f64)
}

/// In a process of its own.
fn start(host: &Host, list: List, count: usize, turns: usize) -> Result<Run> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    let list = match list {
        List::Relay => "relay",
        List::Hashbrown => "hashbrown",
    };
    command
        .args(["peers", "--list", list, "--count", &count.to_string()])
        .args(["--turns", &turns.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let output = host.namespace().spawn(&mut command)?.wait_with_output()?;
    ensure!(output.status.success(), "the list of {count} peers failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The process that `measure` starts.
pub(crate) fn run(options: &Options) -> Result<()> {
    Place::Receiver.take()?;
    let before = resident(std::process::id())?;
    let grown = || Ok::<_, anyhow::Error>(resident(std::process::id())? - before);
    let (bytes, worst, turns, status_us) = match options.list {
        List::Relay => {
            let (mut many, worst) = fill(options.count)?;
            let bytes = grown()?;
            let (mut few, _) = fill(FEW)?;
            let socket = UdpSocket::bind((RELAY, 3545))?;
            let turns = (0..options.turns).map(|_| {
                Ok([
                    send(&mut many, &socket, options.count)?,
                    send(&mut few, &socket, FEW)?,
                ])
            });
            let turns = turns.collect::<Result<_>>()?;
            (bytes, worst, turns, statuses(&mut many, options.count)?)
        }
        List::Hashbrown => {
            let mut list = HashMap::new();
            let mut worst = Duration::ZERO;
            for number in 0..options.count {
                // The same: when it was heard and sent to, by the server and the mapping.
                let TeredoAddress { server, mapped, .. } = client(number);
                let start = Clock::now();
                list.insert((server, mapped), [number as u32; 2]);
                worst = worst.max(start.elapsed());
            }
            ensure!(list.len() == options.count, "two clients are one");
            (grown()?, worst, Vec::new(), Vec::new())
        }
    };
    let run = Run {
        peers: options.count,
        bytes,
        worst_us: worst.as_secs_f64() * 1e6,
        turns,
        status_us,
    };
    println!("{}", serde_json::to_string(&run)?);
    Ok(())
}

fn now() -> Instant {
    Instant::from_nanos(1 << 40)
}

/// A relay to which so many clients were introduced, and the longest that it was busy with one packet.
fn fill(count: usize) -> Result<(Relay, Duration)> {
    let service = SocketAddrV4::new(RELAY, 3545);
    let mut config = RelayConfig::new(service, Served::Networks(Vec::new()));
    config.max_peers = count;
    // They all come at the same instant.
    config.bubbles_per_server = u32::MAX;
    config.bubbles_per_second = u32::MAX;
    let mut relay = Relay::new(config, [7; 32]);
    let (mut packet, mut bytes) = (Vec::new(), Vec::new());
    let mut worst = Duration::ZERO;
    for number in 0..count {
        let client = client(number);
        write(client, &mut packet);
        let start = Clock::now();
        let submission = relay.handle_tun(now(), &packet);
        worst = worst.max(start.elapsed());
        ensure!(
            submission == Submission::Queued,
            "client {number}: {submission:?}"
        );
        bytes.clear();
        let _ = relay.poll_transmit(&mut bytes).context("no bubble")?;
        let token = Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[8..24])?);
        bytes.clear();
        emit_bubble(client.to_ipv6(), token, 255, &mut bytes);
        let start = Clock::now();
        let _ = relay.handle_udp(now(), client.mapped, RELAY, &bytes);
        worst = worst.max(start.elapsed());
        bytes.clear();
        let _ = relay.poll_transmit(&mut bytes).context("not introduced")?;
    }
    let status = relay.status();
    ensure!(status.trusted_peers == count, "{status:?}");
    Ok((relay, worst))
}

/// Sends to random ones for a while; how many packets a second.
fn send(relay: &mut Relay, socket: &UdpSocket, count: usize) -> Result<f64> {
    let mut batch = Batch::new();
    let mut random = fastrand::Rng::with_seed(count as u64);
    let mut packets = vec![Vec::new(); BATCH];
    let (mut sent, mut to) = (0, Vec::with_capacity(BATCH));
    let start = Clock::now();
    while start.elapsed() < TURN {
        to.clear();
        for packet in &mut packets {
            write(client(random.usize(..count)), packet);
            let Submission::Send(mapped) = relay.handle_tun(now(), packet) else {
                anyhow::bail!("a client was forgotten");
            };
            to.push(Some(SockaddrStorage::from(SocketAddr::from(mapped))));
        }
        sent += batch.send(socket, packets.iter().map(Vec::as_slice), &to)?;
    }
    Ok(sent as f64 / start.elapsed().as_secs_f64())
}

/// How long the state machine takes for its part of a status, in microseconds, while it works: between packets to random
/// ones. A lane does no more for it than copy its counters.
fn statuses(relay: &mut Relay, count: usize) -> Result<Vec<f64>> {
    let mut random = fastrand::Rng::with_seed(count as u64);
    let mut packet = Vec::new();
    let mut times = Vec::with_capacity(STATUSES);
    for _ in 0..STATUSES {
        for _ in 0..BATCH {
            write(client(random.usize(..count)), &mut packet);
            let submission = relay.handle_tun(now(), &packet);
            ensure!(
                matches!(submission, Submission::Send(_)),
                "a client was forgotten"
            );
        }
        let start = Clock::now();
        let status = (relay.status(), *relay.counters(), relay.drops().clone());
        std::hint::black_box(status);
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

/// The packet for a client: 64 bytes.
fn write(client: TeredoAddress, packet: &mut Vec<u8>) {
    packet.clear();
    emit_echo_request(NATIVE, client.to_ipv6(), 64, 1, 2, &[0x5a; 16], packet);
}
