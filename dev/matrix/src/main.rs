//! Writes the matrix and its document: `cargo xtask sim matrix` builds and starts it.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{IsTerminal as _, stderr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use teredo_matrix::{Matrix, SEEDS, page, picture};

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
    fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make {}", arguments.out.display()))?;
    let json = matrix.to_json()?;
    let page = page(&matrix);
    for (name, text) in [
        ("nat-matrix.json", &json),
        ("nat-matrix.md", &page),
        ("nat-matrix.svg", &picture(&matrix)),
    ] {
        let path = arguments.out.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    print!("{}", page.trim_start_matches(|c| c != '|'));
    Ok(())
}
