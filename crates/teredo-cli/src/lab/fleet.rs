//! `teredo lab fleet`: two firewalls at a perimeter follow the ports of 20 hosts by a cluster of NATS, and the story of
//! each part that fails.
//!
//! ```text
//!  plan.rs      names and addresses                cluster.rs   the servers of NATS: certificates, account, monitoring
//!  network.rs   machines and cables                members.rs   the processes of hosts and perimeters
//!  ruleset.rs   default drop, and the cut          record.rs    what both sets held at each moment
//!  steps.rs     the story: up, rebind, end         faults.rs    the story: what is killed, and cut
//!  kills.rs     faults at random                   judge.rs     what they may do to a port
//! ```

mod cluster;
mod faults;
mod judge;
mod kills;
mod members;
mod network;
mod plan;
mod record;
mod ruleset;
mod steps;

use super::programs;
use super::report::{Reporter, StepError};
use crate::args::FleetLabArgs;
use crate::failure::{Exit, Failure};
use crate::output::Output;

const DRAWING: [&str; 6] = [
    "               nats1   nats2   nats3",
    "                 └───────┼───────┘",
    "  host01..10 ── fw1 ─────┴───── fw2 ── host11..20      each way to the Teredo server",
    "                 │ └───────────┘ │                     leads through both firewalls,",
    "                 └─── Teredo ────┘                     which drop what no set permits",
    "                      server",
];

/// The programs that are needed, and their packages in Debian.
const NEEDED: [(&str, &str, &str); 2] = [
    (
        "nats-server",
        "nats-server",
        "'apt-get install nats-server' installs it, and 'systemctl disable --now nats-server' ends the service that comes with it",
    ),
    (
        "openssl",
        "openssl",
        "'apt-get install openssl' installs it",
    ),
];

/// Builds the lab, runs the steps, and reports them on `output`.
pub(super) fn run(args: &FleetLabArgs, output: Output) -> Result<Exit, Failure> {
    for (program, package, hint) in NEEDED {
        if programs::find(program).is_none() {
            let what =
                format!("there is no {program}: this lab needs it, of Debian's package {package}");
            return Err(Failure::new(Exit::Failed, what).hint(hint));
        }
    }
    super::enter()?;
    let mut reporter = Reporter::new(output, args.json);
    let title = "A fleet of Teredo hosts: their ports go by a cluster of NATS to the perimeter";
    reporter.introduce(title, &DRAWING)?;
    let mut place = None;
    let kills = args.kills.map(|number| steps::Kills {
        number,
        seed: args.seed.unwrap_or_else(random_seed),
    });
    let exit = match steps::run(&mut reporter, kills, &mut place) {
        Ok(()) => Exit::Done,
        Err(StepError::Output(failure)) => return Err(failure),
        Err(StepError::Failed) => Exit::Failed,
    };
    drop(place);
    reporter.close(None)?;
    Ok(exit)
}

/// A seed that a person can type again.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) % 1_000_000
}
