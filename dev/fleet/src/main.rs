//! Puts many hosts of a fleet into a real cluster of three NATS servers, with the program as the perimeter, all on this
//! machine: `cargo run --release -p teredo-fleet-load -- --out docs`.
//!
//! ```text
//!  cluster.rs    three servers and a perimeter in a network namespace
//!  hosts.rs      the hosts: entries over a few connections
//!  scale.rs      joins, renewals, churn and a power cut, by number of hosts
//!  rebind.rs     from a rebind to the live rule, beside a bare message of NATS
//!  usage.rs      memory and processor time of a process
//!  page.rs       the table and the pictures
//! ```

#![forbid(unsafe_code)]

mod cluster;
mod hosts;
mod page;
mod rebind;
mod scale;
mod usage;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use teredo_lab::Namespace;

use cluster::Cluster;

#[derive(Parser)]
#[command(version, about = "Many hosts of a Teredo fleet against a real cluster")]
struct Arguments {
    /// The numbers of hosts.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,30000,100000", value_parser = clap::value_parser!(u32).range(1..=130_000))]
    hosts: Vec<u32>,
    /// The rebinds whose time is measured.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    rebinds: u32,
    /// The program that is the perimeter.
    #[arg(long, value_name = "FILE", default_value = "target/release/teredo")]
    program: PathBuf,
    /// The folder for fleet.md and fleet.svg; without it, the table alone is printed.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let program = arguments.program.canonicalize();
    let program = program.with_context(|| {
        format!(
            "no {}: build it with 'cargo build --release -p teredo-cli'",
            arguments.program.display()
        )
    })?;
    let namespace = Namespace::new().context("this needs root for a network namespace")?;
    let (rounds, rebinds) = namespace.run(|| -> Result<_> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let rebinds = {
            let cluster = Cluster::start(&namespace, &program)?;
            runtime.block_on(rebind::measure(&cluster, arguments.rebinds))?
        };
        let mut rounds = Vec::new();
        for hosts in &arguments.hosts {
            let cluster = Cluster::start(&namespace, &program)?;
            let round = runtime.block_on(scale::measure(&cluster, *hosts))?;
            // A later round may fail.
            eprintln!("{round:?}");
            rounds.push(round);
        }
        Ok((rounds, rebinds))
    })??;
    page::print(&rounds, &rebinds, arguments.out.as_deref())
}
