//! The steps: kill a relay, cut a host off, kill a server, drain a relay, overload one.

use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use teredo_lab::{Process, until};
use teredo_notify::call::Caller;
use teredo_notify::types::{Phase, Status};

use super::network::{Machine, Network};
use super::plan::{FURTHER_NATIVE, Kind, NATIVE, NODES, PAIR, RELAY, Router};
use super::traffic::{Account, PACE, Stream};
use crate::lab::report::{Findings, Reporter, StepError};

/// How long BFD takes to notice: three packets, 100 ms apart.
const BFD: Duration = Duration::from_millis(300);
/// Traffic must be back by then.
const BACK: Duration = Duration::from_millis(300 + 1000);
const PATIENCE: Duration = Duration::from_secs(15);
/// Traffic counts as steady after this long without a loss.
const STEADY: Duration = Duration::from_millis(200);
/// The stops of an overloaded relay, and the time between them in which it runs.
const STOPPED: Duration = Duration::from_millis(190);
const RUNNING: Duration = Duration::from_millis(30);
/// Answers that waited for a bubble may take as long as its repetition.
const LATE_ANSWERS: Duration = Duration::from_secs(3);
const PROMPT_ANSWERS: Duration = Duration::from_millis(200);

/// The networks of a kind, whose way must be the same.
fn networks(kind: Kind) -> Vec<String> {
    match kind {
        Kind::Relay => vec![format!("{RELAY}/32"), "2001::/32".to_owned()],
        Kind::Server => PAIR.iter().map(|ip| format!("{ip}/32")).collect(),
    }
}

/// Runs all steps. The network stays in `place`, after a step that fails, too.
pub(super) fn run(reporter: &mut Reporter, place: &mut Option<Network>) -> Result<(), StepError> {
    let network = reporter.step("an internet", || {
        let network = Network::build()?;
        until(PATIENCE, "all sessions of BIRD", || {
            network.is_settled().ok().filter(|settled| *settled)
        })?;
        let line = "three routers and four hosts with BIRD: BGP, and BFD with 3 x 100 ms";
        Ok((
            network,
            Findings::new(line).fact("bfd_ms", BFD.as_millis() as u64),
        ))
    })?;
    let network = place.insert(network);
    reporter.step("two servers", || start(network, Kind::Server))?;
    reporter.step("two relays", || start(network, Kind::Relay))?;
    let address = reporter.step("alice", || alice(network))?;
    let streams = reporter.step("traffic", || traffic(network))?;

    reporter.step("a relay is killed", || relay_killed(network, &streams))?;
    reporter.step("it is started again", || {
        back(network, &streams, |network| network.start_service("relay1"))
    })?;
    reporter.step("its host is cut off", || host_cut_off(network, &streams))?;
    reporter.step("the host is back", || {
        back(network, &streams, |network| {
            network.host(Kind::Relay, Router::East)?.mend()
        })
    })?;
    reporter.step("a server is killed", || {
        server_killed(network, &streams, address)
    })?;
    reporter.step("it is started again", || {
        network.start_service("server1")?;
        wait_for_way(network, Kind::Server, Router::East)?;
        Ok(((), Findings::new("the core goes to server1 again")))
    })?;
    reporter.step("a relay is drained", || drained(network, &streams))?;
    reporter.step("it is started again", || {
        back(network, &streams, |network| {
            network.start_service("relay1")?;
            network.start_announcer("relay1")
        })
    })?;
    reporter.step("an announcer is killed", || {
        announcer_killed(network, &streams)
    })?;
    reporter.step("it is started again", || {
        back(network, &streams, |network| {
            network.start_announcer("relay1")
        })
    })?;
    reporter.step("a relay is overloaded", || overloaded(network, &streams))
}

/// Traffic that goes on all the time.
struct Streams {
    /// Between alice and the native host.
    packets: Stream,
    /// From a host to the servers.
    solicitations: Stream,
}

