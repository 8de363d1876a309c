//! A server's data path: workers, each a thread with a socket on every address, and a raw socket towards the IPv6
//! Internet if the host permits one.
//!
//! ```text
//!                 ┌─ 192.0.2.1:3544 ─┬─ socket ─┐
//!  UDP ═ kernel ══╡  by sender       └─ socket ─┼─┐   worker 0: batch ─> Server, in place ─> batch
//!                 └─ 192.0.2.2:3544 ─┬─ socket ─┘ │
//!                                    └─ socket ───┴─> worker 1: the same
//! ```
//!
//! The kernel gives each socket its share of the senders (`SO_REUSEPORT`). Workers share only the limiter, which
//! has no lock. A server keeps no state of clients, so any worker can answer any datagram.

mod kernel;
mod native;
mod status;
mod worker;

use std::convert::Infallible;
use std::future::Future;
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};

use teredo::server::{RelayLimiter, Security};
use teredo::wire::PORT;
use teredo::{Server, ServerConfig};

pub use kernel::{PathStatus, ServerDataPath};
pub use status::{PairStatus, ServerStatus, ServerTraffic};

use crate::Waker;
use crate::lane::{EndGuard, Events, LaneEvent, SpawnError, ThreadHandle, Threads, seed};
use crate::udp::ServiceSocket;
use kernel::InKernel;
use worker::{Command, Worker};

/// An event of a server's data path; its state machines report none.
pub type ServerEvent = LaneEvent<Infallible>;

/// A running server. Dropping it ends the server and closes its ports, which takes no longer than a batch.
#[derive(Debug)]
pub struct ServerHandle {
    /// Closed before the workers end.
    in_kernel: Option<InKernel>,
    workers: Threads<Command>,
    limiter: Arc<RelayLimiter>,
    data_path: ServerDataPath,
}

impl ServerHandle {
    /// Binds port 3544 on the addresses of each pair, once for each worker, and serves (R4380-5.3-02), in the
    /// network namespace of the calling thread.
    ///
    /// No pair sends to the addresses of another. The first pair's [`limits`](ServerConfig::limits) hold for all pairs
    /// together. `events` is called on the data-path threads: it must pass the event on and return.
    ///
    /// The kernel answers solicitations while it can; one server at a time may have the data path.
    ///
    /// # Errors
    /// [`SpawnError`]
    pub fn spawn(
        pairs: Vec<ServerConfig>,
        workers: NonZeroUsize,
        data_path: &ServerDataPath,
        events: impl Fn(ServerEvent) + Send + Sync + 'static,
    ) -> Result<Self, SpawnError> {
        let own: Vec<Ipv4Addr> = pairs
            .iter()
            .flat_map(|pair| [pair.address.primary, pair.address.secondary])
            .collect();
        // The sockets of each worker.
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
        let limiter = Arc::new(data_path.limiter(limits, seed()?));
        let servers: Vec<Server> = pairs
            .into_iter()
            .map(|mut pair| {
                pair.neighbours.extend_from_slice(&own);
                Server::sharing(pair, Arc::clone(&limiter))
            })
            .collect();
        let all = sockets.iter().flatten().map(|(socket, _)| socket);
        let in_kernel = data_path.serve(&servers, &limiter, all)?;
        let events: Events<Infallible> = Arc::new(events);
        let threads: Result<Vec<_>, SpawnError> = sockets
            .into_iter()
            .enumerate()
            .map(|(number, sockets)| start(number, servers.clone(), sockets, &events))
            .collect();
        Ok(Self {
            in_kernel,
            workers: Threads::new(threads?),
            limiter,
            data_path: data_path.clone(),
        })
    }

    /// Replaces the directed broadcast addresses of the attached subnets (see
    /// [`broadcasts`](crate::net::Attached::broadcasts)).
    pub fn set_broadcasts(&self, broadcasts: Vec<Ipv4Addr>) {
        if let Some(in_kernel) = &self.in_kernel {
            in_kernel.set_broadcasts(broadcasts.clone());
        }
        self.workers
            .send(|| Command::SetBroadcasts(broadcasts.clone()));
    }

    /// Replaces the clients' secrets, for all pairs.
    pub fn set_security(&self, security: Security) {
        if let Some(in_kernel) = &self.in_kernel {
            in_kernel.set_security(&security);
        }
        self.workers.send(|| Command::SetSecurity(security.clone()));
    }

    /// The current status; `None` once a part of the server has ended.
    pub fn status(&self) -> impl Future<Output = Option<ServerStatus>> + Send + use<> {
        let workers = self.workers.ask(Command::Status);
        let limiter = Arc::clone(&self.limiter);
        let data_path = self.data_path.clone();
        async move {
            let mut status = ServerStatus {
                limited: limiter.most_refused(),
                ..ServerStatus::default()
            };
            for worker in workers {
                status.add(worker.await?);
            }
            let path = data_path.status(status.served.advertisements);
            status.add_kernel(&data_path.answered(), path);
            Some(status)
        }
    }
}

fn start(
    number: usize,
    servers: Vec<Server>,
    sockets: Vec<(ServiceSocket, usize)>,
    events: &Events<Infallible>,
) -> Result<ThreadHandle<Command>, SpawnError> {
    let waker = Waker::new()?;
    let (sender, commands) = mpsc::channel();
    let worker = Worker::new(servers, sockets, commands, waker.clone())?;
    if number == 0 && !worker.has_native_path() {
        tracing::info!("no way to the IPv6 Internet: packets for it will be dropped");
    }
    let mut guard = EndGuard::new(events);
    let body = move || {
        if worker.run() {
            guard.expected();
        }
    };
    let name = format!("teredo-server-{number}");
    Ok(ThreadHandle::spawn(name, sender, waker, body)?)
}

#[cfg(test)]
mod tests;
