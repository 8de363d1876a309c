//! The data path, the server and the firewall beside their rivals, in turns in the same run.
//!
//! Each contestant has its turn in each pair, one right after the other, so that a slow machine slows all of them.
//! A figure is the median of the pairs' ratios.

mod batch;
mod cpu;
mod crowd;
mod daemon;
mod datagrams;
mod estimate;
mod firewall;
mod flow;
mod frames;
mod generator;
mod latency;
mod load;
pub(crate) mod peers;
mod perf;
mod plot;
mod relaying;
mod row;
pub(crate) mod server;
mod session;
mod stage;
mod stream;
pub(crate) mod tun_rs;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use self::session::Session;
use crate::machine::{Machine, raise_file_limit};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Three pairs of each instead of ten: four minutes at most, and less certain numbers.
    #[arg(long)]
    quick: bool,
    /// Measure on a machine that others use; the report says that it was.
    #[arg(long)]
    force: bool,
    /// Measure these parts alone.
    #[arg(long, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
    /// The program `teredo`; without this the one in the folder of this program.
    #[arg(long)]
    teredo: Option<PathBuf>,
    /// Where the raw data, the tables and the plots are kept.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One TCP flow through the tunnel.
    Flow,
    /// Small packets to many peers, and plots by size and by peers.
    Datagrams,
    /// Round trips, idle and beside a load.
    Latency,
    /// Solicitations and bubbles.
    Server,
    /// A port into a set of nftables.
    Firewall,
    /// The relay's list of peers.
    Peers,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Datagrams => "datagrams",
            Self::Latency => "latency",
            Self::Server => "server",
            Self::Firewall => "firewall",
            Self::Peers => "peers",
        }
    }

    fn measure(self, session: &mut Session) -> Result<()> {
        match self {
            Self::Flow => flow::measure(session),
            Self::Datagrams => datagrams::measure(session),
            Self::Latency => latency::measure(session),
            Self::Server => server::measure(session),
            Self::Firewall => firewall::measure(session),
            Self::Peers => peers::measure(session),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = Machine::look()?;
    machine.refuse_if_loaded(options.force)?;
    raise_file_limit()?;
    let beside = || std::env::current_exe().map(|program| program.with_file_name("teredo"));
    let teredo = options.teredo.clone().map_or_else(beside, Ok)?;
    let teredo = teredo
        .canonicalize()
        .with_context(|| format!("no {}: cargo build --profile dist", teredo.display()))?;
    let mut session = Session::new(options.quick, machine, teredo, options.out.clone())?;
    for part in Part::value_variants() {
        if !options.only.is_empty() && !options.only.contains(part) {
            continue;
        }
        session.begin(part.name())?;
        if let Err(error) = part.measure(&mut session) {
            // The others are still worth having.
            session.missing(part.name(), format!("{error:#}"));
        }
        session.end();
    }
    session.finish()
}
