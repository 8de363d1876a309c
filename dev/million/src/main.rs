//! Runs a million clients: `cargo xtask sim million` builds and starts it.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{IsTerminal as _, stderr};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use teredo_matrix::document;
use teredo_million::{Plan, page, run, table};

#[derive(Parser)]
#[command(version, about = "A million clients on a simulated internet")]
struct Arguments {
    /// The number of clients; there is a server for each 10,000, and a relay for each 1,000.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: u32,
    /// The virtual time in hours.
    #[arg(long, value_name = "H", default_value_t = 24.0)]
    hours: f64,
    /// The threads, at most 10; they change nothing but the time that it takes.
    #[arg(long, value_name = "T", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=10))]
    threads: u8,
    /// The seed: the same seed gives the same hash.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// The folder for nat-million.json and nat-million.md, the document of this run.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// How often progress is shown.
const SHOWN: Duration = Duration::from_secs(1);

/// The last line shown, and the time at which all clients had come, by the clock of the machine and by the virtual one.
#[derive(Default)]
struct Clock {
    shown: Option<Instant>,
    settled: Option<(Instant, Duration)>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let length = Duration::try_from_secs_f64(arguments.hours * 3_600.0)
        .context("--hours is no length of time")?;
    ensure!(
        length <= Duration::from_secs(31 * 86_400),
        "--hours is more than a month"
    );
    let plan = Plan {
        clients: arguments.clients as usize,
        length,
        seed: arguments.seed,
    };
    let began = Instant::now();
    let clock = Mutex::new(Clock::default());
    let shows = stderr().is_terminal();
    let progress = |now: Duration| {
        let Ok(mut clock) = clock.lock() else { return };
        if clock.settled.is_none() && now >= plan.arrival() {
            clock.settled = Some((Instant::now(), now));
        }
        if shows && clock.shown.is_none_or(|shown| shown.elapsed() >= SHOWN) {
            clock.shown = Some(Instant::now());
            let hours = now.as_secs_f64() / 3_600.0;
            let faster = now.as_secs_f64() / began.elapsed().as_secs_f64();
            eprint!(
                "\r{hours:.3} of {} h, {faster:.1} times real time ",
                arguments.hours
            );
        }
    };
    let mut report = run(&plan, usize::from(arguments.threads), progress);
    if shows {
        eprintln!();
    }
    report.seconds = began.elapsed().as_secs_f64();
    if let Ok(Clock {
        settled: Some((since, virtually)),
        ..
    }) = clock.into_inner()
    {
        let passed = (plan.length - virtually).as_secs_f64();
        report.steady_real_time = passed / since.elapsed().as_secs_f64();
    }
    report.memory_bytes = most_memory()?;
    let json = serde_json::to_string(&report)?;
    if let Some(out) = &arguments.out {
        let documents = [
            ("nat-million.json", &*format!("{json}\n")),
            ("nat-million.md", &page(&report, &machine_and_date()?)),
        ];
        document::write(out, &documents)?;
    }
    if arguments.json {
        println!("{json}");
    } else {
        print!("{}", table(&report));
        for breach in &report.described {
            println!("\nbroken: {breach}");
        }
    }
    let broken = report.breaches.total();
    ensure!(broken == 0, "{broken} breaches of invariants");
    Ok(())
}

/// The processors of this machine, and the day.
fn machine_and_date() -> Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let names = processors
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let names: Vec<&str> = names.map(|(_, name)| name.trim()).collect();
    let name = names.first().context("/proc/cpuinfo names no processor")?;
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let date = now.get(..10).unwrap_or_default();
    Ok(format!("On {} processors ({name}), {date}.", names.len()))
}

/// The most memory that this process has had, in bytes (proc(5)).
fn most_memory() -> Result<u64> {
    let status =
        fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib
        .context("/proc/self/status has no VmHWM")?
        .parse()
        .context("VmHWM is no number")?;
    Ok(kib * 1024)
}
