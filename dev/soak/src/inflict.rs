//! Inflicts a fault, and lifts it.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use teredo_lab::until;
use teredo_notify::call::Caller;

use crate::cast::Cast;
use crate::fault::{Fault, Kind, Role};
use crate::journal::{Invariant, Journal};
use crate::memory::Limit;
use crate::observers::inside::{FLUSHED, Inside};
use crate::resolver::Resolver;
use crate::traffic::spawn;
use crate::world::{ADMINISTRATOR, PUBLIC, SERVERS, World, run, run_words};

/// The hands of fate.
pub(crate) struct Fate {
    pub(crate) world: Arc<World>,
    pub(crate) cast: Arc<Cast>,
    pub(crate) resolver: Resolver,
    pub(crate) inside: Arc<Inside>,
    pub(crate) journal: Arc<Journal>,
    /// How often the host got another address.
    pub(crate) leases: AtomicU32,
    pub(crate) flushes: std::sync::Mutex<Vec<u64>>,
}

/// A fault in force: what it takes to lift it.
pub(crate) enum Force {
    /// It is over already.
    Past,
    Signal(Role),
    /// A table in the way, of the core, the router or Alice's host.
    Table(Place),
    Queue,
    Filler(Arc<AtomicBool>),
    Link,
    Names,
    Held,
    NoSet,
    Disk,
    Descriptors(u32, Rlimit, Vec<UnixStream>),
    Memory(Role, Option<Limit>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Core,
    Router,
    Alice,
}

/// More connections than a client without descriptors can take.
const CALLERS: usize = 30;
/// The slow link: its rate, and bursts of other traffic that stand in its queue.
const SLOW: &str = "rate 1mbit burst 4000 limit 60000";
const BURST: usize = 20;
const BURST_PERIOD: Duration = Duration::from_millis(400);
/// The full queue: a packet now and then passes.
const FULL: &str = "rate 16kbit burst 1600 limit 1600";

impl Fate {
    /// Inflicts a fault.
    pub(crate) fn inflict(&self, fault: &Fault) -> Result<Force> {
        let (world, cast) = (&self.world, &self.cast);
        let force = match fault.kind {
            Kind::Killed(Role::Client) => {
                cast.client.kill(|| cast.store.clear())?;
                Force::Past
            }
            Kind::ClientKilledKept => {
                cast.client.kill(|| {})?;
                Force::Past
            }
            Kind::Killed(role) => {
                cast.unit(role).kill(|| {})?;
                Force::Past
            }
            Kind::Stopped(role) => {
                cast.unit(role).signal(Signal::STOP)?;
                Force::Signal(role)
            }
            Kind::PortChanged => {
                self.rebind();
                Force::Past
            }
            Kind::NatRebinding => {
                world.home.change_mappings()?;
                Force::Past
            }
            Kind::NatReboot => {
                let rules =
                    "chain forward { type filter hook forward priority -300; policy drop; }";
                self.table(Place::Router, rules)?;
                Force::Table(Place::Router)
            }
            Kind::PublicAddress => {
                let next = PUBLIC.into_iter().find(|&one| one != world.home.public());
                world.home.set_public(next.unwrap_or(PUBLIC[0]))?;
                Force::Past
            }
            Kind::LinkDown => {
                world.alice.set_link_down()?;
                Force::Link
            }
            Kind::LocalAddress => {
                let lease = self.leases.fetch_add(1, Ordering::Relaxed);
                let [a, b, c, _] = world.home.gateway().octets();
                let last = 10 + (lease % 200) as u8;
                world.alice.readdress(Ipv4Addr::new(a, b, c, last))?;
                Force::Past
            }
            Kind::TunnelWiped => {
                let line = match fault.form % 3 {
                    0 => "ip -6 address flush dev teredo",
                    1 => "ip -6 route flush dev teredo",
                    _ => "ip link set teredo down",
                };
                run_words(world.alice.namespace(), line)?;
                Force::Past
            }
            Kind::NameService => {
                self.resolver.set_silent(true);
                cast.client.kill(|| cast.store.clear())?;
                Force::Names
            }
            Kind::ServerMoved => {
                let next = 1 - cast.place.load(Ordering::Acquire);
                cast.server.kill(|| {
                    cast.place.store(next, Ordering::Release);
                    self.resolver.set_address(SERVERS[next][0]);
                })?;
                Force::Past
            }
            Kind::ServerLost => {
                cast.server.hold(true);
                cast.server.kill(|| {})?;
                Force::Held
            }
            Kind::RulesetFlushed => self.flush(fault.form.is_multiple_of(2))?,
            Kind::RulesetReloaded => {
                let saved = run_words(world.alice.namespace(), "nft list ruleset")?;
                world.load_rules("saved.nft", &format!("flush ruleset\n{saved}"))?;
                Force::Past
            }
            Kind::SendsRefused => {
                let rules =
                    "chain output { type filter hook output priority -300; ip protocol udp drop; }";
                self.table(Place::Alice, rules)?;
                Force::Table(Place::Alice)
            }
            Kind::QueueFull => {
                self.queue(FULL)?;
                Force::Queue
            }
            Kind::DiskFull => {
                self.fill_disk()?;
                self.rebind();
                Force::Disk
            }
            Kind::Descriptors(role) => self.take_descriptors(role)?,
            Kind::Memory(role) => self.take_memory(role, fault.form)?,
            Kind::Loss => {
                let rules = format!(
                    "chain forward {{ type filter hook forward priority -300; ip protocol udp numgen random mod 100 < {} drop; }}",
                    fault.loss
                );
                self.table(Place::Core, &rules)?;
                Force::Table(Place::Core)
            }
            Kind::Delay => {
                self.queue(SLOW)?;
                Force::Filler(self.fill_queue()?)
            }
        };
        Ok(force)
    }

