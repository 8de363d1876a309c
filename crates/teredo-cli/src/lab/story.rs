//! The story: a client, its port, and a firewall that follows it.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use teredo::wire::TeredoAddress;
use teredo_lab::{Host, NatKind, Receive, until};
use teredo_notify::client::Connection;
use teredo_notify::types::{Phase, Status};
use teredo_notify::watcher::{WatchRegistration, Watcher};
use teredo_notify::{Kind, Notification};

use super::ruleset;
use super::scene::{ALLOWED_PORT, LEASE, SERVER, Scene};
use super::teller::{Teller, Told};
use crate::failure::Failure;

const PINGS: u16 = 5;
/// Qualification takes a round trip, and 4 s more for each solicitation that is lost.
const QUALIFICATION: Duration = Duration::from_secs(10);
/// Deaths must be noticed and acted on within this time.
const PROMPTLY: Duration = Duration::from_secs(1);
/// How long a packet that must not come through is waited for.
const SILENCE: Duration = Duration::from_millis(300);

/// Why the story broke off.
pub(super) enum Broken {
    /// A step failed; it has been told.
    Step,
    /// Nobody can be told any more.
    Output(Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Output(failure)
    }
}

/// A program that wants to know alice's port.
struct Subscriber {
    notifications: std::sync::mpsc::Receiver<(Instant, Notification)>,
    _registration: WatchRegistration,
}

