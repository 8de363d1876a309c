//! Writes the set-up delays and their document: `cargo xtask sim delay` builds and starts it.

#![forbid(unsafe_code)]

use std::io::{IsTerminal as _, stderr};
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use teredo_delay::{SEEDS, Table, page, picture};
use teredo_matrix::document;

#[derive(Parser)]
#[command(version, about = "How long it takes until two programs talk")]
struct Arguments {
    /// The folder for nat-delay.json, nat-delay.md and nat-delay.svg.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The runs of each cell.
    #[arg(long, value_name = "N", default_value_t = SEEDS, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
    /// Print JSON instead of the tables.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let shows = stderr().is_terminal();
    let table = Table::run(arguments.seeds, |done, all| {
        if shows {
            eprint!("\r{done} of {all} cells");
        }
    });
    if shows {
        eprintln!();
    }
    let (json, page) = (table.to_json()?, page(&table));
    let documents = [
        ("nat-delay.json", &*json),
        ("nat-delay.md", &page),
        ("nat-delay.svg", &picture(&table)?),
    ];
    document::write(&arguments.out, &documents)?;
    if arguments.json {
        print!("{json}");
    } else {
        print!("{}", page.trim_start_matches(|c| c != '|'));
    }
    Ok(())
}
