//! The server's two tasks, beside another server and beside an echo that has no task.
//!
//! As in life, every request is from another address. Two generators ask: one with sockets, through the network, and one in
//! the kernel, which can keep a server in the kernel busy.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use teredo::wire::{
    Authentication, Datagram, Flags, PORT, TeredoAddress, emit_bubble, emit_router_solicitation,
};
use teredo_lab::{Host, Internet, Process, until};

use super::batch::{BATCH, Batch};
use super::cpu::{Place, Usage};
use super::daemon::{Daemon, DataPath, Make};
use super::frames::{Frames, NETWORK, datagram, frame};
use super::generator::{By, Generator, Request, on_the_server_s_core};
use super::load::{Outcome, in_window};
use super::perf;
use super::row::Target::{self, AtLeast, None as Nothing};
use super::session::Session;

/// For the examination of a host by the server in the kernel.
const PATIENCE: Duration = Duration::from_secs(5);
const SERVER: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 65), Ipv4Addr::new(192, 0, 2, 66)];
const LOAD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 120);
/// Those that ask for an address, or that bubbles are for. A server sends 256 bubbles and 10,000 advertisements a second to
/// one address, so there have to be many.
const CLIENTS: Ipv4Addr = NETWORK;
/// Those that bubbles come from.
const PEERS: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);
const CLIENT_COUNT: u32 = 1 << 15;
const CLIENT_PORT: u16 = 4096;

/// The bytes of a nonce without identifier and key, and of an origin indication.
const AUTHENTICATION: u8 = 13;
const ORIGIN: u8 = 8;
/// Where the next header is in an IPv6 header, and the length of that.
const NEXT_HEADER: u8 = 6;
const IPV6: u8 = 40;

#[derive(Debug, clap::Args)]
pub(crate) struct EchoOptions {
    /// The address of the echo.
    address: SocketAddrV4,
}

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contestant {
    Daemon(Make),
    Echo,
    /// The least XDP program that answers.
    Bounce,
}

const OURS: Contestant = Contestant::Daemon(Make::Ours(DataPath::Auto));
const OURS_IN_USER_SPACE: Contestant = Contestant::Daemon(Make::Ours(DataPath::User));
const MIREDO: Contestant = Contestant::Daemon(Make::Miredo);

/// Those that have sockets, and so can be asked by the generator with sockets.
const WITH_SOCKETS: [Contestant; 3] = [OURS_IN_USER_SPACE, Contestant::Echo, MIREDO];
const ALL: [Contestant; 5] = [
    OURS,
    OURS_IN_USER_SPACE,
    Contestant::Echo,
    MIREDO,
    Contestant::Bounce,
];

impl Contestant {
    fn name(self) -> &'static str {
        match self {
            Self::Daemon(Make::Miredo) => "miredo-server",
            Self::Daemon(make) => make.name(),
            Self::Echo => "echo",
            Self::Bounce => "bare XDP_TX",
        }
    }

    /// Whether it returns requests as they are.
    fn echoes(self) -> bool {
        matches!(self, Self::Echo | Self::Bounce)
    }
}

/// A running server.
enum Running {
    Daemon(Daemon),
    Echo(Process),
    /// In the kernel.
    Bounce,
}

impl Running {
    fn processes(&self) -> Vec<u32> {
        match self {
            Self::Daemon(daemon) => daemon.processes(),
            Self::Echo(process) => vec![process.id()],
            Self::Bounce => Vec::new(),
        }
    }
}

struct Scene {
    contestant: Contestant,
    running: Running,
    server: Host,
    internet: Internet,
}

/// A server's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Solicitations,
    Bubbles,
}

impl Task {
    const ALL: [Self; 2] = [Self::Solicitations, Self::Bubbles];

    fn name(self) -> &'static str {
        match self {
            Self::Solicitations => "solicitations answered",
            Self::Bubbles => "bubbles forwarded",
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Run {
    #[serde(flatten)]
    outcome: Outcome,
    per_second: f64,
    /// Answers for each second that the server was on a core; by the generator in the kernel, that the server's core was in
    /// use.
    per_processor_second: f64,
}

impl Run {
    fn new(outcome: Outcome, used: Duration) -> Self {
        Self {
            outcome,
            per_second: outcome.answered as f64 / outcome.seconds,
            per_processor_second: outcome.answered as f64 / used.as_secs_f64(),
        }
    }
}

pub(crate) fn measure(session: &mut Session) -> Result<()> {
    by_sockets(session)?;
    by_kernel(session)
}

fn per_second(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.per_second).collect()
}

fn per_core(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.per_processor_second).collect()
}

