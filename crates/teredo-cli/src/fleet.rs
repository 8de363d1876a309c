//! More than one machine: the ports of hosts, at the firewalls of their perimeter.
//!
//! ```text
//!  publish.rs    'teredo publish': this host's port, in the bucket
//!  perimeter.rs  'teredo firewall --fleet': the bucket's ports, in a set of nftables
//!  report.rs     what the perimeter's process says of itself, and 'teredo status' shows
//!  account.rs    'teredo publish nats-config': the users of the bucket
//! ```

pub(crate) mod account;
pub(crate) mod perimeter;
pub(crate) mod publish;
pub(crate) mod report;

use teredo_fleet::{ConnectError, HostKey, Servers};

use crate::args::ServersArgs;
use crate::daemon::{self, ControlSignal, Session, reload};
use crate::failure::{Exit, Failure};

/// The servers that the options name.
fn servers(urls: teredo_fleet::Urls, args: &ServersArgs) -> Servers {
    Servers {
        urls,
        creds: args.creds.clone(),
        ca: args.ca.clone(),
    }
}

/// The key of this host: `chosen`, or that of its name.
fn key(chosen: Option<&HostKey>, option: &str) -> Result<HostKey, Failure> {
    if let Some(key) = chosen {
        return Ok(key.clone());
    }
    let name = nix::unistd::gethostname().unwrap_or_default();
    HostKey::of_host_name(&name.to_string_lossy()).map_err(|error| {
        Failure::new(Exit::Failed, "the name of this host gives no key")
            .because(error)
            .hint(format!("choose one with {option}"))
    })
}

/// Who reads on the way sees all ports, and may write others.
fn warn_if_plain(servers: &Servers) {
    if !servers.are_encrypted() {
        tracing::warn!(
            "the connection to the servers need not be encrypted: name them tls://HOST, and their authority with --ca"
        );
    }
}

/// Answers signals and feeds the watchdog until the process is to end.
async fn ended(session: &mut Session, tell_state: impl Fn()) {
    loop {
        tokio::select! {
            () = session.end.received() => return daemon::tell_stopping(),
            () = session.watchdog.due() => session.watchdog.feed(true),
            signal = session.signals.received() => match signal {
                ControlSignal::Print => tell_state(),
                ControlSignal::Reload => reload::tell_unchanged(),
            },
        }
    }
}

fn connect_failure(what: &str, error: ConnectError) -> Failure {
    let hint = match &error {
        ConnectError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            "'teredo publish nats-config' writes the keys; the authority is the one that signed the \
             servers' certificates"
        }
        ConnectError::File { .. } => "the file must be readable for this user",
        ConnectError::Authority(_) => {
            "--ca is the file of the authority that signed the servers' certificates, such as ca.pem"
        }
        ConnectError::Credentials(_) => {
            "'teredo publish nats-config' writes such files, and so does nsc of NATS"
        }
        _ => "'nats-server --help' and the log of the server tell more",
    };
    Failure::new(Exit::Failed, what.to_owned())
        .because(error)
        .hint(hint)
}
