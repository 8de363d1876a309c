//! `teredo lab anycast`: two relays and two servers behind BIRD, and what their users notice when one of them fails.
//!
//! ```text
//!  plan.rs     addresses, and the configurations of BIRD from host.conf and router.conf
//!  network.rs  machines and processes        bird.rs     a daemon and its control socket
//!  traffic.rs  packets all the time          steps.rs    the story
//! ```

mod bird;
mod network;
mod plan;
mod steps;
mod traffic;

use super::report::{Reporter, StepError};
use crate::args::AnycastArgs;
use crate::failure::{Exit, Failure};
use crate::output::Output;

const DRAWING: [&str; 3] = [
    "  alice ── NAT ──┐                 ┌── east ── relay1, server1",
    "                 ├───── core ──────┤    │",
    "  native host ───┘                 └── west ── relay2, server2",
];

/// Builds the lab, runs the steps, and reports them on `output`.
pub(super) fn run(args: &AnycastArgs, output: Output) -> Result<Exit, Failure> {
    if bird::program().is_none() {
        return Err(Failure::new(
            Exit::Failed,
            "there is no bird: the routers of this lab run BIRD 2",
        )
        .hint("'apt-get install bird2' installs it, and 'systemctl disable --now bird' ends the service that comes with it"));
    }
    super::enter()?;
    let mut reporter = Reporter::new(output, args.json);
    let title =
        "Teredo behind anycast: relays and servers share addresses, and BIRD says where they are";
    reporter.introduce(title, &DRAWING)?;
    let mut network = None;
    let exit = match steps::run(&mut reporter, &mut network) {
        Ok(()) => Exit::Done,
        Err(StepError::Output(failure)) => return Err(failure),
        Err(StepError::Failed) => Exit::Failed,
    };
    reporter.close(None)?;
    Ok(exit)
}
