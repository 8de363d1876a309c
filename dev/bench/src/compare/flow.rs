//! One TCP flow from a client behind a NAT, through a relay, to a native host.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::cpu::{Busy, Usage};
use super::daemon::{DataPath, Make};
use super::perf;
use super::row::Target::{AtLeast, AtMost, None as Nothing};
use super::session::Session;
use super::stage::{Carrier, FRAME, Mode, Stage, traffic};
use super::stream::{Transfer, transfer};

const CARRIERS: [Carrier; 6] = [
    Carrier::Tunnel(Make::Ours(DataPath::Auto)),
    Carrier::Tunnel(Make::Ours(DataPath::User)),
    Carrier::Tunnel(Make::Miredo),
    Carrier::TunRs,
    Carrier::Ipv4,
    Carrier::Vxlan,
];

/// The headers of VXLAN besides IPv4 and UDP: its own, and another Ethernet header.
const VXLAN: u64 = 8 + 14;

/// One run of a carrier.
#[derive(Clone, Copy, Debug, Serialize)]
struct Run {
    mode: Mode,
    bytes: u64,
    seconds: f64,
    bits_per_second: f64,
    /// Of the client and the relay, or of the two ends of a tunnel in user space.
    processor_seconds: f64,
    processor_seconds_per_gigabyte: f64,
    /// Of all cores, for whatever.
    machine_seconds_per_gigabyte: f64,
    /// The frames that left alice, and their average size with the Ethernet header.
    frames: u64,
    bytes_per_frame: f64,
}

pub(crate) fn measure(session: &mut Session) -> Result<()> {
    for mode in [Mode::OffloadIntact, Mode::WireTrue] {
        in_mode(session, mode)?;
    }
    Ok(())
}

fn in_mode(session: &mut Session, mode: Mode) -> Result<()> {
    let duration = Duration::from_millis(if session.quick { 700 } else { 1500 });
    let stages = CARRIERS
        .iter()
        .map(|carrier| Stage::build(session, *carrier, mode))
        .collect::<Result<Vec<_>>>()?;
    let mut runs = [const { Vec::new() }; CARRIERS.len()];
    let measure = format!("TCP flow, {mode}");
    let before = stages[0].data_paths()?;
    for pair in 0..session.pairs() {
        session.progress(&measure, pair);
        for (stage, runs) in stages.iter().zip(&mut runs) {
            let name = stage.carrier.name();
            let run = match run(stage, mode, duration) {
                Err(error) => {
                    session.note(format!("{measure}: {name} once more: {error:#}"));
                    run(stage, mode, duration).with_context(|| name)?
                }
                run => run?,
            };
            session.keep(&measure, stage.carrier.name(), pair, &run)?;
            runs.push(run);
        }
    }
    let refusal = stages[0].obstacle(&before)?;
    rows(session, mode, &runs, refusal.as_deref());
    for stage in [&stages[0], &stages[4]] {
        stage.warm_up()?;
        let name = stage.carrier.name();
        perf::note_hottest(session, &measure, name, None, || flow(stage, duration));
    }
    let of_user_space = &stages[1..3];
    let [user, miredo] = [&runs[1], &runs[2]].map(|runs| costs(runs));
    own_share(session, of_user_space, [&user, &miredo], mode, duration)?;
    count_calls(session, of_user_space, mode, duration)
}

/// The CPU seconds of the daemons for a gigabyte.
fn costs(runs: &[Run]) -> Vec<f64> {
    let costs = runs.iter().map(|run| run.processor_seconds_per_gigabyte);
    costs.collect()
}

fn rows(
    session: &mut Session,
    mode: Mode,
    [ours, user, miredo, tun_rs, plain, vxlan]: &[Vec<Run>; CARRIERS.len()],
    refusal: Option<&str>,
) {
    let rates = |runs: &[Run]| {
        let rates = runs.iter().map(|run| run.bits_per_second);
        rates.collect::<Vec<f64>>()
    };
    let measure = format!("TCP flow, {mode}");
    let (over_miredo, user_over_miredo, user_over_plain, user_cost) = match mode {
        Mode::OffloadIntact => (AtLeast(20.0), AtLeast(10.0), Nothing, AtMost(0.1)),
        Mode::WireTrue => (Nothing, AtLeast(3.0), AtLeast(0.6), AtMost(0.25)),
    };
    for (rival, theirs, target) in [
        ("plain IPv4", plain, AtLeast(0.8)),
        ("miredo", miredo, over_miredo),
        ("vxlan", vxlan, Nothing),
    ] {
        let figures = [&rates(ours)[..], &rates(theirs)];
        session.row_unless(refusal, &measure, "bit/s", rival, figures, target);
    }
    // Beyond plain IPv4's, pair by pair.
    let beyond = |runs: &[Run]| {
        let pairs = runs.iter().zip(plain);
        let beyond = pairs.map(|(run, plain)| {
            run.machine_seconds_per_gigabyte - plain.machine_seconds_per_gigabyte
        });
        beyond.collect::<Vec<f64>>()
    };
    let target = match mode {
        Mode::OffloadIntact => Nothing,
        Mode::WireTrue => AtMost(0.1),
    };
    let machine = format!("machine's CPU beyond plain IPv4's, {mode}");
    let figures = [&beyond(ours)[..], &beyond(miredo)];
    session.row_unless(refusal, &machine, "s/GB", "miredo", figures, target);
    let figures = [&beyond(user)[..], &beyond(miredo)];
    let measure = format!("{machine}, in user space");
    session.row(&measure, "s/GB", "miredo", figures, Nothing);

    let measure = format!("TCP flow, {mode}, in user space");
    for (rival, theirs, target) in [
        ("miredo", miredo, user_over_miredo),
        ("plain IPv4", plain, user_over_plain),
        ("tun-rs", tun_rs, Nothing),
        ("vxlan", vxlan, Nothing),
    ] {
        let figures = [&rates(user)[..], &rates(theirs)];
        session.row(&measure, "bit/s", rival, figures, target);
    }
    let measure = format!("daemons' CPU, {mode}, in user space");
    for (rival, theirs, target) in [("miredo", miredo, user_cost), ("tun-rs", tun_rs, Nothing)] {
        let figures = [&costs(user)[..], &costs(theirs)];
        session.row(&measure, "s/GB", rival, figures, target);
    }
}

