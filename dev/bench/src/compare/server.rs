//! The server's two tasks, beside another server and beside an echo that has no task.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use socket2::SockRef;
use teredo::wire::{
    Authentication, Datagram, Flags, PORT, TeredoAddress, emit_bubble, emit_router_solicitation,
};
use teredo_lab::{Host, Internet, Process};

use super::batch::Batch;
use super::cpu::{Place, Usage};
use super::daemon::{Daemon, Make};
use super::load::{Load, Outcome};
use super::row::Target::{self, AtLeast, None as Nothing};
use super::session::Session;
use super::stage::ip;

const SERVER: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 65), Ipv4Addr::new(192, 0, 2, 66)];
const LOAD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 120);
/// RFC 2544's network for benchmarks, and the port there. A server sends 256 bubbles and 10,000 advertisements a second to
/// one address, so there have to be many.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const CLIENT_COUNT: u32 = 1 << 15;
const CLIENT_PORT: u16 = 4096;
/// Each has another address of that network. To the kernel, which shares them out among a server's sockets, each is
/// another sender.
const SENDERS: usize = 64;
/// The receive buffer, if the system permits it.
const RECEIVE_BUFFER: usize = 4 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct EchoOptions {
    /// The address of the echo.
    address: SocketAddrV4,
}

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contestant {
    Ours,
    Echo,
    Miredo,
}

impl Contestant {
    const ALL: [Self; 3] = [Self::Ours, Self::Echo, Self::Miredo];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "teredo",
            Self::Echo => "echo",
            Self::Miredo => "miredo-server",
        }
    }
}

/// A running server.
enum Running {
    Daemon(Daemon),
    Echo(Process),
}

impl Running {
    fn processes(&self) -> Vec<u32> {
        match self {
            Self::Daemon(daemon) => daemon.processes(),
            Self::Echo(process) => vec![process.id()],
        }
    }
}

struct Scene {
    contestant: Contestant,
    running: Running,
    load: Host,
    _server: Host,
    _internet: Internet,
}

/// A server's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Solicitations,
    Bubbles,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Run {
    #[serde(flatten)]
    outcome: Outcome,
    per_second: f64,
    /// Answers for each second that the server was on a core.
    per_processor_second: f64,
}

pub(crate) fn measure(session: &mut Session) -> Result<()> {
    let scenes = Contestant::ALL
        .iter()
        .map(|contestant| Scene::build(session, *contestant))
        .collect::<Result<Vec<_>>>()?;
    for (task, name) in [
        (Task::Solicitations, "solicitations answered"),
        (Task::Bubbles, "bubbles forwarded"),
    ] {
        let mut runs = [const { Vec::new() }; Contestant::ALL.len()];
        for pair in 0..session.pairs() {
            session.progress(name, pair);
            for (scene, runs) in scenes.iter().zip(&mut runs) {
                let run = scene.run(session, task)?;
                session.keep(name, scene.contestant.name(), pair, &run)?;
                runs.push(run);
            }
        }
        rows(session, task, name, &runs);
    }
    Ok(())
}

fn rows(session: &mut Session, task: Task, name: &str, [ours, echo, miredo]: &[Vec<Run>; 3]) {
    let rate = |runs: &[Run]| runs.iter().map(|run| run.per_second).collect::<Vec<_>>();
    let each = |runs: &[Run]| {
        let values = runs.iter().map(|run| run.per_processor_second);
        values.collect::<Vec<_>>()
    };
    let ahead: Target = match task {
        Task::Solicitations => AtLeast(1.0),
        Task::Bubbles => Nothing,
    };
    for (rival, theirs, target) in [
        (Contestant::Echo, echo, AtLeast(0.9)),
        (Contestant::Miredo, miredo, ahead),
    ] {
        let rates = [rate(ours), rate(theirs)];
        session.row(name, "1/s", rival.name(), [&rates[0], &rates[1]], target);
        let costs = [each(ours), each(theirs)];
        session.row(
            &format!("{name}, by its CPU time"),
            "1/s",
            rival.name(),
            [&costs[0], &costs[1]],
            Nothing,
        );
    }
}