/// Asks by a generator with sockets, through the network between the hosts.
fn by_sockets(session: &mut Session) -> Result<()> {
    let mut scenes = Vec::new();
    for contestant in WITH_SOCKETS {
        let mut scene = Scene::build(contestant)?;
        scene.start(session)?;
        let load = scene.internet.host("load", &[LOAD])?;
        load.namespace().set_large_frames("eth0", false)?;
        scene.internet.core().set_large_frames("to-load", false)?;
        let frames = Frames::open(&scene.internet, &load, SocketAddrV4::new(SERVER[0], PORT))?;
        scenes.push((scene, frames, load));
    }
    for task in Task::ALL {
        let name = task.name();
        let mut runs = [const { Vec::new() }; WITH_SOCKETS.len()];
        for pair in 0..session.pairs() {
            session.progress(name, pair);
            for ((scene, frames, _), runs) in scenes.iter().zip(&mut runs) {
                let run = scene.run(session, frames, task);
                let run = run.with_context(|| scene.contestant.name())?;
                session.keep(name, scene.contestant.name(), pair, &run)?;
                runs.push(run);
            }
        }
        let [ours, echo, miredo] = &runs;
        let targets: [Target; 2] = match task {
            Task::Solicitations => [AtLeast(0.9), AtLeast(1.0)],
            Task::Bubbles => [AtLeast(0.9), Nothing],
        };
        let rivals = [(Contestant::Echo, echo), (MIREDO, miredo)];
        for ((rival, theirs), target) in rivals.into_iter().zip(targets) {
            let measure = format!("{name} by sockets");
            let rates = [&per_second(ours)[..], &per_second(theirs)];
            session.row(&measure, "1/s", rival.name(), rates, target);
            let measure = format!("{measure}, by its CPU time");
            let costs = [&per_core(ours)[..], &per_core(theirs)];
            session.row(&measure, "1/s", rival.name(), costs, Nothing);
        }
    }
    Ok(())
}

/// Asks by the generator in the kernel, over the link to the server.
fn by_kernel(session: &mut Session) -> Result<()> {
    let mut scenes = Vec::new();
    for contestant in ALL {
        let mut scene = Scene::build(contestant)?;
        let generator = scene.generator(session);
        scenes.push((generator.with_context(|| contestant.name())?, scene));
    }
    let duration = Duration::from_millis(if session.quick { 300 } else { 500 });
    for task in Task::ALL {
        let name = format!("{}, a second and core, asked from the kernel", task.name());
        let before = scenes[0].1.data_path()?;
        let mut runs = [const { Vec::new() }; ALL.len()];
        for pair in 0..session.pairs() {
            session.progress(&name, pair);
            for ((generator, scene), runs) in scenes.iter_mut().zip(&mut runs) {
                let run = scene.run_from_kernel(duration, generator, task);
                let run = run.with_context(|| scene.contestant.name())?;
                session.keep(&name, scene.contestant.name(), pair, &run)?;
                runs.push(run);
            }
        }
        let refusal = match (before, scenes[0].1.data_path()?) {
            (Some(before), Some(after)) => after.obstacle(&before),
            _ => None,
        };
        for (generator, scene) in &mut scenes {
            if !matches!(
                scene.contestant,
                OURS | Contestant::Echo | Contestant::Bounce
            ) {
                continue;
            }
            let (core, contestant) = (Some(Place::Receiver.core()), scene.contestant.name());
            perf::note_hottest(session, &name, contestant, core, || {
                scene.run_from_kernel(duration, generator, task)
            });
        }
        let rates: Vec<Vec<f64>> = runs.iter().map(|runs| per_core(runs)).collect();
        let [ours, user, echo, miredo, bounce] = &rates[..] else {
            continue;
        };
        let targets: [Target; 2] = match task {
            Task::Solicitations => [AtLeast(5.0), AtLeast(0.6)],
            Task::Bubbles => [AtLeast(3.0), Nothing],
        };
        for (rival, theirs, target) in [
            (Contestant::Echo, echo, targets[0]),
            (Contestant::Bounce, bounce, targets[1]),
            (MIREDO, miredo, Nothing),
        ] {
            let rival = rival.name();
            let refusal = refusal.as_deref();
            session.row_unless(refusal, &name, "1/s", rival, [ours, theirs], target);
        }
        let measure = format!("{name}, in user space");
        let targets: [Target; 2] = match task {
            Task::Solicitations => [AtLeast(0.9), AtLeast(1.3)],
            Task::Bubbles => [Nothing, Nothing],
        };
        let rivals = [(Contestant::Echo, echo), (MIREDO, miredo)];
        for ((rival, theirs), target) in rivals.into_iter().zip(targets) {
            session.row(&measure, "1/s", rival.name(), [user, theirs], target);
        }
        for ((_, scene), runs) in scenes.iter().zip(&runs) {
            let lost: u64 = runs.iter().map(|run: &Run| run.outcome.lost).sum();
            let answered: u64 = runs.iter().map(|run| run.outcome.answered).sum();
            if lost * 1000 > answered {
                let contestant = scene.contestant.name();
                session.note(format!("{name}: {contestant} left {lost} unanswered"));
            }
        }
    }
    Ok(())
}

