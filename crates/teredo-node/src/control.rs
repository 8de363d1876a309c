//! The requests of a local service, on their way to a node's control loop.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use teredo_notify::service::{Control, ControlError, ControlFuture, Outcome};
use teredo_notify::types::{Peer, Status};
use tokio::sync::{mpsc, oneshot};

/// How many requests wait for the control loop; further callers wait for a place.
const WAITING: usize = 64;

/// The service's end: a service can be offered before the node behind it has started, so that a second instance is
/// noticed first.
#[derive(Clone, Debug)]
pub struct NodeControl(Arc<Mutex<mpsc::Sender<Request>>>);

/// The node's end; a builder takes it.
#[derive(Debug)]
pub struct Requests(mpsc::Receiver<Request>);

/// Both ends of the way from a service to a node.
pub fn control() -> (NodeControl, Requests) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (
        NodeControl(Arc::new(Mutex::new(sender))),
        Requests(receiver),
    )
}

/// A request, with the place for its answer.
#[derive(Debug)]
pub(crate) enum Request {
    Status(oneshot::Sender<Status>),
    Peers(usize, oneshot::Sender<Vec<Peer>>),
    Rebind(Option<u16>, Reply),
    Stop(Reply),
    Start(Reply),
}

pub(crate) type Reply = oneshot::Sender<Result<Outcome, ControlError>>;

impl Requests {
    /// The next request; pending for ever without a service. Cancel safe.
    pub(crate) async fn next(requests: &mut Option<Self>) -> Request {
        let next = match requests {
            Some(Self(receiver)) => receiver.recv().await,
            None => None,
        };
        match next {
            Some(request) => request,
            None => {
                *requests = None;
                pending().await
            }
        }
    }
}

impl NodeControl {
    /// Leads to another node from now on, which takes the place of the one before. Requests that are under way fail.
    pub fn renew(&self) -> Requests {
        let (sender, receiver) = mpsc::channel(WAITING);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sender;
        Requests(receiver)
    }

    /// `None` if the node is ending.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let node = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        node.send(request(reply)).await.ok()?;
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

impl Control for NodeControl {
    fn status(&self) -> ControlFuture<'_, Status> {
        Box::pin(async { self.ask(Request::Status).await.unwrap_or_default() })
    }

    fn peers(&self, most: usize) -> ControlFuture<'_, Vec<Peer>> {
        Box::pin(async move {
            let asked = self.ask(|reply| Request::Peers(most, reply));
            asked.await.unwrap_or_default()
        })
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
