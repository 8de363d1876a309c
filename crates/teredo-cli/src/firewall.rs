//! `teredo firewall`: the agent that keeps nftables in step with the port.

use teredo_firewall::{Agent, AgentError, Target};
use teredo_node::retry_briefly;
use teredo_notify::watcher::GatingSubscriber;

use crate::daemon::{self, EndSignals};
use crate::failure::{Exit, Failure};
use crate::output::narrate;
use crate::settings::FirewallSettings;

/// Follows the port until SIGINT or SIGTERM, then removes every exception.
///
/// The service may be absent; then there is no port, and so no exception.
pub(crate) fn run(settings: FirewallSettings) -> Result<Exit, Failure> {
    daemon::runtime()?.block_on(follow(settings))
}

async fn follow(settings: FirewallSettings) -> Result<Exit, Failure> {
    let FirewallSettings {
        agent: config,
        socket,
    } = settings;
    let place = match &config.target {
        Target::OwnTable => String::from("the table 'inet teredo'"),
        Target::AdministratorSet(set) => format!("the set '{set}'"),
    };
    let mut end = EndSignals::new()?;
    let agent = retry_briefly(
        || Agent::new(config.clone()),
        |error| matches!(error, AgentError::AlreadyRunning { .. }),
    )
    .await
    .map_err(agent_failure)?;
    narrate(format_args!(
        "{place} follows the port of {}",
        socket.display()
    ));
    daemon::tell_ready();

    agent
        .run(GatingSubscriber::new(socket), async {
            end.received().await;
            daemon::tell_stopping();
        })
        .await
        .map_err(agent_failure)?;
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
