//! The steps: a client, its port, and a firewall that follows it.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::socket::{setsockopt, sockopt::Ipv6RecvErr};
use teredo::wire::TeredoAddress;
use teredo_lab::{HomeNat, Host, NatKind, Receive, until};
use teredo_notify::call::Caller;
use teredo_notify::types::{Carrier, DataPath, Phase, Status};
use teredo_notify::watcher::{WatchRegistration, Watcher};
use teredo_notify::{Kind, Notification};
use teredo_tunnel::kernel::DataPathChoice;

use super::diagram::Recorder;
use super::network::{ALLOWED_PORT, LEASE, Network, SERVER};
use super::report::{Findings, Found, Reporter, StepError};
use super::{Expectation, Nats, Path, ruleset};
use crate::status::router_in_words;

const PINGS: u16 = 5;
/// Qualification takes a round trip, and 4 s more for each solicitation that is lost.
const QUALIFICATION: Duration = Duration::from_secs(10);
/// A peer is asked four times, 2 s apart; after a while the limit of bubbles answers at once.
const GIVEN_UP: Duration = Duration::from_secs(12);
/// The firewall and the subscribers must react to the end of a process within this time, which is less than what is left of
/// a lease: on a loaded machine, too, it tells the one from the other.
const PROMPTLY: Duration = Duration::from_secs(2);
/// How long to wait for a packet that must not arrive.
const SILENCE: Duration = Duration::from_millis(300);

/// A program that subscribes to alice's port.
struct Subscriber {
    notifications: std::sync::mpsc::Receiver<(Instant, Notification)>,
    _registration: WatchRegistration,
}

impl Subscriber {
    fn new(socket: &FilePath) -> anyhow::Result<Self> {
        let (sender, notifications) = std::sync::mpsc::channel();
        let registration = Watcher::new(socket).register(false, move |notification| {
            // The receiver is gone after the last step.
            let _ = sender.send((Instant::now(), notification));
        })?;
        Ok(Self {
            notifications,
            _registration: registration,
        })
    }

    fn next(&self, kind: Kind) -> anyhow::Result<(Instant, Notification)> {
        let (at, notification) = self
            .notifications
            .recv_timeout(QUALIFICATION)
            .with_context(|| format!("no notification '{}'", kind.name()))?;
        ensure!(
            notification.kind == kind,
            "expected '{}', got {notification:?}",
            kind.name()
        );
        Ok((at, notification))
    }
}

/// Runs all steps. The network stays in `place`, after a step that fails, too.
pub(super) fn run(
    reporter: &mut Reporter,
    nats: Nats,
    data_path: Option<DataPathChoice>,
    recorder: Option<&mut Recorder>,
    place: &mut Option<Network>,
) -> Result<(), StepError> {
    let network = reporter.step("an internet", || {
        let network = Network::build(nats, data_path, recorder)?;
        Ok((
            network,
            Findings::new("two homes behind NATs, a host in each; nothing was installed")
                .fact("nat", nats.alice.to_string())
                .fact("peer_nat", nats.bob.to_string()),
        ))
    })?;
    let network = place.insert(network);
    reporter.step("a server", || {
        network.start_server()?;
        let line = format!("teredo server --address {} (and {})", SERVER[0], SERVER[1]);
        Ok(((), Findings::new(line)))
    })?;
    let subscriber = reporter.step("alice's firewall", || {
        let subscriber = Subscriber::new(&network.alice_socket())?;
        network.start_alice_agent()?;
        until(PROMPTLY * 5, "the agent's table", || {
            ruleset::has_own_table(network.alice())
                .unwrap_or(false)
                .then_some(())
        })?;
        ensure!(
            ruleset::open_ports(network.alice())?.is_empty(),
            "a port is open before there is a client"
        );
        let line = "drops all but the port in @teredo_ports, which is empty";
        Ok((
            subscriber,
            Findings::new(line).line(format!("teredo firewall --set '{}'", ruleset::SET)),
        ))
    })?;

    let (port, alice) = reporter.step("alice's client", || start(network, nats))?;
    reporter.step("everybody knows the port", || {
        let (_, notification) = subscriber.next(Kind::Add)?;
        ensure!(
            notification.state.port == port,
            "the program was notified of port {}, but the port is {port}",
            notification.state.port
        );
        let settled = in_step(network, port)?;
        let findings = Findings::new(format!("a subscriber was notified: add {port}"))
            .line(format!(
                "the set held {{ {port} }} {} after the announcement",
                microseconds(settled)
            ))
            .fact("port", port)
            .fact("settle_us", settled);
        Ok(((), findings))
    })?;
    let bob = reporter.step("bob", || bob(network))?;
    let expected = nats.expected();
    let mut found = Found {
        path: Path::None,
        expected,
        is_listed: nats.are_listed(),
        is_lost: false,
    };
    let met = match (alice, bob) {
        (Some(alice), Some(bob)) => {
            let must = expected == Expectation::Sure(Path::Direct);
            let outcome = match nats.are_plain() {
                true => reporter.step("ping", || Ok((true, ping(network, bob)?))),
                false => reporter.step("ping", || attempt(network, bob, must)),
            };
            if matches!(outcome, Ok(true)) {
                found.path = Path::Direct;
            }
            reporter.found(found);
            outcome?.then_some((alice, bob))
        }
        // Without an address there is nothing to send to, or from.
        _ => {
            reporter.found(found);
            None
        }
    };
    if let Some((alice, _)) = met {
        reporter.step("inside the tunnel", || unsolicited(network, alice))?;
    }
    let port = reporter.step("rebind", || rebind(network, &subscriber, port))?;
    if let Some((_, bob)) = met {
        let outcome = reporter.step("ping again", || again(network, bob));
        if matches!(outcome, Err(StepError::Failed)) {
            reporter.lost();
        }
        outcome?;
    }
    reporter.step("kill -9 the client", || {
        kill_client(network, &subscriber, port)
    })?;
    reporter.step("the client again", || restart_client(network, &subscriber))?;
    reporter.step("kill -9 the agents", || kill_agents(network))
}

