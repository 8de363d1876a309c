//! `cargo xtask soak`: client, relay, server, firewall and a hundred subscribers under traffic, on an internet of network
//! namespaces, with random faults from one seed. Observers of their own watch what must hold throughout.
//!
//! | module | contents |
//! |---|---|
//! | `fault`, `plan` | the kinds of faults with their bounds, and their sequence from the seed; pure |
//! | `world`, `cast`, `supervisor`, `store` | the internet, the programs on it, and systemd's part |
//! | `inflict` | how each fault is done, and undone |
//! | `observers`, `traffic` | those who watch |
//! | `course` | fault, recovery, calm |
//! | `statistics`, `report`, `picture` | what is left of it; pure |

#![forbid(unsafe_code)]

mod cast;
mod course;
mod fault;
mod inflict;
mod journal;
mod memory;
mod observers;
mod picture;
mod plan;
mod progress;
mod report;
mod resolver;
mod spawning;
mod statistics;
mod store;
mod supervisor;
mod traffic;
mod world;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use cast::Cast;
use course::{Outcome, Service};
use inflict::Fate;
use journal::{Invariant, Journal};
use observers::Address;
use observers::exceptions::Exceptions;
use observers::growth::Watch;
use observers::inside::Inside;
use observers::subscribers::Subscribers;
use progress::Progress;
use report::{Machine, Observed, Report};
use resolver::Resolver;
use traffic::Flow;
use world::{NATIVE, SERVERS, World};

#[derive(Parser)]
#[command(about = "Hours of bad luck from one seed")]
struct Options {
    /// How long to go on inflicting faults.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// The seed of the faults [default: a random one].
    #[arg(long)]
    seed: Option<u64>,
    /// The folder for report.json and timeline.svg.
    #[arg(long)]
    out: PathBuf,
    /// The program teredo.
    #[arg(long)]
    program: PathBuf,
}

/// Until everything is right for the first time.
const MORNING: Duration = Duration::from_secs(30);
/// Until everything is right at the end.
const EVENING: Duration = Duration::from_secs(15);
/// The lines of each program that a breach quotes.
const QUOTED: usize = 80;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs it, and returns how many invariants were broken.
fn run(options: &Options) -> Result<usize> {
    let seed = options.seed.unwrap_or_else(|| u64::from(fastrand::u32(..)));
    eprintln!("seed {seed}");
    ensure!(
        options.program.is_file(),
        "there is no program {}",
        options.program.display()
    );
    let out = &options.out;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let out = fs::canonicalize(out).context("cannot find the folder")?;
    remove_earlier(&out)?;
    // Before there is another thread.
    world::enter_own_mounts()?;
    let scene = Scene::build(&options.program, &out)?;
    let length = Duration::from_secs(options.seconds);
    let mut progress = Progress::new(Arc::clone(&scene.fate.journal), length);
    let played = scene.play(seed, length, &mut progress);
    progress.end();
    let outcomes = played?;
    let broken = scene.finish(options, seed, &out, &outcomes)?;
    Ok(broken)
}

