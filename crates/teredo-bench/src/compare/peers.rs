//! The relay's list of peers: what each takes, and what looking one up costs when there are ten million.
//!
//! The relay is the real one, without a TUN in front of it: clients are introduced to it by the packets that do so, and
//! packets for random clients leave by a socket, in batches. Each list is in a process of its own, whose memory is
//! looked at from within.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant as Clock};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::SockaddrStorage;
use serde::{Deserialize, Serialize};
use teredo::relay::Served;
use teredo::wire::{Flags, TeredoAddress, emit_bubble, emit_echo_request};
use teredo::{Instant, Relay, RelayConfig, Submission};
use teredo_lab::{Host, Internet};

use super::batch::{BATCH, Batch};
use super::cpu::Place;
use super::daemon::{Daemon, Make};
use super::estimate::Random;
use super::row::Target::{AtLeast, AtMost, None as Nothing};
use super::session::Session;
use crate::machine::resident;

const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
/// RFC 2544's network for benchmarks.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const CLIENT_BITS: u32 = 17;
const SERVERS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 0);
const FEW: usize = 10;
const MANY: usize = 10_000_000;
const QUICK_MANY: usize = 1_000_000;
const TURN: Duration = Duration::from_millis(700);
/// As many as a `miredo` relay is given in a bearable time.
const MIREDO: usize = 200_000;
const QUICK_MIREDO: usize = 50_000;
/// What `miredo` holds for the packet that waits for each of those: it, and the allocator's and the queue's headers.
const MIREDO_WAITING: f64 = 112.0;

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
    /// Packets a second, to the many peers and to [`FEW`] of another relay, in turns.
    turns: Vec<[f64; 2]>,
}

pub(crate) fn measure(session: &mut Session) -> Result<()> {
    let many = if session.quick { QUICK_MANY } else { MANY };
    // Everything that is sent ends at the core.
    let internet = Internet::new()?;
    let host = internet.host("relay", &[RELAY])?;
    host.namespace().set_large_frames("eth0", false)?;

    let measure = format!("throughput, {} peers in the list", short_count(many));
    eprintln!("{measure}");
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

    let measure = format!("memory for a peer of {}", short_count(many));
    let each = [run.bytes as f64 / many as f64];
    session.row(&measure, "B", "one byte", [&each, &[1.0]], AtMost(40.0));
    let hashbrown = start(&host, List::Hashbrown, many, 0)?;
    session.keep(&measure, "hashbrown", 0, &hashbrown)?;
    let theirs = hashbrown.bytes as f64 / many as f64;
    session.row(&measure, "B", "hashbrown", [&each, &[theirs]], Nothing);
    let count = if session.quick { QUICK_MIREDO } else { MIREDO };
    let theirs = of_miredo(session, count)?;
    session.row(
        &measure,
        "B",
        &format!("miredo's list, {}", short_count(count)),
        [&each, &[theirs]],
        AtMost(0.3),
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

/// What `measure` starts.
pub(crate) fn run(options: &Options) -> Result<()> {
    Place::Receiver.take()?;
    let before = resident(std::process::id())?;
    let grown = || Ok::<_, anyhow::Error>(resident(std::process::id())? - before);
    let (bytes, turns) = match options.list {
        List::Relay => {
            let mut many = fill(options.count)?;
            let bytes = grown()?;
            let mut few = fill(FEW)?;
            let socket = UdpSocket::bind((RELAY, 3545))?;
            let turns = (0..options.turns).map(|_| {
                Ok([
                    send(&mut many, &socket, options.count)?,
                    send(&mut few, &socket, FEW)?,
                ])
            });
            (bytes, turns.collect::<Result<_>>()?)
        }
        List::Hashbrown => {
            let mut list = HashMap::new();
            for number in 0..options.count {
                // The same: when it was heard and sent to, by the server and the mapping.
                let TeredoAddress { server, mapped, .. } = client(number);
                list.insert((server, mapped), [number as u32; 2]);
            }
            ensure!(list.len() == options.count, "two clients are one");
            (grown()?, Vec::new())
        }
    };
    let run = Run {
        peers: options.count,
        bytes,
        turns,
    };
    println!("{}", serde_json::to_string(&run)?);
    Ok(())
}

fn now() -> Instant {
    Instant::from_nanos(1 << 40)
}

/// A relay to which so many clients were introduced.
fn fill(count: usize) -> Result<Relay> {
    let service = SocketAddrV4::new(RELAY, 3545);
    let mut config = RelayConfig::new(service, Served::Networks(Vec::new()));
    config.max_peers = count;
    // They all come at the same instant.
    config.bubbles_per_server = u32::MAX;
    let mut relay = Relay::new(config, [7; 32], now());
    let (mut packet, mut bytes) = (Vec::new(), Vec::new());
    for number in 0..count {
        let client = client(number);
        write(client, &mut packet);
        let submission = relay.handle_tun(now(), &packet);
        ensure!(
            submission == Submission::Queued,
            "client {number}: {submission:?}"
        );
        bytes.clear();
        let _ = relay.poll_transmit(&mut bytes).context("no bubble")?;
        let token = Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[8..24])?);
        bytes.clear();
        emit_bubble(client.to_ipv6(), token, 255, &mut bytes);
        let _ = relay.handle_udp(now(), client.mapped, RELAY, &bytes);
        bytes.clear();
        let _ = relay.poll_transmit(&mut bytes).context("not introduced")?;
    }
    let status = relay.status();
    ensure!(status.trusted_peers == count, "{status:?}");
    Ok(relay)
}

