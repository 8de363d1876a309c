//! The common part of `teredo client` and `teredo relay`: the service, which stops a second instance, and failures.

use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use teredo_node::teredo_bpf::PortMap;
use teredo_node::{NodeControl, PortInMap, Requests, RunError, StartError};
use teredo_notify::hub::Hub;
use teredo_notify::service::EventBus;
use teredo_notify::snapshot::Node;
use teredo_tunnel::kernel::KernelError;
use teredo_tunnel::net::InterfaceError;
use teredo_tunnel::{OpenError, SpawnError};

use super::Session;
use super::local_service::LocalService;
use super::port_map;
use crate::failure::{Exit, Failure};
use crate::metrics::{self, Endpoint};
use crate::output::narrate;

/// How long the first port waits for firewall agents. They watch for the service's socket and need a few milliseconds.
pub(crate) const GATE_GRACE: Duration = Duration::from_millis(25);

/// The parts of a client's or relay's process that outlive a reload.
pub(crate) struct NodeSession {
    pub(crate) session: Session,
    pub(crate) hub: Hub,
    pub(crate) events: EventBus,
    pub(crate) control: NodeControl,
    /// For the first node; each later one gets its own.
    requests: Option<Requests>,
    service: LocalService,
    /// Until the service answers.
    port_map: Option<PortMap>,
    port_in_map: Option<PortInMap>,
    /// The metrics over HTTP.
    pub(crate) metrics: Endpoint,
}

impl NodeSession {
    /// Binds the service's socket, or takes the one of the service manager: a second instance fails here. Callers wait
    /// until it is [served](Self::serve).
    pub(crate) async fn new(
        left: Option<UnixListener>,
        socket: &Path,
        group: Option<&str>,
        metrics: Option<SocketAddr>,
        node: Node,
    ) -> Result<Self, Failure> {
        let session = Session::new()?;
        let hub = Hub::new();
        hub.set_node(node);
        let events = EventBus::new(hub.clone());
        let (control, requests) = teredo_node::control();
        let answering = Arc::new(control.clone());
        let service = LocalService::bind(left, socket, group, (&hub, &events), answering).await?;
        Ok(Self {
            session,
            hub,
            events,
            control,
            requests: Some(requests),
            service,
            port_map: port_map::open(socket).await,
            port_in_map: None,
            // After the service, so that a second instance hears that it is one.
            metrics: Endpoint::bind(metrics)?,
        })
    }

    /// The service's requests, for the next node.
    pub(crate) fn requests(&mut self) -> Requests {
        let first = self.requests.take();
        first.unwrap_or_else(|| self.control.renew())
    }

    /// Makes the service answer, after `confine` has given up what the process no longer needs. Once; later it does
    /// nothing.
    pub(crate) fn serve(
        &mut self,
        confine: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let status = self.service.status();
        self.service.serve(confine)?;
        // Before the node starts, and after it has announced a port that was left to it.
        if let Some(map) = self.port_map.take() {
            self.port_in_map = Some(PortInMap::follow(&self.hub, map));
        }
        if let Some(status) = status {
            self.metrics.show(metrics::node_source(status));
        }
        Ok(())
    }

    /// Ends the service, which removes its socket.
    pub(crate) async fn end(&mut self) {
        self.service.end().await;
    }

    /// Closes all connections at once and tells nobody anything.
    pub(crate) async fn break_off(&mut self) {
        self.service.break_off().await;
    }
}

/// Socket and group of a service stay what they are until the process ends.
pub(crate) fn keep_service(
    (socket, group): (&PathBuf, &Option<String>),
    (new_socket, new_group): (&mut PathBuf, &mut Option<String>),
) {
    if (socket, group) != (&*new_socket, &*new_group) {
        narrate("the socket and its group take effect at a restart");
        new_socket.clone_from(socket);
        new_group.clone_from(group);
    }
}

/// A start that failed; `data_path` explains errors of the data path.
pub(crate) fn start_failure(
    error: StartError,
    data_path: impl FnOnce(SpawnError) -> Failure,
) -> Failure {
    match error {
        StartError::Tun(error) => tun_failure(error),
        StartError::Interface(error) => interface_failure(error),
        StartError::DataPath(error) => data_path(error),
        StartError::Kernel(error) => no_kernel_path(error),
        StartError::Protection(error) => super::inside::failure(error),
        StartError::Monitor(error) => {
            Failure::new(Exit::Failed, "cannot monitor the network").because(error)
        }
        other => Failure::new(Exit::Failed, "cannot start").because(other),
    }
}

/// The operator wants the path in the kernel, which cannot be had.
pub(crate) fn no_kernel_path(error: KernelError) -> Failure {
    no_kernel(
        error,
        "with --data-path auto, user space carries the packets",
    )
}

/// The same with the way out.
pub(crate) fn no_kernel(error: KernelError, way_out: &str) -> Failure {
    // The error may name the privileges itself.
    let needs = match error.lacks_privilege() {
        true => "",
        false => "it takes Linux 6.6, CAP_BPF and CAP_NET_ADMIN; ",
    };
    Failure::new(Exit::Failed, "cannot have the path in the kernel")
        .because(error)
        .hint(format!("{needs}{way_out}"))
}

/// A node that has ended by itself.
pub(crate) fn run_failure(error: &RunError, role: &str) -> Failure {
    let failure = Failure::new(Exit::Failed, error.to_string());
    match error {
        RunError::DataPathEnded | RunError::Panicked => {
            failure.hint(format!("the log shows the reason; start the {role} again"))
        }
        _ => failure.hint(format!("start the {role} again")),
    }
}

fn tun_failure(error: OpenError) -> Failure {
    let exit = match &error {
        OpenError::NotPermitted => Exit::NotPermitted,
        _ => Exit::Failed,
    };
    let failure = Failure::new(exit, "cannot create the tunnel interface");
    match &error {
        OpenError::NotPermitted => failure
            .because(error)
            .hint("run it as root, or give it CAP_NET_ADMIN"),
        OpenError::NameTaken { .. } => failure.because(error).hint(
            "'teredo status' shows a running client, with its --socket; --interface NAME names another interface",
        ),
        _ => failure.because(error),
    }
}

fn interface_failure(error: InterfaceError) -> Failure {
    let exit = match &error {
        InterfaceError::NotPermitted { .. } => Exit::NotPermitted,
        _ => Exit::Failed,
    };
    Failure::new(exit, "cannot set the tunnel interface up").because(error)
}
