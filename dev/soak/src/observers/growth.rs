//! Memory, threads and descriptors of the programs, by /proc.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::fault::Role;
use crate::journal::{Invariant, Journal};
use crate::statistics::{self, Point};
use crate::supervisor::Unit;
use crate::traffic::spawn;

const PERIOD: Duration = Duration::from_secs(1);
/// The beginning of a life does not count: tables fill, arenas are made, a hundred subscribers connect. Measured: a
/// client's memory rises for 80 s.
const WARM_UP: Duration = Duration::from_secs(100);
/// A run of this length has a long life of each program, which must have been observed for [`COVERED`].
const FULL: Duration = Duration::from_secs(3600);
const COVERED: Duration = Duration::from_secs(300);

/// The quantities, and by how much the fitted line may rise: in all, and in an hour.
///
/// - Memory: an arena of the allocator grows in steps of 132 KiB and is not given back, so a short observation may have
///   three steps. A leak of 9 bytes for each of the 100 datagrams a second is 3.1 MiB in an hour.
/// - Threads: a blocking look-up and a standby thread come and go; a line through that noise stays below one.
/// - Descriptors: connections of `status` and of refused subscribers are open for a moment when the look falls on them.
const QUANTITIES: [(Quantity, Tolerance); 3] = [
    (Quantity::Memory, Tolerance(400.0, 3.0 * 1024.0)),
    (Quantity::Threads, Tolerance(2.0, 2.0)),
    (Quantity::Descriptors, Tolerance(6.0, 6.0)),
];

/// The rise that is permitted in any time, and in an hour; the greater counts.
#[derive(Clone, Copy)]
struct Tolerance(f64, f64);

impl Tolerance {
    fn over(self, seconds: f64) -> f64 {
        self.0.max(self.1 * seconds / 3600.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Quantity {
    /// Anonymous, in KiB. Pages of the program file come and go with the kernel's reclaim, and are no growth.
    Memory,
    Threads,
    Descriptors,
}

/// The use of a process at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Since the start, in seconds.
    pub(crate) at: f64,
    pub(crate) life: u32,
    pub(crate) memory_kib: f64,
    pub(crate) threads: f64,
    pub(crate) descriptors: f64,
    /// No fault was in force, and everything was right.
    pub(crate) calm: bool,
}

impl Sample {
    fn of(&self, quantity: Quantity) -> f64 {
        match quantity {
            Quantity::Memory => self.memory_kib,
            Quantity::Threads => self.threads,
            Quantity::Descriptors => self.descriptors,
        }
    }
}

/// The line through one quantity of one program.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) process: &'static str,
    pub(crate) quantity: Quantity,
    /// By how much it rises over the observed time, as the line has it.
    pub(crate) rise: f64,
    pub(crate) tolerance: f64,
    /// The time that its lives cover after their warm-up, in seconds.
    pub(crate) covered_s: f64,
    pub(crate) samples: usize,
    pub(crate) most: f64,
}

/// The observer.
pub(crate) struct Watch {
    calm: AtomicBool,
    over: AtomicBool,
    samples: Mutex<BTreeMap<Role, Vec<Sample>>>,
}

impl Watch {
    pub(crate) fn start(units: Vec<Arc<Unit>>, journal: &Arc<Journal>) -> Result<Arc<Self>> {
        let watch = Arc::new(Self {
            calm: AtomicBool::new(false),
            over: AtomicBool::new(false),
            samples: Mutex::default(),
        });
        let (own, journal) = (Arc::clone(&watch), Arc::clone(journal));
        spawn(move || {
            while !own.over.load(Ordering::Acquire) {
                for unit in &units {
                    if let Some((id, life)) = unit.process()
                        && let Some(mut sample) = look(id)
                    {
                        sample.at = journal.now().as_secs_f64();
                        sample.life = life;
                        sample.calm = own.calm.load(Ordering::Acquire);
                        own.samples().entry(unit.role).or_default().push(sample);
                    }
                }
                thread::sleep(PERIOD);
            }
        })?;
        Ok(watch)
    }

    /// Says whether a fault is in force.
    pub(crate) fn set_calm(&self, calm: bool) {
        self.calm.store(calm, Ordering::Release);
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub(crate) fn samples(&self) -> MutexGuard<'_, BTreeMap<Role, Vec<Sample>>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines, of which those that rise too much are breaches. After a run of this length, so is a line that covers too
    /// little.
    pub(crate) fn judge(&self, journal: &Journal, length: Duration) -> Vec<Line> {
        let lines: Vec<Line> = self
            .samples()
            .iter()
            .flat_map(|(role, samples)| lines(role.name(), samples))
            .collect();
        for line in lines.iter().filter(|line| line.rise > line.tolerance) {
            let text = format!(
                "{:?} of the {} rises by {:.1} in {:.0} s, more than {:.1}",
                line.quantity, line.process, line.rise, line.covered_s, line.tolerance
            );
            journal.broken(Invariant::Growth, &text);
        }
        if length >= FULL {
            for role in Role::ALL {
                let covered = covered(&lines, role);
                if covered < COVERED.as_secs_f64() {
                    let name = role.name();
                    let text = format!("the growth of the {name} was observed for {covered:.0} s");
                    journal.broken(Invariant::Observers, &text);
                }
            }
        }
        lines
    }
}

/// How long the lives of a program were observed, in seconds.
fn covered(lines: &[Line], role: Role) -> f64 {
    let own = lines.iter().find(|line| line.process == role.name());
    own.map_or(0.0, |line| line.covered_s)
}

/// The lines of one program, through its calm moments after the warm-up of each life.
fn lines(process: &'static str, samples: &[Sample]) -> Vec<Line> {
    let mut lives: BTreeMap<u32, Vec<Sample>> = BTreeMap::new();
    let mut begins: BTreeMap<u32, f64> = BTreeMap::new();
    for sample in samples {
        let begin = *begins.entry(sample.life).or_insert(sample.at);
        if sample.calm && sample.at - begin >= WARM_UP.as_secs_f64() {
            lives.entry(sample.life).or_default().push(*sample);
        }
    }
    QUANTITIES
        .into_iter()
        .filter_map(|(quantity, tolerance)| {
            let points: Vec<Vec<Point>> = lives
                .values()
                .map(|life| {
                    let point = |sample: &Sample| Point {
                        at: sample.at,
                        value: sample.of(quantity),
                    };
                    life.iter().map(point).collect()
                })
                .collect();
            let growth = statistics::growth(&points)?;
            let most = samples
                .iter()
                .map(|sample| sample.of(quantity))
                .fold(0.0, f64::max);
            Some(Line {
                process,
                quantity,
                rise: growth.total(),
                tolerance: tolerance.over(growth.covered),
                covered_s: growth.covered,
                samples: growth.points,
                most,
            })
        })
        .collect()
}

fn look(id: u32) -> Option<Sample> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    // The launcher becomes the program within milliseconds.
    let is_ours = status.starts_with("Name:\tteredo");
    let descriptors = fs::read_dir(format!("/proc/{id}/fd")).ok()?.count();
    is_ours.then_some(Sample {
        at: 0.0,
        life: 0,
        memory_kib: field("RssAnon:")?,
        threads: field("Threads:")?,
        descriptors: descriptors as f64,
        calm: false,
    })
}

#[cfg(test)]
mod tests;
