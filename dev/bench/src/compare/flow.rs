//! One TCP flow from a client behind a NAT, through a relay, to a native host.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::cpu::Usage;
use super::daemon::Make;
use super::perf;
use super::row::Target::{AtLeast, AtMost, None};
use super::session::Session;
use super::stage::{Carrier, FRAME, Mode, Stage, traffic};
use super::stream::{Transfer, transfer};

const CARRIERS: [Carrier; 5] = [
    Carrier::Tunnel(Make::Ours),
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
    let [ours, miredo, tun_rs, plain, vxlan] = &runs;
    let of = |runs: &[Run], value: fn(&Run) -> f64| runs.iter().map(value).collect::<Vec<f64>>();
    let rate = |runs: &[Run]| of(runs, |run| run.bits_per_second);
    let cost = |runs: &[Run]| of(runs, |run| run.processor_seconds_per_gigabyte);
    let (over_miredo, over_plain, cost_over_miredo) = match mode {
        Mode::OffloadIntact => (AtLeast(10.0), None, AtMost(0.1)),
        Mode::WireTrue => (AtLeast(3.0), AtLeast(0.6), AtMost(0.25)),
    };
    for (rival, theirs, target) in [
        ("miredo", miredo, over_miredo),
        ("plain IPv4", plain, over_plain),
        ("tun-rs", tun_rs, None),
        ("vxlan", vxlan, None),
    ] {
        session.row(
            &measure,
            "bit/s",
            rival,
            [&rate(ours), &rate(theirs)],
            target,
        );
    }
    for (rival, theirs, target) in [
        ("miredo", miredo, cost_over_miredo),
        ("tun-rs", tun_rs, None),
    ] {
        session.row(
            &format!("daemons' CPU, {mode}"),
            "s/GB",
            rival,
            [&cost(ours), &cost(theirs)],
            target,
        );
    }
    own_share(
        session,
        &stages[..2],
        [&cost(ours), &cost(miredo)],
        mode,
        duration,
    )?;
    count_calls(session, &stages[..2], mode, duration)
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
    let measure = format!("daemons' CPU without the path, {mode}");
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
        session.row(&measure, "s/GB", "miredo", [ours, theirs], None);
    }
    Ok(())
}

fn run(stage: &Stage, mode: Mode, duration: Duration) -> Result<Run> {
    stage.warm_up()?;
    let usage = Usage::of(stage.daemons());
    let before = traffic(&stage.alice, "eth0")?;
    let Transfer { bytes, seconds } = flow(stage, duration)?;
    let processor_seconds = usage.so_far()?.as_secs_f64();
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
    let measure = format!("system calls a packet, {mode}");
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
        session.row(&measure, "1", "miredo", [&[ours], &[miredo]], None);
        session.row(&measure, "1", "one call", [&[ours], &[1.0]], AtMost(0.1));
    }
    Ok(())
}
