//! The cost of cutting and coalescing super-packets, beside copying the same bytes.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use teredo_segmentation::Packet;
use teredo_tunnel::offload::{Coalescer, Cut, Header, Offloads};

use crate::machine::Machine;
use crate::statistics::Distribution;

/// The name and version of the JSON.
const SCHEMA: &str = "teredo.bench.offload/1";

/// As many packets of 1280 bytes as one send takes, with TCP's timestamps.
const PACKETS: usize = 51;
const SEGMENT: u16 = 1208;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often each is done.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1000..))]
    rounds: u32,
    /// Measure on a machine that others use; the report says that it was.
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    machine: Machine,
    bytes: usize,
    measurements: Vec<Measurement>,
}

/// Nanoseconds for [`PACKETS`] packets.
#[derive(Serialize)]
struct Measurement {
    name: &'static str,
    nanoseconds: Distribution,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = Machine::look()?;
    machine.refuse_if_loaded(options.force)?;
    let payload = vec![0x5a; PACKETS * usize::from(SEGMENT)];
    let (header, whole) = Packet::tcp(1, payload).super_packet(Some(SEGMENT));
    let header = Header::parse(&header);
    let mut packets = vec![0; PACKETS * 1280];
    let mut coalescer = Coalescer::new(PACKETS, Offloads::ALL);
    let names = ["copy", "cut", "coalesce"];
    let mut times = names.map(|_| Vec::with_capacity(options.rounds as usize));
    // In turns, so that whatever disturbs the machine disturbs each of them.
    for _ in 0..options.rounds {
        let start = Instant::now();
        packets[..whole.len()].copy_from_slice(black_box(&whole));
        black_box(&mut packets);
        times[0].push(start.elapsed().as_nanos() as u64);

        let start = Instant::now();
        cut(&header, black_box(&whole), &mut packets)?;
        black_box(&mut packets);
        times[1].push(start.elapsed().as_nanos() as u64);

        let start = Instant::now();
        coalescer.clear();
        for number in 0..PACKETS {
            coalescer.push(black_box(&packets), number * 1280..(number + 1) * 1280);
        }
        let writes = coalescer.iter(&packets).map(|packet| packet.count());
        ensure!(writes.eq([PACKETS]), "the packets have not become one");
        times[2].push(start.elapsed().as_nanos() as u64);
    }
    let measurements = names.into_iter().zip(times);
    let measurements: Vec<_> = measurements
        .filter_map(|(name, times)| {
            let nanoseconds = Distribution::of(times)?;
            Some(Measurement { name, nanoseconds })
        })
        .collect();
    println!(
        "{PACKETS} packets of 1280 bytes, median of {}",
        options.rounds
    );
    for Measurement { name, nanoseconds } in &measurements {
        let median = nanoseconds.p50.max(1) as f64;
        println!(
            "{name:>10}  {:>7.2} us  {:>6.1} ns a packet  {:>5.1} GB/s",
            median / 1e3,
            median / PACKETS as f64,
            whole.len() as f64 / median
        );
    }
    let report = Report {
        schema: SCHEMA,
        machine,
        bytes: whole.len(),
        measurements,
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn cut(header: &Header, whole: &[u8], packets: &mut [u8]) -> Result<()> {
    let mut cut = Cut::new(header, whole).context("the super-packet cannot be cut")?;
    let mut end = 0;
    while let Some(len) = cut.emit(whole, &mut packets[end..]) {
        end += len;
    }
    ensure!(
        end == packets.len(),
        "the super-packet has become {end} bytes"
    );
    Ok(())
}
