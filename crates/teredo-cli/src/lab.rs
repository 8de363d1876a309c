//! `teredo lab`: the whole system on a private internet.
//!
//! All parts are real: this program as server, clients and firewall agents, NATs of the kernel and of
//! `teredo-nat`, and a default-drop ruleset, in network namespaces that vanish with the lab. Each step is checked. The first failure ends the run with
//! exit code 1.

mod anycast;
mod diagram;
mod fleet;
mod journey;
mod network;
mod port_request;
mod programs;
mod report;
mod ruleset;
mod steps;
mod topology;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use teredo::client::NatTraversal;
use teredo_lab::{HomeNat, NatKind, privilege};

use self::diagram::Recorder;
use self::network::Network;
use self::report::{Reporter, StepError};
use crate::args::{LabArgs, LabCommand};
use crate::failure::{Exit, Failure};
use crate::nat_pairs::{self, Expectation, Path, is_symmetric};
use crate::output::{Output, narrate};

/// Builds the lab, runs the steps, and reports them on `output`.
pub(crate) fn run(args: LabArgs, output: Output) -> Result<Exit, Failure> {
    match &args.command {
        Some(LabCommand::Anycast(args)) => return anycast::run(args, output),
        Some(LabCommand::Fleet(args)) => return fleet::run(args, output),
        None => {}
    }
    enter()?;
    let nats = Nats::new(args.nat, args.peer_nat, args.nat_traversal);
    let mut recorder = args.diagram.map(Recorder::new).transpose()?;
    let mut reporter = Reporter::new(output, args.json);
    reporter.open(nats)?;
    let mut network = None;
    let outcome = steps::run(
        &mut reporter,
        nats,
        args.data_path,
        recorder.as_mut(),
        &mut network,
    );
    // Before a shell, whose traffic would push the exchange out of the captures.
    if let Some(recorder) = &recorder {
        recorder.draw()?;
    }
    let exit = match outcome {
        Ok(()) => Exit::Done,
        Err(StepError::Output(failure)) => return Err(failure),
        Err(StepError::Failed) => Exit::Failed,
    };
    // After a failed step, too: there is something to look at.
    if let Some(network) = network.as_mut().filter(|_| args.shell) {
        shell(network)?;
    }
    reporter.close(recorder.as_ref().map(Recorder::path))?;
    Ok(exit)
}

/// Gets the right to make namespaces and TUN interfaces.
fn enter() -> Result<(), Failure> {
    // A user namespace can be entered only while the process has one thread.
    privilege::enter().map_err(|error| {
        Failure::new(Exit::NotPermitted, "cannot create the lab's network").because(error)
    })?;
    privilege::check_tun().map_err(|error| {
        Failure::new(Exit::NotPermitted, "cannot create a tunnel interface").because(error)
    })?;
    Ok(())
}

/// The NATs in front of alice and bob, and how both get through.
#[derive(Clone, Copy, Debug)]
struct Nats {
    alice: HomeNat,
    bob: HomeNat,
    traversal: Option<NatTraversal>,
}

impl Nats {
    fn new(alice: HomeNat, bob: Option<HomeNat>, traversal: Option<NatTraversal>) -> Self {
        let usual = match is_symmetric(&alice.behaviour()) {
            true => NatKind::Restricted,
            false => NatKind::PortRestricted,
        };
        Self {
            alice,
            bob: bob.unwrap_or_else(|| usual.into()),
            traversal,
        }
    }

    /// Whether neither is symmetric: the clients meet by RFC 4380 alone, and nothing is lost.
    fn are_plain(self) -> bool {
        ![self.alice, self.bob]
            .iter()
            .any(|nat| is_symmetric(&nat.behaviour()))
    }

    /// The path from alice to bob that the matrix has.
    fn expected(self) -> Expectation {
        nat_pairs::expected(self.alice, self.bob, self.traversal.unwrap_or_default())
    }

    /// Whether the matrix has a cell for the two.
    fn are_listed(self) -> bool {
        nat_pairs::is_listed(self.alice) && nat_pairs::is_listed(self.bob)
    }

    /// Whether a client behind this NAT may have no address (R4380-5.2.1-11).
    fn may_be_offline(self, nat: HomeNat) -> bool {
        self.traversal == Some(NatTraversal::Rfc4380) && is_symmetric(&nat.behaviour())
    }
}

/// A shell on alice's host, with everything running.
fn shell(network: &mut Network) -> Result<(), Failure> {
    let failed =
        |error| Failure::new(Exit::Failed, "cannot open a shell on alice's host").because(error);
    network
        .restart_killed()
        .and_then(|()| ruleset::admit_probe(network.alice()))
        .map_err(|error| Failure::new(Exit::Failed, format!("{error:#}")))?;
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    narrate(format_args!(
        "this shell runs on alice's host; try 'teredo status', 'teredo monitor', 'teredo rebind', 'teredo probe {}', 'ping {}'; exit to end the lab",
        network::SERVER[0],
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