/// Starts both of a kind. The core prefers the one in the east, whose router has the lower number.
fn start(network: &mut Network, kind: Kind) -> anyhow::Result<((), Findings)> {
    let nodes = NODES.into_iter().filter(|node| node.kind == kind);
    for node in nodes.clone() {
        network.start_service(node.name)?;
        network.start_announcer(node.name)?;
    }
    for router in [Router::East, Router::West] {
        let machine = network.host(kind, router)?;
        machine
            .announced()?
            .wait_for_line("announcing ", PATIENCE)?;
    }
    let started = Instant::now();
    wait_for_way(network, kind, Router::East)?;
    let names: Vec<_> = nodes.map(|node| node.name).collect();
    let line = format!(
        "{} both announce {}",
        names.join(" and "),
        networks(kind).join(" and ")
    );
    let in_use = network.host(kind, Router::East)?.node.name;
    let findings = Findings::new(line)
        .line(format!("the core goes to {in_use}"))
        .fact("in_use", in_use)
        .fact("way_ms", milliseconds(started.elapsed()));
    Ok(((), findings))
}

fn alice(network: &mut Network) -> anyhow::Result<(Ipv6Addr, Findings)> {
    network.start_client()?;
    let status = until(PATIENCE, "a qualified client", || qualified(network))?;
    let address = status.address.context("qualified without an address")?;
    let findings = Findings::new(address.to_string())
        .line("qualified with server1, behind a port-restricted NAT")
        .fact("address", address.to_string());
    Ok((address, findings))
}

fn qualified(network: &Network) -> Option<Status> {
    let status = Caller::open(&network.client_socket())
        .ok()?
        .get_status()
        .ok()?;
    (status.state == Phase::Qualified).then_some(status)
}

fn traffic(network: &mut Network) -> anyhow::Result<(Streams, Findings)> {
    let packets = Stream::echo(&network.alice, &network.native, NATIVE)?;
    let solicitations = Stream::solicitations(&network.neighbour, PAIR[0])?;
    let streams = Streams {
        packets,
        solicitations,
    };
    steady(&streams)?;
    let line = format!(
        "alice and a native host, {} packets a second each way",
        Duration::from_secs(1).as_millis() / PACE.as_millis()
    );
    Ok((streams, Findings::new(line)))
}

/// Waits until traffic flows, for a while from now on.
fn steady(streams: &Streams) -> anyhow::Result<()> {
    for stream in [&streams.packets, &streams.solicitations] {
        let mark = stream.mark();
        until(PATIENCE, "traffic without loss", || {
            stream.flows_since(mark, STEADY).then_some(())
        })?;
    }
    Ok(())
}

/// Waits until the core goes there with all networks of a kind.
fn wait_for_way(network: &Network, kind: Kind, router: Router) -> anyhow::Result<()> {
    let interface = Router::interface(router.name());
    for to in networks(kind) {
        until(
            PATIENCE,
            format_args!("the core's way to {to} by {interface}"),
            || {
                let way = network.core.way(&to).ok()??;
                (way == interface).then_some(())
            },
        )
        .with_context(|| format!("the core's way is {:?}", network.core.way(&to)))?;
    }
    Ok(())
}

/// Starts or mends what is missing of the relay in the east; the traffic moves back to it without a loss.
fn back(
    network: &mut Network,
    streams: &Streams,
    start: impl FnOnce(&mut Network) -> anyhow::Result<()>,
) -> anyhow::Result<((), Findings)> {
    let mark = streams.packets.mark();
    start(network)?;
    wait_for_way(network, Kind::Relay, Router::East)?;
    steady(streams)?;
    let account = streams.packets.account(mark, LATE_ANSWERS);
    nothing_lost(account)?;
    let line = format!(
        "traffic went on, and is back at relay1: {}",
        in_words(account)
    );
    Ok(((), of_account(Findings::new(line), account)))
}

