//! `teredo lab`: the whole system on a private internet.
//!
//! All parts are real: this program as server, clients and firewall agents, the kernel's NATs and a default-drop
//! ruleset, in network namespaces that vanish with the lab. Each step is checked. The first failure ends the run with
//! exit code 1.

mod network;
mod report;
mod ruleset;
mod steps;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use teredo_lab::{NatKind, privilege};

use self::network::Network;
use self::report::{Reporter, StepError};
use crate::args::LabArgs;
use crate::failure::{Exit, Failure};
use crate::output::{Output, narrate};

/// Builds the lab, runs the steps, and reports them on `output`.
pub(crate) fn run(args: LabArgs, output: Output) -> Result<Exit, Failure> {
    // A user namespace can be entered only while the process has one thread.
    privilege::enter().map_err(|error| {
        Failure::new(Exit::NotPermitted, "cannot create the lab's network").because(error)
    })?;
    privilege::check_tun().map_err(|error| {
        Failure::new(Exit::NotPermitted, "cannot create a tunnel interface").because(error)
    })?;

    let nats = Nats::new(args.nat, args.peer_nat);
    let mut reporter = Reporter::new(output, args.json);
    reporter.open(nats)?;
    let outcome = steps::run(&mut reporter, nats);
    let mut network = match outcome {
        Ok(network) => network,
        Err(StepError::Output(failure)) => return Err(failure),
        Err(StepError::Failed) => {
            reporter.close()?;
            return Ok(Exit::Failed);
        }
    };
    if args.shell {
        shell(&mut network)?;
    }
    drop(network);
    reporter.close()?;
    Ok(Exit::Done)
}

/// The NATs in front of alice and bob.
#[derive(Clone, Copy, Debug)]
struct Nats {
    alice: NatKind,
    bob: NatKind,
}

impl Nats {
    fn new(alice: NatKind, bob: Option<NatKind>) -> Self {
        let usual = match alice {
            NatKind::Symmetric => NatKind::Restricted,
            _ => NatKind::PortRestricted,
        };
        Self {
            alice,
            bob: bob.unwrap_or(usual),
        }
    }

    /// Whether the two clients connect. Behind a symmetric NAT, a client reaches only a peer without a NAT, or behind a
    /// cone or address-restricted one (RFC 6081 §5.2, figure 1).
    fn meet(self) -> bool {
        let is_open = |nat| matches!(nat, NatKind::None | NatKind::Cone | NatKind::Restricted);
        match (self.alice, self.bob) {
            (NatKind::Symmetric, other) | (other, NatKind::Symmetric) => is_open(other),
            _ => true,
        }
    }
}

/// A shell on alice's host, with everything running.
fn shell(network: &mut Network) -> Result<(), Failure> {
    let failed =
        |error| Failure::new(Exit::Failed, "cannot open a shell on alice's host").because(error);
    network
        .restart_killed()
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    narrate(format_args!(
        "this shell runs on alice's host; try 'teredo status', 'teredo monitor', 'teredo rebind', 'ping {}'; exit to end the lab",
        network
            .bob_address()
            .map_or_else(|| "bob".to_owned(), |address| address.to_string()),
    ));
    let mut command = Command::new(shell);
    command.env("TEREDO_SOCKET", network.alice_socket());
    if let Some(folder) = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.to_owned()))
    {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).unwrap_or(path));
    }
    command.arg0("sh");
    let mut child = network
        .alice()
        .namespace()
        .spawn(&mut command)
        .map_err(failed)?;
    child.wait().map_err(failed)?;
    Ok(())
}
