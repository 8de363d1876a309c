//! How client and relay come up: the service first, which tells a second instance, then the interface.

use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use teredo_notify::hub::Hub;
use teredo_notify::service::{BindError, Config, EventBus, Service};
use teredo_tunnel::net::interface::{Interface, InterfaceConfig, InterfaceError};
use teredo_tunnel::{OpenError, Tun, TunQueues};
use tokio::sync::mpsc;

use super::control::{Request, Requests};
use super::outlast;
use crate::failure::{Exit, Failure};

/// The group whose members may steer the daemon, where there is one.
const GROUP: &str = "teredo";
/// How long the first port waits for firewall agents to come.
const ADMISSION: Duration = Duration::from_millis(25);
const ADMISSION_STEP: Duration = Duration::from_millis(1);

/// Binds the service's socket; what callers ask comes out of the receiver.
pub(crate) async fn offer_service(
    socket: &Path,
    hub: &Hub,
    events: &EventBus,
) -> Result<(Service, mpsc::Receiver<Request>), Failure> {
    let (requests, inbox) = mpsc::channel(64);
    let group = nix::unistd::Group::from_name(GROUP)
        .ok()
        .flatten()
        .map(|group| group.gid.as_raw());
    let config = Config {
        group,
        ..Config::new(socket)
    };
    let requests = Arc::new(Requests(requests));
    let service = outlast(
        || Service::bind(&config, hub.clone(), events.clone(), requests.clone()),
        |error| matches!(error, BindError::AlreadyRunning { .. }),
    )
    .await
    .map_err(service_failure)?;
    Ok((service, inbox))
}

/// Makes the tunnel interface.
pub(crate) async fn open_tun(name: &str) -> Result<Tun, Failure> {
    outlast(
        || Tun::open(Some(name)),
        |error| matches!(error, OpenError::NameTaken { .. }),
    )
    .await
    .map_err(tun_failure)
}

/// The same for several threads.
pub(crate) async fn open_queues(name: &str, count: NonZeroUsize) -> Result<TunQueues, Failure> {
    outlast(
        || TunQueues::open(Some(name), count),
        |error| matches!(error, OpenError::NameTaken { .. }),
    )
    .await
    .map_err(tun_failure)
}

/// Sets the tunnel interface up.
pub(crate) async fn set_up_interface(
    tun: &Tun,
    config: InterfaceConfig,
) -> Result<Interface, Failure> {
    Interface::set_up(tun, config)
        .await
        .map_err(interface_failure)
}

/// Lets firewall agents that wait for the service subscribe before the first port is announced, so that they gate
/// it like every later one (N-16). They watch for the socket and need a few milliseconds; one that comes later is
/// seen to by the main loop.
pub(crate) async fn admit_firewalls(hub: &Hub) {
    let current = hub.snapshot().sequence;
    let admitted = async {
        while !hub.gates().iter().any(|gate| gate.settled >= Some(current)) {
            tokio::time::sleep(ADMISSION_STEP).await;
        }
    };
    // Running out of time means that there is no agent.
    let _ = tokio::time::timeout(ADMISSION, admitted).await;
}

fn service_failure(error: BindError) -> Failure {
    let exit = match &error {
        BindError::Folder { source, .. } | BindError::Create { source, .. }
            if source.kind() == ErrorKind::PermissionDenied =>
        {
            Exit::NotPermitted
        }
        _ => Exit::Failed,
    };
    Failure::new(exit, "cannot offer the local service").because(error)
}

fn tun_failure(error: OpenError) -> Failure {
    let exit = match &error {
        OpenError::NotPermitted => Exit::NotPermitted,
        _ => Exit::Failed,
    };
    let failure = Failure::new(exit, "cannot make the tunnel interface");
    match &error {
        OpenError::NotPermitted => failure
            .because(error)
            .hint("run it as root, or give it CAP_NET_ADMIN"),
        OpenError::NameTaken { .. } => failure.because(error).hint(
            "'teredo status' shows a running client; --interface NAME names another interface",
        ),
        _ => failure.because(error),
    }
}

pub(crate) fn interface_failure(error: InterfaceError) -> Failure {
    let exit = match &error {
        InterfaceError::NotPermitted { .. } => Exit::NotPermitted,
        _ => Exit::Failed,
    };
    Failure::new(exit, "cannot set the tunnel interface up").because(error)
}