fn relay_killed(network: &mut Network, streams: &Streams) -> anyhow::Result<((), Findings)> {
    let mark = streams.packets.mark();
    let machine = network.host(Kind::Relay, Router::East)?;
    let service = machine
        .service
        .take()
        .context("there is no relay to kill")?;
    service.kill()?;
    let outcome = moved(network, streams, mark)?;
    let line =
        "kill -9: the TUN interface is gone at once, the route when the next probe is refused";
    Ok(((), outcome.line(line)))
}

fn host_cut_off(network: &mut Network, streams: &Streams) -> anyhow::Result<((), Findings)> {
    let mark = streams.packets.mark();
    network.host(Kind::Relay, Router::East)?.cut_off()?;
    let outcome = moved(network, streams, mark)?;
    Ok(((), outcome.line("nothing says goodbye: BFD notices")))
}

/// Waits until the traffic goes by the other relay, and tells how long it stopped.
fn moved(network: &Network, streams: &Streams, mark: usize) -> anyhow::Result<Findings> {
    wait_for_way(network, Kind::Relay, Router::West)?;
    steady(streams)?;
    let account = streams.packets.account(mark, PROMPT_ANSWERS);
    ensure!(
        account.silence <= BACK,
        "the traffic stopped for {} ms, and BFD's time and a second are {} ms",
        account.silence.as_millis(),
        BACK.as_millis()
    );
    let line = format!(
        "traffic stopped for {} ms, then went by relay2 ({} of {} packets lost)",
        account.silence.as_millis(),
        account.lost,
        account.sent
    );
    Ok(of_account(Findings::new(line), account))
}

/// The other server goes on with the clients of the first: they notice nothing.
fn server_killed(
    network: &mut Network,
    streams: &Streams,
    address: Ipv6Addr,
) -> anyhow::Result<((), Findings)> {
    let (mark, solicitations) = (streams.packets.mark(), streams.solicitations.mark());
    let machine = network.host(Kind::Server, Router::East)?;
    let service = machine
        .service
        .take()
        .context("there is no server to kill")?;
    service.kill()?;
    wait_for_way(network, Kind::Server, Router::West)?;
    steady(streams)?;
    let asked = streams.solicitations.account(solicitations, PROMPT_ANSWERS);
    let account = streams.packets.account(mark, LATE_ANSWERS);
    nothing_lost(account)?;
    ensure!(
        asked.silence <= BACK,
        "no server answered for {} ms",
        asked.silence.as_millis()
    );
    // A peer that she has not met: her test of the path goes through the server.
    let replies = teredo_lab::ping(&network.alice, FURTHER_NATIVE, 3, PATIENCE)?;
    ensure!(
        replies.are_all_in_order(3),
        "a new peer is not reached through server2: {:?}",
        replies.order
    );
    let status = qualified(network).context("alice is not qualified any more")?;
    ensure!(
        status.address == Some(address),
        "alice has another address, {:?}",
        status.address
    );
    let findings = Findings::new(format!(
        "no server answered for {} ms, then server2 did",
        asked.silence.as_millis()
    ))
    .line("alice keeps her address, and meets a new peer through server2")
    .line(format!("her traffic went on: {}", in_words(account)))
    .fact("server_silence_ms", milliseconds(asked.silence));
    Ok(((), of_account(findings, account)))
}

fn drained(network: &mut Network, streams: &Streams) -> anyhow::Result<((), Findings)> {
    let mark = streams.packets.mark();
    let machine = network.host(Kind::Relay, Router::East)?;
    // As systemd stops the two units: the announcer first.
    for process in [machine.announcer.take(), machine.service.take()] {
        let process = process.context("there is nothing to stop")?;
        let status = process.terminate(PATIENCE)?;
        ensure!(
            status.success(),
            "{} ended with {status}: {}",
            process.name(),
            process.lines().join("; ")
        );
    }
    wait_for_way(network, Kind::Relay, Router::West)?;
    steady(streams)?;
    let account = streams.packets.account(mark, LATE_ANSWERS);
    nothing_lost(account)?;
    let findings = Findings::new(format!(
        "the route went first, then the relay: {}",
        in_words(account)
    ));
    Ok(((), of_account(findings, account)))
}

