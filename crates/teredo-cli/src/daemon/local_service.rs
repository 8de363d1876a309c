//! A daemon's local service: its socket, which stops a second instance, and the answers on it.

use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use teredo_node::retry_briefly;
use teredo_notify::hub::Hub;
use teredo_notify::service::{Config, Control, EventBus, Service, ServiceError, StatusReader};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::failure::{Exit, Failure};

/// The default group whose members may control the daemon, if it exists.
const GROUP: &str = "teredo";

/// A service that is bound, then answers, then ends.
pub(crate) struct LocalService {
    /// Until it is served; callers wait.
    bound: Option<Service>,
    serving: Option<Serving>,
}

impl LocalService {
    /// Binds the socket, or takes the one of the service manager: a second instance fails here.
    pub(crate) async fn bind(
        left: Option<UnixListener>,
        socket: &Path,
        group: Option<&str>,
        (hub, events): (&Hub, &EventBus),
        control: Arc<dyn Control>,
    ) -> Result<Self, Failure> {
        let found = nix::unistd::Group::from_name(group.unwrap_or(GROUP))
            .ok()
            .flatten();
        if let (Some(name), None) = (group, &found) {
            return Err(
                Failure::new(Exit::Failed, format!("there is no group '{name}'"))
                    .of_settings()
                    .hint(
                        "'groupadd --system NAME' creates one, or choose another one with --group",
                    ),
            );
        }
        let config = Config {
            group: found.map(|group| group.gid.as_raw()),
            ..Config::new(socket)
        };
        let bound = if let Some(listener) = left {
            Service::take_over(listener, &config, hub.clone(), events.clone(), control).map_err(
                |error| {
                    Failure::new(Exit::Failed, "cannot use the socket of the service manager")
                        .because(error)
                        .hint("the socket unit's ListenStream= and --socket must be the same")
                },
            )
        } else {
            retry_briefly(
                || Service::bind(&config, hub.clone(), events.clone(), control.clone()),
                |error| matches!(error, ServiceError::AlreadyRunning { .. }),
            )
            .await
            .map_err(failure)
        };
        Ok(Self {
            bound: Some(bound?),
            serving: None,
        })
    }

    /// Reads the status that it answers with; none once it [serves](Self::serve).
    pub(crate) fn status(&self) -> Option<StatusReader> {
        self.bound.as_ref().map(Service::status)
    }

    /// Answers, after `confine` has given up what the process no longer needs. Once; later it does nothing.
    pub(crate) fn serve(
        &mut self,
        confine: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Some(service) = self.bound.take() {
            confine()?;
            self.serving = Some(Serving::start(service));
        }
        Ok(())
    }

    /// Ends it, which removes its socket.
    pub(crate) async fn end(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.end().await;
        }
    }

    /// Closes all connections at once and tells nobody anything.
    pub(crate) async fn break_off(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.break_off().await;
        }
    }
}

/// A service that answers.
struct Serving {
    close: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Serving {
    fn start(service: Service) -> Self {
        let (close, closed) = oneshot::channel::<()>();
        let task = tokio::spawn(service.run(async {
            // Ends when the sender is dropped.
            let _ = closed.await;
        }));
        Self { close, task }
    }

    async fn break_off(self) {
        self.task.abort();
        // It is gone when this is ready.
        let _ = self.task.await;
    }

    async fn end(self) {
        drop(self.close);
        // The runtime has reported a panic.
        let _ = self.task.await;
    }
}

fn failure(error: ServiceError) -> Failure {
    let exit = match &error {
        ServiceError::Folder { source, .. } | ServiceError::Create { source, .. }
            if source.kind() == ErrorKind::PermissionDenied =>
        {
            Exit::NotPermitted
        }
        _ => Exit::Failed,
    };
    Failure::new(exit, "cannot offer the local service").because(error)
}