    /// Lifts it.
    pub(crate) fn lift(&self, force: Force) -> Result<()> {
        let (world, cast) = (&self.world, &self.cast);
        match force {
            Force::Past => {}
            Force::Signal(role) => cast.unit(role).signal(Signal::CONT)?,
            Force::Table(place) => {
                if place == Place::Router {
                    // A router that starts has forgotten everything.
                    world.home.change_mappings()?;
                }
                // A foreign flush may have removed it.
                let delete = "add table inet misfortune; delete table inet misfortune";
                run(self.namespace(place), Command::new("nft").arg(delete))?;
            }
            Force::Queue => self.end_queue()?,
            Force::Filler(over) => {
                over.store(true, Ordering::Release);
                self.end_queue()?;
            }
            Force::Link => world.alice.set_link_up()?,
            Force::Names => self.resolver.set_silent(false),
            Force::Held => cast.server.hold(false),
            Force::NoSet => world.load_rules("administrator.nft", ADMINISTRATOR)?,
            Force::Disk => {
                fs::remove_file(world.state().join("filler")).context("cannot make room")?
            }
            Force::Descriptors(id, before, callers) => {
                drop(callers);
                // It may be dead.
                let _ = prlimit(pid(id), Resource::Nofile, before);
            }
            Force::Memory(role, limit) => {
                drop(limit);
                // The supervisor may not have seen its end yet.
                thread::sleep(Duration::from_millis(50));
                cast.unit(role).excuse(false);
            }
        }
        Ok(())
    }

    /// The operator's `teredo rebind`. Whether it can is no matter: the client may be in trouble.
    pub(crate) fn rebind(&self) {
        let caller = Caller::open_within(&self.cast.socket, Duration::from_secs(1));
        let outcome = caller.and_then(|mut caller| caller.rebind(None));
        match outcome {
            Ok(outcome) => self.journal.note(&format!("rebind: port {}", outcome.port)),
            Err(error) => self.journal.note(&format!("rebind: {error}")),
        }
    }

