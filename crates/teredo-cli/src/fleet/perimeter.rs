//! `teredo firewall --fleet`: the ports of a fleet's hosts, in a set of nftables.

use std::path::Path;
use std::time::Instant;

use caps::Capability;
use teredo_firewall::EndpointSetError;
use teredo_fleet::{
    BUCKET, Grants, MAX_HOSTS, Perimeter, PerimeterConfig, PerimeterError, PerimeterStatus,
};
use tokio::sync::watch;

use super::report;
use crate::args::FirewallArgs;
use crate::daemon::sandbox::Needs;
use crate::daemon::{self, Session, privilege, sandbox};
use crate::failure::{Exit, Failure};
use crate::metrics::{Endpoint, perimeter_source};
use crate::output::narrate;

/// Follows the bucket until SIGINT or SIGTERM, then closes what it opened.
pub(crate) fn run(args: FirewallArgs, socket: &Path) -> Result<Exit, Failure> {
    let (Some(urls), Some(set)) = (args.fleet, args.set) else {
        return Err(Failure::new(
            Exit::Usage,
            "--fleet and --set belong together",
        ));
    };
    let config = PerimeterConfig {
        servers: super::servers(urls, &args.servers),
        name: super::key(args.name.as_ref(), "--name")?,
        set,
        mapped: args.mapped,
        grants: Grants::new(args.networks),
        hosts: MAX_HOSTS,
    };
    let listener = report::Listener::bind(socket)?;
    let metrics = Endpoint::bind(args.metrics)?;
    privilege::keep([Capability::CAP_NET_ADMIN])?;
    sandbox::enter(&Needs::of_a_perimeter(socket));
    daemon::run(follow(config, listener, metrics))
}

async fn follow(
    config: PerimeterConfig,
    listener: report::Listener,
    mut metrics: Endpoint,
) -> Result<Exit, Failure> {
    let started = Instant::now();
    let mut session = Session::new()?;
    super::warn_if_plain(&config.servers);
    if config.grants.permit_all() {
        tracing::warn!(
            "every host of the bucket can open any address: --network limits which it may name"
        );
    }
    let introduction = format!(
        "the set '{}' is to follow the bucket '{BUCKET}' at {}, as '{}'",
        config.set, config.servers.urls, config.name
    );
    let perimeter = Perimeter::new(config.clone()).map_err(failure)?;
    narrate(introduction);
    daemon::tell_ready();
    let status = perimeter.status();
    metrics.show(perimeter_source(status.clone(), started));
    let answering = listener.answer(config, status.clone());
    let ended = super::ended(&mut session, || tell_state(&status));
    tokio::select! {
        outcome = perimeter.run(ended) => outcome.map(|()| Exit::Done).map_err(failure),
        never = answering => match never {},
    }
}

fn tell_state(status: &watch::Receiver<PerimeterStatus>) {
    let status = status.borrow();
    let state = match (&status.trouble, status.in_step) {
        (Some(trouble), _) => trouble.as_str(),
        (None, true) => "in step",
        (None, false) => "not in step",
    };
    let refused: u64 = status.refused.values().sum();
    narrate(format_args!(
        "{} hosts, {} endpoints, {} repairs, {} refusals, {refused} entries refused: {state}",
        status.hosts, status.endpoints, status.repairs, status.refusals
    ));
}

fn failure(error: PerimeterError) -> Failure {
    const WHAT: &str = "the firewall cannot follow the fleet";
    let (exit, hint) = match error {
        PerimeterError::Connect(error) => return super::connect_failure(WHAT, error),
        PerimeterError::Set(ref cause) => {
            let exit = match cause {
                EndpointSetError::Netlink(teredo_nft::NftError::NotPermitted) => Exit::NotPermitted,
                _ => Exit::Failed,
            };
            (exit, cause.hint())
        }
        PerimeterError::Netlink(teredo_nft::NftError::NotPermitted) => (
            Exit::NotPermitted,
            Some(String::from("run it as root, or give it CAP_NET_ADMIN")),
        ),
        _ => (Exit::Failed, None),
    };
    let hint = hint
        .unwrap_or_else(|| String::from("the kernel may lack nftables: try 'modprobe nf_tables'"));
    Failure::new(exit, WHAT).because(error).hint(hint)
}
