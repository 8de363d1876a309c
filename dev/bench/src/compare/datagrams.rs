//! Small datagrams between a native host and many clients by a relay, which offloads can do nothing for.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::cpu::Place;
use super::daemon::Make;
use super::estimate::Estimate;
use super::perf;
use super::plot::{Plot, Series};
use super::relaying::{Direction, Run, SMALL, Scene};
use super::row::Target::{self, AtLeast, None as Nothing};
use super::session::Session;

const PEERS: usize = 10_000;
const SIZES: [usize; 5] = [64, 256, 640, 960, 1280];
const PEERS_OF_SIZES: usize = 100;

pub(crate) fn measure(session: &mut Session) -> Result<()> {
    let scenes = Make::ALL.map(|make| Scene::build(session, make));
    let mut scenes = scenes.into_iter().collect::<Result<Vec<_>>>()?;
    let duration = Duration::from_millis(if session.quick { 500 } else { 1000 });
    for (direction, name) in [
        (Direction::ToPeers, "64-byte packets to 10,000 peers"),
        (Direction::FromPeers, "64-byte packets from 10,000 peers"),
    ] {
        let mut runs = [const { Vec::new() }; Make::ALL.len()];
        let before = scenes[0].data_path()?;
        for pair in 0..session.pairs() {
            session.progress(name, pair);
            for (scene, runs) in scenes.iter_mut().zip(&mut runs) {
                let run = scene.run(direction, SMALL, PEERS, duration)?;
                session.keep(name, scene.name(), pair, &run)?;
                runs.push(run);
            }
        }
        for (scene, runs) in scenes.iter().zip(&runs) {
            refuse_loss(session, name, scene.name(), runs);
        }
        let refusal = scenes[0].data_path()?.obstacle(&before);
        let [ours, user, miredo] = &runs;
        rows(session, name, [ours, miredo], refusal.as_deref());
        let core = Some(Place::Receiver.core());
        perf::note_hottest(session, name, "teredo", core, || {
            scenes[0].run(direction, SMALL, PEERS, duration)
        });
        let measure = format!("{name}, in user space");
        rows_of_user_space(session, &measure, [user, miredo]);
        let scenes = &mut scenes[1..];
        own_share(session, &measure, scenes, &runs[1..], (direction, duration))?;
    }
    by_size(session, &mut scenes)
}

/// The relays' own share of their CPU time, by a run of each that is not measured.
fn own_share(
    session: &mut Session,
    name: &str,
    scenes: &mut [Scene],
    runs: &[Vec<Run>],
    (direction, duration): (Direction, Duration),
) -> Result<()> {
    let measure = format!("{name}, relay's CPU without the path");
    let mut own = Vec::new();
    for (scene, runs) in scenes.iter_mut().zip(runs) {
        scene.introduce(PEERS)?;
        let (contestant, relay) = (scene.name(), scene.processes());
        let shares = perf::sample(session, &measure, contestant, &relay, || {
            scene.run(direction, SMALL, PEERS, duration)
        })?;
        let Some(shares) = shares else {
            return Ok(());
        };
        let each = |run: &Run| run.processor_nanoseconds * (1.0 - shares.path);
        own.push(runs.iter().map(each).collect::<Vec<f64>>());
    }
    if let [ours, theirs] = &own[..] {
        session.row(&measure, "ns", "miredo", [ours, theirs], Nothing);
    }
    Ok(())
}

type Value = fn(&Run) -> f64;

fn figures([ours, theirs]: [&[Run]; 2], value: Value) -> [Vec<f64>; 2] {
    [ours, theirs].map(|runs| runs.iter().map(value).collect())
}

fn rows(session: &mut Session, name: &str, runs: [&[Run]; 2], refusal: Option<&str>) {
    let values: [(&str, Value, Target); 2] = [
        (
            ", a second and core",
            |run| run.per_core_second,
            AtLeast(4.0),
        ),
        (", a second", |run| run.per_second, Nothing),
    ];
    for (what, value, target) in values {
        let [ours, theirs] = figures(runs, value);
        let measure = format!("{name}{what}");
        session.row_unless(refusal, &measure, "1/s", "miredo", [&ours, &theirs], target);
    }
}

fn rows_of_user_space(session: &mut Session, name: &str, runs: [&[Run]; 2]) {
    let values: [(&str, &str, Value); 3] = [
        (", a second and core", "1/s", |run| run.per_core_second),
        (", relay's CPU for each", "ns", |run| {
            run.processor_nanoseconds
        }),
        (", a second", "1/s", |run| run.per_second),
    ];
    for (what, unit, value) in values {
        let [ours, theirs] = figures(runs, value);
        let measure = format!("{name}{what}");
        session.row(&measure, unit, "miredo", [&ours, &theirs], Nothing);
    }
}

/// The figures must be without loss.
fn refuse_loss(session: &mut Session, measure: &str, contestant: &str, runs: &[Run]) {
    let lost: u64 = runs.iter().map(|run| run.outcome.lost).sum();
    let answered: u64 = runs.iter().map(|run| run.outcome.answered).sum();
    if lost * 1000 > answered {
        session.missing(
            format!("{measure}, without loss"),
            format!("{contestant} lost {lost}, and brought {answered} through"),
        );
    }
}

/// Packets a second by the size of the inner packet.
fn by_size(session: &mut Session, scenes: &mut [Scene]) -> Result<()> {
    let mut series = Vec::new();
    for scene in scenes {
        let mut points = Vec::new();
        for size in SIZES {
            let rate = shape(session, scene, "by size", size, PEERS_OF_SIZES)?;
            points.push((size as f64, rate));
        }
        series.push(Series {
            name: scene.name(),
            points,
        });
    }
    let plot = Plot {
        title: "through a relay to 100 peers",
        x: "bytes of an inner packet",
        y: "packets a second",
        base: 2.0,
        series: &series,
    };
    plot.save(&session.out().join("by-size.svg"))
}

/// Packets a second, for a point of a plot.
pub(crate) fn shape(
    session: &mut Session,
    scene: &mut Scene,
    name: &str,
    size: usize,
    peers: usize,
) -> Result<Estimate> {
    let repeats = if session.quick { 3 } else { 5 };
    let mut rates = Vec::new();
    for repeat in 0..repeats {
        session.progress(&format!("plot {name}, {}", scene.name()), repeat);
        let duration = Duration::from_millis(400);
        let run = scene.run(Direction::ToPeers, size, peers, duration)?;
        session.keep(name, scene.name(), repeat, &run)?;
        rates.push(run.per_second);
    }
    Estimate::of(&rates).context("no run")
}
