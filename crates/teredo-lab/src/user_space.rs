//! A NAT in user space: the state machine of `teredo-nat` on the real packets of a router.
//!
//! ```text
//!   lan ──rule──> nat-in ══╗                  ╔══ nat-out <──route── uplink
//!                          ║   Translator     ║
//!   lan <──route─ nat-in ══╝                  ╚══ nat-out ──route──> uplink
//! ```
//!
//! Both interfaces in the middle are TUN devices of this process. What comes from the home network is routed into
//! `nat-in`, what comes for a public address into `nat-out`; translated packets leave by the other one (or, hairpinned,
//! by the same one). The kernel does the rest on both sides: addresses of the link, the time to live, cutting up. It
//! forwards each packet twice, so the translator makes up for one of the two steps of the time to live.

mod translator;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use teredo::Instant;
use teredo_nat::{NatBehaviour, PortRange};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use self::translator::Translator;
pub use self::translator::{Discard, DiscardReason, Side};
use crate::link::NextHop;
use crate::namespace::Namespace;
use crate::router::LAN;

/// The routing table of what comes from the home network, and the priority of its rule.
const TABLE: u8 = 100;
/// The packets of one side before the other one has its turn, and the end.
const BURST: usize = 64;
/// Longer than any IPv4 packet.
const LONGEST_PACKET: usize = 65_536;

/// A running NAT in user space; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct UserSpaceNat {
    translator: Arc<Mutex<Translator>>,
    /// The index of the interface that public addresses are routed to.
    outside: u32,
    /// The highest index of its interfaces.
    pub(crate) last_index: u32,
    /// The beginning of its time.
    start: std::time::Instant,
    /// Closing it ends the thread.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl UserSpaceNat {
    /// Starts a NAT with these public addresses in the namespace of a router. The router's own routes stay.
    pub(crate) fn start(
        namespace: &Namespace,
        behaviour: NatBehaviour,
        externals: &[Ipv4Addr],
        seed: u64,
    ) -> io::Result<Self> {
        let (inside, outside) =
            namespace.run(|| Ok::<_, io::Error>((open("nat-in")?, open("nat-out")?)))??;
        namespace.route(|route| {
            for index in [inside.index, outside.index] {
                route.set_up(index)?;
            }
            route.set_route_in(
                TABLE,
                Ipv4Addr::UNSPECIFIED.into(),
                0,
                NextHop::Link(inside.index),
            )?;
            route.add_rule(LAN.name, TABLE)
        })?;
        let translator = Arc::new(Mutex::new(Translator::new(behaviour, externals, seed)));
        let (stopped, stop) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let start = std::time::Instant::now();
        let (outside_index, last_index) = (outside.index, inside.index.max(outside.index));
        let lane = Lane {
            devices: [inside.device, outside.device],
            translator: Arc::clone(&translator),
            start,
        };
        let thread = thread::Builder::new()
            .name("lab-nat".into())
            .spawn(move || lane.run(&stopped))?;
        Ok(Self {
            translator,
            outside: outside_index,
            last_index,
            start,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The hop to a public address, in the router's namespace.
    pub(crate) fn hop(&self) -> NextHop {
        NextHop::Link(self.outside)
    }

    /// Forgets all mappings.
    pub(crate) fn forget(&self) {
        self.with(|translator| translator.forget());
    }

    /// Sets the range of external ports.
    pub(crate) fn set_ports(&self, range: PortRange) {
        self.with(|translator| translator.change(|behaviour| behaviour.range = range));
    }

    /// Sets the lifetime of mappings.
    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        self.with(|translator| translator.change(|behaviour| behaviour.lifetime = lifetime));
    }

    /// Gives it other public addresses, and forgets all mappings.
    pub(crate) fn renumber(&self, externals: &[Ipv4Addr]) {
        self.with(|translator| translator.renumber(externals));
    }

    /// The packets that it has dropped.
    pub(crate) fn discards(&self) -> Discards {
        Discards(Some(Arc::clone(&self.translator)))
    }

    /// The handle by which a gateway device gives ports.
    pub(crate) fn granting(&self) -> Granting {
        Granting {
            translator: Arc::clone(&self.translator),
            start: self.start,
        }
    }

    fn with(&self, f: impl FnOnce(&mut Translator)) {
        let translator = self.translator.lock();
        f(&mut translator.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The packets that a NAT in user space has dropped, the latest 4096 of them; none if it is the kernel's.
///
/// The handle stays valid behind the end of its home.
#[derive(Debug, Clone, Default)]
pub struct Discards(Option<Arc<Mutex<Translator>>>);

impl Discards {
    /// The packets so far, the oldest first.
    pub fn list(&self) -> Vec<Discard> {
        let translator = self.0.as_ref();
        translator.map_or_else(Vec::new, |translator| {
            let translator = translator.lock().unwrap_or_else(PoisonError::into_inner);
            translator.discards()
        })
    }
}

/// The ports that a NAT in user space gives on request.
#[derive(Debug, Clone)]
pub(crate) struct Granting {
    translator: Arc<Mutex<Translator>>,
    start: std::time::Instant,
}

impl Granting {
    /// These UDP ports are given to these sockets inside, and no others.
    pub(crate) fn set(&self, ports: &[(u16, SocketAddrV4)]) {
        let mut translator = self
            .translator
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        translator.grant(since(self.start), ports);
    }
}

impl Drop for UserSpaceNat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread of a NAT had panicked");
        }
    }
}

struct Opened {
    device: SyncDevice,
    index: u32,
}

/// Opens a TUN device in the calling thread's namespace.
fn open(name: &str) -> io::Result<Opened> {
    let device = DeviceBuilder::new()
        .name(name)
        .layer(Layer::L3)
        .build_sync()?;
    device.set_nonblocking(true)?;
    let index = device.if_index()?;
    Ok(Opened { device, index })
}

/// The thread's share: it reads both devices until it is stopped.
struct Lane {
    /// Inside and outside.
    devices: [SyncDevice; 2],
    translator: Arc<Mutex<Translator>>,
    start: std::time::Instant,
}

impl Lane {
    fn run(&self, stopped: &OwnedFd) {
        let mut buffer = vec![0; LONGEST_PACKET];
        loop {
            let [inside, outside] = &self.devices;
            let mut ready = [
                PollFd::from_borrowed_fd(inside.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(outside.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN),
            ];
            match poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return,
                Ok(_) => {}
            }
            if !ready[2].revents().is_empty() {
                return;
            }
            for (side, device) in [(Side::Inside, inside), (Side::Outside, outside)] {
                for _ in 0..BURST {
                    let Ok(length) = device.recv(&mut buffer) else {
                        break;
                    };
                    self.translate(side, &mut buffer[..length]);
                }
            }
        }
    }

    fn translate(&self, from: Side, packet: &mut [u8]) {
        let outcome = {
            let mut translator = self
                .translator
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            translator.translate(since(self.start), from, packet)
        };
        let [inside, outside] = &self.devices;
        let device = match outcome {
            Some(Side::Inside) => inside,
            Some(Side::Outside) => outside,
            None => return,
        };
        // A full queue loses a packet, as on every router.
        if let Err(error) = device.send(packet) {
            tracing::debug!(%error, "a NAT lost a packet");
        }
    }
}

fn since(start: std::time::Instant) -> Instant {
    Instant::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}
