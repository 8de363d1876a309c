//! Changes by the hundred thousand, as fast as they can be made, and subscribers in processes of their own that are
//! stopped, continued, killed and started again all the while (N-01, N-11, N-14, N-15).
//!
//! The ports of a phase grow, and its end is a port that all subscribers must have heard of, whatever was done to
//! them, before the next phase begins. Each subscriber checks that it is told of nothing twice and of nothing out of
//! order; this process, that nobody lacks the last state.
//!
//! `TEREDO_STRESS_CHANGES` says how many changes; `TEREDO_STRESS_SEED` repeats a run as far as the scheduler lets it.
//! This program is also the subscriber in Rust, hence without the usual harness.

#[path = "../c_programs/compile.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod compile;
mod publisher;
mod random;
mod subscriber;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use compile::{Compiler, FLAVOURS, Link, prefix};
use publisher::{Publisher, phases};
use random::Random;
use subscriber::Subscriber;

/// How long a subscriber that is awake may take to know the last state.
const SOON: Duration = Duration::from_secs(20);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Ok(socket) = std::env::var(subscriber::ROLE) {
        return subscriber::run(Path::new(&socket));
    }
    // A filter for the tests of other files.
    if arguments
        .iter()
        .any(|argument| !argument.starts_with('-') && !"stress".contains(argument.as_str()))
    {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let changes = number("TEREDO_STRESS_CHANGES").unwrap_or(300_000);
    let seed = number("TEREDO_STRESS_SEED").unwrap_or_else(|| std::process::id().into());
    println!("stress: {changes} changes, seed {seed}");
    stress(changes, seed);
}

#[derive(Default)]
struct Tally {
    checks: u64,
    stops: u64,
    kills: u64,
    told: u64,
}

fn stress(changes: u64, seed: u64) {
    let began = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let publisher = Publisher::start(&socket);
    let mut random = Random(seed);

    let [driver, program] =
        FLAVOURS.map(|flavour| Compiler::GCC.program(flavour, Link::Shared, "stress"));
    let this = std::env::current_exe().unwrap();
    let mut subscribers: Vec<Subscriber> = [&driver, &program, &program, &this, &this]
        .into_iter()
        .map(|program| {
            let mut command = Command::new(program);
            command
                .env("TEREDO_SOCKET", &socket)
                .env("LD_LIBRARY_PATH", prefix().join("lib"))
                .env(subscriber::ROLE, &socket);
            Subscriber::start(command)
        })
        .collect();

    let mut tally = Tally::default();
    for phase in phases(changes) {
        let (_, end) = phase;
        for () in publisher.publish(phase, random.next()) {
            let chosen = random.below(subscribers.len() as u64) as usize;
            disturb(&mut subscribers[chosen], &mut random, &mut tally);
        }
        for subscriber in &mut subscribers {
            subscriber.resume();
        }
        for subscriber in &mut subscribers {
            subscriber.knows(end, SOON);
            tally.checks += 1;
        }
    }
    for subscriber in subscribers {
        tally.told += subscriber.end();
    }
    let Tally {
        checks,
        stops,
        kills,
        told,
    } = tally;
    println!(
        "stress: {changes} changes in {:.1} s; {checks} final states, none lost, none told twice or out of order; \
         {told} notifications, {stops} stops, {kills} kills",
        began.elapsed().as_secs_f64()
    );
    assert!(stops > 0 && kills > 0 && told > 0, "nobody was disturbed");
}

fn disturb(subscriber: &mut Subscriber, random: &mut Random, tally: &mut Tally) {
    match random.below(16) {
        0 => {
            tally.told += subscriber.restart();
            tally.kills += 1;
        }
        1..=6 => {
            subscriber.stop();
            tally.stops += 1;
        }
        _ => subscriber.resume(),
    }
}