impl Scene {
    fn build(session: &Session, contestant: Contestant) -> Result<Self> {
        let internet = Internet::new()?;
        let server = internet.host("server", &SERVER)?;
        let load = internet.host("load", &[LOAD])?;
        for (namespace, names) in [
            (server.namespace(), &["eth0"][..]),
            (load.namespace(), &["eth0"]),
            (internet.core(), &["to-server", "to-load"]),
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
        let running = match contestant {
            Contestant::Ours => Running::Daemon(Daemon::server(
                session,
                Make::Ours,
                &server,
                Place::Receiver,
            )?),
            Contestant::Miredo => Running::Daemon(Daemon::server(
                session,
                Make::Miredo,
                &server,
                Place::Receiver,
            )?),
            Contestant::Echo => {
                let program = std::env::current_exe().context("cannot find this program")?;
                let mut command = Command::new(program);
                command.args(["echo", &SocketAddrV4::new(SERVER[0], PORT).to_string()]);
                let echo = Process::spawn(server.namespace(), "echo", &mut command)?;
                echo.wait_for_line("echoing", Duration::from_secs(5))?;
                Running::Echo(echo)
            }
        };
        Place::Receiver.give(&running.processes())?;
        Ok(Self {
            contestant,
            running,
            load,
            _server: server,
            _internet: internet,
        })
    }

    fn run(&self, session: &Session, task: Task) -> Result<Run> {
        let duration = Duration::from_millis(if session.quick { 500 } else { 1000 });
        let senders = (0..SENDERS)
            .map(|number| {
                let address = Ipv4Addr::from_bits(CLIENTS.to_bits() + 1 + number as u32);
                let socket = self.load.udp_socket((address, 0))?;
                SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
                socket.connect((SERVER[0], PORT))?;
                Ok(socket)
            })
            .collect::<Result<Vec<UdpSocket>>>()?;
        let sink = self.load.udp_socket((Ipv4Addr::UNSPECIFIED, CLIENT_PORT))?;
        SockRef::from(&sink).set_recv_buffer_size(RECEIVE_BUFFER)?;
        let sink = [sink];
        let requests = match task {
            Task::Solicitations => vec![solicitation()],
            Task::Bubbles => (0..CLIENT_COUNT).map(bubble).collect(),
        };
        let echoed = self.contestant == Contestant::Echo;
        let load = Load {
            senders: &senders,
            receivers: match task {
                Task::Bubbles if !echoed => &sink,
                _ => &senders,
            },
            requests: &requests,
            is_answer: match task {
                _ if echoed => |_| true,
                Task::Solicitations => is_advertisement,
                Task::Bubbles => is_bubble,
            },
        };
        let usage = Usage::of(self.running.processes());
        let outcome = std::thread::scope(|scope| {
            let thread = scope.spawn(|| load.run(duration));
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let outcome = outcome.with_context(|| self.contestant.name())?;
        let processor = usage.so_far()?.as_secs_f64();
        Ok(Run {
            outcome,
            per_second: outcome.answered as f64 / outcome.seconds,
            per_processor_second: outcome.answered as f64 / processor,
        })
    }
}

/// As `miredo` sends it; servers of either make answer with the nonce and the origin.
fn solicitation() -> Vec<u8> {
    let mut bytes = Vec::new();
    Authentication::nonce_only(*b"teredo-b").emit(&mut bytes);
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xffff, 0xffff, 0xffff);
    emit_router_solicitation(source, &mut bytes);
    bytes
}

/// As a relay sends it, to one of the clients of this server.
fn bubble(number: u32) -> Vec<u8> {
    let client = TeredoAddress {
        server: SERVER[0],
        flags: Flags::default(),
        // Not the network's own address.
        mapped: SocketAddrV4::new((CLIENTS.to_bits() + 256 + number).into(), CLIENT_PORT),
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