    /// Flushes the ruleset; with `at_once`, the administrator's is loaded in the same transaction, and otherwise later.
    fn flush(&self, at_once: bool) -> Result<Force> {
        let world = &self.world;
        self.inside.opens();
        let text = if at_once {
            format!("flush ruleset\n{ADMINISTRATOR}")
        } else {
            String::from("flush ruleset\n")
        };
        world.load_rules("flush.nft", &text)?;
        let block = until(FLUSHED, "the block", || {
            let listing = run_words(world.alice.namespace(), "nft list chain inet teredo inside");
            listing
                .is_ok_and(|text| text.contains("drop"))
                .then_some(())
        });
        let open = self.inside.closes();
        if block.is_err() {
            let text = format!(
                "the block is not back {} ms after a foreign flush",
                open.as_millis()
            );
            self.journal.broken(Invariant::Inside, &text);
        }
        self.flushes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(open.as_millis() as u64);
        Ok(if at_once { Force::Past } else { Force::NoSet })
    }

    fn fill_disk(&self) -> Result<()> {
        let mut file = File::create(self.world.state().join("filler")).context("no filler")?;
        let block = [0; 4096];
        // Until there is no space.
        while file.write_all(&block).is_ok() {}
        Ok(())
    }

    fn take_descriptors(&self, role: Role) -> Result<Force> {
        let Some((id, _)) = self.cast.unit(role).process() else {
            return Ok(Force::Past);
        };
        let open = fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count) as u64;
        let before = rustix::process::getrlimit(Resource::Nofile);
        let limit = Rlimit {
            current: Some(open),
            maximum: before.maximum,
        };
        let before = prlimit(pid(id), Resource::Nofile, limit).context("prlimit")?;
        let callers = self.call_often();
        self.rebind();
        Ok(Force::Descriptors(id, before, callers))
    }

    fn take_memory(&self, role: Role, form: u8) -> Result<Force> {
        let unit = self.cast.unit(role);
        let Some((id, _)) = unit.process() else {
            return Ok(Force::Past);
        };
        unit.excuse(true);
        let limit = Limit::new(id, form).context("no limit of memory")?;
        self.journal.note(&format!("limit by {}", limit.name()));
        drop(self.call_often());
        self.rebind();
        Ok(Force::Memory(role, Some(limit)))
    }

    /// Opens more connections to the client than it likes.
    fn call_often(&self) -> Vec<UnixStream> {
        (0..CALLERS)
            .filter_map(|_| UnixStream::connect(&self.cast.socket).ok())
            .collect()
    }

    fn namespace(&self, place: Place) -> &teredo_lab::Namespace {
        match place {
            Place::Core => self.world.internet.core(),
            Place::Router => self.world.home.router(),
            Place::Alice => self.world.alice.namespace(),
        }
    }

    fn table(&self, place: Place, chain: &str) -> Result<()> {
        let rules = format!("table inet misfortune {{\n{chain}\n}}\n");
        run(self.namespace(place), Command::new("nft").arg(&rules)).map(drop)
    }

    fn queue(&self, bucket: &str) -> Result<()> {
        let line = format!("tc qdisc replace dev eth0 root tbf {bucket}");
        run_words(self.world.alice.namespace(), &line).map(drop)
    }

    fn end_queue(&self) -> Result<()> {
        run_words(self.world.alice.namespace(), "tc qdisc del dev eth0 root").map(drop)
    }

    /// Other traffic of the same host, so that its queue is long.
    fn fill_queue(&self) -> Result<Arc<AtomicBool>> {
        let socket = self.world.alice.udp_socket((Ipv4Addr::UNSPECIFIED, 0))?;
        let over = Arc::new(AtomicBool::new(false));
        let own = Arc::clone(&over);
        let discard = (SERVERS[0][0], 9);
        spawn(move || {
            while !own.load(Ordering::Acquire) {
                for _ in 0..BURST {
                    // A full queue loses it.
                    let _ = socket.send_to(&[0; 1000], discard);
                }
                thread::sleep(BURST_PERIOD);
            }
        })?;
        Ok(over)
    }
}

fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(id.try_into().ok()?)
}