impl Subscriber {
    fn new(socket: &Path) -> anyhow::Result<Self> {
        let (sender, notifications) = std::sync::mpsc::channel();
        let registration = Watcher::new(socket).register(false, move |notification| {
            // The story may have ended.
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
            "expected '{}', was told {notification:?}",
            kind.name()
        );
        Ok((at, notification))
    }
}

/// Tells everything; what stands at the end is the scene.
pub(super) fn tell(teller: &mut Teller, nat: NatKind) -> Result<Scene, Broken> {
    let mut scene = teller.step("an internet", || {
        let scene = Scene::build(nat)?;
        Ok((
            scene,
            Told::new("two homes behind NATs, a host in each; nothing was installed")
                .fact("nat", nat.name()),
        ))
    })?;
    teller.step("a server", || {
        scene.start_server()?;
        let line = format!("teredo server --address {} (and {})", SERVER[0], SERVER[1]);
        Ok(((), Told::new(line)))
    })?;
    let subscriber = teller.step("alice's firewall", || {
        let subscriber = Subscriber::new(&scene.alice_socket())?;
        scene.start_alice_agent()?;
        until(PROMPTLY * 5, "the agent's table", || {
            ruleset::has_own_table(scene.alice())
                .unwrap_or(false)
                .then_some(())
        })?;
        ensure!(
            ruleset::open_ports(scene.alice())?.is_empty(),
            "a port is open before there is a client"
        );
        let line = "drops all but the port in @teredo_ports, which is empty";
        Ok((
            subscriber,
            Told::new(line).line(format!("teredo firewall --set '{}'", ruleset::SET)),
        ))
    })?;

    if nat == NatKind::Symmetric {
        teller.step("alice's client", || symmetric(&mut scene))?;
        return Ok(scene);
    }
    let port = teller.step("alice's client", || qualify(&mut scene, nat))?;
    teller.step("everybody knows the port", || {
        let (_, notification) = subscriber.next(Kind::Add)?;
        ensure!(
            notification.state.port == port,
            "the program was told {}, the port is {port}",
            notification.state.port
        );
        let settled = in_step(&scene, port)?;
        let told = Told::new(format!("a program was told 'add {port}'"))
            .line(format!(
                "the set is {{ {port} }}, {settled} us after the announcement"
            ))
            .fact("port", port)
            .fact("settle_us", settled);
        Ok(((), told))
    })?;
    let (alice, bob) = teller.step("bob", || bob(&mut scene))?;
    teller.step("ping", || {
        let told = ping(&scene, bob)?;
        Ok(((), told))
    })?;
    teller.step("inside the tunnel", || unsolicited(&scene, alice))?;
    let port = teller.step("rebind", || rebind(&scene, &subscriber, port))?;
    teller.step("ping again", || {
        let told = ping(&scene, bob)?;
        Ok(((), told))
    })?;
    teller.step("kill -9 the client", || {
        kill_client(&mut scene, &subscriber, port)
    })?;
    teller.step("the client again", || {
        restart_client(&mut scene, &subscriber)
    })?;
    teller.step("kill -9 the agents", || kill_agents(&mut scene))?;
    Ok(scene)
}

fn qualify(scene: &mut Scene, nat: NatKind) -> anyhow::Result<(u16, Told)> {
    let start = Instant::now();
    scene.start_alice_client()?;
    let status = qualified(&scene.alice_socket())?;
    let took = start.elapsed();
    let address = status.address.context("qualified without an address")?;
    let teredo = TeredoAddress::from_ipv6(address)
        .with_context(|| format!("{address} is no Teredo address"))?;
    let (local, mapped) = (
        status.local.context("no local address")?,
        status.mapped.context("no mapping")?,
    );
    ensure!(
        teredo.server == SERVER[0],
        "the address names the server {}",
        teredo.server
    );
    ensure!(
        teredo.mapped == mapped,
        "the address says {}, the mapping is {mapped}",
        teredo.mapped
    );
    ensure!(
        teredo.flags.bits() & 0x4300 == 0 && !teredo.flags.is_cone(),
        "flags {:#06x}",
        teredo.flags.bits()
    );
    ensure!(
        local.port() == status.port,
        "port {} is announced, {local} is bound",
        status.port
    );
    if nat == NatKind::None {
        ensure!(local == mapped, "without a NAT {local} became {mapped}");
    }
    let told = Told::new(format!("qualified {} ms after its start", took.as_millis()))
        .line(address.to_string())
        .line(format!("{local} is {mapped} outside"))
        .line(format!("NAT: {}", status.nat.as_deref().unwrap_or("?")))
        .fact("address", address.to_string())
        .fact("local", local.to_string())
        .fact("mapped", mapped.to_string())
        .fact("qualified_ms", took.as_millis() as u64);
    Ok((status.port, told))
}

/// Without RFC 6081 there is no service behind a symmetric NAT; the client says so.
fn symmetric(scene: &mut Scene) -> anyhow::Result<((), Told)> {
    scene.start_alice_client()?;
    let socket = scene.alice_socket();
    let reason = until(QUALIFICATION, "the client's verdict on its NAT", || {
        let status = status(&socket).ok()?;
        (status.state == Phase::Offline && status.nat.as_deref() == Some("symmetric"))
            .then(|| status.reason.unwrap_or_default())
    })?;
    ensure!(
        reason.contains("symmetric"),
        "the reason given is '{reason}'"
    );
    Ok((
        (),
        Told::new("offline, and it says why:")
            .line(reason.clone())
            .fact("reason", reason),
    ))
}

fn bob(scene: &mut Scene) -> anyhow::Result<((Ipv6Addr, Ipv6Addr), Told)> {
    scene.start_bob_agent()?;
    scene.start_bob_client()?;
    let alice = status(&scene.alice_socket())?
        .address
        .context("alice has lost her address")?;
    let bob = qualified(&scene.bob_socket())?
        .address
        .context("qualified without an address")?;
    scene.bob_address = Some(bob);
    until(PROMPTLY * 5, "bob's table", || {
        ruleset::has_own_table(scene.bob())
            .unwrap_or(false)
            .then_some(())
    })?;
    let told = Told::new(bob.to_string())
        .line("teredo firewall: a table of its own")
        .fact("address", bob.to_string());
    Ok(((alice, bob), told))
}

fn ping(scene: &Scene, bob: Ipv6Addr) -> anyhow::Result<Told> {
    let replies = teredo_lab::ping(scene.alice(), bob, PINGS, Duration::from_secs(5))?;
    ensure!(
        replies.are_all_in_order(PINGS),
        "{PINGS} echo requests to {bob}, answers: {:?}",
        replies.order
    );
    let first = replies.first.unwrap_or_default();
    let line = format!(
        "{PINGS} of {PINGS} answered, in order; the first after {:.1} ms",
        first.as_secs_f64() * 1e3
    );
    Ok(Told::new(line)
        .fact("answered", PINGS)
        .fact("first_ms", first.as_secs_f64() * 1e3))
}

/// F-6: what nobody asked for stays outside, but for the port that alice opened.
fn unsolicited(scene: &Scene, alice: Ipv6Addr) -> anyhow::Result<((), Told)> {
    const CLOSED_PORT: u16 = ALLOWED_PORT + 1;
    let listen = |host: &Host, port| host.udp_socket((Ipv6Addr::UNSPECIFIED, port));
    let (open, closed) = (
        listen(scene.alice(), ALLOWED_PORT)?,
        listen(scene.alice(), CLOSED_PORT)?,
    );
    let stranger = listen(scene.bob(), 0)?;
    let send = |port| stranger.send_to(b"hello", SocketAddrV6::new(alice, port, 0, 0));
    send(CLOSED_PORT)?;
    send(ALLOWED_PORT)?;
    // Sent after the other one, so when it is here the other one is not coming.
    ensure!(
        receives(&open, PROMPTLY)?,
        "port {ALLOWED_PORT} is allowed, but nothing came"
    );
    ensure!(
        !receives(&closed, SILENCE)?,
        "port {CLOSED_PORT} is not allowed, but a datagram came through"
    );
    let told = Told::new(format!("bob's datagram to port {CLOSED_PORT} is dropped")).line(format!(
        "to port {ALLOWED_PORT} (--allow-inbound) it comes through"
    ));
    Ok(((), told))
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

/// N-16: announced, the firewall in step, and only then used.
fn rebind(scene: &Scene, subscriber: &Subscriber, old: u16) -> anyhow::Result<(u16, Told)> {
    let socket = scene.alice_socket();
    let capture = teredo_lab::Capture::start(scene.alice().namespace(), scene.alice().interface())?;
    let start = Instant::now();
    let outcome = Connection::open(&socket)?.rebind(None)?;
    let took = start.elapsed();
    let new = outcome.port;
    ensure!(new != old && new != 0, "the port was {old} and is {new}");
    ensure!(outcome.settled, "the firewall did not follow in time");
    let (_, notification) = subscriber.next(Kind::Change)?;
    ensure!(
        notification.state.port == new,
        "the program was told {}, the port is {new}",
        notification.state.port
    );
    let settled = in_step(scene, new)?;
    qualified(&socket)?;
    let left_from = capture.wait_for(PROMPTLY, "a datagram from the new port", |frame| {
        frame
            .udp()
            .is_some_and(|datagram| datagram.from.port() == new)
    });
    left_from.context("nothing left from the new port, so the firewall dropped it")?;
    let told = Told::new(format!("{old} -> {new}: announced"))
        .line(format!("the firewall in step after {settled} us"))
        .line("then the first datagram left")
        .fact("old", old)
        .fact("new", new)
        .fact("settle_us", settled)
        .fact("took_ms", took.as_millis() as u64);
    Ok((new, told))
}

/// N-11, N-15: a death is an event like any other, and the hole is closed.
fn kill_client(
    scene: &mut Scene,
    subscriber: &Subscriber,
    port: u16,
) -> anyhow::Result<((), Told)> {
    let Some(client) = scene.alice_client.take() else {
        bail!("there is no client to kill")
    };
    let start = Instant::now();
    client.kill()?;
    let (at, notification) = subscriber.next(Kind::Delete)?;
    ensure!(
        notification.state.port == 0,
        "the program was told that the port is {}",
        notification.state.port
    );
    let told = at - start;
    closed(scene, PROMPTLY)?;
    let shut = start.elapsed();
    ensure!(
        shut < PROMPTLY,
        "the hole stayed open for {} ms",
        shut.as_millis()
    );
    let line = format!(
        "a program was told 'delete' after {:.1} ms",
        milliseconds(told)
    );
    let told_closed = format!("port {port} was closed within {:.1} ms", milliseconds(shut));
    Ok((
        (),
        Told::new(line)
            .line(told_closed)
            .fact("delete_ms", milliseconds(told))
            .fact("closed_ms", milliseconds(shut)),
    ))
}

/// N-15: registrations survive, and nobody registers anew.
fn restart_client(scene: &mut Scene, subscriber: &Subscriber) -> anyhow::Result<((), Told)> {
    let start = Instant::now();
    scene.start_alice_client()?;
    let status = qualified(&scene.alice_socket())?;
    let took = start.elapsed();
    let (_, notification) = subscriber.next(Kind::Add)?;
    ensure!(
        notification.state.port == status.port,
        "the program was told {}, the port is {}",
        notification.state.port,
        status.port
    );
    in_step(scene, status.port)?;
    let line = format!("'add {}' to the same registration", status.port);
    Ok((
        (),
        Told::new(line)
            .line(format!("qualified and open after {} ms", took.as_millis()))
            .fact("port", status.port)
            .fact("took_ms", took.as_millis() as u64),
    ))
}

/// An exception never outlives what it was for, not even by the death of the one who made it.
fn kill_agents(scene: &mut Scene) -> anyhow::Result<((), Told)> {
    let (Some(alices), Some(bobs)) = (scene.alice_agent.take(), scene.bob_agent.take()) else {
        bail!("there is no agent to kill")
    };
    let start = Instant::now();
    bobs.kill()?;
    until(PROMPTLY, "the end of the table of bob's agent", || {
        ruleset::has_own_table(scene.bob())
            .is_ok_and(|there| !there)
            .then_some(())
    })?;
    let table = start.elapsed();
    let start = Instant::now();
    alices.kill()?;
    closed(scene, LEASE + PROMPTLY)?;
    let set = start.elapsed();
    let line = format!("bob's table was gone after {:.1} ms", milliseconds(table));
    let lapsed = format!(
        "alice's set was empty after {:.1} s (lease {} s)",
        set.as_secs_f64(),
        LEASE.as_secs()
    );
    Ok((
        (),
        Told::new(line)
            .line(lapsed)
            .fact("table_ms", milliseconds(table))
            .fact("set_ms", milliseconds(set)),
    ))
}

/// Waits until alice's set holds her port and nothing else, and returns how long the firewall took, in microseconds.
fn in_step(scene: &Scene, port: u16) -> anyhow::Result<u64> {
    let open = || ruleset::open_ports(scene.alice());
    until(PROMPTLY, "the port in the set", || {
        (open().ok()? == [port]).then_some(())
    })
    .with_context(|| format!("the set is {:?}, the port is {port}", open()))?;
    let gates = status(&scene.alice_socket())?.firewall;
    let gate = gates
        .first()
        .context("the agent is not among the gating subscribers")?;
    Ok(gate.settle_us.unwrap_or_default())
}

fn closed(scene: &Scene, timeout: Duration) -> anyhow::Result<()> {
    until(timeout, "an empty set", || {
        ruleset::open_ports(scene.alice())
            .is_ok_and(|open| open.is_empty())
            .then_some(())
    })?;
    Ok(())
}

fn status(socket: &Path) -> anyhow::Result<Status> {
    Ok(Connection::open(socket)?.get_status()?)
}

/// Waits until the client is qualified; the error says where it stands.
fn qualified(socket: &Path) -> anyhow::Result<Status> {
    let waited = until(QUALIFICATION, "a qualified client", || {
        status(socket)
            .ok()
            .filter(|status| status.state == Phase::Qualified)
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