/// Sends to random ones for a while; how many packets a second.
fn send(relay: &mut Relay, socket: &UdpSocket, count: usize) -> Result<f64> {
    let mut batch = Batch::new();
    let mut random = Random(count as u64);
    let mut packets = vec![Vec::new(); BATCH];
    let (mut sent, mut to) = (0, Vec::with_capacity(BATCH));
    let start = Clock::now();
    while start.elapsed() < TURN {
        to.clear();
        for packet in &mut packets {
            write(client(random.below(count)), packet);
            let Submission::Send(mapped) = relay.handle_tun(now(), packet) else {
                anyhow::bail!("a client was forgotten");
            };
            to.push(Some(SockaddrStorage::from(SocketAddr::from(mapped))));
        }
        sent += batch.send(socket, packets.iter().map(Vec::as_slice), &to)?;
    }
    Ok(sent as f64 / start.elapsed().as_secs_f64())
}

/// The packet for a client: 64 bytes.
fn write(client: TeredoAddress, packet: &mut Vec<u8>) {
    packet.clear();
    emit_echo_request(NATIVE, client.to_ipv6(), 64, 1, 2, &[0x5a; 16], packet);
}

fn client(number: usize) -> TeredoAddress {
    let number = number as u32;
    let host = number & ((1 << CLIENT_BITS) - 1);
    TeredoAddress {
        server: Ipv4Addr::from(SERVERS.to_bits() + 1 + number % 250),
        flags: Flags::default(),
        mapped: SocketAddrV4::new(
            Ipv4Addr::from(CLIENTS.to_bits() + host),
            4096 + (number >> CLIENT_BITS) as u16,
        ),
    }
}

/// By how much a `miredo` relay grows for each client that it has a packet for, without that packet.
fn of_miredo(session: &Session, count: usize) -> Result<f64> {
    let internet = Internet::new()?;
    let second = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
    let host = internet.native_host("relay", &[RELAY], second)?;
    let native = internet.native_host("native", &[], NATIVE)?;
    internet.announce(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, &host)?;
    let relay = Daemon::relay(session, Make::Miredo, &host)?;
    let grown = || {
        let sizes = relay.processes().into_iter().map(resident);
        sizes.sum::<Result<u64>>()
    };
    let before = grown()?;
    let socket = native.udp_socket((NATIVE, 0))?;
    let mut batch = Batch::new();
    let before_packets = super::stage::traffic(&host, super::daemon::INTERFACE)?.sent;
    let mut number = 0;
    while number < count {
        let to: Vec<_> = (number..number + BATCH)
            .map(|number| {
                let address = SocketAddr::new(client(number).to_ipv6().into(), 4000);
                Some(SockaddrStorage::from(address))
            })
            .collect();
        number += batch.send(&socket, std::iter::repeat_n(&[0x5a; 16][..], BATCH), &to)?;
        // Its interface has a queue of 500 packets.
        std::thread::sleep(Duration::from_micros(400));
    }
    let taken = super::stage::traffic(&host, super::daemon::INTERFACE)?.sent - before_packets;
    ensure!(
        taken * 10 > count as u64 * 9,
        "miredo has taken {taken} packets of {count}"
    );
    Ok((grown()? - before) as f64 / taken as f64 - MIREDO_WAITING)
}