/// Alice's client has an address, or is rightly without one.
fn start(network: &mut Network, nats: Nats) -> anyhow::Result<((u16, Option<Ipv6Addr>), Findings)> {
    let start = Instant::now();
    network.start_alice_client()?;
    let status = ready(network, &network.alice_socket(), nats.alice)?;
    if status.state != Phase::Qualified {
        return Ok(((status.port, None), without_address(&status)));
    }
    let ((port, address), findings) = qualify(&status, start.elapsed(), nats.alice)?;
    let findings = data_path(&network.alice_socket(), findings)?;
    Ok(((port, address), findings))
}

/// In words that are easy to compare.
fn microseconds(time: u64) -> String {
    match time {
        0..1000 => format!("{time} us"),
        _ => format!("{:.1} ms", time as f64 / 1e3),
    }
}

/// Who carries the packets of known peers. The kernel begins a moment after the client is qualified.
fn data_path(socket: &FilePath, findings: Findings) -> anyhow::Result<Findings> {
    let is_loaded = |path: &DataPath| path.counters.keys().any(|name| name.starts_with("kernel_"));
    // A rule of the host may keep the path closed for good.
    let _ = until(PROMPTLY, "the path in the kernel", || {
        let path = status(socket).ok()?.data_path;
        (path.in_use == Carrier::Kernel || !is_loaded(&path)).then_some(())
    });
    let path = status(socket)?.data_path;
    let carrier = path.in_use.name();
    let line = match path.reason {
        Some(reason) => format!("data path: {carrier} ({reason})"),
        None => format!("data path: {carrier}"),
    };
    Ok(findings.line(line).fact("data_path", carrier))
}

/// R4380-5.2.1-11: by RFC 4380 alone, a client behind a symmetric NAT has no address.
fn without_address(status: &Status) -> Findings {
    let reason = status.reason.clone().unwrap_or_default();
    Findings::new("no address, by RFC 4380 alone (nat_traversal)").line(reason)
}

fn qualify(
    status: &Status,
    took: Duration,
    nat: HomeNat,
) -> anyhow::Result<((u16, Option<Ipv6Addr>), Findings)> {
    let address = status.address.context("qualified without an address")?;
    let teredo = TeredoAddress::from_ipv6(address)
        .with_context(|| format!("{address} is not a Teredo address"))?;
    let (local, mapped) = (
        status.local.context("no local address")?,
        status.mapped.context("no mapping")?,
    );
    ensure!(
        teredo.server == SERVER[0],
        "the address contains another server, {}",
        teredo.server
    );
    ensure!(
        teredo.mapped == mapped,
        "the address contains the mapping {}, but the mapping is {mapped}",
        teredo.mapped
    );
    ensure!(
        teredo.flags.bits() & 0x4300 == 0 && !teredo.flags.is_cone(),
        "flags {:#06x}",
        teredo.flags.bits()
    );
    ensure!(
        local.port() == status.port,
        "port {} is announced, but {local} is bound",
        status.port
    );
    if nat.is(NatKind::None) {
        ensure!(local == mapped, "without a NAT {local} became {mapped}");
    }
    let mut findings = Findings::new(format!("qualified {} ms after its start", took.as_millis()))
        .line(address.to_string())
        .line(format!("{local} is mapped to {mapped}"))
        .line(format!("NAT: {}", status.nat.as_deref().unwrap_or("?")));
    if let Some(router) = status.gateway.as_ref().and_then(router_in_words) {
        findings = findings.line(format!("router: {router}"));
    }
    let findings = findings
        .fact("address", address.to_string())
        .fact("local", local.to_string())
        .fact("mapped", mapped.to_string())
        .fact("qualified_ms", took.as_millis() as u64);
    Ok(((status.port, Some(address)), findings))
}

