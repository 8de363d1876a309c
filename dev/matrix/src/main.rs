//! Writes the matrix and its document: `cargo xtask sim matrix` builds and starts it.

#![forbid(unsafe_code)]

use std::io::{IsTerminal as _, stderr};
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use teredo_matrix::{Matrix, SEEDS, document, page, picture};

#[derive(Parser)]
#[command(
    version,
    about = "Which NATs meet: every pair, on a simulated internet"
)]
struct Arguments {
    /// The folder for nat-matrix.json, nat-matrix.md and nat-matrix.svg.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The runs of each cell.
    #[arg(long, value_name = "N", default_value_t = SEEDS, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let shows = stderr().is_terminal();
    let matrix = Matrix::run(arguments.seeds, |done, all| {
        if shows {
            eprint!("\r{done} of {all} cells");
        }
    });
    if shows {
        eprintln!();
    }
    let page = page(&matrix);
    let documents = [
        ("nat-matrix.json", &*matrix.to_json()?),
        ("nat-matrix.md", &page),
        ("nat-matrix.svg", &picture(&matrix)),
    ];
    document::write(&arguments.out, &documents)?;
    print!("{}", page.trim_start_matches(|c| c != '|'));
    Ok(())
}
