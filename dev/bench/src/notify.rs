//! The benchmark itself: all systems in the same minute, in turns.

mod announcer;
mod crew;
mod get_port;
mod in_process;
pub(crate) mod memory;
pub(crate) mod receiver;
mod recorder;
mod report;
mod system;

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use self::announcer::{Announcer, Host, Writer};
use self::crew::Crew;
use self::report::Report;
use self::system::{System, Venue};
use crate::machine::{Machine, processor_time, raise_file_limit};
use crate::statistics::Distribution;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fewer rounds: half a minute at most, and less certain numbers.
    #[arg(long)]
    quick: bool,
    /// Measure on a machine that others use; the report says that it was.
    #[arg(long)]
    force: bool,
}

/// How often everything is done.
struct Scale {
    processes: usize,
    /// Of each process.
    registrations: usize,
    /// Announcements in a row by one system, before it is the next one's turn.
    rounds: usize,
}

const SCALES: [Scale; 3] = [
    Scale {
        processes: 1,
        registrations: 1,
        rounds: 500,
    },
    Scale {
        processes: 100,
        registrations: 1,
        rounds: 50,
    },
    Scale {
        processes: 100,
        registrations: 100,
        rounds: 20,
    },
];

/// How often everybody's turn comes.
const TURNS: usize = 25;
const QUICK_TURNS: usize = 5;
const WARM_UP: usize = 5;
/// The time limit for the turns of one scale, or for one measurement within the process: the last turn begins within
/// it. With it the whole stays below two minutes, and below half a minute with `--quick`.
const BUDGET: Duration = Duration::from_secs(20);
const QUICK_BUDGET: Duration = Duration::from_secs(4);

/// The figures of one system with so many registrations.
#[derive(Debug, Serialize)]
pub(crate) struct Measurement {
    pub(crate) system: System,
    /// Processes with registrations; 0: the one that announces.
    pub(crate) processes: usize,
    /// Of all processes together.
    pub(crate) registrations: usize,
    /// Nanoseconds from the announcement to each callback.
    pub(crate) each: Distribution,
    /// Nanoseconds from the announcement to the last callback.
    pub(crate) last: Distribution,
    /// Callbacks for each second that a core was busy, in all processes involved.
    pub(crate) deliveries_per_core_second: f64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = Machine::look()?;
    machine.refuse_if_loaded(options.force)?;
    raise_file_limit()?;
    let folder = tempfile::tempdir().context("no folder for sockets")?;
    let (turns, budget) = if options.quick {
        (QUICK_TURNS, QUICK_BUDGET)
    } else {
        (TURNS, BUDGET)
    };

    let mut measurements = Vec::new();
    for (registrations, rounds) in [(1, 500), (100, 100), (10_000, 20)] {
        eprintln!("{registrations} registrations in the announcing process");
        measurements.push(in_process::measure(
            registrations,
            rounds * turns,
            budget / 5,
        )?);
    }

    let host = Host::start(folder.path())?;
    let venue = Venue {
        folder: folder.path().to_owned(),
    };
    let stream = Host::start(&venue.stream())?;
    eprintln!("the cost of asking for the port");
    let get_port = get_port::measure(&venue.teredo(), options.quick)?;
    let mut stage = Stage {
        venue,
        host,
        stream,
    };
    for scale in &SCALES {
        eprintln!(
            "{} registrations in {} processes",
            scale.processes * scale.registrations,
            scale.processes
        );
        measurements.extend(stage.measure(scale, turns, budget)?);
    }
    drop(stage);
    eprintln!("memory");
    let memory = memory::measure(folder.path(), options.quick)?;

    let report = Report::new(options.quick, machine, measurements, memory, get_port);
    report.print()
}

/// The announcing side of a run.
struct Stage {
    venue: Venue,
    host: Host,
    stream: Host,
}

impl Stage {
    fn measure(
        &mut self,
        scale: &Scale,
        turns: usize,
        budget: Duration,
    ) -> Result<Vec<Measurement>> {
        let path = self.venue.socket();
        let listener = UnixListener::bind(&path)?;
        let mut crew = Crew::start(&self.venue, scale.processes, scale.registrations)?;
        let mut writer = Writer::accept(&listener, crew.len())?;
        std::fs::remove_file(&path)?;

        let mut announced = System::ALL.map(|_| Vec::new());
        let mut busy = [0; System::ALL.len()];
        let mut sequence = 0;
        let mut started = Instant::now();
        // The first turn warms everything up and is forgotten.
        for turn in 0..=turns {
            for place in 0..System::ALL.len() {
                let index = (place + turn) % System::ALL.len();
                let system = System::ALL[index];
                let announcer: &mut dyn Announcer = match system {
                    System::Teredo => &mut self.host,
                    System::Stream => &mut self.stream,
                    System::Socket => &mut writer,
                };
                let time = |crew: &Crew| processor_time(std::process::id()) + crew.processor_time();
                let before = time(&crew);
                for _ in 0..if turn == 0 { WARM_UP } else { scale.rounds } {
                    sequence += 1;
                    announcer.announce(sequence)?;
                    crew.await_all_heard()
                        .with_context(|| format!("over {}", system.name()))?;
                    announced[index].push(announcer.announced_at());
                }
                busy[index] += time(&crew).saturating_sub(before);
            }
            if turn == 0 {
                crew.collect()?;
                announced = System::ALL.map(|_| Vec::new());
                busy = [0; System::ALL.len()];
                started = Instant::now();
            } else if started.elapsed() > budget {
                break;
            }
        }
        let heard = crew.collect()?;
        let systems = System::ALL.into_iter().zip(&announced).zip(&heard);
        systems
            .zip(busy)
            .map(|(((system, announced), heard), busy)| {
                sum_up(
                    system,
                    crew.len(),
                    crew.registrations(),
                    announced,
                    heard,
                    busy,
                )
            })
            .collect()
    }
}

/// Makes one measurement of when something was announced and when the callbacks were called: `heard` has a
/// list for each process, with `registrations` times for each announcement.
pub(crate) fn sum_up(
    system: System,
    processes: usize,
    registrations: usize,
    announced: &[u64],
    heard: &[Vec<u64>],
    busy: u64,
) -> Result<Measurement> {
    let mut each = Vec::new();
    let mut last = vec![0; announced.len()];
    for stamps in heard {
        ensure!(
            stamps.len() == announced.len() * registrations,
            "{}: {} callbacks of {} registrations for {} announcements",
            system.name(),
            stamps.len(),
            registrations,
            announced.len()
        );
        for (stamps, (announced, last)) in stamps
            .chunks(registrations)
            .zip(announced.iter().zip(&mut last))
        {
            for stamp in stamps {
                let delay = stamp.saturating_sub(*announced);
                each.push(delay);
                *last = delay.max(*last);
            }
        }
    }
    let deliveries_per_core_second = each.len() as f64 * 1e9 / busy.max(1) as f64;
    Ok(Measurement {
        system,
        processes,
        registrations: registrations * heard.len(),
        each: Distribution::of(each).context("nothing was measured")?,
        last: Distribution::of(last).context("nothing was measured")?,
        deliveries_per_core_second,
    })
}

#[cfg(test)]
mod tests;
