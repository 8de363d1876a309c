//! The server's data path: workers, each a thread with a socket on every address, and a way to the IPv6 Internet where
//! the host permits one.
//!
//! ```text
//!                 ┌─ 192.0.2.1:3544 ─┬─ socket ─┐
//!  UDP ═ kernel ══╡  by sender       └─ socket ─┼─┐   worker 0: batch ─> Server, in place ─> batch
//!                 └─ 192.0.2.2:3544 ─┬─ socket ─┘ │
//!                                    └─ socket ───┴─> worker 1: the same
//! ```
//!
//! The kernel gives each socket its share of the senders (`SO_REUSEPORT`). Workers share nothing but the limiter, which
//! has no lock: no state of a client is kept anywhere, so it does not matter which of them gets a datagram.

mod native;
mod status;
mod worker;

use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use teredo::server::{RelayLimiter, Security};
use teredo::{Server, ServerConfig};
use tokio::sync::oneshot;

pub use status::{PairStatus, ServerStatus, ServerTraffic};

use crate::lane::seed;
use crate::udp::ServiceSocket;
use crate::{BindError, Waker};
use worker::{Command, Worker};

/// The port of every Teredo server (RFC 4380 §2.7).
const PORT: u16 = 3544;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Port 3544 could not be had on one of the addresses.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An event descriptor or a thread was refused.
    #[error("cannot start the server: {0}")]
    Io(#[from] io::Error),
}

/// A running server. Dropping it is [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct ServerHandle {
    workers: Vec<WorkerHandle>,
}

#[derive(Debug)]
struct WorkerHandle {
    commands: mpsc::Sender<Command>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl ServerHandle {
    /// Binds port 3544 on the addresses of each pair, once for each worker, and serves (R4380-5.3-02), in the
    /// network namespace of the calling thread.
    ///
    /// No pair sends to the addresses of another. What is passed on altogether and to one destination is limited by
    /// the first pair's [`limits`](ServerConfig::limits), for all of them.
    pub fn spawn(pairs: Vec<ServerConfig>, workers: NonZeroUsize) -> Result<Self, ServeError> {
        let own: Vec<Ipv4Addr> = pairs
            .iter()
            .flat_map(|pair| [pair.address.primary, pair.address.secondary])
            .collect();
        // Those of a worker together.
        let mut sockets: Vec<Vec<(ServiceSocket, usize)>> = Vec::new();
        sockets.resize_with(workers.get(), Vec::new);
        for (index, pair) in pairs.iter().enumerate() {
            let mut addresses = vec![pair.address.primary, pair.address.secondary];
            addresses.dedup();
            for address in addresses {
                let shared = ServiceSocket::bind_shared(address, PORT, workers.get())?;
                for (worker, socket) in sockets.iter_mut().zip(shared) {
                    worker.push((socket, index));
                }
            }
        }
        let limits = pairs.first().map(|pair| pair.limits).unwrap_or_default();
        let limiter = Arc::new(RelayLimiter::new(limits, seed()?));
        let servers: Vec<Server> = pairs
            .into_iter()
            .map(|mut pair| {
                pair.neighbours.extend_from_slice(&own);
                Server::sharing(pair, Arc::clone(&limiter))
            })
            .collect();
        let mut handle = Self {
            workers: Vec::with_capacity(workers.get()),
        };
        for (number, sockets) in sockets.into_iter().enumerate() {
            handle
                .workers
                .push(start(number, servers.clone(), sockets)?);
        }
        Ok(handle)
    }

    /// Replaces the directed broadcast addresses of the attached subnets (see
    /// [`broadcasts`](crate::net::watch::broadcasts)).
    pub fn set_broadcasts(&self, broadcasts: Vec<Ipv4Addr>) {
        self.send(|| Command::SetBroadcasts(broadcasts.clone()));
    }

    /// Replaces what is known of the clients, for all pairs.
    pub fn set_security(&self, security: Security) {
        self.send(|| Command::SetSecurity(security.clone()));
    }

    /// Everything that can be asked; `None` once a part of the server has ended.
    pub fn status(&self) -> impl Future<Output = Option<ServerStatus>> + Send + use<> {
        let mut answers = Vec::with_capacity(self.workers.len());
        self.send(|| {
            let (reply, answer) = oneshot::channel();
            answers.push(answer);
            Command::Status(reply)
        });
        async {
            let mut status = ServerStatus::default();
            for answer in answers {
                status.add(answer.await.ok()?);
            }
            Some(status)
        }
    }

    /// Ends the server and closes its ports. Blocks for no longer than a batch takes.
    pub fn shutdown(mut self) {
        self.end();
    }

    /// Whether a thread has ended, which it does by itself only when the kernel refuses to wait.
    pub fn is_finished(&self) -> bool {
        let mut threads = self.workers.iter().map(|worker| worker.thread.as_ref());
        threads.any(|thread| thread.is_none_or(JoinHandle::is_finished))
    }

    fn send(&self, mut command: impl FnMut() -> Command) {
        for worker in &self.workers {
            // One that has ended drops the command, and with it the sender of the reply.
            let _ = worker.commands.send(command());
            worker.waker.wake();
        }
    }

    fn end(&mut self) {
        self.send(|| Command::Shutdown);
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take()
                && thread.join().is_err()
            {
                tracing::error!("the server panicked");
            }
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.end();
    }
}

fn start(
    number: usize,
    servers: Vec<Server>,
    sockets: Vec<(ServiceSocket, usize)>,
) -> io::Result<WorkerHandle> {
    let waker = Waker::new()?;
    let (sender, commands) = mpsc::channel();
    let worker = Worker::new(servers, sockets, commands, waker.clone())?;
    if number == 0 && !worker.has_native_path() {
        tracing::info!("no way to the IPv6 Internet: packets for it will be dropped");
    }
    let thread = thread::Builder::new()
        .name(format!("teredo-server-{number}"))
        .spawn(move || worker.run())?;
    Ok(WorkerHandle {
        commands: sender,
        waker,
        thread: Some(thread),
    })
}

#[cfg(test)]
mod tests;