fn bob(network: &mut Network) -> anyhow::Result<(Option<Ipv6Addr>, Findings)> {
    network.start_bob_agent()?;
    network.start_bob_client()?;
    let status = ready(network, &network.bob_socket(), network.nats().bob)?;
    network.bob_address = status.address;
    until(PROMPTLY * 5, "bob's table", || {
        ruleset::has_own_table(network.bob())
            .unwrap_or(false)
            .then_some(())
    })?;
    let Some(bob) = status.address else {
        return Ok((None, without_address(&status)));
    };
    let findings = Findings::new(bob.to_string())
        .line("teredo firewall (a table of its own)")
        .fact("address", bob.to_string());
    Ok((Some(bob), findings))
}

fn ping(network: &Network, bob: Ipv6Addr) -> anyhow::Result<Findings> {
    let replies = teredo_lab::ping(network.alice(), bob, PINGS, Duration::from_secs(5))?;
    ensure!(
        replies.are_all_in_order(PINGS),
        "{PINGS} echo requests to {bob} were answered by {:?}",
        replies.order
    );
    let first = replies.first.unwrap_or_default();
    let line = format!(
        "{PINGS} of {PINGS} answered, in order; the first after {:.1} ms",
        first.as_secs_f64() * 1e3
    );
    Ok(Findings::new(line)
        .fact("answered", PINGS)
        .fact("first_ms", first.as_secs_f64() * 1e3))
}

/// R4380-5.2.4-11: a pair with a symmetric NAT. Bob answers, if not to the first packet; or, if the two NATs need not have
/// a path between them, the program that sends gets an error. Returns whether he answers.
fn attempt(network: &Network, bob: Ipv6Addr, must: bool) -> anyhow::Result<(bool, Findings)> {
    const DISCARD: u16 = 9;
    const EACH: Duration = Duration::from_millis(200);
    let socket = network.alice().udp_socket((Ipv6Addr::UNSPECIFIED, 0))?;
    socket.connect(SocketAddrV6::new(bob, DISCARD, 0, 0))?;
    // The kernel reports an unreachable address only to a socket that asks for errors (ipv6(7)).
    setsockopt(&socket, Ipv6RecvErr, &true)?;
    socket.set_nonblocking(true)?;
    let start = Instant::now();
    socket.send(b"hello")?;
    while start.elapsed() < GIVEN_UP {
        match socket.receive(&mut [0; 64]) {
            Err(error) if error.kind() == std::io::ErrorKind::HostUnreachable => {
                let took = start.elapsed();
                ensure!(
                    !must,
                    "the clients found no path, although these two NATs leave one (RFC 6081, figure 1)"
                );
                let findings = Findings::new("the clients found no path between these two NATs")
                    .line(format!(
                        "the program got 'unreachable' after {:.1} s",
                        took.as_secs_f64()
                    ))
                    .fact("told_ms", milliseconds(took));
                return Ok((false, findings));
            }
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                bail!("the program got another error: {error}")
            }
            _ => {}
        }
        let reply = teredo_lab::ping(network.alice(), bob, 1, EACH)?;
        if !reply.order.is_empty() {
            let took = start.elapsed();
            let contact = format!(
                "bob answered {:.1} ms after the first packet",
                milliseconds(took)
            );
            let findings = ping(network, bob)?.first_line(contact);
            return Ok((true, findings.fact("contact_ms", milliseconds(took))));
        }
    }
    bail!(
        "bob did not answer, and the program got no error, for {} s",
        GIVEN_UP.as_secs()
    )
}