impl Scene {
    /// The hosts, without the server.
    fn build(contestant: Contestant) -> Result<Self> {
        let internet = Internet::new()?;
        let server = internet.host("server", &SERVER)?;
        server.namespace().set_large_frames("eth0", false)?;
        internet.core().set_large_frames("to-server", false)?;
        Ok(Self {
            contestant,
            running: Running::Bounce,
            server,
            internet,
        })
    }

    /// Starts the server, on its core.
    fn start(&mut self, session: &Session) -> Result<()> {
        self.running = match self.contestant {
            Contestant::Daemon(make) => Running::Daemon(Daemon::server(
                session,
                make,
                &self.server,
                Place::Receiver,
            )?),
            Contestant::Echo => {
                let program = std::env::current_exe().context("cannot find this program")?;
                let mut command = Command::new(program);
                command.args(["echo", &SocketAddrV4::new(SERVER[0], PORT).to_string()]);
                let echo = Process::spawn(self.server.namespace(), "echo", &mut command)?;
                echo.wait_for_line("echoing", Duration::from_secs(5))?;
                Running::Echo(echo)
            }
            Contestant::Bounce => Running::Bounce,
        };
        Place::Receiver.give(&self.running.processes())
    }

    /// Starts the server, and what asks it from within the kernel.
    fn generator(&mut self, session: &Session) -> Result<Generator> {
        // A program in the kernel can only answer to a link that has one at its other end, from the beginning.
        let mut generator = if matches!(self.contestant, OURS | Contestant::Bounce) {
            Generator::new(self.internet.core(), self.server.namespace(), By::Xdp)?
        } else {
            Generator::new(self.internet.core(), self.server.namespace(), By::Sockets)?
        };
        self.start(session)?;
        if self.contestant == Contestant::Bounce {
            generator.bounce(self.server.namespace())?;
        }
        // Our server examines the rules and routes of its host first.
        let opened = || match self.data_path() {
            Ok(Some(path)) => path.is_kernel().then_some(()),
            _ => None,
        };
        let in_kernel = self.contestant == Contestant::Bounce
            || (self.contestant == OURS && until(PATIENCE, "a path in the kernel", opened).is_ok());
        if !in_kernel && generator.by() == By::Xdp {
            // After all.
            drop(generator);
            generator = Generator::new(self.internet.core(), self.server.namespace(), By::Sockets)?;
        }
        on_the_server_s_core(self.server.namespace())?;
        Ok(generator)
    }

    /// The data path of our server.
    fn data_path(&self) -> Result<Option<super::daemon::InUse>> {
        match (&self.running, self.contestant) {
            (Running::Daemon(daemon), Contestant::Daemon(Make::Ours(_))) => {
                daemon.data_path().map(Some)
            }
            _ => Ok(None),
        }
    }

