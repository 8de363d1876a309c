//! `teredo firewall`: the agent that keeps nftables in step with the port.

use std::time::Instant;

use caps::Capability;
use teredo_firewall::{
    Agent, AgentError, AgentStatus, Block, BlockError, Ending, ForeignTable, Target,
};
use teredo_node::retry_briefly;
use teredo_notify::watcher::GatingSubscriber;
use tokio::sync::watch;

use crate::daemon::reload::{self, Next};
use crate::daemon::sandbox::Needs;
use crate::daemon::{self, ControlSignal, Session, privilege, sandbox};
use crate::failure::{Exit, Failure};
use crate::metrics::{AgentSource, Endpoint};
use crate::output::narrate;
use crate::settings::FirewallSettings;

/// Follows the port until SIGINT or SIGTERM, then closes it; the block of the tunnel's inside stays. Or removes the block.
/// `load` reads the settings, at the start and at each reload.
///
/// The services may be absent; then there is no port, and so no exception.
pub(crate) fn run(load: impl Fn() -> Result<FirewallSettings, Failure>) -> Result<Exit, Failure> {
    let first = load()?;
    if first.remove {
        return remove();
    }
    let mut metrics = Endpoint::bind(first.metrics)?;
    privilege::keep([Capability::CAP_NET_ADMIN])?;
    sandbox::enter(&Needs::of_a_firewall(first.metrics.is_some()));
    let started = Instant::now();
    let following = async {
        let mut session = Session::new()?;
        reload::run(first, async |settings| {
            let outcome = follow((&mut session, &mut metrics, started), settings, &load).await;
            metrics.started(outcome.is_ok());
            outcome
        })
        .await
    };
    daemon::run(following)
}

async fn follow(
    (session, metrics, started): (&mut Session, &mut Endpoint, Instant),
    settings: &FirewallSettings,
    load: impl Fn() -> Result<FirewallSettings, Failure>,
) -> Result<Next<FirewallSettings>, Failure> {
    let config = &settings.agent;
    let agent = retry_briefly(
        || Agent::new(config.clone()),
        |error| matches!(error, AgentError::AlreadyRunning { .. }),
    )
    .await
    .map_err(agent_failure)?;
    introduce(settings);
    daemon::tell_ready();

    let status = agent.status();
    let source = AgentSource {
        status: status.clone(),
        started,
        lease: config.lease,
    };
    metrics.show(source.source());
    let sources = settings
        .sockets
        .iter()
        .map(|socket| GatingSubscriber::new(socket).with_random_ports())
        .collect();
    let mut next = None;
    let ended = async {
        loop {
            tokio::select! {
                () = session.end.received() => {
                    daemon::tell_stopping();
                    return Ending::Close;
                }
                () = session.watchdog.due() => session.watchdog.feed(true),
                signal = session.signals.received() => match signal {
                    ControlSignal::Print => tell_state(&status),
                    ControlSignal::Reload => if let Some(mut new) = reload::read(&load) {
                        let Some(moved) = metrics.reload(settings.metrics, &mut new.metrics) else {
                            continue;
                        };
                        if new != *settings || moved {
                            reload::tell_changed();
                        } else {
                            reload::tell_unchanged();
                        }
                        if new == *settings {
                            continue;
                        }
                        // Leases in another place end here; in the same one the next agent renews them.
                        let same_place = new.agent.target == settings.agent.target;
                        next = Some(new);
                        return if same_place { Ending::Leave } else { Ending::Close };
                    }
                },
            }
        }
    };
    let outcome = agent.run_all(sources, ended).await;
    match (outcome, next) {
        (Ok(()), Some(next)) => Ok(Next::Reload(next)),
        (outcome, _) => Ok(Next::End(
            outcome.map(|()| Exit::Done).map_err(agent_failure),
        )),
    }
}

fn introduce(settings: &FirewallSettings) {
    let place = match &settings.agent.target {
        Target::OwnTable => String::from("the table 'inet teredo'"),
        Target::AdministratorSet(set) => format!("the set '{set}'"),
    };
    let sockets = settings.sockets.iter();
    let names: Vec<_> = sockets.map(|socket| socket.display().to_string()).collect();
    narrate(format_args!(
        "{place} follows the port of {}",
        names.join(" and ")
    ));
}

fn tell_state(status: &watch::Receiver<AgentStatus>) {
    let status = status.borrow().clone();
    let state = match (&status.trouble, status.in_step) {
        (Some(trouble), _) => trouble.as_str(),
        (None, true) => "in step",
        (None, false) => "not in step",
    };
    let suspicion = match status.random_refusals {
        0 => String::new(),
        count => format!("; {count} times, a client named a random port that it would not choose"),
    };
    narrate(format_args!(
        "port {}, {} changes, {} repairs, {} refusals: {state}{suspicion}",
        status.port, status.swaps, status.resyncs.flush, status.refusals
    ));
}

/// `teredo firewall --remove`
fn remove() -> Result<Exit, Failure> {
    match Block::remove() {
        Ok(true) => {
            narrate("the table 'inet teredo' is removed: the inside of every tunnel is open")
        }
        Ok(false) => narrate("there is no table 'inet teredo'"),
        Err(error) => {
            let (exit, hint) = match &error {
                BlockError::Foreign(_) => (Exit::Failed, ForeignTable::MEND),
                BlockError::AgentRuns { .. } => (Exit::Failed, "stop the agent first"),
                _ => (
                    Exit::NotPermitted,
                    "run it as root, or give it CAP_NET_ADMIN",
                ),
            };
            return Err(Failure::new(exit, "the table 'inet teredo' stays")
                .because(error)
                .hint(hint));
        }
    }
    Ok(Exit::Done)
}

fn agent_failure(error: AgentError) -> Failure {
    let (exit, hint) = match &error {
        AgentError::Config(_) => (
            Exit::Usage,
            String::from("'teredo firewall --help' lists the settings"),
        ),
        AgentError::NotPermitted => (
            Exit::NotPermitted,
            String::from("run it as root, or give it CAP_NET_ADMIN"),
        ),
        AgentError::AlreadyRunning { .. } => (
            Exit::Failed,
            String::from("a host needs one agent only: stop the other one first"),
        ),
        AgentError::ForeignTable(_) => (Exit::Failed, ForeignTable::MEND.to_owned()),
        AgentError::OwnedSet { .. } => (
            Exit::Failed,
            String::from(
                "declare the set in a table without 'flags owner', or let the program that owns the table look in \
                 one that is",
            ),
        ),
        AgentError::UnsuitableSet { path, .. } => (
            Exit::Failed,
            format!(
                "replace it: 'nft delete set {path}', then {}",
                path.create_command()
            ),
        ),
        AgentError::Source(_) => (
            Exit::NotPermitted,
            String::from(
                "run the agent as root or in the service's group, and in the same version as the client",
            ),
        ),
        _ => (
            Exit::Failed,
            String::from("the kernel may lack nftables: try 'modprobe nf_tables'"),
        ),
    };
    Failure::new(exit, "the firewall cannot follow the port")
        .because(error)
        .hint(hint)
}