/// R4380-5.2.4-11: clients that have met once meet again, whatever they did the first time.
fn again(network: &Network, bob: Ipv6Addr) -> anyhow::Result<((), Findings)> {
    if network.nats().are_plain() {
        return Ok(((), ping(network, bob)?));
    }
    let (met, findings) = attempt(network, bob, false)?;
    ensure!(
        met,
        "the clients met before the rebind, and find no path after it"
    );
    Ok(((), findings))
}

/// F-6: unsolicited packets are dropped, except to the port that alice opened.
fn unsolicited(network: &Network, alice: Ipv6Addr) -> anyhow::Result<((), Findings)> {
    const CLOSED_PORT: u16 = ALLOWED_PORT + 1;
    let listen = |host: &Host, port| host.udp_socket((Ipv6Addr::UNSPECIFIED, port));
    let (open, closed) = (
        listen(network.alice(), ALLOWED_PORT)?,
        listen(network.alice(), CLOSED_PORT)?,
    );
    let stranger = listen(network.bob(), 0)?;
    let send = |port| stranger.send_to(b"hello", SocketAddrV6::new(alice, port, 0, 0));
    send(CLOSED_PORT)?;
    send(ALLOWED_PORT)?;
    // Sent last: once it arrives, the other one will not.
    ensure!(
        receives(&open, PROMPTLY)?,
        "port {ALLOWED_PORT} is allowed, but no datagram arrived"
    );
    ensure!(
        !receives(&closed, SILENCE)?,
        "port {CLOSED_PORT} is not allowed, but a datagram arrived"
    );
    let findings = Findings::new(format!("bob's datagram to port {CLOSED_PORT} is dropped")).line(
        format!("bob's datagram to port {ALLOWED_PORT} arrives (--allow-inbound)"),
    );
    Ok(((), findings))
}

fn receives(socket: &UdpSocket, timeout: Duration) -> anyhow::Result<bool> {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    socket.set_read_timeout(Some(timeout))?;
    match socket.receive(&mut [0; 64]) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), WouldBlock | TimedOut) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// N-16: the new port is announced and confirmed by the firewall before it is used.
fn rebind(network: &Network, subscriber: &Subscriber, old: u16) -> anyhow::Result<(u16, Findings)> {
    let socket = network.alice_socket();
    let capture =
        teredo_lab::Capture::start(network.alice().namespace(), network.alice().interface())?;
    let start = Instant::now();
    let outcome = Caller::open(&socket)?.rebind(None)?;
    let took = start.elapsed();
    let new = outcome.port;
    ensure!(
        new != old && new != 0,
        "the port was {old}, and is {new} after the rebind"
    );
    ensure!(outcome.settled, "the firewall did not confirm in time");
    let (_, notification) = subscriber.next(Kind::Change)?;
    ensure!(
        notification.state.port == new,
        "the program was notified of port {}, but the port is {new}",
        notification.state.port
    );
    let settled = in_step(network, new)?;
    ready(network, &socket, network.nats().alice)?;
    let left_from = capture.wait_for(PROMPTLY, "a datagram from the new port", |frame| {
        frame
            .udp()
            .is_some_and(|datagram| datagram.from.port() == new)
    });
    left_from.context("no datagram left from the new port, so the firewall dropped them")?;
    let findings = Findings::new(format!("{old} -> {new}: announced"))
        .line(format!(
            "the firewall confirmed after {}",
            microseconds(settled)
        ))
        .line("then the first datagram left")
        .fact("old", old)
        .fact("new", new)
        .fact("settle_us", settled)
        .fact("took_ms", took.as_millis() as u64);
    Ok((new, findings))
}

/// N-11, N-15: a client that dies is reported like one that stops, and its port is closed.
fn kill_client(
    network: &mut Network,
    subscriber: &Subscriber,
    port: u16,
) -> anyhow::Result<((), Findings)> {
    let Some(client) = network.alice_client.take() else {
        bail!("there is no client to kill")
    };
    let start = Instant::now();
    client.strike()?;
    let (at, notification) = subscriber.next(Kind::Delete)?;
    ensure!(
        notification.state.port == 0,
        "the program was notified of port {}",
        notification.state.port
    );
    let notified = at - start;
    closed(network, PROMPTLY)?;
    let shut = start.elapsed();
    ensure!(
        shut < PROMPTLY,
        "the port stayed open for {} ms",
        shut.as_millis()
    );
    // Another one can have its socket after that.
    client.kill()?;
    let line = format!(
        "a subscriber was notified after {:.1} ms: delete",
        milliseconds(notified)
    );
    let closed_line = format!("port {port} was closed within {:.1} ms", milliseconds(shut));
    Ok((
        (),
        Findings::new(line)
            .line(closed_line)
            .fact("delete_ms", milliseconds(notified))
            .fact("closed_ms", milliseconds(shut)),
    ))
}