/// Files of an earlier run are not this one's.
fn remove_earlier(out: &Path) -> Result<()> {
    for entry in fs::read_dir(out).context("cannot list the folder")? {
        let path = entry.context("cannot list the folder")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_evidence = name.starts_with("broken-") && name.ends_with(".txt");
        if is_evidence || ["report.json", "timeline.svg"].contains(&&*name) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Everyone in the run.
struct Scene {
    fate: Fate,
    service: Service,
    watch: Arc<Watch>,
}

impl Scene {
    fn build(program: &Path, out: &Path) -> Result<Self> {
        let program = fs::canonicalize(program).context("cannot find the program")?;
        let journal = Arc::new(Journal::new(out.to_owned()));
        let world = Arc::new(World::build()?);
        let resolver = Resolver::start(&world.resolver, SERVERS[0][0])?;
        traffic::echo(&world.bob)?;
        traffic::echo(&world.native)?;
        let cast = Arc::new(Cast::start(&program, &world, &journal)?);
        cast.wait_until_qualified(MORNING)?;
        let units = cast.units();
        let sockets = [cast.socket.clone(), cast.peer_socket.clone()];
        journal.set_evidence(Box::new(move || {
            evidence(&units, sockets.each_ref().map(PathBuf::as_path))
        }));
        let own = Address::follow(cast.socket.clone())?;
        let peer = Address::follow(cast.peer_socket.clone())?;
        let of_peer = peer.clone();
        let service = Service {
            to_peer: Flow::start(&world.alice, &journal, move || of_peer.get())?,
            to_native: Flow::start(&world.alice, &journal, || Some(NATIVE))?,
            exceptions: Exceptions::start(&world.alice, &journal)?,
            subscribers: Arc::new(Subscribers::start(&cast.socket, &journal)?),
            peer,
            place: Arc::clone(&cast.place),
        };
        let inside = Inside::start(&world.alice, &world.bob, &own, &journal)?;
        let watch = Watch::start(cast.units(), &journal)?;
        let fate = Fate {
            world,
            cast,
            resolver,
            inside,
            journal,
            leases: AtomicU32::new(0),
            flushes: Mutex::default(),
        };
        Ok(Self {
            fate,
            service,
            watch,
        })
    }

    fn play(&self, seed: u64, length: Duration, progress: &mut Progress) -> Result<Vec<Outcome>> {
        let begin = self.fate.journal.now();
        if !self.is_right(begin, MORNING) {
            let lack = self.service.lacks(begin).unwrap_or_default();
            anyhow::bail!("not even the start was right: {lack}");
        }
        course::run(
            &self.fate,
            &self.service,
            &self.watch,
            seed,
            length,
            progress,
        )
    }

    /// Waits until everything is right, at the start and at the end.
    fn is_right(&self, since: Duration, limit: Duration) -> bool {
        teredo_lab::until(limit, "everything to be right", || {
            self.service.lacks(since).is_none().then_some(())
        })
        .is_ok()
    }

    /// Judges what can be judged only at the end, ends everything, and writes report and picture.
    fn finish(
        &self,
        options: &Options,
        seed: u64,
        out: &Path,
        outcomes: &[Outcome],
    ) -> Result<usize> {
        let journal = &self.fate.journal;
        let end = journal.now();
        if !self.is_right(end, EVENING) {
            let lack = self.service.lacks(end).unwrap_or_default();
            journal.broken(Invariant::Recovery, &format!("at the end: {lack}"));
        }
        let observed = self.observed();
        let growth = self
            .watch
            .judge(journal, Duration::from_secs(options.seconds));
        if observed.probes == 0 || observed.dropped_by_the_block == 0 || observed.notifications == 0
        {
            let text = format!(
                "the observers saw nothing: {} probes, {} dropped, {} notifications",
                observed.probes, observed.dropped_by_the_block, observed.notifications
            );
            journal.broken(Invariant::Observers, &text);
        }
        self.end();
        let machine = machine(&options.program);
        let report = Report {
            schema: Report::schema(),
            seed,
            seconds: options.seconds,
            ran_ms: end.as_millis() as u64,
            date: date(),
            machine,
            faults: report::kinds(outcomes),
            broken: journal.broken_count(),
            breaches: journal.breaches(),
            observed,
            growth,
            episodes: outcomes.to_vec(),
        };
        let json = serde_json::to_string_pretty(&report).context("cannot write the report")?;
        fs::write(out.join("report.json"), json + "\n").context("cannot write the report")?;
        let day = report.date.split('T').next().unwrap_or_default();
        let caption = format!(
            "{day}; {} cores{}, Linux {}; {}",
            report.machine.cores,
            if report.machine.is_virtual {
                ", virtual"
            } else {
                ""
            },
            report.machine.kernel,
            report.machine.program
        );
        let svg = picture::draw(&picture::Scene {
            seed,
            length_ms: report.ran_ms,
            caption: &caption,
            outcomes,
            kinds: &report.faults,
            breaches: &report.breaches,
            samples: &self.watch.samples(),
        });
        fs::write(out.join("timeline.svg"), svg).context("cannot write the picture")?;
        summarise(&report, out);
        Ok(report.broken)
    }

    fn observed(&self) -> Observed {
        let (fate, service) = (&self.fate, &self.service);
        let [probes, visits, visits_after_a_flush] = fate.inside.counts();
        let (looks, dropped, stale) = service.exceptions.counts();
        let flushes = fate.flushes.lock().unwrap_or_else(PoisonError::into_inner);
        Observed {
            probes,
            dropped_by_the_block: dropped,
            visits,
            visits_after_a_flush,
            flushes_ms: report::recovery(&flushes),
            flushes: flushes.len(),
            looks,
            longest_stale_ms: stale.as_millis() as u64,
            subscribers: service.subscribers.believers(0).1,
            notifications: service.subscribers.heard(),
            to_peer: service.to_peer.counts().into(),
            to_native: service.to_native.counts().into(),
            lives: fate
                .cast
                .units()
                .iter()
                .filter_map(|unit| Some((unit.role.name(), unit.process()?.1)))
                .collect(),
        }
    }

    fn end(&self) {
        self.service.subscribers.end();
        self.service.to_peer.end();
        self.service.to_native.end();
        self.service.exceptions.end();
        self.fate.inside.end();
        self.watch.end();
        self.fate.cast.end();
        self.fate.cast.store.clear();
    }
}

/// The logs, and what both clients know at the moment: of themselves, and of each other.
fn evidence(units: &[Arc<supervisor::Unit>], sockets: [&Path; 2]) -> String {
    let mut text = String::new();
    for unit in units {
        let lines = unit.last_lines(QUOTED).join("\n");
        let process = unit.process();
        // A string has room.
        let _ = write!(text, "=== {} {process:?}\n{lines}\n\n", unit.role.name());
    }
    for (name, socket) in ["client", "peer"].into_iter().zip(sockets) {
        let _ = write!(
            text,
            "=== status of the {name}\n{:#?}\n=== peers of the {name}\n{:#?}\n\n",
            Cast::status(socket),
            Cast::peers(socket)
        );
    }
    text
}

fn machine(program: &Path) -> Machine {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = Command::new(program)
        .arg("--version")
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // The rest names the builder.
    let kernel: Vec<&str> = release.trim().split('.').take(2).collect();
    Machine {
        is_virtual: processors
            .lines()
            .any(|line| line.starts_with("flags") && line.contains(" hypervisor")),
        cores: thread::available_parallelism().map_or(0, usize::from),
        kernel: kernel.join("."),
        program: version.unwrap_or_default(),
    }
}

fn date() -> String {
    teredo_notify::types::rfc3339(std::time::SystemTime::now())
}

/// The verdict, and a table of the kinds, on standard output.
fn summarise(report: &Report, out: &Path) {
    println!(
        "{:<22} {:>5} {:>10} {:>10} {:>10}",
        "fault", "times", "p50", "p99", "bound"
    );
    for kind in &report.faults {
        let bound = kind
            .bound_ms
            .map_or_else(|| String::from("-"), |bound| format!("{bound} ms"));
        println!(
            "{:<22} {:>5} {:>7} ms {:>7} ms {bound:>10}",
            kind.kind, kind.count, kind.recovery_ms.p50, kind.recovery_ms.p99
        );
    }
    for breach in &report.breaches {
        println!(
            "broken: {:?} at {:.1} s: {} ({})",
            breach.invariant,
            breach.at_ms as f64 / 1000.0,
            breach.text,
            out.join(&breach.evidence).display()
        );
    }
    println!(
        "seed {}: {} broken; {}",
        report.seed,
        report.broken,
        out.join("timeline.svg").display()
    );
}