/// Reports the daemons' own share of their processor time, without the network between them. It takes a run of each
/// that is not measured.
fn own_share(
    session: &mut Session,
    stages: &[Stage],
    costs: [&[f64]; 2],
    mode: Mode,
    duration: Duration,
) -> Result<()> {
    let measure = format!("daemons' CPU without the path, {mode}, in user space");
    let mut own = Vec::new();
    for (stage, costs) in stages.iter().zip(costs) {
        stage.warm_up()?;
        let name = stage.carrier.name();
        let daemons = stage.daemons();
        let shares = perf::sample(session, &measure, name, &daemons, || flow(stage, duration))?;
        let Some(shares) = shares else {
            return Ok(());
        };
        own.push(
            costs
                .iter()
                .map(|cost| cost * (1.0 - shares.path))
                .collect::<Vec<f64>>(),
        );
    }
    if let [ours, theirs] = &own[..] {
        session.row(&measure, "s/GB", "miredo", [ours, theirs], Nothing);
    }
    Ok(())
}

fn run(stage: &Stage, mode: Mode, duration: Duration) -> Result<Run> {
    stage.warm_up()?;
    let (usage, busy) = (Usage::of(stage.daemons()), Busy::machine()?);
    let before = traffic(&stage.alice, "eth0")?;
    let Transfer { bytes, seconds } = flow(stage, duration)?;
    let machine = busy.so_far()?.as_secs_f64();
    // A daemon may have nothing to do.
    let processor_seconds = usage.so_far().unwrap_or_default().as_secs_f64();
    let after = traffic(&stage.alice, "eth0")?;
    let frames = after.sent - before.sent;
    let bytes_per_frame = (after.sent_bytes - before.sent_bytes) as f64 / frames as f64;
    let largest = FRAME
        + if stage.carrier == Carrier::Vxlan {
            VXLAN
        } else {
            0
        };
    ensure!(
        mode == Mode::OffloadIntact || bytes_per_frame <= largest as f64,
        "{} sent frames of {bytes_per_frame:.0} bytes on average: that is not what a wire carries",
        stage.carrier.name()
    );
    Ok(Run {
        mode,
        bytes,
        seconds,
        bits_per_second: bytes as f64 * 8.0 / seconds,
        processor_seconds,
        processor_seconds_per_gigabyte: processor_seconds * 1e9 / bytes as f64,
        machine_seconds_per_gigabyte: machine * 1e9 / bytes as f64,
        frames,
        bytes_per_frame,
    })
}

fn flow(stage: &Stage, duration: Duration) -> Result<Transfer> {
    transfer(
        [&stage.alice, &stage.native],
        stage.destination(),
        stage.segment(),
        duration,
    )
}

/// The system calls of both daemons for each packet that each of them carried, in runs that are not measured.
fn count_calls(
    session: &mut Session,
    stages: &[Stage],
    mode: Mode,
    duration: Duration,
) -> Result<()> {
    let measure = format!("system calls a packet, {mode}, in user space");
    let mut ratios = Vec::new();
    for stage in stages {
        stage.warm_up()?;
        let before = stage.carried()?;
        let file = session.path("perf");
        let counted = perf::count(&stage.daemons(), &file, || flow(stage, duration));
        let (calls, _) = match counted {
            Ok(counted) => counted,
            Err(error) => {
                session.missing(measure, format!("{error:#}"));
                return Ok(());
            }
        };
        let packets = stage.carried()? - before;
        let each = calls as f64 / packets as f64;
        #[derive(Serialize)]
        struct Calls {
            calls: u64,
            packets: u64,
        }
        session.keep(&measure, stage.carrier.name(), 0, &Calls { calls, packets })?;
        ratios.push(each);
    }
    if let [ours, miredo] = ratios[..] {
        session.row(&measure, "1", "miredo", [&[ours], &[miredo]], Nothing);
        session.row(&measure, "1", "one call", [&[ours], &[1.0]], AtMost(0.1));
    }
    Ok(())
}
