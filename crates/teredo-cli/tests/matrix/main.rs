//! Everybody with everybody: our client, server and relay and Debian's `miredo` 1.2.6, behind every kind of NAT that
//! there is a way through.
//!
//! A cell of the matrix is a test, whose name says what it is made of. The short form is a selection that has every
//! pair of two things in some cell; with `TEREDO_LONG=1` (`cargo xtask test --long`) it is every cell, and a table at
//! the end. Needs root, and the Debian packages `tshark`, `miredo` and `miredo-server`.

mod cell;
mod scene;
mod selection;
mod table;
mod transfer;

#[allow(dead_code, reason = "the end-to-end tests use the rest of it")]
#[path = "../e2e/miredo/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "the end-to-end tests use the rest of it")]
#[path = "../e2e/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::table::{Outcome, Table};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let long = std::env::var_os("TEREDO_LONG").is_some_and(|value| value == "1");
    let cells = if long {
        selection::all()
    } else {
        selection::pairwise(&selection::all())
    };
    let table = Arc::new(Mutex::new(Table::default()));
    let mut trials: Vec<_> = cells
        .into_iter()
        .map(|cell| {
            let table = Arc::clone(&table);
            Trial::test(cell.to_string(), move || {
                let start = Instant::now();
                let result = catch_unwind(AssertUnwindSafe(|| scene::play(cell)));
                let outcome = Outcome {
                    ok: result.is_ok(),
                    took: start.elapsed(),
                };
                table
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .enter(cell, outcome);
                result.map_err(|panic| Failed::from(format!("{cell}: {}", words(&*panic))))
            })
        })
        .collect();
    trials.extend(selection::tests());
    let conclusion = libtest_mimic::run(&arguments, trials);
    if long {
        print!("{}", table.lock().unwrap_or_else(PoisonError::into_inner));
    }
    conclusion.exit_code()
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "a panic without words",
    }
}
