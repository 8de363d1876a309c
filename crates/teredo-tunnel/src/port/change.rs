//! Changes of the service port, and how they end.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::sync::oneshot;

use super::state::Bound;
use crate::BindError;
use crate::offload::Offload;
use crate::udp::ServiceSocket;

/// The outcome of a change of the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortChange {
    /// The port in use; 0 for none.
    pub port: u16,
    /// Whether every gating subscriber confirmed in time.
    pub settled: bool,
    /// Why it is not the port asked for.
    pub fell_back: Option<PortFallback>,
}

/// The port asked for was not available, and the client took another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortFallback {
    /// The port asked for.
    pub wanted: u16,
    /// Why it was not available.
    pub reason: String,
}

impl fmt::Display for PortFallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "port {} could not be had, using another one: {}",
            self.wanted, self.reason
        )
    }
}

/// Why the port did not change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// No port was available; the client keeps the one that it has.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The client is stopped.
    #[error("the client is stopped; start it first")]
    Stopped,
    /// The host has native IPv6, with this address (RFC 4380 §5.5).
    #[error("the client is dormant, because the host has native IPv6: {0}")]
    Dormant(Ipv6Addr),
    /// Another change came before this one was settled.
    #[error("superseded by a later change of the port")]
    Superseded,
    /// The data path has ended.
    #[error("the data path has ended")]
    Ended,
}

pub(crate) type Reply = oneshot::Sender<Result<PortChange, ChangeError>>;

impl Bound for ServiceSocket {
    fn port(&self) -> u16 {
        self.local().port()
    }
}

pub(crate) fn answer(reply: Reply, result: Result<PortChange, ChangeError>) {
    // The caller may have lost interest.
    let _ = reply.send(result);
}

/// Binds `port`; 0 leaves the choice to the kernel.
pub(crate) fn open(
    address: Ipv4Addr,
    port: u16,
    offload: Offload,
) -> Result<ServiceSocket, BindError> {
    let mut socket = ServiceSocket::bind(address, port)?;
    if offload == Offload::Off {
        socket.disable_offloads();
    }
    Ok(socket)
}

/// Binds `port`, or any other port if that one is not available: a client on another port is better than none
/// (R4380-5.2-03, R4380-5.2.10-01, R4380-5.2.10-02, R6169-5.2-01).
pub(crate) fn bind(
    address: Ipv4Addr,
    port: Option<u16>,
    offload: Offload,
) -> Result<(ServiceSocket, Option<PortFallback>), BindError> {
    let Some(wanted) = port.filter(|&port| port != 0) else {
        return Ok((open(address, 0, offload)?, None));
    };
    match open(address, wanted, offload) {
        Ok(socket) => Ok((socket, None)),
        Err(error) => {
            let socket = open(address, 0, offload)?;
            let fallback = PortFallback {
                wanted,
                reason: error.to_string(),
            };
            tracing::warn!(port = socket.local().port(), "{fallback}");
            Ok((socket, Some(fallback)))
        }
    }
}