/// N-15: registrations survive the restart; no subscriber registers again.
fn restart_client(
    network: &mut Network,
    subscriber: &Subscriber,
) -> anyhow::Result<((), Findings)> {
    let start = Instant::now();
    network.start_alice_client()?;
    let status = ready(network, &network.alice_socket(), network.nats().alice)?;
    let took = start.elapsed();
    let (_, notification) = subscriber.next(Kind::Add)?;
    ensure!(
        notification.state.port == status.port,
        "the program was notified of port {}, but the port is {}",
        notification.state.port,
        status.port
    );
    in_step(network, status.port)?;
    let line = format!("the same subscriber was notified: add {}", status.port);
    Ok((
        (),
        Findings::new(line)
            .line(format!(
                "{} and open after {} ms",
                status.state.name(),
                took.as_millis()
            ))
            .fact("port", status.port)
            .fact("took_ms", took.as_millis() as u64),
    ))
}

/// An exception never outlives its reason, even if the agent dies.
fn kill_agents(network: &mut Network) -> anyhow::Result<((), Findings)> {
    let (Some(alices), Some(bobs)) = (network.alice_agent.take(), network.bob_agent.take()) else {
        bail!("there is no agent to kill")
    };
    let start = Instant::now();
    bobs.kill()?;
    alices.kill()?;
    let (mut table, mut set) = (None, None);
    let both = until(LEASE + PROMPTLY, "the end of both exceptions", || {
        let end = |ports: anyhow::Result<Vec<u16>>| ports.ok()?.is_empty().then(|| start.elapsed());
        table = table.or_else(|| end(ruleset::own_ports(network.bob())));
        set = set.or_else(|| end(ruleset::open_ports(network.alice())));
        table.zip(set)
    });
    let (table, set) = both?;
    ensure!(
        ruleset::has_own_table(network.bob())?,
        "the inside of bob's tunnel is open"
    );
    let line = format!(
        "bob's port closed after {:.1} s, and the inside of his tunnel stays closed",
        table.as_secs_f64()
    );
    let lapsed = format!(
        "alice's set was empty after {:.1} s (lease {} s)",
        set.as_secs_f64(),
        LEASE.as_secs()
    );
    Ok((
        (),
        Findings::new(line)
            .line(lapsed)
            .fact("table_ms", milliseconds(table))
            .fact("set_ms", milliseconds(set)),
    ))
}

/// Waits until alice's set holds her port and nothing else. Returns the time until the firewall confirmed, in
/// microseconds.
fn in_step(network: &Network, port: u16) -> anyhow::Result<u64> {
    let open = || ruleset::open_ports(network.alice());
    until(PROMPTLY, "the port in the set", || {
        (open().ok()? == [port]).then_some(())
    })
    .with_context(|| format!("the set holds {:?}, but the port is {port}", open()))?;
    let gates = status(&network.alice_socket())?.firewall;
    let gate = gates
        .first()
        .context("the agent is not a gating subscriber")?;
    Ok(gate.settle_us.unwrap_or_default())
}

fn closed(network: &Network, timeout: Duration) -> anyhow::Result<()> {
    until(timeout, "an empty set", || {
        ruleset::open_ports(network.alice())
            .is_ok_and(|open| open.is_empty())
            .then_some(())
    })?;
    Ok(())
}

fn status(socket: &FilePath) -> anyhow::Result<Status> {
    Ok(Caller::open(socket)?.get_status()?)
}

/// Waits until the client is qualified, or knows why it cannot be if its NAT is a reason; the error gives its state and
/// reason.
fn ready(network: &Network, socket: &FilePath, nat: HomeNat) -> anyhow::Result<Status> {
    let may_be_offline = network.nats().may_be_offline(nat);
    let is_symmetric = |status: &Status| status.nat.as_deref() == Some("symmetric");
    let waited = until(QUALIFICATION, "a qualified client", || {
        status(socket).ok().filter(|status| match status.state {
            Phase::Qualified => true,
            Phase::Offline => may_be_offline && is_symmetric(status),
            _ => false,
        })
    });
    waited.with_context(|| match status(socket) {
        Ok(status) => format!(
            "{}: {}",
            status.state.name(),
            status.reason.unwrap_or_default()
        ),
        Err(error) => format!("no answer: {error:#}"),
    })
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}
