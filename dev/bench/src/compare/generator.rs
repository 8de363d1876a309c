//! Requests from within the kernel, each from another address: `programs/load.c`, run with `BPF_F_TEST_XDP_LIVE_FRAMES`.
//!
//! They leave the core of the internet for the server's host by its link. The host's end of the link works on a thread of
//! its own (threaded NAPI), and this is bound to the server's core: everything that a request costs the host is time of
//! that core, and nothing else is but the count of the answers.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, MapData};
use aya::programs::{
    SchedClassifier, TcAttachType, TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode,
};
use aya::{Ebpf, EbpfLoader};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use teredo::wire::PORT;
use teredo_lab::Namespace;

use super::cpu::{Busy, Place};
use super::frames::frame;
use super::load::{LOST, Outcome, WINDOW};

/// The program, compiled by `programs/build`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../object/load.o");

/// The server's end of the link, and the core's.
const SERVER: &str = "eth0";
const CORE: &str = "to-server";

// The elements of `settings`.
const INTERFACE: u32 = 0;
const IN_FLIGHT: u32 = 1;
const GIVEN_UP: u32 = 2;
const ASKING: u32 = 3;
const CLIENTS: u32 = 4;
const ANSWER_AT: u32 = 5;
const ANSWER_IS: u32 = 6;

/// The longest request.
const LONGEST: usize = 128;
// The elements of `progress`.
const SENT: u32 = 0;
const ANSWERED: u32 = 1;

/// Frames that are handed over to the link at once.
const BATCH: u32 = 64;
/// Runs of the program by one system call, which sees to its buffers first. Many do not send, because the window is full.
const RUNS: u32 = 1 << 18;
/// Ethernet, IPv4 and UDP.
pub(crate) const HEADERS: u8 = 14 + 20 + 8;
const ETHERTYPE_IPV4: [u8; 2] = [8, 0];

/// How the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// With an XDP program, which can only send to a link whose other end has one as well.
    Xdp,
    /// With sockets, for which an XDP program at the other end would be a burden.
    Sockets,
}

/// The requests, and how their answers are known.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) payload: Vec<u8>,
    pub(crate) to: Ipv4Addr,
    pub(crate) from_port: u16,
    /// The first of 65,536 addresses that ask.
    pub(crate) asking: Ipv4Addr,
    /// The first of 65,536 clients that bubbles are for.
    pub(crate) clients: Option<Ipv4Addr>,
    /// A byte of an answer's payload that it is known by.
    pub(crate) answer: (u8, u8),
}

pub(crate) struct Generator {
    ebpf: Ebpf,
    settings: Array<MapData, u64>,
    progress: Array<MapData, u64>,
    request: Array<MapData, [u8; LONGEST]>,
    by: By,
    /// The Ethernet header of requests.
    ethernet: [u8; 14],
}

impl Generator {
    pub(crate) fn new(core: &Namespace, server: &Namespace, by: By) -> Result<Self> {
        let mut ebpf = EbpfLoader::new().btf(None).load(OBJECT)?;
        let (settings, progress) = (ebpf.take_map("settings"), ebpf.take_map("progress"));
        let mut settings: Array<_, u64> = settings.context("no settings")?.try_into()?;
        let progress = progress.context("no progress")?.try_into()?;
        let request = ebpf.take_map("request").context("no request")?.try_into()?;
        let (index, source) = link(core, CORE)?;
        let (_, destination) = link(server, SERVER)?;
        settings.set(INTERFACE, u64::from(index), 0)?;
        settings.set(IN_FLIGHT, WINDOW as u64, 0)?;
        let mut ethernet = [0; 14];
        ethernet[..6].copy_from_slice(&destination);
        ethernet[6..12].copy_from_slice(&source);
        ethernet[12..].copy_from_slice(&ETHERTYPE_IPV4);
        let mut generator = Self {
            ebpf,
            settings,
            progress,
            request,
            by,
            ethernet,
        };
        generator.xdp("generate")?.load()?;
        // With GRO, or with an XDP program of the driver's, the link takes frames that have no buffer of the stack.
        server.set_large_frames(SERVER, true)?;
        match by {
            By::Xdp => generator.attach(core, CORE, "count_frames")?,
            By::Sockets => {
                let program: &mut SchedClassifier = generator.program("count_packets")?;
                program.load()?;
                core.run(|| program.attach(CORE, TcAttachType::Ingress))??;
            }
        }
        Ok(generator)
    }

    /// Makes the server's host send back every datagram, by the least program that can.
    pub(crate) fn bounce(&mut self, server: &Namespace) -> Result<()> {
        self.attach(server, SERVER, "bounce")
    }