    fn run(&self, session: &Session, frames: &Frames, task: Task) -> Result<Run> {
        let duration = Duration::from_millis(if session.quick { 500 } else { 1000 });
        let server = SocketAddrV4::new(SERVER[0], PORT);
        let requests: Vec<_> = (0..CLIENT_COUNT)
            .map(|number| {
                let (asking, payload) = match task {
                    Task::Solicitations => (CLIENTS, solicitation()),
                    Task::Bubbles => (PEERS, bubble(nth(CLIENTS, number))),
                };
                let from = SocketAddrV4::new(nth(asking, number), CLIENT_PORT);
                frame(from, server, &payload)
            })
            .collect();
        let is_answer = match task {
            _ if self.contestant.echoes() => |_: &[u8]| true,
            Task::Solicitations => is_advertisement,
            Task::Bubbles => is_bubble,
        };
        let mut batches = requests.chunks(BATCH).cycle();
        let mut rest: &[Vec<u8>] = &[];
        let send = |batch: &mut Batch| {
            if rest.is_empty() {
                rest = batches.next().context("nobody asks")?;
            }
            let sent = frames.send(batch, rest)?;
            rest = &rest[sent..];
            Ok(sent)
        };
        let receive = |batch: &mut Batch| {
            let came = frames.receive(batch)?;
            if let Some(answer) = batch.datagrams().next() {
                let (from, _, payload) = datagram(answer).context("that is no datagram")?;
                ensure!(from == server, "that is from {from}");
                ensure!(is_answer(payload), "that is no answer: {payload:02x?}");
            }
            Ok(came)
        };
        let usage = Usage::of(self.running.processes());
        let outcome = std::thread::scope(|scope| {
            let thread = scope.spawn(|| in_window(duration, send, receive));
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        Ok(Run::new(outcome, usage.so_far()?))
    }

    fn run_from_kernel(
        &self,
        duration: Duration,
        generator: &mut Generator,
        task: Task,
    ) -> Result<Run> {
        let echoes = self.contestant.echoes();
        let nth = |network| nth(network, 0);
        let request = match task {
            Task::Solicitations => Request {
                payload: solicitation(),
                to: SERVER[0],
                from_port: CLIENT_PORT,
                asking: nth(CLIENTS),
                clients: None,
                // The type of the ICMPv6 message.
                answer: if echoes {
                    (AUTHENTICATION + IPV6, 133)
                } else {
                    (AUTHENTICATION + ORIGIN + IPV6, 134)
                },
            },
            Task::Bubbles => Request {
                payload: bubble(nth(CLIENTS)),
                to: SERVER[0],
                from_port: CLIENT_PORT,
                asking: nth(PEERS),
                clients: Some(nth(CLIENTS)),
                answer: (NEXT_HEADER + if echoes { 0 } else { ORIGIN }, 59),
            },
        };
        let (outcome, busy) = generator.run(self.internet.core(), &request, duration)?;
        Ok(Run::new(outcome, busy))
    }
}

/// Not the network's own address, nor that of a broadcast.
fn nth(network: Ipv4Addr, number: u32) -> Ipv4Addr {
    (network.to_bits() + 256 + number).into()
}

/// As `miredo` sends it; servers of either make answer with the nonce and the origin.
fn solicitation() -> Vec<u8> {
    let mut bytes = Vec::new();
    Authentication::nonce_only(*b"teredo-b").emit(&mut bytes);
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xffff, 0xffff, 0xffff);
    emit_router_solicitation(source, &mut bytes);
    bytes
}

/// As a relay sends it, to a client of this server.
fn bubble(client: Ipv4Addr) -> Vec<u8> {
    let client = TeredoAddress {
        server: SERVER[0],
        flags: Flags::default(),
        mapped: SocketAddrV4::new(client, CLIENT_PORT),
    };
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x1234, 0x5678, 0x9abc, 0xdef0);
    let mut bytes = Vec::new();
    emit_bubble(source, client.to_ipv6(), 255, &mut bytes);
    bytes
}

fn is_advertisement(bytes: &[u8]) -> bool {
    Datagram::parse(bytes).is_ok_and(|datagram| {
        datagram.origin.is_some() && datagram.packet.payload().first() == Some(&134)
    })
}

fn is_bubble(bytes: &[u8]) -> bool {
    Datagram::parse(bytes).is_ok_and(|datagram| datagram.packet.is_bubble())
}

/// Sends back every datagram, in batches: the floor of a server.
pub(crate) fn echo(options: &EchoOptions) -> Result<()> {
    let socket = UdpSocket::bind(options.address).context("cannot bind")?;
    let mut batch = Batch::new();
    println!("echoing");
    loop {
        if batch.receive(&socket, true)? > 0 {
            batch.echo(&socket)?;
        }
    }
}
