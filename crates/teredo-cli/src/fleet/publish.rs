//! `teredo publish`: this host's port, in the bucket of its fleet.

use std::path::Path;

use teredo_fleet::{BUCKET, Publisher, PublisherConfig, PublisherError, PublisherStatus};
use tokio::sync::watch;

use crate::args::{PublishArgs, PublishCommand};
use crate::daemon::sandbox::Needs;
use crate::daemon::{self, Session, privilege, sandbox};
use crate::failure::{Exit, Failure};
use crate::output::narrate;

/// Publishes until SIGINT or SIGTERM, then deletes the entry.
pub(crate) fn run(args: PublishArgs, socket: &Path) -> Result<Exit, Failure> {
    if let Some(PublishCommand::NatsConfig(args)) = args.command {
        return super::account::run(&args);
    }
    let Some(urls) = args.nats else {
        return Err(Failure::new(Exit::Usage, "--nats is missing")
            .hint("name the servers: 'teredo publish --nats tls://nats.example'"));
    };
    let host = super::key(args.host.as_ref(), "--host")?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(|error| {
        Failure::new(Exit::Failed, "cannot tell the boot of this host").because(error)
    })?;
    let config = PublisherConfig {
        servers: super::servers(urls, &args.servers),
        host,
        lease: args.lease,
        perimeters: args.perimeters,
        socket: socket.to_owned(),
        boot: boot.trim().to_owned(),
    };
    privilege::keep([])?;
    sandbox::enter(&Needs::of_a_publisher());
    daemon::run(publish(config))
}

async fn publish(config: PublisherConfig) -> Result<Exit, Failure> {
    let mut session = Session::new()?;
    super::warn_if_plain(&config.servers);
    narrate(format_args!(
        "the key '{}' of the bucket '{BUCKET}' at {} follows the port of {}",
        config.host,
        config.servers.urls,
        config.socket.display()
    ));
    let publisher = Publisher::new(config);
    let status = publisher.status();
    daemon::tell_ready();
    let ended = super::ended(&mut session, || tell_state(&status));
    publisher
        .run(ended)
        .await
        .map(|()| Exit::Done)
        .map_err(failure)
}

fn tell_state(status: &watch::Receiver<PublisherStatus>) {
    let status = status.borrow();
    let state = match (&status.trouble, status.in_step) {
        (Some(trouble), _) => trouble.as_str(),
        (None, true) => "in step",
        (None, false) => "not in step",
    };
    narrate(format_args!(
        "port {}, {} entries written, {} failed: {state}",
        status.port, status.written, status.failed
    ));
}

fn failure(error: PublisherError) -> Failure {
    const WHAT: &str = "the port of this host cannot be published";
    let (exit, hint) = match error {
        PublisherError::Connect(error) => return super::connect_failure(WHAT, error),
        PublisherError::Gate(_) => (
            Exit::NotPermitted,
            "run it as root or in the service's group, and in the same version as the client",
        ),
        _ => (Exit::Failed, "the log tells more"),
    };
    Failure::new(exit, WHAT).because(error).hint(hint)
}