    fn program<'a, P>(&'a mut self, name: &str) -> Result<&'a mut P>
    where
        &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
    {
        let program = self.ebpf.program_mut(name);
        Ok(program.with_context(|| format!("no {name}"))?.try_into()?)
    }

    fn xdp(&mut self, name: &str) -> Result<&mut Xdp> {
        self.program(name)
    }

    fn attach(&mut self, namespace: &Namespace, interface: &str, name: &str) -> Result<()> {
        let program = self.xdp(name)?;
        program.load()?;
        namespace.run(|| program.attach(interface, XdpMode::Driver))??;
        Ok(())
    }

    /// Asks for so long, from the core of senders; the answers, and the time of the server's core.
    pub(crate) fn run(
        &mut self,
        core: &Namespace,
        request: &Request,
        duration: Duration,
    ) -> Result<(Outcome, Duration)> {
        let from = SocketAddrV4::new(request.asking, request.from_port);
        let to = SocketAddrV4::new(request.to, PORT);
        let packet = frame(from, to, &request.payload);
        let bytes = [&self.ethernet[..], &packet].concat();
        let address = |address: Ipv4Addr| u64::from(address.to_bits());
        for (setting, value) in [
            (ASKING, address(request.asking)),
            (CLIENTS, request.clients.map_or(0, address)),
            (ANSWER_AT, (HEADERS + request.answer.0).into()),
            (ANSWER_IS, request.answer.1.into()),
        ] {
            self.settings.set(setting, value, 0)?;
        }
        // An answer is written into the frame of the request, which is used again.
        let mut whole = [0; LONGEST];
        whole
            .get_mut(..bytes.len())
            .context("the request is too long")?
            .copy_from_slice(&bytes);
        self.request.set(0, whole, 0)?;
        core.run(|| self.ask(&bytes, duration))?
    }

    fn ask(&mut self, request: &[u8], duration: Duration) -> Result<(Outcome, Duration)> {
        Place::Sender.take()?;
        let sent_before = self.progress.get(&SENT, 0)?;
        let answered_before = self.progress.get(&ANSWERED, 0)?;
        let mut lost = 0;
        let busy = Busy::core(Place::Receiver)?;
        let start = Instant::now();
        let (mut last, mut seen) = (start, answered_before);
        loop {
            let answered = self.progress.get(&ANSWERED, 0)?;
            if answered != seen {
                (last, seen) = (Instant::now(), answered);
            } else if last.elapsed() >= LOST {
                // What is under way is gone.
                let sent = self.progress.get(&SENT, 0)?;
                let gone = sent - answered;
                lost += gone.saturating_sub(self.settings.get(&GIVEN_UP, 0)?);
                self.settings.set(GIVEN_UP, gone, 0)?;
                last = Instant::now();
            }
            if start.elapsed() >= duration {
                break;
            }
            let program = self.xdp("generate")?;
            program.test_run(TestRunOptions {
                data_in: Some(request),
                repeat: RUNS,
                attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                ..TestRunOptions::new()
            })?;
        }
        let busy = busy.so_far()?;
        let seconds = start.elapsed().as_secs_f64();
        let answered = self.progress.get(&ANSWERED, 0)? - answered_before;
        let sent = self.progress.get(&SENT, 0)? - sent_before;
        ensure!(answered > 0, "none of {sent} requests was answered");
        let outcome = Outcome {
            answered,
            lost,
            seconds,
        };
        Ok((outcome, busy))
    }

    pub(crate) fn by(&self) -> By {
        self.by
    }
}

/// Has the server's end of the link work on a thread, and binds that to the server's core. The kernel starts it when the
/// link has a program or merges packets.
pub(crate) fn on_the_server_s_core(server: &Namespace) -> Result<()> {
    let file = format!("/sys/class/net/{SERVER}/threaded");
    let script = format!("mount -t sysfs none /sys && echo 1 > {file}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let mut child = server.spawn(command.stdin(Stdio::null()))?;
    ensure!(child.wait()?.success(), "cannot write to {file}");
    let processes = fs::read_dir("/proc").context("no processes")?;
    let threads = processes.flatten().filter_map(|entry| {
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        let is_one = name.starts_with(&format!("napi/{SERVER}"));
        is_one.then(|| entry.file_name().to_string_lossy().parse().ok())?
    });
    let threads: Vec<u32> = threads.collect();
    ensure!(!threads.is_empty(), "the link has no thread");
    Place::Receiver.give(&threads)
}

/// The index and the address of an interface.
fn link(namespace: &Namespace, name: &str) -> Result<(u32, [u8; 6])> {
    namespace.run(|| {
        let address = getifaddrs()?
            .filter(|interface| interface.interface_name == name)
            .find_map(|interface| interface.address?.as_link_addr()?.addr());
        let address = address.with_context(|| format!("{name} has no address"))?;
        Ok((if_nametoindex(name)?, address))
    })?
}
