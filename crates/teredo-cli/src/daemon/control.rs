//! What the service asks of the daemon.

use teredo_notify::service::{Control, ControlError, ControlFuture, Outcome};
use teredo_notify::types::Status;
use tokio::sync::{mpsc, oneshot};

/// A question, with the place for its answer.
pub(crate) enum Request {
    Status(oneshot::Sender<Status>),
    Rebind(Option<u16>, Reply),
    Stop(Reply),
    Start(Reply),
}

pub(crate) type Reply = oneshot::Sender<Result<Outcome, ControlError>>;

/// The service's side: every call becomes a [`Request`] to the daemon's loop.
pub(crate) struct Requests(pub(crate) mpsc::Sender<Request>);

impl Requests {
    /// `None` where the daemon is ending.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(request(reply)).await.ok()?;
        answer.await.ok()
    }

    fn change(
        &self,
        request: impl FnOnce(Reply) -> Request + Send + 'static,
    ) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        Box::pin(async {
            let ending = || Err(ControlError::Failed("the daemon is ending".to_owned()));
            self.ask(request).await.unwrap_or_else(ending)
        })
    }
}

impl Control for Requests {
    fn status(&self) -> ControlFuture<'_, Status> {
        Box::pin(async { self.ask(Request::Status).await.unwrap_or_default() })
    }

    fn rebind(&self, port: Option<u16>) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        self.change(move |reply| Request::Rebind(port, reply))
    }

    fn stop(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        self.change(Request::Stop)
    }

    fn start(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        self.change(Request::Start)
    }
}