/// Its interface goes with it, and the routes go with the interface.
fn announcer_killed(network: &mut Network, streams: &Streams) -> anyhow::Result<((), Findings)> {
    let mark = streams.packets.mark();
    let machine = network.host(Kind::Relay, Router::East)?;
    let announcer = machine.announcer.take().context("there is no announcer")?;
    let killed = Instant::now();
    announcer.kill()?;
    wait_for_way(network, Kind::Relay, Router::West)?;
    let moved = killed.elapsed();
    steady(streams)?;
    let account = streams.packets.account(mark, LATE_ANSWERS);
    nothing_lost(account)?;
    let findings = Findings::new(format!(
        "kill -9: its interface and the routes were gone, and the core went to relay2 after {} ms",
        moved.as_millis()
    ))
    .line(format!("relay1 still served: {}", in_words(account)))
    .fact("moved_ms", milliseconds(moved));
    Ok(((), of_account(findings, account)))
}

/// A relay that gets too little of the processor stands back, and nothing flaps.
fn overloaded(network: &mut Network, streams: &Streams) -> anyhow::Result<((), Findings)> {
    let mark = streams.packets.mark();
    let started = Instant::now();
    let machine = network.host(Kind::Relay, Router::East)?;
    let lines = machine.announced()?.mark();
    let service = machine.service.take().context("there is no relay")?;
    let stood_back = starving(&service, || {
        wait_for_way(network, Kind::Relay, Router::West)?;
        Ok(started.elapsed())
    });
    let machine = network.host(Kind::Relay, Router::East)?;
    machine.service = Some(service);
    let stood_back = stood_back?;
    wait_for_way(network, Kind::Relay, Router::East)?;
    steady(streams)?;
    let account = streams.packets.account(mark, LATE_ANSWERS);
    nothing_lost(account)?;
    let machine = network.host(Kind::Relay, Router::East)?;
    let told = told_since(machine, lines)?;
    let changes: Vec<_> = told
        .iter()
        .filter_map(|line| line.split("metric ").nth(1)?.split(':').next())
        .collect();
    ensure!(
        changes == ["200", "100"] && !told.iter().any(|line| line.contains("withdrew")),
        "the announcer changed its mind more often: {told:?}"
    );
    let findings = Findings::new(format!(
        "late answers: after {:.1} s relay1 stood back, and relay2 took over",
        stood_back.as_secs_f64()
    ))
    .line(format!(
        "well again, it took its traffic back: {}",
        in_words(account)
    ))
    .fact("stood_back_ms", milliseconds(stood_back))
    .fact("changes", changes.len() as u64);
    Ok(((), of_account(findings, account)))
}

/// Stops and continues a process all the time, until `work` is done.
fn starving<T>(process: &Process, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let starver = scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                process.signal(Signal::STOP)?;
                thread::sleep(STOPPED);
                process.signal(Signal::CONT)?;
                thread::sleep(RUNNING);
            }
            anyhow::Ok(())
        });
        let outcome = work();
        is_done.store(true, Ordering::Relaxed);
        match starver.join() {
            Ok(starved) => starved.and(outcome),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The lines of the announcer since a mark.
fn told_since(machine: &Machine, mark: usize) -> anyhow::Result<Vec<String>> {
    Ok(machine.announced()?.lines().split_off(mark))
}

fn nothing_lost(account: Account) -> anyhow::Result<()> {
    ensure!(
        account.lost == 0,
        "{} of {} packets were lost",
        account.lost,
        account.sent
    );
    Ok(())
}

fn in_words(account: Account) -> String {
    format!("{} of {} packets lost", account.lost, account.sent)
}

fn of_account(findings: Findings, account: Account) -> Findings {
    findings
        .fact("sent", account.sent as u64)
        .fact("lost", account.lost as u64)
        .fact("silence_ms", milliseconds(account.silence))
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}
